#pragma once

// For tests of plans: a cluster's state driven by commands, and plans carried out on it.

#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/cluster/scenario.h"
#include "core/sched/place.h"

namespace blixard::sched {

// A cluster with image "alpine" and nodes of 4 vCPUs with that much memory, numbered from 1.
inline cluster::Scenario cluster_of(const std::vector<std::uint32_t>& memories_mib) {
  cluster::Scenario cluster;
  EXPECT_TRUE(cluster.add_image("alpine"));
  std::uint64_t id = 0;
  for (const std::uint32_t memory : memories_mib)
    EXPECT_TRUE(cluster.add_node(++id, 4, memory));
  return cluster;
}

inline std::vector<std::uint64_t> nodes_of(const Plan& plan) {
  std::vector<std::uint64_t> nodes;
  for (const Placement& placement : plan.placements)
    nodes.push_back(placement.node.value);
  return nodes;
}

inline v1::PlaceVm message_of(const Placement& placement) {
  v1::PlaceVm place;
  place.set_vm_id(placement.vm.value);
  place.set_generation(placement.generation.value);
  place.set_node_id(placement.node.value);
  place.set_node_revision(placement.node_revision);
  for (const std::uint16_t device : placement.devices)
    place.add_devices(device);
  return place;
}

// What the node proposes of a plan, in its order.
inline std::vector<v1::Command> commands_of(const Plan& plan) {
  std::vector<v1::Command> commands;
  const auto add = [&]() -> v1::Command& {
    commands.emplace_back().set_version(cluster::kModelVersion);
    return commands.back();
  };
  for (const Placement& placement : plan.placements)
    *add().mutable_place_vm() = message_of(placement);
  for (const Gang& gang : plan.gangs) {
    auto& place = *add().mutable_place_gang();
    for (const Placement& placement : gang.placements)
      *place.add_placements() = message_of(placement);
  }
  for (const Preemption& preemption : plan.preemptions) {
    auto& evict = *add().mutable_evict_vm();
    evict.set_vm_id(preemption.victim.value);
    evict.set_generation(preemption.generation.value);
    evict.set_cause(v1::EVICT_CAUSE_PREEMPTION);
    evict.set_by_vm_id(preemption.by.value);
    evict.set_explanation(preemption.explanation);
  }
  for (const Unplaced& unplaced : plan.unplaced) {
    auto& explain = *add().mutable_explain_pending();
    explain.set_vm_id(unplaced.vm.value);
    explain.set_generation(unplaced.generation.value);
    explain.set_reason(unplaced.reason);
  }
  return commands;
}

inline void carry_out(const Plan& plan, cluster::Scenario& cluster) {
  for (const v1::Command& command : commands_of(plan)) {
    const auto applied = cluster.apply(command);
    ASSERT_TRUE(applied) << applied.error().message() << ": " << command.ShortDebugString();
  }
}

}  // namespace blixard::sched
