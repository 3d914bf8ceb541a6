#include "core/raft/tracker.h"

#include <optional>
#include <utility>

namespace blixard::raft {
namespace {

class Matched : public AckedIndexes {
 public:
  explicit Matched(const ProgressMap& progress) : progress_(progress) {}
  [[nodiscard]] std::optional<LogIndex> acked(NodeId voter) const override {
    const auto found = progress_.find(voter);
    return found == progress_.end() ? std::nullopt : std::optional(found->second.match);
  }

 private:
  const ProgressMap& progress_;
};

}  // namespace

Progress* Tracker::find(NodeId node) {
  const auto found = progress_.find(node);
  return found == progress_.end() ? nullptr : &found->second;
}

const Progress* Tracker::find(NodeId node) const {
  const auto found = progress_.find(node);
  return found == progress_.end() ? nullptr : &found->second;
}

void Tracker::install(ConfState configuration, ProgressMap progress) {
  configuration_ = std::move(configuration);
  progress_ = std::move(progress);
}

Progress Tracker::new_progress(LogIndex next, bool is_learner) const {
  Progress progress;
  progress.next = next;
  progress.is_learner = is_learner;
  // Else check-quorum could end the term before a new member had a chance to say anything.
  progress.recent_active = true;
  progress.inflights = Inflights(inflight_messages_max_, inflight_bytes_max_);
  return progress;
}

bool Tracker::is_singleton() const {
  return configuration_.voters.size() == 1 && configuration_.voters_outgoing.empty();
}

LogIndex Tracker::committed() const {
  return committed_index(configuration_.voters, configuration_.voters_outgoing, Matched(progress_));
}

bool Tracker::quorum_active() const {
  Votes active;
  for (const auto& [node, progress] : progress_) {
    if (!progress.is_learner) active.emplace(node, progress.recent_active);
  }
  return vote_result(configuration_.voters, configuration_.voters_outgoing, active) ==
         VoteResult::kWon;
}

Tracker::Tally Tracker::tally() const {
  Tally tally;
  for (const auto& [node, granted] : votes_) {
    const Progress* const member = find(node);
    if (member == nullptr || member->is_learner) continue;
    ++(granted ? tally.granted : tally.refused);
  }
  tally.result = vote_result(configuration_.voters, configuration_.voters_outgoing, votes_);
  return tally;
}

}  // namespace blixard::raft
