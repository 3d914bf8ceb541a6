#pragma once

// Ready is the agent's word, never a time and never a line on the console, which any program in the
// guest could print.

#include <optional>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "env/env.h"
#include "env/task.h"
#include "node/vm/qemu/agent_protocol.h"
#include "node/vm/qemu/running_vm.h"

namespace blixard::qemu {

// Returns when the agent behind `agent_socket` answered a nonce, or became `identity`; `vm` is then
// running. Errors: kFailedPrecondition "guest_ended" with the reason when the guest ends first,
// kDeadlineExceeded "guest_not_ready" with the console's tail, kCancelled, those of the agent.
env::Task<Result<void>> wait_for_agent(env::Env env, RunningVm& vm, std::string agent_socket,
                                       Instant deadline, std::optional<Identity> identity = {});

}  // namespace blixard::qemu
