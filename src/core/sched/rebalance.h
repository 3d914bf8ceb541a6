#pragma once

// Rebalancing: the VM that is most worth moving, if any is worth it.
//
// Measured by the VM's own strategy: without the VM, how many points does another node score above
// the one it is on, soft rules of its groups included? A move has to bring more than the policy's
// threshold. After it the same question has the same answer with the other sign, so that nothing
// is moved back and forth. VMs whose strategy chooses among groups of nodes
// (spread-across-failure-domains, cost-optimized) or names one (manual) are left where they are.
//
// A move stops the VM and starts it elsewhere, so there is one at a time, at most as many an hour
// as the policy says, none while a node is drained, and of running VMs only that are created with
// "on evict: move".

#include <cstdint>
#include <optional>
#include <string>

#include "core/cluster/state.h"
#include "core/sched/place.h"

namespace blixard::sched {

struct Move {
  VmId vm;
  Generation generation;  // the VM's now
  NodeId target;
  std::string explanation;
  friend bool operator==(const Move&, const Move&) = default;
};

struct Rebalancing {
  std::optional<Move> move;
  VmId next;  // where the next look begins: not all VMs are looked at each time
};

inline constexpr std::size_t kVmsPerLook = 500;

// Looks at VMs from the one of that id on. `now` is the leader's clock. Precondition: the planner
// follows that state, of which it forgets nothing.
Rebalancing plan_rebalance(const cluster::State& state, Planner& planner, VmId first, WallTime now);

}  // namespace blixard::sched
