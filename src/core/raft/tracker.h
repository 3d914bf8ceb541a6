#pragma once

// The active configuration with each member's progress and the votes of the running election.
//
// Invariant: `progress` has exactly the members of `configuration`, and a member's is_learner says
// whether it is in `learners`. Both change together, by what conf_change.h computes.

#include <cstddef>

#include "base/ids.h"
#include "core/raft/progress.h"
#include "core/raft/quorum.h"
#include "core/raft/types.h"

namespace blixard::raft {

class Tracker {
 public:
  struct Tally {
    std::size_t granted = 0;
    std::size_t refused = 0;
    VoteResult result = VoteResult::kPending;
  };

  Tracker(std::size_t inflight_messages_max, std::size_t inflight_bytes_max)
      : inflight_messages_max_(inflight_messages_max), inflight_bytes_max_(inflight_bytes_max) {}

  [[nodiscard]] const ConfState& configuration() const { return configuration_; }
  [[nodiscard]] const ProgressMap& progress() const { return progress_; }
  [[nodiscard]] ProgressMap& progress() { return progress_; }
  // None (null): not a member.
  [[nodiscard]] Progress* find(NodeId node);
  [[nodiscard]] const Progress* find(NodeId node) const;
  // Precondition: they fit each other (what apply_conf_change or restore_conf_state returned).
  void install(ConfState configuration, ProgressMap progress);
  // A new member's progress.
  [[nodiscard]] Progress new_progress(LogIndex next, bool is_learner) const;

  // One voter, not joint.
  [[nodiscard]] bool is_singleton() const;
  // What a quorum has by the members' `match`.
  [[nodiscard]] LogIndex committed() const;
  // A quorum of voters is recently active.
  [[nodiscard]] bool quorum_active() const;

  void reset_votes() { votes_.clear(); }
  void record_vote(NodeId node, bool granted) { votes_.emplace(node, granted); }  // first counts
  [[nodiscard]] const Votes& votes() const { return votes_; }
  [[nodiscard]] Tally tally() const;

 private:
  ConfState configuration_;
  ProgressMap progress_;
  Votes votes_;
  std::size_t inflight_messages_max_;
  std::size_t inflight_bytes_max_;
};

}  // namespace blixard::raft
