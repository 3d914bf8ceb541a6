#include "linux/spawn.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "linux/launch.h"
#include "linux/system_error.h"

namespace blixard::linux_side {
namespace {

// Above the numbers that the launcher's own descriptors take.
constexpr int kFirstFreeFd = 10;

Error spawn_error(int number) {
  return {Code::kResourceExhausted, "process_limit",
          "start a process: " + std::string(error_text(number))};
}

class FileActions {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  // Each answers an errno value. They fail only for want of memory.
  int open(int fd, int flags) {
    return posix_spawn_file_actions_addopen(&actions_, fd, "/dev/null", flags, 0);
  }
  int duplicate(int from, int to) { return posix_spawn_file_actions_adddup2(&actions_, from, to); }
  [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

bool is_program(const std::string& path) {
  struct stat status{};
  return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         access(path.c_str(), X_OK) == 0;
}

}  // namespace

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return std::unexpected(spawn_error(errno));
  Pipe pipe{Fd(ends[0]), Fd(ends[1])};
  if (fcntl(pipe.read_end.get(), F_SETFL, O_NONBLOCK) != 0) {
    return std::unexpected(spawn_error(errno));
  }
  return pipe;
}

Result<void> check_spec(const env::SpawnSpec& spec) {
  const auto invalid = [](const char* what) {
    return fail(Code::kInvalidArgument, "spawn_invalid", what);
  };
  const auto holds_nul = [](const std::string& text) { return text.find('\0') != text.npos; };
  if (!spec.executable.starts_with('/')) return invalid("the program's path is not absolute");
  if (!spec.working_directory.starts_with('/')) return invalid("the directory is not absolute");
  if (holds_nul(spec.executable) || holds_nul(spec.working_directory) ||
      holds_nul(spec.output_path) || std::ranges::any_of(spec.arguments, holds_nul)) {
    return invalid("an argument or path holds a zero byte");
  }
  return {};
}

Result<std::int64_t> spawn_launcher(const Fd& launcher, const std::vector<std::string>& arguments,
                                    int output, int status) {
  // Copies out of the way of the numbers that are about to be taken.
  const Fd status_copy(fcntl(status, F_DUPFD_CLOEXEC, kFirstFreeFd));
  const Fd launcher_copy(fcntl(launcher.get(), F_DUPFD_CLOEXEC, kFirstFreeFd));
  Fd output_copy;
  if (output >= 0) output_copy = Fd(fcntl(output, F_DUPFD_CLOEXEC, kFirstFreeFd));
  if (!status_copy || !launcher_copy || (output >= 0 && !output_copy)) {
    return std::unexpected(spawn_error(errno));
  }
  FileActions actions;
  int error = actions.open(STDIN_FILENO, O_RDONLY);
  if (error == 0) {
    error = output_copy ? actions.duplicate(output_copy.get(), STDOUT_FILENO)
                        : actions.open(STDOUT_FILENO, O_WRONLY);
  }
  if (error == 0) error = actions.duplicate(STDOUT_FILENO, STDERR_FILENO);
  if (error == 0) error = actions.duplicate(status_copy.get(), kStatusFd);
  if (error != 0) return std::unexpected(spawn_error(error));
  // exec takes non-const pointers and changes nothing behind them.
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments)
    argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t pid = 0;
  error = posix_spawn(&pid, execute_path(launcher_copy).c_str(), actions.get(), nullptr,
                      argv.data(), const_cast<char* const*>(kChildEnvironment));
  if (error == ENOENT || error == EACCES) {
    return fail(Code::kFailedPrecondition, "launcher_refused", std::string(error_text(error)));
  }
  if (error != 0) return std::unexpected(spawn_error(error));
  return pid;
}

void discard_child(std::int64_t pid) {
  (void)::kill(static_cast<pid_t>(pid), SIGKILL);
  (void)retry_interrupted([&] { return waitpid(static_cast<pid_t>(pid), nullptr, 0); });
}

env::ExitStatus exit_status_of(const siginfo_t& info) {
  env::ExitStatus status;
  if (info.si_code == CLD_EXITED) {
    status.exit_code = info.si_status;
  } else {
    status.signal = info.si_status;
  }
  return status;
}

bool read_some_output(int fd, std::string& text, std::size_t output_max) {
  std::array<char, 16 * 1024> buffer{};
  const auto count = retry_interrupted([&] { return read(fd, buffer.data(), buffer.size()); });
  if (count <= 0) {
    if (count == 0) errno = 0;
    return false;
  }
  const std::size_t room = output_max - std::min(output_max, text.size());
  text.append(buffer.data(), std::min(room, static_cast<std::size_t>(count)));
  return true;
}

Result<std::string> find_in_path(const std::string& name, const std::string& search_path) {
  if (name.find('/') != std::string::npos && is_program(name)) return name;
  std::string_view rest = name.find('/') == std::string::npos ? search_path : std::string_view();
  while (!rest.empty()) {
    const auto end = std::min(rest.find(':'), rest.size());
    const std::string_view directory = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!directory.starts_with('/')) continue;
    std::string path = env::join_path(directory, name);
    if (is_program(path)) return path;
  }
  return fail(Code::kNotFound, "program_missing", name + " is not in PATH");
}

}  // namespace blixard::linux_side
