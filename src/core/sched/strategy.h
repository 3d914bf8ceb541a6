#pragma once

// How good a node is for a request: what each strategy means, in whole numbers.
//
// | strategy                       | best is                                                     |
// |--------------------------------|-------------------------------------------------------------|
// | fragmentation-aware            | where what the next requests cannot use grows least; of     |
// |                                | equals the one with most free                               |
// | most-available                 | highest mean of the free shares of what the node has        |
// | least-available                | highest mean of the used shares once the VM is there        |
// | round-robin                    | fewest VMs: 100 / (1 + VMs)                                 |
// | manual                         | the node that is named, or none                             |
// | priority-based, locality-aware | as the cluster's policy says                                |
// | spread-across-failure-domains  | most-available, in the domain with the fewest VMs           |
// | cost-optimized                 | most-available, within some percent of the cheapest node    |
//
// Shares are of CPU, memory, disk and network, of those that the node tells. On top of any of them
// come what the request prefers: points for each preference that is met, 20 less for each taint to
// be avoided; before that nodes that have its image, and before all else a datacenter or zone that
// it wants.

#include <string_view>
#include <vector>

#include "core/cluster/policy.h"
#include "core/sched/fleet.h"
#include "core/sched/score_index.h"
#include "core/sched/shape.h"

namespace blixard::sched {

inline constexpr Score kPoint = 1'000'000;

struct ScorePart {
  std::string_view name;  // a literal
  Score score = 0;
  friend bool operator==(const ScorePart&, const ScorePart&) = default;
};

// The request's own, else the cluster's.
cluster::Strategy strategy_of(const cluster::Wishes& wishes,
                              const cluster::PlacementPolicy& policy);
// The one that scores nodes for it.
cluster::Strategy base_of(cluster::Strategy strategy, const cluster::PlacementPolicy& policy);

// Precondition: the node has room. With `parts`: what it consists of.
Score base_score(const Fleet& fleet, NodeIndex at, const Shape& shape,
                 std::vector<ScorePart>* parts = nullptr);
// kNoScore if the node cannot take it.
Score score_at(const Fleet& fleet, NodeIndex at, const Shape& shape);

}  // namespace blixard::sched
