#include "app/image_build.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <vector>

namespace blixard::app {
namespace {

// Beside the program in a source tree's build, or where the package puts it.
std::vector<std::string> builder_candidates() {
  std::vector<std::string> paths;
  std::array<char, 4096> buffer{};
  const auto length = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
  if (length > 0) {
    std::string_view directory(buffer.data(), static_cast<std::size_t>(length));
    directory = env::parent_path(directory);
    paths.push_back(env::join_path(directory, "../lib/blixard/guest/build.py"));
    paths.push_back(env::join_path(directory, "../../../tools/guest/build.py"));
  }
  return paths;
}

// Runs in our process group with our terminal, so that its progress is seen and Ctrl-C ends both.
Result<int> run_in_foreground(std::vector<std::string> words) {
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words)
    argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  if (::posix_spawnp(&pid, argv[0], nullptr, nullptr, argv.data(), environ) != 0) {
    return fail(Code::kNotFound, "builder_missing", words[0] + " cannot be started: install it");
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace

env::Task<Result<void>> build_image(env::Env env, ImageBuild build, std::string directory) {
  std::string builder;
  for (const std::string& path : builder_candidates()) {
    if (co_await env.disk.open(path, env::OpenMode::kRead)) {
      builder = path;
      break;
    }
  }
  if (builder.empty()) {
    co_return fail(Code::kNotFound, "builder_missing",
                   "the guest image builder is not beside this program: install the package");
  }
  std::vector<std::string> words{"python3", builder, "--output", directory, "--name", build.name};
  // The package brings a ready init program, so that no compiler is needed.
  const std::string init = env::join_path(env::parent_path(builder), "init.elf");
  if (co_await env.disk.open(init, env::OpenMode::kRead)) {
    words.insert(words.end(), {"--init", init});
  }
  if (!build.cache_directory.empty()) {
    words.insert(words.end(), {"--cache", build.cache_directory});
  }
  BLX_CO_TRY(const int code, run_in_foreground(std::move(words)));
  if (code != 0) {
    co_return fail(Code::kInternal, "build_failed",
                   "the builder ended with code " + std::to_string(code) + "; see its lines above");
  }
  co_return Result<void>();
}

}  // namespace blixard::app
