#pragma once

// What must hold of the replicated state whatever happens, looked at once for every entry, by the
// first node that applies it, from nothing but the states before and after:
//
// * capacity, groups, gangs, quotas, preemption and more of places: placement_judge.h;
// * ports: no host port is promised twice on a node;
// * places: nothing is newly placed on a node that is leaving or gone;
// * generations never fall, an id belongs to one VM for ever, uuids and names are unique;
// * a VM that goes, or that its node gives back, leaves no guest behind on a node that stays
//   ("ownerless");
// * a VM has no node exactly while it is Pending or Suspended ("places");
// * transitions of the observed state, within one generation, are those of the product's table (one
//   entry may carry several).
//
// What changes is told to the recorder: that is the trace of the VMs.

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "base/ids.h"
#include "base/name.h"
#include "core/cluster/state.h"
#include "vopr/placement_judge.h"
#include "vopr/recorder.h"

namespace blixard::vopr {

class StateJudge {
 public:
  // `guest_lives`: whether a process of a VM with that uuid lives on any machine.
  StateJudge(Recorder& recorder, std::function<bool(const Uuid&)> guest_lives)
      : recorder_(recorder), guest_lives_(std::move(guest_lives)), placement_(recorder) {}

  // `machine`: where it was applied, for the trace. Looks only at an index that is new.
  void on_applied(std::uint32_t machine, const cluster::State& state, LogIndex index);
  // Of the VM that has it; the uuid itself where none is known.
  [[nodiscard]] std::string name_of(const Uuid& uuid) const;
  // How often a VM was given to a node, or to its own once more.
  [[nodiscard]] std::uint64_t assignments() const { return assignments_; }

 private:
  struct Seen {
    Name name;
    Uuid uuid;
    NodeId node;
    Generation generation;
    cluster::VmState state{};
    cluster::Shared<cluster::Eviction> eviction;
  };
  struct SeenNode {
    bool leaving = false;
    bool is_draining = false;
  };

  void check_vms(std::uint32_t machine, const cluster::State& state);
  void check_rest(const Seen& before, const cluster::Vm& vm);
  void check_change(const Seen& before, const cluster::Vm& vm);
  void note_changes(const Seen* before, const cluster::Vm& vm, PlacementChanges& changes);
  void check_place(const cluster::State& state, const cluster::Vm& vm);
  void check_nodes(std::uint32_t machine, const cluster::State& state);
  void note_node(std::uint32_t machine, const SeenNode& before, const cluster::Node& node);
  void check_ports(const cluster::State& state);

  void check_gone(const Seen& vm);

  Recorder& recorder_;
  std::function<bool(const Uuid&)> guest_lives_;
  LogIndex last_;
  std::uint64_t revision_ = 0;
  std::map<VmId, Seen> vms_;
  std::map<NodeId, SeenNode> nodes_;
  VmId highest_;
  std::uint64_t assignments_ = 0;
  PlacementJudge placement_;
  raft::ConfState configuration_;
};

}  // namespace blixard::vopr
