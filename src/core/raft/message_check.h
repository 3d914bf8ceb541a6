#pragma once

// Whether a message could have been sent by a correct node: what can be told from the message
// alone. What depends on our state is checked where the message is handled.

#include "base/ids.h"
#include "base/result.h"
#include "core/raft/types.h"

namespace blixard::raft {

// Terms and indices beyond it come from no cluster that ever ran; without them no sum of ours
// overflows.
inline constexpr std::uint64_t kNumberMax = std::uint64_t{1} << 62;

// `self`: who received it. Errors: kInvalidArgument "message_invalid" with the reason.
Result<void> check_message(const Message& message, NodeId self);

}  // namespace blixard::raft
