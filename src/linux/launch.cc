#include "linux/launch.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <optional>
#include <string_view>

#include "linux/descriptor.h"
#include "linux/system_error.h"

namespace blixard::linux_side {

const char* const kChildEnvironment[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", nullptr};

namespace {

constexpr std::string_view kGroup = "group=";
constexpr std::string_view kOutput = "output=";
constexpr std::string_view kDirectory = "directory=";
constexpr std::string_view kUser = "user=";
constexpr std::string_view kEnd = "--";

struct Orders {
  std::vector<const char*> group_files;
  const char* output = nullptr;
  const char* directory = "/";
  std::optional<env::Owner> run_as;
  char** program = nullptr;  // its argv, with the path as argv[0]
};

bool parse_owner(std::string_view text, env::Owner& owner) {
  const char* end = text.data() + text.size();
  const auto uid = std::from_chars(text.data(), end, owner.uid);
  if (uid.ec != std::errc() || uid.ptr == end || *uid.ptr != ':') return false;
  const auto gid = std::from_chars(uid.ptr + 1, end, owner.gid);
  return gid.ec == std::errc() && gid.ptr == end;
}

bool parse_orders(int argc, char** argv, Orders& orders) {
  for (int i = 2; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const auto value_of = [&](std::string_view key) { return argv[i] + key.size(); };
    if (argument == kEnd) {
      orders.program = argv + i + 1;
      return i + 1 < argc;
    }
    if (argument.starts_with(kGroup)) {
      orders.group_files.push_back(value_of(kGroup));
    } else if (argument.starts_with(kOutput)) {
      orders.output = value_of(kOutput);
    } else if (argument.starts_with(kDirectory)) {
      orders.directory = value_of(kDirectory);
    } else if (argument.starts_with(kUser)) {
      if (!parse_owner(value_of(kUser), orders.run_as.emplace())) return false;
    } else {
      return false;
    }
  }
  return false;
}

int report(LaunchStage stage, int number) {
  const LaunchFailure failure{stage, number};
  // Nobody is left to tell if this fails.
  (void)!write(kStatusFd, &failure, sizeof failure);
  return 127;
}

void reset_signals() {
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number)
    (void)sigaction(number, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  (void)sigprocmask(SIG_SETMASK, &none, nullptr);
}

bool join_group(const char* procs_file) {
  const Fd fd(open(procs_file, O_WRONLY | O_CLOEXEC));
  return fd && write(fd.get(), "0", 1) == 1;
}

bool redirect_output(const char* path) {
  constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  const Fd fd(open(path, kFlags, 0640));
  if (!fd) return false;
  struct stat status{};
  if (fstat(fd.get(), &status) != 0) return false;
  if (!S_ISREG(status.st_mode)) {
    errno = EINVAL;
    return false;
  }
  return dup2(fd.get(), STDOUT_FILENO) >= 0 && dup2(fd.get(), STDERR_FILENO) >= 0;
}

// With the groups the user database gives the user (access to /dev/kvm is often one of them).
bool become(const env::Owner& owner) {
  const passwd* user = getpwuid(owner.uid);
  const gid_t gid = owner.gid;
  const int groups = user != nullptr ? initgroups(user->pw_name, gid) : setgroups(1, &gid);
  return groups == 0 && setresgid(gid, gid, gid) == 0 &&
         setresuid(owner.uid, owner.uid, owner.uid) == 0 &&
         prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

}  // namespace

std::vector<std::string> launch_arguments(const env::SpawnSpec& spec,
                                          const std::vector<std::string>& group_files) {
  std::vector<std::string> arguments{"blixard", "internal-launch"};
  for (const std::string& file : group_files)
    arguments.push_back(std::string(kGroup) + file);
  if (!spec.output_path.empty()) arguments.push_back(std::string(kOutput) + spec.output_path);
  arguments.push_back(std::string(kDirectory) + spec.working_directory);
  if (spec.run_as) {
    arguments.push_back(std::string(kUser) + std::to_string(spec.run_as->uid) + ":" +
                        std::to_string(spec.run_as->gid));
  }
  arguments.emplace_back(kEnd);
  arguments.push_back(spec.executable);
  arguments.insert(arguments.end(), spec.arguments.begin(), spec.arguments.end());
  return arguments;
}

Error launch_error(const LaunchFailure& failure, const env::SpawnSpec& spec) {
  const int number = failure.number;
  switch (failure.stage) {
    case LaunchStage::kArguments:
      return {Code::kInternal, "launch_failed", "the launcher did not understand its arguments"};
    case LaunchStage::kGroup:
      if (number == ENOENT) {
        return {Code::kFailedPrecondition, "group_missing", "group " + spec.group};
      }
      return {Code::kFailedPrecondition, "group_refused",
              "join group " + spec.group + ": " + std::string(error_text(number))};
    case LaunchStage::kOutput:
      return file_error(number, "open", spec.output_path);
    case LaunchStage::kDirectory:
      return file_error(number, "change to", spec.working_directory);
    case LaunchStage::kUser:
      return {Code::kPermissionDenied, "user_change_refused", std::string(error_text(number))};
    case LaunchStage::kExecute:
      break;
  }
  const std::string detail = spec.executable + ": " + std::string(error_text(number));
  switch (number) {
    case ENOENT:
    case ENOTDIR:
      return {Code::kNotFound, "program_missing", detail};
    case EACCES:
    case EPERM:
      return {Code::kPermissionDenied, "program_refused", detail};
    case ENOMEM:
    case EAGAIN:
    case EMFILE:
    case ENFILE:
      return {Code::kResourceExhausted, "process_limit", detail};
    case E2BIG:
    case ENOEXEC:
      return {Code::kInvalidArgument, "program_invalid", detail};
    default:
      return {Code::kUnavailable, "launch_failed", detail};
  }
}

int run_launcher(int argc, char** argv) {
  if (fcntl(kStatusFd, F_SETFD, FD_CLOEXEC) != 0) return 127;
  Orders orders;
  if (!parse_orders(argc, argv, orders)) return report(LaunchStage::kArguments, EINVAL);
  reset_signals();
  (void)setsid();
  umask(0077);
  (void)close_range(kStatusFd + 1, ~0U, 0);
  for (const char* file : orders.group_files)
    if (!join_group(file)) return report(LaunchStage::kGroup, errno);
  if (orders.output != nullptr && !redirect_output(orders.output)) {
    return report(LaunchStage::kOutput, errno);
  }
  // Still with our own rights: the directory need not be reachable for the user.
  if (chdir(orders.directory) != 0) return report(LaunchStage::kDirectory, errno);
  if (orders.run_as && !become(*orders.run_as)) return report(LaunchStage::kUser, errno);
  execve(orders.program[0], orders.program, const_cast<char* const*>(kChildEnvironment));
  return report(LaunchStage::kExecute, errno);
}

}  // namespace blixard::linux_side
