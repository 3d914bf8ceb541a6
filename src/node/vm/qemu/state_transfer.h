#pragma once

// A guest's state on its way out of QEMU and into it: QEMU's migration stream ("fd:"), over a
// connection of which QEMU is handed one end. So the daemon sees every byte, and the guests'
// processes need no right to any file of it.
//
// QEMU takes almost any bytes for a state: what it is fed is believed only when its source says at
// the end that this was what was saved, and nothing of it runs before.

#include <cstdint>

#include "base/result.h"
#include "base/units.h"
#include "env/env.h"
#include "env/task.h"
#include "node/vm/driver.h"
#include "node/vm/qemu/running_vm.h"

namespace blixard::qemu {

enum class StateOf : std::uint8_t {
  kDevices,     // the memory lies in a file, which stays as it is
  kWholeGuest,  // wherever its memory lies
};

inline constexpr const char* kSaveFailed = "save_failed";
inline constexpr const char* kLoadFailed = "load_failed";

// Whether this QEMU can leave memory that lies in a file out of the state ("x-ignore-shared", which
// it calls experimental).
env::Task<Result<bool>> can_share_memory(RunningVm& vm);

// Stops the guest and writes its state. Errors: those of the sink, kResourceExhausted
// "state_too_large" beyond `bytes_max`, kInternal "save_failed", kDeadlineExceeded. The guest stays
// stopped in any case.
env::Task<Result<void>> save_state(env::Env env, RunningVm& vm, vm::StateSink& sink, StateOf of,
                                   std::uint64_t bytes_max, Instant deadline);

// Returns when no save is under way any more: one that was given up takes QEMU a moment.
env::Task<Result<void>> wait_until_settled(env::Env env, RunningVm& vm, Instant deadline);

// Loads it into a QEMU that waits for one (-incoming defer). The guest is then stopped. Errors:
// those of the source, kInternal "load_failed", kDeadlineExceeded. Whatever the error, the process
// is of no use then.
env::Task<Result<void>> load_state(env::Env env, RunningVm& vm, vm::StateSource& source, StateOf of,
                                   Instant deadline);

}  // namespace blixard::qemu
