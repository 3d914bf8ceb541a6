#pragma once

// Which VMs make room for one of higher priority that no node can take.
//
// Victims are preemptible, of strictly lower priority and on one node, so that the waiting VM fits
// there without them. Of the nodes: lower-priority-only takes the one with the fewest victims, and
// among those with the lowest priorities; cost-aware the one where the least is lost, each victim
// counting its size times its priority.

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "core/resources/amounts.h"
#include "core/sched/circumstances.h"
#include "core/sched/state_fleet.h"

namespace blixard::sched {

inline constexpr std::size_t kVictims = 32;  // of one VM

struct Victims {
  NodeIndex at = kNoNode;
  std::vector<const cluster::Vm*> vms;
};

// Nothing: no node would have room, whoever left it. `spared` are no victims. O(VMs that are
// preemptible).
std::optional<Victims> find_victims(const cluster::State& state, StateFleet& fleet,
                                    const Circumstances& circumstances, const Request& request,
                                    const std::set<VmId>& spared, const resources::Amounts& all);

}  // namespace blixard::sched
