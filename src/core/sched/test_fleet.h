#pragma once

// For tests: fleets and requests in few words.

#include <string>
#include <utility>
#include <vector>

#include "core/sched/decide.h"
#include "core/sched/fleet.h"
#include "core/sched/request.h"

namespace blixard::sched {

inline FleetNode node_of(std::uint64_t id, std::int64_t cpu_milli, std::int64_t memory_mib,
                         std::uint32_t gpus = 0, const std::string& model = "") {
  FleetNode node;
  node.id = NodeId(id);
  node.name = Name("n" + std::to_string(id));
  node.supply.amounts = {.cpu_milli = cpu_milli, .memory_mib = memory_mib};
  if (gpus != 0)
    node.supply.devices.push_back({.kind = Name("gpu"), .model = Name(model), .count = gpus});
  return node;
}

inline Fleet fleet_of_nodes(std::vector<FleetNode> nodes,
                            cluster::Strategy strategy = cluster::Strategy::kMostAvailable) {
  Fleet fleet;
  cluster::PlacementPolicy policy;
  policy.strategy = strategy;
  fleet.set_policy(policy);
  for (FleetNode& node : nodes)
    fleet.put(std::move(node));
  return fleet;
}

inline Request request_for(std::int64_t cpu_milli, std::int64_t memory_mib, std::uint32_t gpus = 0,
                           std::int32_t gpu_milli = resources::kWholeDevice) {
  Request request;
  request.name = Name("vm");
  request.demand.amounts = {.cpu_milli = cpu_milli, .memory_mib = memory_mib};
  if (gpus != 0) {
    request.demand.devices.push_back(
        {.kind = Name("gpu"), .count = gpus, .milli = gpu_milli, .models = {}});
  }
  return request;
}

// The node's id; 0: none can take it.
inline std::uint64_t chosen(Fleet& fleet, const Request& request, const Situation& how = {}) {
  const Decision decision = decide(fleet, request, how);
  return decision.is_placed() ? fleet.node(decision.at).id.value : 0;
}

inline std::uint64_t place_on_best(Fleet& fleet, const Request& request,
                                   const Situation& how = {}) {
  const Decision decision = decide(fleet, request, how);
  if (!decision.is_placed()) return 0;
  fleet.take(decision.at, request, decision.devices);
  return fleet.node(decision.at).id.value;
}

}  // namespace blixard::sched
