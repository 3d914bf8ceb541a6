#include "core/cluster/trial.h"

#include <fmt/format.h>

#include "blixard/v1/cluster.pb.h"

namespace blixard::cluster {

Result<Outcome> Trial::apply(v1::Command& command) {
  command.set_version(state_.model_version());
  command.set_time_unix_ms(now_.unix_ms);
  if (command.version() < required_version(command)) {
    return fail(Code::kFailedPrecondition, "model_too_old",
                fmt::format("not until all nodes run this version: they speak model version {}, "
                            "this needs {}",
                            command.version(), required_version(command)));
  }
  return state_.apply(LogIndex(), command,
                      [this](const Change& change) { changes_.push_back(change); });
}

Result<VmId> Trial::create(const v1::CreateVm& create) {
  v1::Command command;
  *command.mutable_create_vm() = create;
  BLX_TRY(const Outcome outcome, apply(command));
  return VmId(outcome.object_id);
}

v1::PlaceVm Trial::message_of(const Place& place) const {
  v1::PlaceVm message;
  message.set_vm_id(place.vm.value);
  if (const Vm* vm = state_.find_vm(place.vm)) message.set_generation(vm->generation.value);
  message.set_node_id(place.node.value);
  for (const std::uint16_t device : place.devices)
    message.add_devices(device);
  return message;
}

Result<void> Trial::place(const Place& place) {
  v1::Command command;
  *command.mutable_place_vm() = message_of(place);
  BLX_TRY(apply(command));
  return {};
}

Result<void> Trial::place_gang(std::span<const Place> places) {
  v1::Command command;
  for (const Place& place : places)
    *command.mutable_place_gang()->add_placements() = message_of(place);
  BLX_TRY(apply(command));
  return {};
}

Result<void> Trial::explain(VmId vm, const std::string& reason) {
  v1::Command command;
  auto& explain = *command.mutable_explain_pending();
  explain.set_vm_id(vm.value);
  if (const Vm* known = state_.find_vm(vm)) explain.set_generation(known->generation.value);
  explain.set_reason(reason);
  BLX_TRY(apply(command));
  return {};
}

Result<void> Trial::preempt(VmId victim, VmId by) {
  v1::Command command;
  auto& evict = *command.mutable_evict_vm();
  evict.set_vm_id(victim.value);
  if (const Vm* vm = state_.find_vm(victim)) evict.set_generation(vm->generation.value);
  evict.set_cause(v1::EVICT_CAUSE_PREEMPTION);
  evict.set_by_vm_id(by.value);
  BLX_TRY(apply(command));
  return release(victim);
}

// As its agent reports it, step by step.
Result<void> Trial::release(VmId id) {
  v1::Command command;
  const Vm& vm = *state_.find_vm(id);
  auto& reports = *command.mutable_report_vms();
  reports.set_node_id(vm.node.value);
  const auto report = [&](VmState state) {
    auto& added = *reports.add_reports();
    added.set_vm_id(id.value);
    added.set_generation(vm.generation.value);
    added.set_state(static_cast<v1::VmState>(state));
    added.set_released(state == VmState::kPending);
  };
  if (!may_follow(vm.state, VmState::kPending)) report(VmState::kStopped);
  report(VmState::kPending);
  BLX_TRY(apply(command));
  return {};
}

}  // namespace blixard::cluster
