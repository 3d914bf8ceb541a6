#pragma once

// Consensus messages in frames: the part of message.h that knows raft/types.h field by field.
// Internal to core/wire.

#include "base/payload.h"
#include "base/result.h"
#include "blixard/v1/peer.pb.h"
#include "core/raft/types.h"
#include "core/wire/frame.h"

namespace blixard::wire {

void to_proto(const raft::Message& message, v1::RaftMessage& into);

// The entries: a table of rows, then the payloads.
void write_entries(const raft::Message& message, FrameWriter& writer);

// Errors: kInvalidArgument "message_invalid".
Result<raft::Message> from_proto(const v1::RaftMessage& from, const Payload& tail);

}  // namespace blixard::wire
