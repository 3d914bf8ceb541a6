#pragma once

// Ending a guest, from the kindest way to the last: its agent, the power button, QEMU's own quit,
// SIGKILL. Each rung has a bounded wait, and a guest that is paused goes on first, since it could
// not obey otherwise.

#include <string>

#include "base/result.h"
#include "env/env.h"
#include "env/task.h"
#include "node/vm/driver.h"
#include "node/vm/qemu/running_vm.h"

namespace blixard::qemu {

// Returns when the process has ended: which rung did it, or why the guest had ended before.
// `agent_socket` is its path. Errors: kCancelled, kDeadlineExceeded "kill_failed" when the process
// outlives SIGKILL (it is stuck in the host's kernel).
env::Task<Result<vm::EndReason>> climb_stop_ladder(env::Env env, RunningVm& vm,
                                                   vm::StopLadder ladder, std::string agent_socket);

// The last rungs alone: quit within `patience`, then SIGKILL. Errors: as above.
env::Task<Result<void>> end_process(env::Env env, RunningVm& vm, Duration patience);

// Tells the process behind this monitor to quit, whichever it is, and waits until it hangs up: it
// answers first and ends then, and until it has it is one more copy and holds its ports.
env::Task<void> quit_whoever_serves(env::Env env, std::string monitor_socket);

}  // namespace blixard::qemu
