// Guests that are paused and saved: who may be, and what their nodes say of them.

#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/limits.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/reasons.h"
#include "core/cluster/saves_codec.h"
#include "core/cluster/state.h"
#include "core/cluster/text.h"

namespace blixard::cluster {

namespace {

std::unexpected<Error> bad_report(const char* field) {
  return fail(Code::kInvalidArgument, reason::kReportInvalid, field);
}

std::unexpected<Error> not_running(const Vm& vm, std::string_view what_to_do) {
  return fail(Code::kFailedPrecondition, reason::kVmNotRunning,
              fmt::format("VM {} is {}, wanted {}: {}", vm.name, state_name(vm.state),
                          desired_name(vm.desired), what_to_do));
}

std::unexpected<Error> no_snapshot(const Vm& vm) {
  return fail(Code::kFailedPrecondition, reason::kNoSnapshot,
              fmt::format("VM {} has no snapshot", vm.name));
}

Result<void> check_not_deleted(const Vm& vm) {
  if (vm.desired != VmDesired::kDeleted) return {};
  return fail(Code::kFailedPrecondition, reason::kVmBeingDeleted,
              fmt::format("VM {} is being deleted", vm.name));
}

// Late ones, and those of a snapshot that was ended here, are ignored.
Result<void> take_snapshot(const v1::SnapshotReport& report, Vm& vm) {
  std::optional<SavedGuest> saved;
  if (report.has_saved()) {
    BLX_TRY(saved, read_saved(report.saved(), vm.node, vm.generation));
  }
  if (saved.has_value() != report.error().empty()) return bad_report("snapshot");
  if (!vm.saves->is_snapshot_asked() || report.number() != vm.saves->snapshots_asked) return {};
  end_snapshot(vm, bounded_text(report.error(), limits::kReasonBytes));
  if (saved) change_saves(vm, [&](Saves& saves) { saves.snapshot = std::move(saved); });
  return {};
}

Result<void> mark_used(Vm& vm) {
  const Saves& saves = *vm.saves;
  if (!saves.resume_from || (saves.used_by && saves.used_by != vm.generation)) {
    return fail(Code::kFailedPrecondition, reason::kSavedGuestUsed,
                fmt::format("the saved guest of VM {} was used by generation {}", vm.name,
                            saves.used_by.value));
  }
  if (!saves.used_by) change_saves(vm, [&](Saves& marked) { marked.used_by = vm.generation; });
  return {};
}

}  // namespace

Result<void> State::may_pause(const Vm& vm) {
  const bool has_ended = vm.state == VmState::kStopped || vm.state == VmState::kFailed;
  if (wants_to_run(vm.desired) && !has_ended) return {};
  return not_running(vm, "start it first");
}

Result<void> State::may_save(const Vm& vm) {
  if (vm.evicting) return not_running(vm, "it is leaving its node, try again when it runs");
  const bool has_guest = vm.state == VmState::kRunning || vm.state == VmState::kPaused;
  if (wants_to_run(vm.desired) && has_guest) return {};
  return not_running(vm, "only a guest that is running or paused can be saved");
}

Result<void> State::check_fits(const Vm& vm, const SavedGuest& saved, const Node& node) {
  if (fits(saved, node)) return {};
  return fail(Code::kFailedPrecondition, reason::kSavedUnfit,
              fmt::format("node {} is not like the host that the guest of VM {} was saved on: {}",
                          node.name, vm.name, host_text(saved)));
}

Result<std::uint64_t> State::carry_out(const v1::TakeSnapshot& command, const Step& step) {
  BLX_TRY(const Vm* vm, vm_to_change(command.name(), VmId(command.vm_id())));
  BLX_TRY(check_not_deleted(*vm));
  BLX_TRY(may_save(*vm));
  const VmId id = vm->id;
  if (vm->saves->is_snapshot_asked()) return id.value;
  change_vm(id, step, [](Vm& asked) {
    change_saves(asked, [](Saves& saves) {
      ++saves.snapshots_asked;
      saves.snapshot_error.clear();
    });
  });
  return id.value;
}

Result<void> State::may_restore(const Vm& vm) const {
  BLX_TRY(check_not_deleted(vm));
  if (!vm.saves->snapshot) return no_snapshot(vm);
  if (!vm.node) return {};
  const Node& node = *find_node(vm.node);
  if (vm.evicting) {
    return fail(Code::kFailedPrecondition, reason::kVmEvicting,
                fmt::format("VM {} is leaving node {}", vm.name, node.name));
  }
  if (vm.state == VmState::kLost) {
    return fail(Code::kFailedPrecondition, reason::kVmLost,
                fmt::format("node {} of VM {} cannot be heard", node.name, vm.name));
  }
  if (vm.state == VmState::kStopping || vm.state == VmState::kMigrating) {
    return fail(Code::kFailedPrecondition, reason::kVmBusy,
                fmt::format("VM {} is {}: try again then", vm.name, state_name(vm.state)));
  }
  BLX_TRY(may_start_there(vm));
  return check_fits(vm, *vm.saves->snapshot, node);
}

Result<std::uint64_t> State::carry_out(const v1::RestoreSnapshot& command, const Step& step) {
  BLX_TRY(const Vm* vm, vm_to_change(command.name(), VmId(command.vm_id())));
  BLX_TRY(may_restore(*vm));
  BLX_TRY(charge(*vm->spec.wishes, Spending::kStart, step));
  const VmId id = vm->id;
  change_vm(id, step, [&](Vm& restored) {
    restored.desired = VmDesired::kRunning;
    if (restored.node) {
      assign_again(restored, step.time);
    } else {
      await_placement(restored, step.time);
    }
    change_saves(restored, [](Saves& saves) {
      saves.resume_from = saves.snapshot;
      saves.used_by = Generation();
    });
  });
  return id.value;
}

Result<std::uint64_t> State::carry_out(const v1::DeleteSnapshot& command, const Step& step) {
  BLX_TRY(const Vm* vm, vm_to_change(command.name(), VmId(command.vm_id())));
  const VmId id = vm->id;
  if (!vm->saves->snapshot) return no_snapshot(*vm);
  if (const SavedGuest* next = resumes_from(*vm);
      next != nullptr && next->digest == vm->saves->snapshot->digest) {
    return fail(Code::kFailedPrecondition, reason::kSnapshotInUse,
                fmt::format("VM {} is about to start from its snapshot", vm->name));
  }
  change_vm(id, step, [](Vm& changed) {
    change_saves(changed, [](Saves& saves) { saves.snapshot.reset(); });
  });
  return id.value;
}

Result<void> State::take_saves(const v1::VmReport& report, Vm& vm) {
  const bool is_suspended = vm.state == VmState::kSuspended;
  const bool may_be_saved = is_suspended || vm.state == VmState::kPaused;
  if (report.has_saved() ? !may_be_saved : is_suspended) return bad_report("saved");
  if (report.uses_saved() && vm.state != VmState::kStarting) return bad_report("uses_saved");
  if (report.has_snapshot()) BLX_TRY(take_snapshot(report.snapshot(), vm));
  if (report.uses_saved()) BLX_TRY(mark_used(vm));
  if (report.has_saved()) {
    BLX_TRY(SavedGuest saved, read_saved(report.saved(), vm.node, vm.generation));
    change_saves(vm, [&](Saves& saves) {
      saves.resume_from = std::move(saved);
      saves.used_by = Generation();
    });
  }
  const bool has_ended = vm.state == VmState::kStopped || vm.state == VmState::kFailed;
  if (has_ended) end_snapshot(vm, "its guest ended");
  // The guest that runs is the VM's from now on, whatever it came from; who is stopped wants none,
  // and of one that has ended here what was saved before is void.
  const bool is_void =
      has_ended && vm.saves->resume_from && vm.saves->resume_from->generation == vm.generation;
  if (vm.state == VmState::kRunning || vm.desired == VmDesired::kStopped || is_void) {
    forget_saved(vm);
  }
  return {};
}

Result<void> State::may_lose_saved(const Node& node) const {
  constexpr std::size_t kNamed = 3;
  std::size_t count = 0;
  std::string names;
  for (const VmId id : vms_saved_at(node.id)) {
    const Vm& vm = *find_vm(id);
    const SavedGuest* next = resumes_from(vm);
    const bool has_next = next != nullptr && next->holder == node.id;
    const bool has_snapshot = vm.saves->snapshot && vm.saves->snapshot->holder == node.id;
    if (vm.desired == VmDesired::kDeleted || (!has_next && !has_snapshot)) continue;
    if (++count <= kNamed) names += fmt::format("{}{}", count == 1 ? "" : ", ", vm.name);
  }
  if (count == 0) return {};
  return fail(Code::kFailedPrecondition, reason::kNodeHoldsSaved,
              fmt::format("node {} has the only saved guests of {} VMs ({}{}): resume or stop them "
                          "and delete their snapshots, or lose them by force",
                          node.name, count, names, count > kNamed ? ", ..." : ""));
}

void State::forget_saved_at(const Node& node, const Step& step) {
  const std::vector<VmId> ids(vms_saved_at(node.id).begin(), vms_saved_at(node.id).end());
  for (const VmId id : ids) {
    change_vm(id, step, [&](Vm& vm) {
      if (vm.saves->snapshot && vm.saves->snapshot->holder == node.id) {
        change_saves(vm, [&](Saves& saves) {
          saves.snapshot.reset();
          saves.snapshot_error = fmt::format("node {}, which had it, was removed", node.name);
        });
      }
      if (!vm.saves->resume_from || vm.saves->resume_from->holder != node.id) return;
      // A start that has used it needs it no more.
      if (vm.saves->used_by) return;
      forget_saved(vm);
      if (vm.node) return;
      vm.reason = fmt::format("node {} was removed with its saved guest: it boots anew", node.name);
    });
  }
}

}  // namespace blixard::cluster
