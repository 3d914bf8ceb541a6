#include "node/cluster/plan.h"

#include "base/limits.h"

namespace blixard::membership {
namespace {

using cluster::Membership;

std::optional<Step> removal(const cluster::State& state, NodeId self) {
  std::optional<Step> own;
  for (const auto& [id, node] : state.nodes()) {
    if (!node.leaving) continue;
    if (id == self) {
      // The others first: once this node leads no more, it removes nobody.
      own = Step{Step::Kind::kHandOver, id};
    } else if (state.membership(id) == Membership::kNone) {
      return Step{Step::Kind::kDrop, id};
    } else {
      return Step{Step::Kind::kRemove, id};
    }
  }
  return own;
}

}  // namespace

std::optional<Step> next_step(const cluster::State& state, NodeId self, const CloseSince& close,
                              Instant now) {
  // One that is being left decides by itself.
  if (!state.configuration().voters_outgoing.empty()) return std::nullopt;
  if (const auto step = removal(state, self)) return step;
  for (const auto& [id, node] : state.nodes()) {
    if (state.membership(id) == Membership::kNone) return Step{Step::Kind::kAddLearner, id};
  }
  if (state.configuration().voters.size() >= limits::kVoters) return std::nullopt;
  for (const auto& [id, node] : state.nodes()) {
    if (node.role != cluster::NodeRole::kServer) continue;
    if (state.membership(id) != Membership::kLearner) continue;
    const auto since = close.find(id);
    if (since != close.end() && now - since->second >= kCloseFor) {
      return Step{Step::Kind::kPromote, id};
    }
  }
  return std::nullopt;
}

}  // namespace blixard::membership
