#pragma once

// Drains: which VMs of a node are told to leave it next, and when a drain is over.
//
// A drain always ends: when nothing that runs is left; or, once its deadline has passed, all that
// is left is told to leave whether there is room elsewhere or not, and what has not left after its
// grace is named in the outcome. Until the deadline a VM is only told to leave while another node
// would take it, and so many at once as the operator said: one that waits for a node counts, so a
// cluster that is full is not emptied into its queue.
//
// A VM created with "on evict: stop" is stopped where it is and stays there.

#include <string>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "core/cluster/state.h"
#include "core/sched/place.h"

namespace blixard::sched {

struct Eviction {
  VmId vm;
  Generation generation;  // the VM's now
  std::string explanation;
  friend bool operator==(const Eviction&, const Eviction&) = default;
};

struct DrainEnd {
  NodeId node;
  WallTime since;  // of the drain that is meant
  std::string outcome;
  friend bool operator==(const DrainEnd&, const DrainEnd&) = default;
};

struct DrainPlan {
  std::vector<Eviction> evictions;
  std::vector<DrainEnd> ends;
  friend bool operator==(const DrainPlan&, const DrainPlan&) = default;
};

// At most limits::kPlacementsPerPlan evictions: once they are applied, the next call has the rest.
// `now` is the leader's clock; drains of nodes and VMs in the order of their ids. Precondition: the
// planner follows that state.
DrainPlan plan_drains(const cluster::State& state, Planner& planner, WallTime now);

// Whether a drain is under way at all: without one there is nothing to plan, whatever happens.
bool is_any_draining(const cluster::State& state);

}  // namespace blixard::sched
