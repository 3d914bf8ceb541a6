#include "test/conformance/raft/lockstep/reference_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "test/conformance/raft/reference.h"

namespace blixard::raft::lockstep {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr int kAnswerTimeoutMs = 60'000;

// Runs a command with its output in a file; the exit code, or -1.
int run(const std::vector<std::string>& words, const std::vector<std::string>& environment,
        const std::string& output, const std::string& directory) {
  const auto pointers_to = [](const std::vector<std::string>& strings) {
    std::vector<char*> pointers(strings.size() + 1, nullptr);
    std::ranges::transform(strings, pointers.begin(),
                           [](const std::string& text) { return const_cast<char*>(text.c_str()); });
    return pointers;
  };
  const std::vector<char*> arguments = pointers_to(words);
  const std::vector<char*> variables = pointers_to(environment);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  posix_spawn_file_actions_addchdir_np(&actions, directory.c_str());
  pid_t pid = 0;
  const int failed =
      posix_spawnp(&pid, words[0].c_str(), &actions, nullptr, arguments.data(), variables.data());
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  if (failed != 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

Result<std::string> build_reference(const std::string& directory) {
  namespace files = std::filesystem;
  if (!files::exists(kReference) || !files::exists("/usr/bin/go")) {
    return fail(Code::kUnimplemented, "reference_absent", kReferenceAbsent);
  }
  std::error_code error;
  files::create_directories(directory, error);
  std::string program = directory + "/raft_reference";
  const std::string log = directory + "/build.log";
  const int code =
      run({"/usr/bin/go", "build", "-o", program, "."},
          {"GO111MODULE=off", "GOPATH=/usr/share/gocode", "GOFLAGS=-trimpath", "GOPROXY=off",
           "GOTOOLCHAIN=local", "CGO_ENABLED=0", "GOCACHE=" + directory + "/cache",
           "HOME=" + directory, "PATH=/usr/bin:/bin"},
          log, std::string(BLX_SOURCE_DIR) + "/test/conformance/raft/lockstep");
  if (code != 0) return fail(Code::kInternal, "reference_build", content(log));
  return program;
}

Result<ReferenceProcess> ReferenceProcess::start(const std::string& program) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0) {
    return fail(Code::kInternal, "reference_start", std::strerror(errno));
  }
  std::signal(SIGPIPE, SIG_IGN);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  std::string name = program;
  std::array<char*, 2> arguments{name.data(), nullptr};
  pid_t pid = 0;
  const int failed =
      posix_spawn(&pid, program.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  if (failed != 0) {
    close(in[1]);
    close(out[0]);
    return fail(Code::kInternal, "reference_start", std::strerror(failed));
  }
  return ReferenceProcess(pid, in[1], out[0]);
}

ReferenceProcess::ReferenceProcess(ReferenceProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      to_(other.to_),
      from_(other.from_),
      out_(std::move(other.out_)) {}

ReferenceProcess::~ReferenceProcess() {
  if (pid_ < 0) return;
  close(to_);
  close(from_);
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void ReferenceProcess::put(std::uint64_t word) {
  out_.append(reinterpret_cast<const char*>(&word), sizeof word);
}

void ReferenceProcess::input(const Input& input) {
  put(static_cast<std::uint64_t>(input.op) | std::uint64_t{input.node} << 8 |
      std::uint64_t{input.flags} << 16 | std::uint64_t{input.a} << 32);
  put(input.b);
}

void ReferenceProcess::world(const Settings& settings) {
  input({.op = Op::kWorld});
  for (const std::uint64_t word : settings.words())
    put(word);
}

bool ReferenceProcess::flush() {
  std::string_view rest = out_;
  while (!rest.empty()) {
    const ssize_t count = write(to_, rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    rest.remove_prefix(static_cast<std::size_t>(count));
  }
  out_.clear();
  return true;
}

bool ReferenceProcess::read_all(void* to, std::size_t bytes) {
  char* at = static_cast<char*>(to);
  while (bytes > 0) {
    pollfd ready{from_, POLLIN, 0};
    if (poll(&ready, 1, kAnswerTimeoutMs) <= 0) return false;
    const ssize_t count = read(from_, at, bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    at += count;
    bytes -= static_cast<std::size_t>(count);
  }
  return true;
}

bool ReferenceProcess::digests(std::vector<std::uint64_t>& out, std::size_t count) {
  out.resize(count);
  return read_all(out.data(), count * sizeof(std::uint64_t));
}

bool ReferenceProcess::text(std::string& out) {
  std::uint64_t length = 0;
  if (!read_all(&length, sizeof length) || length > (std::size_t{64} << 20)) return false;
  out.resize(length);
  return read_all(out.data(), length);
}

}  // namespace blixard::raft::lockstep
