#include "core/sched/place.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "base/bug.h"
#include "base/limits.h"
#include "core/sched/attributes.h"

namespace blixard::sched {

namespace {

using cluster::State;
using cluster::Vm;
using cluster::VmSpec;

struct Candidate {
  NodeId node;
  resources::Amounts free;        // less what this plan already took
  std::set<std::uint16_t> ports;  // of the host, that this plan already took
};

resources::Amounts amounts_of(const VmSpec& spec, const State& state) {
  return cluster::demand_of(spec, state.policy().overcommit).amounts;
}

enum class Fit { kFits, kNoMemory, kNoVcpus, kPortTaken, kNotWanted, kRefused };

// What the VM itself asks of its node, whatever else is there.
bool is_wanted(const cluster::Node& node, const cluster::Wishes& wishes) {
  const cluster::Locality& locality = wishes.locality;
  const auto is_excluded =
      std::ranges::find(locality.excluded_datacenters, node.topology.datacenter) !=
      locality.excluded_datacenters.end();
  const auto is_there = [](const Name& wanted, const Name& name) {
    return wanted.empty() || wanted == name;
  };
  const bool is_near =
      !locality.strict || (is_there(locality.datacenter, node.topology.datacenter) &&
                           is_there(locality.zone, node.topology.zone));
  return !is_excluded && is_near && is_there(wishes.node, node.name) &&
         std::ranges::all_of(wishes.constraints,
                             [&](const auto& constraint) { return meets(node, constraint); });
}

Fit fit(const State& state, const Candidate& candidate, const Vm& vm) {
  const VmSpec& spec = vm.spec;
  const resources::Amounts needed = amounts_of(spec, state);
  if (candidate.free.memory_mib < needed.memory_mib) return Fit::kNoMemory;
  if (candidate.free.cpu_milli < needed.cpu_milli) return Fit::kNoVcpus;
  const bool planned = std::ranges::any_of(spec.published_ports, [&](const auto& port) {
    return port.host_port != 0 && candidate.ports.contains(port.host_port);
  });
  if (planned || state.taken_port(candidate.node, spec) != 0) return Fit::kPortTaken;
  // Most ask for nothing else, and then there is nothing else to look at.
  const cluster::Node& node = *state.find_node(candidate.node);
  if (!is_wanted(node, *spec.wishes)) return Fit::kNotWanted;
  const bool is_plain = spec.wishes.is_default() && node.taints.empty() &&
                        state.tenants().empty() && state.reservations().empty();
  if (is_plain || BLX_BUG(kTrustsThePlan)) return Fit::kFits;
  return state.may_place(vm, node) ? Fit::kFits : Fit::kRefused;
}

// Why no node took a VM: each node counted once, under the first thing that it lacks.
struct Refusals {
  std::int64_t nodes = 0;
  std::int64_t no_memory = 0;
  std::int64_t no_vcpus = 0;
  std::int64_t port_taken = 0;
  std::int64_t not_wanted = 0;
  std::map<std::string, std::int64_t> refused;  // by what apply would say
  std::int64_t largest_memory_mib = 0;
  std::int64_t most_vcpus = 0;

  void count(Fit cause, const resources::Amounts& free) {
    ++nodes;
    largest_memory_mib = std::max(largest_memory_mib, free.memory_mib);
    most_vcpus = std::max(most_vcpus, cluster::whole_vcpus(free.cpu_milli));
    no_memory += cause == Fit::kNoMemory ? 1 : 0;
    no_vcpus += cause == Fit::kNoVcpus ? 1 : 0;
    port_taken += cause == Fit::kPortTaken ? 1 : 0;
    not_wanted += cause == Fit::kNotWanted ? 1 : 0;
  }

