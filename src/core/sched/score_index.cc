#include "core/sched/score_index.h"

#include <algorithm>
#include <bit>
#include <queue>
#include <utility>

namespace blixard::sched {

NodeIndex ScoreIndex::better(NodeIndex a, NodeIndex b) const {
  if (a == kNoNode) return b;
  if (b == kNoNode) return a;
  if (scores_[a] != scores_[b]) return scores_[a] > scores_[b] ? a : b;
  return std::min(a, b);
}

void ScoreIndex::follow(const Fleet& fleet, const ScoreOf& score_of) {
  const auto changed = fleet.changed_since(position_);
  if (epoch_ != fleet.epoch() || scores_.size() != fleet.size() || !changed) {
    rebuild(fleet, score_of);
  } else {
    for (const NodeIndex node : *changed) {
      if (versions_[node] == fleet.version(node)) continue;
      versions_[node] = fleet.version(node);
      set(node, score_of(node));
    }
  }
  position_ = fleet.journal_end();
  epoch_ = fleet.epoch();
}

void ScoreIndex::set(NodeIndex node, Score score) {
  if (score == scores_[node]) return;
  scores_[node] = score;
  winners_[leaves_ + node] = score == kNoScore ? kNoNode : node;
  for (std::size_t vertex = (leaves_ + node) / 2; vertex != 0; vertex /= 2)
    winners_[vertex] = better(winners_[2 * vertex], winners_[2 * vertex + 1]);
}

void ScoreIndex::rebuild(const Fleet& fleet, const ScoreOf& score_of) {
  const std::size_t nodes = fleet.size();
  leaves_ = std::bit_ceil(std::max<std::size_t>(nodes, 1));
  scores_.resize(nodes);
  versions_.resize(nodes);
  winners_.assign(2 * leaves_, kNoNode);
  for (NodeIndex node = 0; node < nodes; ++node) {
    scores_[node] = score_of(node);
    versions_[node] = fleet.version(node);
    if (scores_[node] != kNoScore) winners_[leaves_ + node] = node;
  }
  for (std::size_t vertex = leaves_ - 1; vertex != 0; --vertex)
    winners_[vertex] = better(winners_[2 * vertex], winners_[2 * vertex + 1]);
}

NodeIndex ScoreIndex::best() const { return winners_[1]; }

void ScoreIndex::best_first(const std::function<bool(NodeIndex, Score)>& visit) const {
  struct Subtree {
    Score score;
    NodeIndex winner;
    std::size_t vertex;
    bool operator<(const Subtree& other) const {
      return score != other.score ? score < other.score : winner > other.winner;
    }
  };
  std::priority_queue<Subtree> open;
  const auto add = [&](std::size_t vertex) {
    const NodeIndex winner = winners_[vertex];
    if (winner != kNoNode) open.push({scores_[winner], winner, vertex});
  };
  add(1);
  while (!open.empty()) {
    const Subtree next = open.top();
    open.pop();
    if (next.vertex >= leaves_) {
      if (!visit(next.winner, next.score)) return;
      continue;
    }
    add(2 * next.vertex);
    add(2 * next.vertex + 1);
  }
}

}  // namespace blixard::sched
