#pragma once

// Where a guest's memory lies: in the process, or in a file that the command line names. Of that
// file the first page holds something (soul.h); the rest is a hole.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "sim/file_system.h"
#include "sim/process.h"
#include "sim/qemu/command_line.h"

namespace blixard::sim {

class GuestMemory {
 public:
  GuestMemory(FileSystem& files, const QemuCommandLine& line) : files_(files), line_(line) {}

  // Errors: kInvalidArgument "refused", with QEMU's words.
  Result<void> open(const std::string& path, const env::SpawnSpec& process);

  [[nodiscard]] bool in_file() const { return file_ != nullptr; }
  // What the guest writes gets into the file.
  [[nodiscard]] bool is_shared() const { return file_ != nullptr && line_.memory_is_shared; }
  // Whoever touches what is cut off dies of it.
  [[nodiscard]] bool is_cut() const;

  // The page that matters. Precondition: in_file().
  [[nodiscard]] std::string page() const;
  // Errors: kResourceExhausted. Precondition: is_shared().
  Result<void> store(std::string_view page);

 private:
  FileSystem& files_;
  const QemuCommandLine& line_;
  InodePtr file_;  // as mapped: it may lose its name
};

}  // namespace blixard::sim
