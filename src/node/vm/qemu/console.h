#pragma once

// The guest's console on disk: "console" and, before it, "console.1". When the first is full it
// becomes the second, so a guest that prints for ever uses twice limits::kConsoleFileBytes.

#include <string>
#include <string_view>

#include "base/result.h"
#include "env/disk.h"
#include "env/task.h"

namespace blixard::qemu {

class ConsoleFile {
 public:
  ConsoleFile(env::Disk& disk, const std::string& directory);

  // Its folder has moved there.
  void follow(const std::string& directory);

  // One call at a time.
  env::Task<Result<void>> append(std::string bytes);
  // The newest `size_max` bytes, at most; empty when nothing was written.
  env::Task<Result<std::string>> tail(std::size_t size_max);

 private:
  env::Disk& disk_;
  std::string newer_;
  std::string older_;
};

// The last `size_max` bytes of a file; empty when it is not there.
env::Task<Result<std::string>> read_tail(env::Disk& disk, std::string path, std::size_t size_max);

// What is left when a text is cut to its last `size_max` bytes at the beginning of a line, and
// every byte that is no printable ASCII, newline or tab is shown as '?'.
std::string last_lines(std::string_view text, std::size_t size_max);

// The kernel's own words for why it panicked, out of its console; empty when it said nothing. What
// it prints behind them (registers, stacks) can be long.
std::string panic_line(std::string_view console);

}  // namespace blixard::qemu
