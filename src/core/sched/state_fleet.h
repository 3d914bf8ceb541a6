#pragma once

// A cluster's state as a fleet, followed from change to change, so that who plans all the time does
// not count the whole cluster each time. Followed or loaded anew: the same fleet.
//
// What nodes have left is what the state says of them (State::room_on); ports, groups, quotas and
// reservations are read from the state where they matter (circumstances.h).

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <span>

#include <boost/unordered/unordered_flat_map.hpp>

#include "core/cluster/state.h"
#include "core/sched/fleet.h"
#include "core/sched/request.h"

namespace blixard::sched {

class StateFleet {
 public:
  // All of it.
  void load(const cluster::State& state);
  // `changes`: all between the state it follows and this one, oldest first.
  void follow(const cluster::State& state, std::span<const cluster::Change> changes);

  // Of the state it follows; 0: of none.
  [[nodiscard]] std::uint64_t revision() const { return revision_; }
  [[nodiscard]] Fleet& fleet() { return fleet_; }
  // VMs that may be stopped for others, by node: preemptible, not on their way out, and not such
  // that stay where they stop.
  [[nodiscard]] const std::map<NodeId, std::set<VmId>>& preemptible() const { return preemptible_; }
  // VMs that are on their way out for the one of that name; null: none are.
  [[nodiscard]] const std::set<VmId>* making_room_for(const Name& vm) const;

 private:
  // What is counted of a VM, so that it can be counted out.
  struct Counted {
    NodeId node;
    TypicalShape shape;
    Name makes_room_for;
    bool is_preemptible = false;
  };

  void put_node(const cluster::State& state, const cluster::Node& node);
  void renew_room(const cluster::State& state, NodeId id);
  void count(const cluster::State& state, const cluster::Vm& vm);
  void count_out(VmId id);
  void finish(const cluster::State& state);

  Fleet fleet_;
  ShapeCounts counts_;
  bool counts_changed_ = false;
  bool some_run_guests_ = false;
  std::uint64_t revision_ = 0;
  // To look up in only.
  boost::unordered_flat_map<std::uint64_t, Counted> vms_;
  std::map<NodeId, std::set<VmId>> preemptible_;
  std::map<Name, std::set<VmId>> making_room_;
};

// What a VM of the state asks for.
Request request_of(const cluster::State& state, const cluster::Vm& vm);

}  // namespace blixard::sched
