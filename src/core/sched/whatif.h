#pragma once

// What would become of VMs if they were asked for now: plans on a trial state, each carried out on
// it before the next, until nothing changes any more.
//
// All that waits takes part, also what waited before: what is asked about is placed among it, in
// gangs and groups, and may make others leave, which then are placed elsewhere or wait. VMs that
// are leaving their nodes in the state still have their room: when they go is not for a plan to
// know.

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/name.h"
#include "core/cluster/trial.h"
#include "core/sched/place.h"

namespace blixard::sched {

class WhatIf {
 public:
  // More of them than any queue needs that could be asked about.
  static constexpr std::size_t kPlans = 1024;

  // `asked`, VMs of the trial, are those whose fate matters. The trial outlives it.
  WhatIf(cluster::Trial& trial, std::vector<VmId> asked);

  // Makes one plan and carries it out. False: there was nothing to do, nothing more will change.
  bool step();

  struct Fate {
    VmId vm;
    NodeId node;  // none: it waits
    resources::DeviceNumbers devices;
    Score score = 0;                // of the node, when it was chosen
    std::vector<Name> makes_leave;  // VMs, in the order in which they go
    std::string reason;             // why it waits
  };
  // Of those that are asked about, in their order.
  [[nodiscard]] std::vector<Fate> fates() const;

 private:
  bool carry_out(const Plan& plan);

  cluster::Trial& trial_;
  std::vector<VmId> asked_;
  Planner planner_;
  std::map<VmId, Score> scores_;
  std::map<VmId, std::vector<Name>> makes_leave_;
  std::size_t plans_ = 0;
};

}  // namespace blixard::sched
