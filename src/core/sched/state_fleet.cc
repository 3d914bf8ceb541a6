#include "core/sched/state_fleet.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/bug.h"
#include "core/sched/attributes.h"

namespace blixard::sched {

namespace {

using cluster::Change;
using cluster::Node;
using cluster::State;
using cluster::Vm;

// A node whose guests are only pretended, for load tests, reports this as its accelerator.
bool is_pretending(const Node& node) { return node.accelerator == "simulated"; }

// A node that pretends would take everything: what it offers costs it nothing.
bool do_some_run_guests(const State& state) {
  return std::ranges::any_of(state.nodes(), [](const auto& entry) {
    const Node& node = entry.second;
    return !node.leaving && node.memory_mib > 0 && !is_pretending(node);
  });
}

Closed closed_of(const Node& node, bool some_run_guests) {
  if (node.leaving && !BLX_BUG(kPlacesOnLeaving)) return Closed::kLeaving;
  if (node.drain.is_set()) return Closed::kDraining;
  if (node.cordoned) return Closed::kCordoned;
  if (node.memory_mib == 0) return Closed::kUnregistered;
  return is_pretending(node) && some_run_guests ? Closed::kPretending : Closed::kOpen;
}

bool may_be_preempted(const Vm& vm) {
  const cluster::Wishes& wishes = *vm.spec.wishes;
  return vm.node && wishes.preemptible && !vm.evicting &&
         vm.desired != cluster::VmDesired::kDeleted && wishes.on_evict != cluster::OnEvict::kStop;
}

template <class Map, class Key>
void erase_from(Map& sets, const Key& key, VmId id) {
  const auto found = sets.find(key);
  if (found == sets.end()) return;
  found->second.erase(id);
  if (found->second.empty()) sets.erase(found);
}

}  // namespace

Request request_of(const State& state, const Vm& vm) {
  Request request = request_of(vm.spec, vm.name, vm.id, state.policy().overcommit);
  if (const cluster::Image* image = state.find_image(vm.spec.image.text()))
    request.architecture = image->architecture;
  request.saved = cluster::resumes_from(vm);
  return request;
}

const std::set<VmId>* StateFleet::making_room_for(const Name& vm) const {
  const auto found = making_room_.find(vm);
  return found == making_room_.end() ? nullptr : &found->second;
}

void StateFleet::load(const State& state) {
  fleet_ = Fleet();
  counts_.clear();
  vms_.clear();
  preemptible_.clear();
  making_room_.clear();
  counts_changed_ = true;
  some_run_guests_ = do_some_run_guests(state);
  fleet_.set_policy(state.policy());
  for (const auto& [id, node] : state.nodes())
    put_node(state, node);
  for (const auto& [id, vm] : state.vms())
    count(state, vm);
  finish(state);
}

void StateFleet::follow(const State& state, std::span<const Change> changes) {
  using Kind = Change::Kind;
  const auto is_of = [](std::initializer_list<Kind> kinds) {
    return [kinds](const Change& change) { return std::ranges::count(kinds, change.kind) != 0; };
  };
  // What is promised of every node may be another, and which of them are open.
  const bool is_other_cluster =
      revision_ == 0 || std::ranges::any_of(changes, is_of({Kind::kPolicyChanged})) ||
      (std::ranges::any_of(changes, is_of({Kind::kNodeChanged, Kind::kNodeRemoved})) &&
       some_run_guests_ != do_some_run_guests(state));
  if (is_other_cluster) {
    load(state);
    return;
  }
  std::set<NodeId> touched;  // their room
  for (const Change& change : changes) {
    if (change.kind == Kind::kVmChanged || change.kind == Kind::kVmRemoved) {
      const VmId id(change.object_id);
      if (const auto known = vms_.find(id.value); known != vms_.end() && known->second.node)
        touched.insert(known->second.node);
      count_out(id);
      const Vm* vm = state.find_vm(id);
      if (vm == nullptr) continue;
      count(state, *vm);
      if (vm->node) touched.insert(vm->node);
    } else if (change.kind == Kind::kNodeChanged) {
      if (const Node* node = state.find_node(NodeId(change.object_id))) put_node(state, *node);
    } else if (change.kind == Kind::kNodeRemoved) {
      fleet_.remove(NodeId(change.object_id));
    }
  }
  for (const NodeId id : touched)
    renew_room(state, id);
  finish(state);
}

void StateFleet::put_node(const State& state, const Node& node) {
  FleetNode put{.id = node.id,
                .name = node.name,
                .supply = cluster::offered_by(node, state.policy().overcommit),
                .attributes = attributes_of(node),
                .topology = node.topology,
                .taints = node.taints,
                .architecture = node.architecture,
                .images = node.images,
                .cost_per_hour_micro = node.cost_per_hour_micro,
                .revision = node.revision,
                .closed = closed_of(node, some_run_guests_)};
  const NodeIndex known = fleet_.find(node.id);
  // Most of what a node says at its start is what it said before.
  if (known == kNoNode || fleet_.node(known) != put) fleet_.put(std::move(put));
  renew_room(state, node.id);
}

void StateFleet::renew_room(const State& state, NodeId id) {
  const Node* node = state.find_node(id);
  const NodeIndex at = fleet_.find(id);
  if (node == nullptr || at == kNoNode) return;
  fleet_.set_room(at, state.room_on(*node), static_cast<std::uint32_t>(state.vms_on(id).size()));
}

void StateFleet::count(const State& state, const Vm& vm) {
  Counted counted{
      .node = vm.node,
      .shape = typical(cluster::demand_of(vm.spec, state.policy().overcommit)),
      .makes_room_for = vm.evicting && !vm.eviction.is_default() ? vm.eviction->by : Name(),
      .is_preemptible = may_be_preempted(vm)};
  ++counts_[counted.shape];
  counts_changed_ = true;
  if (counted.is_preemptible) preemptible_[vm.node].insert(vm.id);
  if (!counted.makes_room_for.empty()) making_room_[counted.makes_room_for].insert(vm.id);
  vms_.insert_or_assign(vm.id.value, std::move(counted));
}

void StateFleet::count_out(VmId id) {
  const auto found = vms_.find(id.value);
  if (found == vms_.end()) return;
  const Counted& counted = found->second;
  const auto count = counts_.find(counted.shape);
  if (--count->second == 0) counts_.erase(count);
  counts_changed_ = true;
  if (counted.is_preemptible) erase_from(preemptible_, counted.node, id);
  if (!counted.makes_room_for.empty()) erase_from(making_room_, counted.makes_room_for, id);
  vms_.erase(found);
}

void StateFleet::finish(const State& state) {
  if (counts_changed_) fleet_.set_mix(mix_of(counts_));
  counts_changed_ = false;
  revision_ = state.revision();
}

}  // namespace blixard::sched
