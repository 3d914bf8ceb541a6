#pragma once

// Who of the VMs that wait is placed first.
//
// The higher priority first. Among equals, tenants in turn: next is the one whose largest share of
// the cluster (of CPU, memory or disk, by its weight) is the smallest, counting what this order has
// given it already; see "dominant resource fairness" (Ghodsi et al., NSDI 2011). Of one tenant the
// largest VMs first, because small ones fit into what large ones leave and not the other way round.

#include <cstdint>
#include <vector>

#include "core/cluster/state.h"
#include "core/resources/amounts.h"
#include "core/sched/fleet.h"

namespace blixard::sched {

// The largest share of what there is, in millionths.
std::int64_t dominant_share(const resources::Amounts& demand, const resources::Amounts& all);

// Of open nodes: what tenants have shares of.
resources::Amounts all_of(const Fleet& fleet);

// All pending VMs. O(n log n).
std::vector<const cluster::Vm*> in_turn(const cluster::State& state, const resources::Amounts& all);

}  // namespace blixard::sched
