#pragma once

// Placement: which node takes which waiting VM.
//
// A pure function of the applied state, so that the same state gives the same plan on every leader
// and in every replay. It proposes and decides nothing: each line of the plan becomes a command
// that apply checks again, against the state of that moment, with the generation as the fence.
//
// Every VM goes to the node with the most free memory among those that can take it (worst fit: the
// load spreads, and what one lost node takes with it stays small). Whatever is planned here counts
// as taken for the VMs after it. A VM that fits nowhere gets a sentence with the counts, because
// "not placed" must always say why.

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "core/cluster/state.h"

namespace blixard::sched {

struct Placement {
  VmId vm;
  Generation generation;  // the VM's now
  NodeId node;
  // The node's now, where that decided; 0: nothing that could change did.
  std::uint64_t node_revision = 0;
  friend bool operator==(const Placement&, const Placement&) = default;
};

struct Unplaced {
  VmId vm;
  Generation generation;
  std::string reason;  // other than the one the VM has
  friend bool operator==(const Unplaced&, const Unplaced&) = default;
};

struct Plan {
  std::vector<Placement> placements;
  std::vector<Unplaced> unplaced;
  [[nodiscard]] bool empty() const { return placements.empty() && unplaced.empty(); }
};

// At most limits::kPlacementsPerPlan lines: once they are applied, the next call has the rest.
// VMs in the order of their ids; among equal nodes the one with the lowest id. Sentences speak of
// the nodes as they are after the plan. Reads every VM once, and every node once for each VM it
// places and twice for each kind of VM that fits nowhere.
Plan plan_pending(const cluster::State& state);

// Whether another node would take a VM that has one.
bool has_place_elsewhere(const cluster::State& state, const cluster::Vm& vm);

}  // namespace blixard::sched
