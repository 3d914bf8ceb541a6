#pragma once

// What this machine is and can do. Facts, not decisions.

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "env/disk.h"
#include "env/task.h"

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
};

}  // namespace blixard::env
