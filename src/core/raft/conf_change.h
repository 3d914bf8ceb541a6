#pragma once

// Changes of the configuration (thesis, chapter 4): the arithmetic from one configuration to the
// next, and the bytes of a change in the log.
//
// A change of at most one voter may be carried out in one step; any other goes through a joint
// configuration, in which a demoted voter waits as a voter of the outgoing list until it becomes a
// learner. Every function takes what is and returns what shall be; nothing changes until the
// caller installs it, so a refused change leaves no trace.
//
// Bytes: version 1, transition, number of changes (2), then per change type (1) and node (8), then
// the length of the context (4) and the context. Little endian, nothing behind it.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/ids.h"
#include "base/payload.h"
#include "base/result.h"
#include "core/raft/progress.h"
#include "core/raft/tracker.h"
#include "core/raft/types.h"

namespace blixard::raft {

struct Changed {
  ConfState configuration;
  ProgressMap progress;
};

// An automatic change of nothing: it leaves a joint configuration. Its context does not matter.
[[nodiscard]] bool leaves_joint(const ConfChange& change);
// Whether this change goes through a joint configuration; the value: whether that one is left by
// itself.
[[nodiscard]] std::optional<bool> enters_joint(const ConfChange& change);

// `next` is where the progress of new members begins: the last index of the log, at least 1
// (series 3.4: 0 if the log is empty). Errors of all: kInvalidArgument "conf_change_invalid" with
// the reason.
Result<Changed> apply_simple(const Tracker& tracker, std::span<const ConfChangeSingle> changes,
                             LogIndex next);
Result<Changed> enter_joint(const Tracker& tracker, std::span<const ConfChangeSingle> changes,
                            bool auto_leave, LogIndex next);
Result<Changed> leave_joint(const Tracker& tracker);
// Whichever of the three the change asks for.
Result<Changed> apply_conf_change(const Tracker& tracker, const ConfChange& change, LogIndex next);

// The progress of a configuration as it was saved. Errors: "conf_state_invalid".
Result<Changed> restore_conf_state(const Tracker& tracker, const ConfState& saved, LogIndex next);

// Precondition: within limits::kConfChanges and kConfChangeContextBytes.
[[nodiscard]] Payload encode_conf_change(const ConfChange& change);
// The empty payload is the empty change. Errors: kInvalidArgument "conf_change_invalid".
Result<ConfChange> decode_conf_change(std::string_view bytes);

}  // namespace blixard::raft
