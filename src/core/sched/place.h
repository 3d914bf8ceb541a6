#pragma once

// Placement: which node takes which waiting VM.
//
// A pure function of the applied state, so that the same state gives the same plan on every leader
// and in every replay. It proposes and decides nothing: each line of the plan becomes a command
// that apply checks again, against the state of that moment, with the generation as the fence.
//
// VMs come in the order of queue.h, each goes to the node that its strategy finds best
// (strategy.h), and whatever is planned here counts as taken for the VMs after it. A VM that fits
// nowhere lets smaller ones pass, may have others make room for it (preempt.h), and gets a sentence
// with the counts, because "not placed" must always say why.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "core/cluster/state.h"
#include "core/sched/decide.h"
#include "core/sched/state_fleet.h"

namespace blixard::sched {

struct Placement {
  VmId vm;
  Generation generation;  // the VM's now
  NodeId node;
  resources::DeviceNumbers devices;  // of the node
  // The node's now, where that decided; 0: nothing that could change did.
  std::uint64_t node_revision = 0;
  Score score = 0;  // of the node, when it was chosen
  friend bool operator==(const Placement&, const Placement&) = default;
};

// All at once, or none.
struct Gang {
  std::vector<Placement> placements;
  friend bool operator==(const Gang&, const Gang&) = default;
};

// A VM that is told to leave, so that another finds room.
struct Preemption {
  VmId victim;
  Generation generation;  // the victim's now
  VmId by;
  std::string explanation;
  friend bool operator==(const Preemption&, const Preemption&) = default;
};

struct Unplaced {
  VmId vm;
  Generation generation;
  std::string reason;  // other than the one the VM has
  friend bool operator==(const Unplaced&, const Unplaced&) = default;
};

struct Plan {
  std::vector<Placement> placements;
  std::vector<Gang> gangs;
  std::vector<Preemption> preemptions;
  std::vector<Unplaced> unplaced;
  bool waits_for_budget = false;  // of preemptions: another plan may do more, once time has passed
  [[nodiscard]] bool empty() const {
    return placements.empty() && gangs.empty() && preemptions.empty() && unplaced.empty();
  }
  friend bool operator==(const Plan&, const Plan&) = default;
};

// The node for a VM of the state: one that had to leave for a node goes there, if that still takes
// it, and one that goes on from a saved guest to where that lies. Takes nothing.
Decision choose(Fleet& fleet, const cluster::Vm& vm, const Request& request,
                const Situation& situation);

// Plans on a state that it follows, so that planning again costs what has changed. What it
// remembers is acceleration: one that followed for long and one that begins now make the same plan.
class Planner {
 public:
  // `changes`: all since revision(), oldest first; nothing: not known, the state is read anew.
  void follow(const cluster::State& state,
              const std::optional<std::span<const cluster::Change>>& changes = std::nullopt);
  // Of the state that it follows.
  [[nodiscard]] std::uint64_t revision() const { return fleet_.revision(); }

  // At most limits::kPlacementsPerPlan lines, those of a gang one by one: once they are applied,
  // the next call has the rest. Sentences speak of the nodes as they are after the plan. `now`, the
  // leader's clock, is for budgets of preemptions only. Precondition of this and the next: it
  // follows that state.
  Plan plan(const cluster::State& state, WallTime now = {});
  // Whether another node would take a VM whose own takes no more.
  bool has_place_elsewhere(const cluster::State& state, const cluster::Vm& vm);

  [[nodiscard]] StateFleet& fleet() { return fleet_; }

 private:
  StateFleet fleet_;
};

// The same by who has no use for a Planner.
Plan plan_pending(const cluster::State& state, WallTime now = {});

}  // namespace blixard::sched
