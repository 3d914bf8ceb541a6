// The commands that make, change and place VMs.

#include <fmt/format.h>

#include "base/bug.h"
#include "base/limits.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/codec.h"
#include "core/cluster/reasons.h"
#include "core/cluster/state.h"

namespace blixard::cluster {

std::unexpected<Error> State::no_vm(VmId id) {
  return fail(Code::kNotFound, reason::kVmNotFound, fmt::format("no VM has id {}", id.value));
}

Result<std::uint64_t> State::carry_out(const v1::CreateVm& command, const Step& step) {
  BLX_TRY(check_name(command.name()));
  BLX_TRY(VmSpec spec, read_spec(command.spec()));
  const auto uuid = read_uuid(command.uuid());
  if (!uuid || uuid->is_nil()) return fail(Code::kInvalidArgument, reason::kUuidInvalid);
  const auto desired = read_desired(command.desired());
  if (desired != VmDesired::kRunning && desired != VmDesired::kStopped) {
    return fail(Code::kInvalidArgument, reason::kDesiredInvalid,
                "a VM is created to be running or stopped");
  }
  if (const Vm* existing = find_vm(command.name())) {
    return fail(Code::kAlreadyExists, reason::kVmExists,
                fmt::format("VM {} exists{}", existing->name,
                            existing->desired == VmDesired::kDeleted ? ", being deleted" : ""));
  }
  if (vms_.has_uuid(*uuid)) {
    return fail(Code::kAlreadyExists, reason::kUuidTaken, uuid->text());
  }
  if (find_image(spec.image) == nullptr) {
    return fail(Code::kNotFound, reason::kImageNotFound,
                fmt::format("no image is named {}", spec.image));
  }
  BLX_TRY(check_named(*spec.wishes));
  if (vms_.size() >= limits::kVms) {
    return fail(Code::kResourceExhausted, reason::kTooManyVms,
                fmt::format("there are {} VMs, the most possible", vms_.size()));
  }
  if (model_version_ >= kPlacementVersion && pending().size() >= limits::kPendingVms) {
    return fail(Code::kResourceExhausted, reason::kQueueFull,
                fmt::format("{} VMs wait for a node, the most possible: add nodes or delete some",
                            pending().size()));
  }
  BLX_TRY(check_quota(command.name(), spec));
  BLX_TRY(charge(*spec.wishes, Spending::kCreate, step));
  Vm vm{.id = VmId(next_id_++),
        .name = Name(command.name()),
        .uuid = *uuid,
        .spec = std::move(spec),
        .desired = *desired,
        .reason = std::string(kWaitingForPlacement),
        .created = step.time,
        .changed = step.time};
  const Vm& added = vms_.add(std::move(vm));
  announce(Change::Kind::kVmChanged, added.id.value, added.name, step);
  return added.id.value;
}

Result<const Vm*> State::vm_to_change(const std::string& name, VmId id) const {
  if (name.empty() && id) {
    const Vm* vm = find_vm(id);
    if (vm == nullptr) return no_vm(id);
    return vm;
  }
  BLX_TRY(check_name(name));
  const Vm* vm = find_vm(name);
  if (vm == nullptr) {
    return fail(Code::kNotFound, reason::kVmNotFound, fmt::format("no VM is named {}", name));
  }
  if (id && id != vm->id) {
    return fail(
        Code::kAborted, reason::kVmReplaced,
        fmt::format("VM {} is another one now: id {}, not {}", name, vm->id.value, id.value));
  }
  return vm;
}

Result<std::uint64_t> State::carry_out(const v1::SetDesired& command, const Step& step) {
  const auto desired = read_desired(command.desired());
  if (!desired) return fail(Code::kInvalidArgument, reason::kDesiredInvalid);
  BLX_TRY(const Vm* vm, vm_to_change(command.name(), VmId(command.vm_id())));
  const VmId id = vm->id;
  const bool starts_again = *desired == VmDesired::kRunning && vm->node && !vm->evicting &&
                            (vm->state == VmState::kStopped || vm->state == VmState::kFailed);
  if (vm->desired == *desired && !starts_again) return id.value;
  if (vm->desired == VmDesired::kDeleted) {
    return fail(Code::kFailedPrecondition, reason::kVmBeingDeleted,
                fmt::format("VM {} is being deleted", vm->name));
  }
  if (*desired == VmDesired::kPaused) BLX_TRY(may_pause(*vm));
  if (*desired == VmDesired::kSuspended) BLX_TRY(may_save(*vm));
  if (starts_again) BLX_TRY(may_start_there(*vm));
  const Wishes& wishes = *vm->spec.wishes;
  const bool has_guest =
      vm->desired == VmDesired::kPaused || (vm->desired == VmDesired::kSuspended && vm->node);
  if (*desired == VmDesired::kRunning && (starts_again || !has_guest)) {
    BLX_TRY(charge(wishes, Spending::kStart, step));
  }
  if (*desired == VmDesired::kDeleted) BLX_TRY(charge(wishes, Spending::kDelete, step));
  if (*desired == VmDesired::kDeleted && (!vm->node || BLX_BUG(kDeleteFreesAtOnce))) {
    remove_vm(id, step);
    return id.value;
  }
  const bool gives_up_saved = *desired == VmDesired::kStopped && is_saved_away(*vm);
  change_vm(id, step, [&](Vm& changed) {
    changed.desired = *desired;
    if (*desired == VmDesired::kStopped) forget_saved(changed);
    if (changed.state == VmState::kSuspended) await_placement(changed, step.time);
    // Its agent cannot take it for the one it gave up on, nor for the one it is handing over.
    if (starts_again || gives_up_saved) assign_again(changed, step.time);
  });
  return id.value;
}

// Its drain let it stay because it stopped; any other would be told to leave again.
Result<void> State::may_start_there(const Vm& vm) const {
  const Node& node = *find_node(vm.node);
  if (vm.spec.wishes->on_evict != OnEvict::kStop || !node.drain.is_set()) return {};
  return fail(Code::kFailedPrecondition, reason::kNodeClosed,
              fmt::format("VM {} stays stopped on node {}, which is drained", vm.name, node.name));
}

Result<const Vm*> State::vm_at(VmId id, Generation generation) const {
  const Vm* vm = find_vm(id);
  if (vm == nullptr) return no_vm(id);
  if (vm->generation != generation) {
    return fail(Code::kAborted, reason::kStaleGeneration,
                fmt::format("VM {} is at generation {}, not {}", vm->name, vm->generation.value,
                            generation.value));
  }
  return vm;
}

Result<const Vm*> State::pending_vm(VmId id, Generation generation) const {
  BLX_TRY(const Vm* vm, vm_at(id, generation));
  if (vm->state != VmState::kPending) {
    return fail(Code::kFailedPrecondition, reason::kVmNotPending,
                fmt::format("VM {} is {}", vm->name, state_name(vm->state)));
  }
  return vm;
}

void State::remove_vm(VmId id, const Step& step) {
  const Vm vm = vms_.remove(id);
  announce(Change::Kind::kVmRemoved, id.value, vm.name, step);
}

}  // namespace blixard::cluster
