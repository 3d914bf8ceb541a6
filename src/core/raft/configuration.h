#pragma once

// Questions about a ConfState, and the check that one from outside (a snapshot, a disk, a peer)
// could have come from a correct core.
//
// Invariants of a valid one: every list is sorted, without repetition and without node 0; no
// learner is a voter of either list; who waits to become a learner is a voter of the outgoing list
// only; without an outgoing list nobody waits and nothing is left by itself. No voters at all is
// valid only for a node that has not joined yet (everything is empty).

#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "core/raft/types.h"

namespace blixard::raft {

[[nodiscard]] inline bool is_joint(const ConfState& conf) { return !conf.voters_outgoing.empty(); }
// Of a sorted list.
[[nodiscard]] bool contains(const std::vector<NodeId>& list, NodeId node);
// A voter of either list.
[[nodiscard]] bool is_voter(const ConfState& conf, NodeId node);
[[nodiscard]] bool is_learner(const ConfState& conf, NodeId node);
// Voters of both lists and learners, sorted.
[[nodiscard]] std::vector<NodeId> members(const ConfState& conf);
// Voters of both lists, sorted.
[[nodiscard]] std::vector<NodeId> all_voters(const ConfState& conf);

// Errors: kInvalidArgument "conf_state_invalid", with the rule that is broken.
Result<void> check_conf_state(const ConfState& conf);

}  // namespace blixard::raft
