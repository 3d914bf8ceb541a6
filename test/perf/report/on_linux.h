#pragma once

// Of benchmark programs that run parts of the product on this machine: they link blx_linux.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "linux/runtime.h"
#include "observe/log.h"

namespace blixard::perf {

// What main() returns: the product starts its own program again to start children.
inline int run_on_linux(int argc, char** argv, int (*run)(int, char**)) {
  const int hidden = linux_side::run_hidden_command(argc, argv);
  return hidden >= 0 ? hidden : run(argc, argv);
}

// Becomes a script of test/perf, which is told of this program and of its arguments.
[[noreturn]] inline void become_script(const char* script, int argc, char** argv) {
  std::vector<std::string> words = {"python3", std::string(BLX_SOURCE_DIR "/test/perf/") + script};
  words.insert(words.end(), argv, argv + argc);
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words)
    arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execvp("python3", arguments.data());
  std::fputs("python3 is not installed\n", stderr);
  std::exit(1);
}

class Warnings final : public observe::LogSink {
 public:
  [[nodiscard]] bool wants(observe::Level level) const override {
    return level >= observe::Level::kWarn;
  }
  void write(observe::Level level, std::string_view line) override {
    std::fputs(fmt::format("{}: {}\n", observe::level_name(level), line).c_str(), stderr);
  }
};

}  // namespace blixard::perf
