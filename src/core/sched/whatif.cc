#include "core/sched/whatif.h"

#include <span>
#include <utility>

namespace blixard::sched {

namespace {

cluster::Trial::Place place_of(const Placement& placement) {
  return {.vm = placement.vm, .node = placement.node, .devices = placement.devices};
}

}  // namespace

WhatIf::WhatIf(cluster::Trial& trial, std::vector<VmId> asked)
    : trial_(trial), asked_(std::move(asked)) {
  trial_.take_changes();
  planner_.follow(trial_.state());
}

bool WhatIf::step() {
  if (plans_ == kPlans) return false;
  ++plans_;
  const std::vector<cluster::Change> changes = trial_.take_changes();
  if (!changes.empty()) planner_.follow(trial_.state(), std::span(changes));
  return carry_out(planner_.plan(trial_.state(), trial_.now()));
}

// Whether anything came of it.
bool WhatIf::carry_out(const Plan& plan) {
  bool has_changed = false;
  for (const Placement& placement : plan.placements) {
    if (!trial_.place(place_of(placement))) continue;
    scores_[placement.vm] = placement.score;
    has_changed = true;
  }
  for (const Gang& gang : plan.gangs) {
    std::vector<cluster::Trial::Place> places;
    places.reserve(gang.placements.size());
    for (const Placement& placement : gang.placements)
      places.push_back(place_of(placement));
    if (!trial_.place_gang(places)) continue;
    for (const Placement& placement : gang.placements)
      scores_[placement.vm] = placement.score;
    has_changed = true;
  }
  for (const Preemption& preemption : plan.preemptions) {
    if (!trial_.preempt(preemption.victim, preemption.by)) continue;
    makes_leave_[preemption.by].push_back(trial_.state().find_vm(preemption.victim)->name);
    has_changed = true;
  }
  // One that this plan made leave has another reason now.
  for (const Unplaced& unplaced : plan.unplaced)
    has_changed |= trial_.explain(unplaced.vm, unplaced.reason).has_value();
  return has_changed;
}

std::vector<WhatIf::Fate> WhatIf::fates() const {
  std::vector<Fate> fates;
  for (const VmId id : asked_) {
    const cluster::Vm* vm = trial_.state().find_vm(id);
    if (vm == nullptr) continue;
    Fate fate{.vm = id, .node = vm->node, .devices = vm->devices, .makes_leave = {}, .reason = {}};
    if (const auto score = scores_.find(id); vm->node && score != scores_.end())
      fate.score = score->second;
    if (const auto leaving = makes_leave_.find(id); leaving != makes_leave_.end())
      fate.makes_leave = leaving->second;
    if (!vm->node) fate.reason = vm->reason;
    fates.push_back(std::move(fate));
  }
  return fates;
}

}  // namespace blixard::sched
