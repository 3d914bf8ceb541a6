#include "test/conformance/raft/progress_text.h"

#include <array>

#include <fmt/format.h>

namespace blixard::raft::text {

std::string voters(Voters list) {
  std::string text = "(";
  for (const NodeId node : list) {
    text += fmt::format("{}{}", text.size() > 1 ? " " : "", node.value);
  }
  return text + ")";
}

std::string configuration(const ConfState& conf) {
  std::string text = "voters=" + voters(conf.voters);
  if (!conf.voters_outgoing.empty()) text += "&&" + voters(conf.voters_outgoing);
  if (!conf.learners.empty()) text += " learners=" + voters(conf.learners);
  if (!conf.learners_next.empty()) text += " learners_next=" + voters(conf.learners_next);
  if (conf.auto_leave) text += " autoleave";
  return text;
}

std::string progress(const Progress& progress, ProgressRules rules) {
  constexpr std::array kStates{"StateProbe", "StateReplicate", "StateSnapshot"};
  std::string text =
      fmt::format("{} match={} next={}", kStates.at(static_cast<std::size_t>(progress.state)),
                  progress.match.value, progress.next.value);
  if (progress.is_learner) text += " learner";
  if (progress.is_paused(rules)) text += " paused";
  if (progress.pending_snapshot) {
    text += fmt::format(" pendingSnap={}", progress.pending_snapshot.value);
  }
  if (!progress.recent_active) text += " inactive";
  if (progress.inflights.count() > 0) {
    text += fmt::format(" inflight={}{}", progress.inflights.count(),
                        progress.inflights.full() ? "[full]" : "");
  }
  return text;
}

std::string progress(const ProgressMap& all, ProgressRules rules) {
  std::string text;
  for (const auto& [node, one] : all) {
    text += fmt::format("{}: {}\n", node.value, progress(one, rules));
  }
  return text;
}

std::string index(LogIndex index) {
  return index == kEverything ? "∞" : fmt::format("{}", index.value);
}

std::string_view vote_result(VoteResult result) {
  switch (result) {
    case VoteResult::kPending:
      return "VotePending";
    case VoteResult::kLost:
      return "VoteLost";
    case VoteResult::kWon:
      return "VoteWon";
  }
  return "?";
}

}  // namespace blixard::raft::text
