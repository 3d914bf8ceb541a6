#pragma once

// The scores of one shape at all nodes, and a tournament over them: the best node without looking
// at the others. Follows the fleet's journal: before it is asked, the nodes that changed since are
// scored again, and no others. Whether it was kept for long or is made anew: the same answers.
//
// Ties go to the lowest number.

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "core/sched/fleet.h"

namespace blixard::sched {

using Score = std::int64_t;
inline constexpr Score kNoScore = std::numeric_limits<Score>::min();  // the node cannot take it

class ScoreIndex {
 public:
  using ScoreOf = std::function<Score(NodeIndex)>;

  void follow(const Fleet& fleet, const ScoreOf& score_of);

  // Precondition of all: it follows the fleet as it is. kNoNode: none can.
  [[nodiscard]] NodeIndex best() const;
  [[nodiscard]] Score score(NodeIndex node) const { return scores_[node]; }
  // Those that can, best first, until `visit` says that it has enough (false).
  void best_first(const std::function<bool(NodeIndex, Score)>& visit) const;

 private:
  [[nodiscard]] NodeIndex better(NodeIndex a, NodeIndex b) const;
  void set(NodeIndex node, Score score);
  void rebuild(const Fleet& fleet, const ScoreOf& score_of);

  std::vector<Score> scores_;  // by node
  std::vector<std::uint32_t> versions_;
  std::vector<NodeIndex> winners_;  // the root is 1; the leaves are the nodes
  std::size_t leaves_ = 0;
  std::uint64_t position_ = 0;
  std::uint64_t epoch_ = 0;
};

}  // namespace blixard::sched
