#pragma once

// What this machine is and can do. Facts, not decisions.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "env/disk.h"
#include "env/task.h"
#include "observe/allocations.h"
#include "observe/locks.h"

namespace blixard::env {

struct MachineFacts {
  std::string host_name;
  std::string architecture;  // "x86_64"
  std::string kernel;        // release
  std::string boot_id;       // changes with each boot of the host
  std::uint32_t cpus = 0;
  Bytes memory;
  bool is_root = false;
  // An unprivileged user for guests' processes, where we are root and it exists.
  std::optional<Owner> guest_owner;
};

// Can guests run natively? `usable` is decided by timing guest kernel code, since a device that
// opens and answers may still run it a thousand times too slowly.
struct KvmReport {
  bool usable = false;
  std::string module;       // "kvm_intel", "kvm_amd", "kvm_pvm" or ""
  Duration loop_time{};     // of 100,000 turns of guest kernel code; zero: not reached
  std::string explanation;  // one sentence for people, with what to do
};

// What this program takes of the machine, as the system counts it; zero: not known.
struct ProgramUsage {
  Bytes resident;
  Bytes virtual_memory;
  std::string_view allocator;  // "system", "mimalloc", "jemalloc"
  Bytes heap;                  // in use, as the allocator counts it (mimalloc: what it holds)
  Duration cpu_user{};
  Duration cpu_system{};
  std::uint64_t faults_minor = 0;
  std::uint64_t faults_major = 0;  // that waited for a disk
  std::uint64_t threads = 0;
  std::uint64_t open_files = 0;
  std::uint64_t open_files_max = 0;
  WallTime started;
  // Asked of the allocator (observe/allocations.h); none where they are not counted.
  std::optional<observe::AllocationsBySubsystem> allocations;
  std::span<const observe::LockFigures> locks;
};

class Machine {
 public:
  virtual ~Machine() = default;
  [[nodiscard]] virtual const MachineFacts& facts() const = 0;
  virtual Task<Result<KvmReport>> probe_kvm() = 0;
  // Frequency of the time stamp counter against the raw monotonic clock. Errors: kUnavailable
  // where there is no constant TSC.
  virtual Task<Result<std::uint64_t>> measure_tsc_khz() = 0;
  virtual double load_average() = 0;  // of the last minute
  virtual Bytes memory_available() = 0;
  virtual ProgramUsage program_usage() = 0;
};

}  // namespace blixard::env
