#pragma once

// What would become of VMs that somebody thinks of, on a copy of a state.

#include <cstdint>
#include <optional>
#include <vector>

#include "base/units.h"
#include "blixard/v1/api.pb.h"
#include "core/cluster/state.h"
#include "core/cluster/trial.h"
#include "core/sched/whatif.h"

namespace blixard::api {

class PlanRun {
 public:
  // The request outlives it. VMs are created at once, each in its turn.
  PlanRun(cluster::State copy, const v1::PlanRequest& request, WallTime now);
  PlanRun(const PlanRun&) = delete;
  PlanRun& operator=(const PlanRun&) = delete;

  // A part of the work; false: there is none left.
  bool step() { return whatif_->step(); }
  [[nodiscard]] v1::PlanAnswer answer() const;

 private:
  std::uint64_t revision_;
  cluster::Trial trial_;
  const v1::PlanRequest& request_;
  std::vector<Result<VmId>> created_;  // for each of the request
  std::optional<sched::WhatIf> whatif_;
};

}  // namespace blixard::api
