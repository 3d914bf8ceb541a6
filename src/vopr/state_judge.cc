#include "vopr/state_judge.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/cluster/model.h"
#include "linearizability/vm_model.h"

namespace blixard::vopr {
namespace {

using cluster::VmState;

Event event_of(VmState state) {
  switch (state) {
    case VmState::kPending:
      return Event::kVmPending;
    case VmState::kPlaced:
      return Event::kVmPlaced;
    case VmState::kStarting:
      return Event::kVmStarting;
    case VmState::kRunning:
    case VmState::kMigrating:
      return Event::kVmRunning;
    case VmState::kPaused:
      return Event::kVmPaused;
    case VmState::kSuspended:
      return Event::kVmSuspended;
    case VmState::kStopping:
      return Event::kVmStopping;
    case VmState::kStopped:
      return Event::kVmStopped;
    case VmState::kFailed:
      return Event::kVmFailed;
    case VmState::kLost:
      return Event::kVmLost;
  }
  return Event::kVmLost;
}

std::string text_of(const cluster::Vm& vm) {
  std::string text =
      fmt::format("{} (id {}, generation {})", vm.name, vm.id.value, vm.generation.value);
  if (vm.node) text += fmt::format(" on node {}", vm.node.value);
  if (!vm.reason.empty()) text += ": " + vm.reason;
  return text;
}

std::string text_of(const raft::ConfState& configuration) {
  std::string text = "voters";
  for (const NodeId id : configuration.voters)
    text += fmt::format(" {}", id.value);
  if (!configuration.voters_outgoing.empty()) {
    text += " and";
    for (const NodeId id : configuration.voters_outgoing)
      text += fmt::format(" {}", id.value);
  }
  if (!configuration.learners.empty()) text += "; learners";
  for (const NodeId id : configuration.learners)
    text += fmt::format(" {}", id.value);
  return text;
}

}  // namespace

void StateJudge::on_applied(std::uint32_t machine, const cluster::State& state, LogIndex index) {
  if (index <= last_) return;
  last_ = index;
  if (state.configuration() != configuration_) {
    configuration_ = state.configuration();
    recorder_.note(machine, Event::kMembers, text_of(configuration_));
  }
  if (state.revision() == revision_) return;
  revision_ = state.revision();
  check_nodes(machine, state);
  check_vms(machine, state);
  check_ports(state);
}

std::string StateJudge::name_of(const Uuid& uuid) const {
  for (const auto& [id, vm] : vms_) {
    if (vm.uuid == uuid) return vm.name.text();
  }
  return uuid.text();
}

void StateJudge::check_rest(const Seen& before, const cluster::Vm& vm) {
  const bool is_nowhere = vm.state == VmState::kPending || vm.state == VmState::kSuspended;
  if (is_nowhere == static_cast<bool>(vm.node)) {
    recorder_.fail("places", fmt::format("{} is {}", text_of(vm), state_name(vm.state)));
  }
  if (!before.node || vm.node) return;
  const auto node = nodes_.find(before.node);
  if (node == nodes_.end() || node->second.leaving || !guest_lives_(vm.uuid)) return;
  recorder_.fail("ownerless", fmt::format("{} is {} and its guest lives on node {}", text_of(vm),
                                          state_name(vm.state), before.node.value));
}

// Its node released it, which comes after the end of its process.
void StateJudge::check_gone(const Seen& vm) {
  const auto node = nodes_.find(vm.node);
  if (node == nodes_.end() || node->second.leaving || !guest_lives_(vm.uuid)) return;
  recorder_.fail("ownerless",
                 fmt::format("{} is gone and its guest lives on node {}", vm.name, vm.node.value));
}

void StateJudge::check_vms(std::uint32_t machine, const cluster::State& state) {
  std::erase_if(vms_, [&](const auto& entry) {
    if (state.find_vm(entry.first) != nullptr) return false;
    recorder_.note(machine, Event::kVmGone, entry.second.name.text());
    check_gone(entry.second);
    return true;
  });
  std::set<std::string_view> names;
  std::set<Uuid> uuids;
  PlacementChanges changes;
  for (const auto& [id, vm] : state.vms()) {
    if (!names.insert(vm.name.text()).second || !uuids.insert(vm.uuid).second) {
      recorder_.fail("unique", fmt::format("{}: its name or uuid is given twice", text_of(vm)));
    }
    const Seen now{.name = vm.name,
                   .uuid = vm.uuid,
                   .node = vm.node,
                   .generation = vm.generation,
                   .state = vm.state,
                   .eviction = vm.eviction};
    const auto [at, is_new] = vms_.try_emplace(id, now);
    const Seen before = std::exchange(at->second, now);
    if (is_new) {
      if (id <= highest_) {
        recorder_.fail("unique", fmt::format("{}: its id was given before", text_of(vm)));
      }
      highest_ = std::max(highest_, id);
    } else {
      check_change(before, vm);
    }
    check_rest(before, vm);
    if (is_new || before.state != vm.state || before.generation != vm.generation) {
      recorder_.note(machine, event_of(vm.state), text_of(vm));
    }
    if (vm.node && (is_new || before.generation != vm.generation)) check_place(state, vm);
    note_changes(is_new ? nullptr : &before, vm, changes);
    if (!changes.evicted.empty() && changes.evicted.back() == &vm) {
      recorder_.note(
          machine, Event::kVmEvicted,
          fmt::format("{} from node {}: {}", vm.name, vm.node.value, vm.eviction->explanation));
    }
  }
  placement_.look(state, changes);
}

void StateJudge::note_changes(const Seen* before, const cluster::Vm& vm,
                              PlacementChanges& changes) {
  const bool was_placed = before != nullptr && before->node;
  if (before == nullptr) changes.created.push_back(&vm);
  if (vm.node && !was_placed) changes.placed.push_back(&vm);
  if (vm.node && (before == nullptr || before->generation != vm.generation)) ++assignments_;
  if (was_placed && !(before->eviction == vm.eviction)) changes.evicted.push_back(&vm);
}

void StateJudge::check_change(const Seen& before, const cluster::Vm& vm) {
  if (vm.generation < before.generation) {
    recorder_.fail("generations", fmt::format("{} comes after generation {}", text_of(vm),
                                              before.generation.value));
  }
  if (vm.generation != before.generation) return;
  if (vm.node && before.node && vm.node != before.node) {
    recorder_.fail("generations", fmt::format("{} was on node {} in the same generation",
                                              text_of(vm), before.node.value));
  }
  if (vm.state != before.state && !linearizability::may_be_seen_after(before.state, vm.state)) {
    recorder_.fail("transitions", fmt::format("{}: {}", text_of(vm),
                                              cluster::transition_text(before.state, vm.state)));
  }
}

void StateJudge::check_place(const cluster::State& state, const cluster::Vm& vm) {
  const cluster::Node* node = state.find_node(vm.node);
  if (node == nullptr) {
    recorder_.fail("places", fmt::format("{}: there is no such node", text_of(vm)));
  } else if (node->leaving && vm.state == VmState::kPlaced && nodes_[vm.node].leaving) {
    recorder_.fail("places", fmt::format("{}: that node is leaving", text_of(vm)));
  }
}

void StateJudge::check_nodes(std::uint32_t machine, const cluster::State& state) {
  std::erase_if(nodes_, [&](const auto& entry) {
    if (state.find_node(entry.first) != nullptr) return false;
    recorder_.note(machine, Event::kNodeGone, fmt::format("node {}", entry.first.value));
    return true;
  });
  for (const auto& [id, node] : state.nodes()) {
    const SeenNode now{.leaving = node.leaving, .is_draining = node.drain.is_under_way()};
    const auto [at, is_new] = nodes_.try_emplace(id, now);
    if (is_new) {
      recorder_.note(machine, Event::kNodeJoined, fmt::format("node {} ({})", id.value, node.name));
    }
    note_node(machine, std::exchange(at->second, now), node);
  }
}

void StateJudge::note_node(std::uint32_t machine, const SeenNode& before,
                           const cluster::Node& node) {
  const std::string text = fmt::format("node {} ({})", node.id.value, node.name);
  if (node.leaving && !before.leaving) recorder_.note(machine, Event::kNodeLeaving, text);
  const bool is_draining = node.drain.is_under_way();
  if (is_draining && !before.is_draining) recorder_.note(machine, Event::kDrainBegins, text);
  if (is_draining || !before.is_draining) return;
  const std::string how = node.drain.is_set() ? node.drain.outcome : "cancelled";
  recorder_.note(machine, Event::kDrainEnds, text + ": " + how);
}

void StateJudge::check_ports(const cluster::State& state) {
  std::map<NodeId, std::set<std::uint16_t>> ports;
  for (const auto& [id, vm] : state.vms()) {
    if (!vm.node) continue;
    for (const cluster::PublishedPort& port : vm.spec.published_ports) {
      if (port.host_port != 0 && !ports[vm.node].insert(port.host_port).second) {
        recorder_.fail("ports", fmt::format("{}: host port {} is promised twice", text_of(vm),
                                            port.host_port));
      }
    }
  }
}

}  // namespace blixard::vopr