  [[nodiscard]] std::string sentence(const VmSpec& spec) const {
    if (nodes == 0) return "no node has joined yet";
    if (no_memory == nodes) {
      return fmt::format(
          "no node has {} MiB of memory free: {} of {} nodes too small (largest free {} MiB)",
          spec.memory_mib, no_memory, nodes, largest_memory_mib);
    }
    std::string text = fmt::format("none of {} nodes can take it:", nodes);
    const auto add = [&text](std::int64_t count, const std::string& lack) {
      if (count == 0) return;
      text += fmt::format("{} {} {}", text.ends_with(':') ? "" : ";", count, lack);
    };
    add(no_memory, fmt::format("without {} MiB of memory free (largest free {} MiB)",
                               spec.memory_mib, largest_memory_mib));
    add(no_vcpus, fmt::format("without {} vCPUs free (most free {})", spec.vcpus, most_vcpus));
    add(port_taken, "with a host port taken that it publishes");
    add(not_wanted, "not what its constraints, its locality or its node ask for");
    for (const auto& [why, count] : refused)
      add(count, why);
    return text;
  }
};

// A node whose guests are only pretended, for load tests, reports this as its accelerator.
bool is_pretending(const cluster::Node& node) { return node.accelerator == "simulated"; }

std::vector<Candidate> candidates(const State& state) {
  std::vector<Candidate> all;
  all.reserve(state.nodes().size());
  // It would take everything: what it offers costs it nothing. Of one that has not registered yet
  // nothing is known.
  const bool some_run_guests = std::ranges::any_of(state.nodes(), [](const auto& entry) {
    const cluster::Node& node = entry.second;
    return !node.leaving && node.memory_mib > 0 && !is_pretending(node);
  });
  for (const auto& [id, node] : state.nodes()) {
    const bool is_planted = node.leaving && BLX_BUG(kPlacesOnLeaving);
    if (!cluster::takes_vms(node) && !is_planted) continue;
    if (is_pretending(node) && some_run_guests) continue;
    all.push_back({.node = id, .free = state.room_on(node).amounts(), .ports = {}});
  }
  return all;
}

// Said of each node by itself, so that the same words are counted together.
std::string refusal(const State& state, const Vm& vm, NodeId id) {
  const auto done = state.may_place(vm, *state.find_node(id));
  return done ? std::string() : fmt::format("refuses it ({})", done.error().reason());
}

// Null if there is none; the refusals say why.
std::pair<Candidate*, Refusals> best(std::vector<Candidate>& all, const State& state,
                                     const Vm& vm) {
  Candidate* chosen = nullptr;
  Refusals refusals;
  for (Candidate& candidate : all) {
    const Fit result = fit(state, candidate, vm);
    if (result != Fit::kFits) {
      refusals.count(result, candidate.free);
      if (result == Fit::kRefused) ++refusals.refused[refusal(state, vm, candidate.node)];
    } else if (chosen == nullptr || candidate.free.memory_mib > chosen->free.memory_mib) {
      chosen = &candidate;
    }
  }
  return {chosen, refusals};
}

void take(Candidate& candidate, const State& state, const VmSpec& spec) {
  if (BLX_BUG(kTrustsThePlan)) return;
  candidate.free -= amounts_of(spec, state);
  for (const auto& port : spec.published_ports) {
    if (port.host_port != 0) candidate.ports.insert(port.host_port);
  }
}

// All that placement looks at: what one VM of a shape cannot get, no other of that shape gets in
// the same plan, because a plan only takes. Spares looking at every node for each of many equals.
// One with wishes is a shape of its own: what it asks may depend on all that is placed.
using Shape = std::tuple<std::uint32_t, std::uint32_t, std::vector<std::uint16_t>, VmId>;

Shape shape_of(const Vm& vm) {
  const VmSpec& spec = vm.spec;
  std::vector<std::uint16_t> ports;
  for (const auto& port : spec.published_ports) {
    if (port.host_port != 0) ports.push_back(port.host_port);
  }
  return {spec.memory_mib, spec.vcpus, std::move(ports), spec.wishes.is_default() ? VmId() : vm.id};
}

// Constraints are looked at here and not by apply: the node is to be the one that was looked at.
std::uint64_t looked_at(const Vm& vm, const cluster::Node& node) {
  const cluster::Wishes& wishes = *vm.spec.wishes;
  const bool asks = !wishes.constraints.empty() || wishes.locality != cluster::Locality();
  return asks ? node.revision : 0;
}

}  // namespace

bool has_place_elsewhere(const State& state, const Vm& vm) {
  return std::ranges::any_of(candidates(state), [&](const Candidate& candidate) {
    return candidate.node != vm.node && fit(state, candidate, vm) == Fit::kFits;
  });
}

Plan plan_pending(const State& state) {
  Plan plan;
  if (state.pending().empty()) return plan;
  std::vector<Candidate> all = candidates(state);
  std::map<Shape, std::string> refused;  // with the sentence, once the plan has taken all it takes
  std::vector<std::pair<const Vm*, Shape>> waiting;
  for (const VmId id : state.pending()) {
    const Vm& vm = *state.find_vm(id);
    if (plan.placements.size() == limits::kPlacementsPerPlan) break;
    Shape shape = shape_of(vm);
    Candidate* node = refused.contains(shape) ? nullptr : best(all, state, vm).first;
    if (node != nullptr) {
      take(*node, state, vm.spec);
      plan.placements.push_back({.vm = id,
                                 .generation = vm.generation,
                                 .node = node->node,
                                 .node_revision = looked_at(vm, *state.find_node(node->node))});
    } else {
      refused.try_emplace(shape);
      waiting.emplace_back(&vm, std::move(shape));
    }
  }
  for (const auto& [vm, shape] : waiting) {
    if (plan.placements.size() + plan.unplaced.size() == limits::kPlacementsPerPlan) break;
    std::string& reason = refused.at(shape);
    if (reason.empty()) reason = best(all, state, *vm).second.sentence(vm->spec);
    if (reason == vm->reason) continue;
    plan.unplaced.push_back({.vm = vm->id, .generation = vm->generation, .reason = reason});
  }
  return plan;
}

}  // namespace blixard::sched
