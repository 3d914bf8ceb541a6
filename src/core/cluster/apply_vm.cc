// The commands that make, change and place VMs.

#include <fmt/format.h>

#include "base/bug.h"
#include "base/limits.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/codec.h"
#include "core/cluster/reasons.h"
#include "core/cluster/state.h"
#include "core/cluster/text.h"

namespace blixard::cluster {

namespace {

std::unexpected<Error> no_vm(VmId id) {
  return fail(Code::kNotFound, reason::kVmNotFound, fmt::format("no VM has id {}", id.value));
}

}  // namespace

Result<std::uint64_t> State::carry_out(const v1::CreateVm& command, const Step& step) {
  BLX_TRY(check_name(command.name()));
  BLX_TRY(VmSpec spec, read_spec(command.spec()));
  const auto uuid = read_uuid(command.uuid());
  if (!uuid || uuid->is_nil()) return fail(Code::kInvalidArgument, reason::kUuidInvalid);
  const auto desired = read_desired(command.desired());
  if (!desired || *desired == VmDesired::kDeleted) {
    return fail(Code::kInvalidArgument, reason::kDesiredInvalid,
                "a VM is created to be running or stopped");
  }
  if (const Vm* existing = find_vm(command.name())) {
    return fail(Code::kAlreadyExists, reason::kVmExists,
                fmt::format("VM {} exists{}", existing->name,
                            existing->desired == VmDesired::kDeleted ? ", being deleted" : ""));
  }
  if (vm_uuids_.contains(*uuid)) {
    return fail(Code::kAlreadyExists, reason::kUuidTaken, uuid->text());
  }
  if (find_image(spec.image) == nullptr) {
    return fail(Code::kNotFound, reason::kImageNotFound,
                fmt::format("no image is named {}", spec.image));
  }
  if (vms_.size() >= limits::kVms) {
    return fail(Code::kResourceExhausted, reason::kTooManyVms,
                fmt::format("there are {} VMs, the most possible", vms_.size()));
  }
  Vm vm{.id = VmId(next_id_++),
        .name = Name(command.name()),
        .uuid = *uuid,
        .spec = std::move(spec),
        .desired = *desired,
        .reason = std::string(kWaitingForPlacement),
        .created = step.time,
        .changed = step.time};
  vm_names_.emplace(vm.name, vm.id);
  vm_uuids_.emplace(vm.uuid, vm.id);
  pending_.insert(vm.id);
  const Vm& added = vms_.emplace(vm.id, std::move(vm)).first->second;
  announce(Change::Kind::kVmChanged, added.id.value, added.name, step);
  return added.id.value;
}

Result<Vm*> State::vm_to_change(const std::string& name, VmId id) {
  if (name.empty() && id) {
    const auto found = vms_.find(id);
    if (found == vms_.end()) return no_vm(id);
    return &found->second;
  }
  BLX_TRY(check_name(name));
  const auto found = vm_names_.find(Name::find(name));
  if (found == vm_names_.end()) {
    return fail(Code::kNotFound, reason::kVmNotFound, fmt::format("no VM is named {}", name));
  }
  if (id && id != found->second) {
    return fail(Code::kAborted, reason::kVmReplaced,
                fmt::format("VM {} is another one now: id {}, not {}", name, found->second.value,
                            id.value));
  }
  return &vms_.at(found->second);
}

Result<std::uint64_t> State::carry_out(const v1::SetDesired& command, const Step& step) {
  const auto desired = read_desired(command.desired());
  if (!desired) return fail(Code::kInvalidArgument, reason::kDesiredInvalid);
  BLX_TRY(Vm * vm, vm_to_change(command.name(), VmId(command.vm_id())));
  const std::uint64_t id = vm->id.value;
  const bool starts_again = *desired == VmDesired::kRunning && vm->node &&
                            (vm->state == VmState::kStopped || vm->state == VmState::kFailed);
  if (vm->desired == *desired && !starts_again) return id;
  if (vm->desired == VmDesired::kDeleted) {
    return fail(Code::kFailedPrecondition, reason::kVmBeingDeleted,
                fmt::format("VM {} is being deleted", vm->name));
  }
  if (*desired == VmDesired::kDeleted && (!vm->node || BLX_BUG(kDeleteFreesAtOnce))) {
    remove_vm(vm->id, step);
    return id;
  }
  vm->desired = *desired;
  if (starts_again) {
    // An explicit start of an ended VM is a new assignment to the same node: its agent cannot
    // take it for the one it gave up on, and reports of that one are stale.
    vm->generation = vm->generation.next();
    vm->state = VmState::kPlaced;
    vm->reason.clear();
    vm->changed = step.time;
  }
  announce(Change::Kind::kVmChanged, id, vm->name, step);
  return id;
}

Result<Vm*> State::pending_vm(VmId id, Generation generation) {
  const auto found = vms_.find(id);
  if (found == vms_.end()) return no_vm(id);
  Vm& vm = found->second;
  if (vm.generation != generation) {
    return fail(Code::kAborted, reason::kStaleGeneration,
                fmt::format("VM {} is at generation {}, not {}", vm.name, vm.generation.value,
                            generation.value));
  }
  if (vm.state != VmState::kPending) {
    return fail(Code::kFailedPrecondition, reason::kVmNotPending,
                fmt::format("VM {} is {}", vm.name, state_name(vm.state)));
  }
  return &vm;
}

Result<std::uint64_t> State::carry_out(const v1::PlaceVm& command, const Step& step) {
  BLX_TRY(Vm * vm, pending_vm(VmId(command.vm_id()), Generation(command.generation())));
  const Node* node = find_node(NodeId(command.node_id()));
  if (node == nullptr) {
    return fail(Code::kNotFound, reason::kNodeNotFound,
                fmt::format("no node has id {}", command.node_id()));
  }
  if (node->leaving && !BLX_BUG(kPlacesOnLeaving)) {
    return fail(Code::kFailedPrecondition, reason::kNodeLeaving,
                fmt::format("node {} is being removed", node->name));
  }
  const Free free = free_on(*node);
  const bool is_full = free.memory_mib < vm->spec.memory_mib || free.vcpus < vm->spec.vcpus;
  if (is_full && !BLX_BUG(kTrustsThePlan)) {
    return fail(Code::kResourceExhausted, reason::kNodeFull,
                fmt::format("node {} has {} MiB of memory and {} vCPUs free, VM {} needs {} and {}",
                            node->name, free.memory_mib, free.vcpus, vm->name, vm->spec.memory_mib,
                            vm->spec.vcpus));
  }
  if (const std::uint16_t port = taken_port(node->id, vm->spec); port != 0) {
    return fail(Code::kResourceExhausted, reason::kPortTaken,
                fmt::format("host port {} of node {} is taken", port, node->name));
  }
  vm->node = node->id;
  vm->generation = vm->generation.next();
  vm->state = VmState::kPlaced;
  vm->reason.clear();
  vm->changed = step.time;
  promise(*vm);
  announce(Change::Kind::kVmChanged, vm->id.value, vm->name, step);
  return vm->id.value;
}

Result<std::uint64_t> State::carry_out(const v1::ExplainPending& command, const Step& step) {
  BLX_TRY(Vm * vm, pending_vm(VmId(command.vm_id()), Generation(command.generation())));
  std::string cleaned;
  const bool is_clean = is_bounded_text(command.reason(), limits::kReasonBytes);
  if (!is_clean) cleaned = bounded_text(command.reason(), limits::kReasonBytes);
  const std::string& text = is_clean ? command.reason() : cleaned;
  if (vm->reason != text) {
    vm->reason = text;
    announce(Change::Kind::kVmChanged, vm->id.value, vm->name, step);
  }
  return vm->id.value;
}

void State::remove_vm(VmId id, const Step& step) {
  const auto found = vms_.find(id);
  const Vm vm = std::move(found->second);
  if (vm.node && !BLX_BUG(kForgetsToFree)) release(vm);
  vm_names_.erase(vm.name);
  vm_uuids_.erase(vm.uuid);
  pending_.erase(id);
  vms_.erase(found);
  announce(Change::Kind::kVmRemoved, id.value, vm.name, step);
}

}  // namespace blixard::cluster
