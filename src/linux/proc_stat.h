#pragma once

// /proc/PID/stat and statm.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "env/process.h"

namespace blixard::linux_side {

struct ProcStat {
  char state = '?';  // 'Z': ended, waiting for its parent
  std::uint64_t user_ticks = 0;
  std::uint64_t system_ticks = 0;
  std::uint64_t start_ticks = 0;
};

// The name in it may hold anything, spaces and parentheses too.
std::optional<ProcStat> parse_proc_stat(std::string_view text);
std::optional<ProcStat> read_proc_stat(std::int64_t pid);  // nothing: no such process

std::optional<env::Child::Usage> read_usage(const env::ProcessId& id);

// Small files of the kernel, which have no size to ask for. Empty when unreadable; at most
// 64 KiB.
std::string read_kernel_file(const std::string& path);

}  // namespace blixard::linux_side
