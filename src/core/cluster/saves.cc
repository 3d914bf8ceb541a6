// Guests that are saved: what the model says of them.

#include <algorithm>

#include <fmt/format.h>

#include "base/limits.h"
#include "core/cluster/model.h"
#include "core/cluster/reasons.h"
#include "core/cluster/text.h"

namespace blixard::cluster {

bool wants_to_run(VmDesired desired) {
  return desired == VmDesired::kRunning || desired == VmDesired::kPaused;
}

const SavedGuest* resumes_from(const Vm& vm) {
  const bool is_left = vm.saves->resume_from && !vm.saves->used_by;
  return is_left ? &*vm.saves->resume_from : nullptr;
}

bool is_saved_away(const Vm& vm) {
  const SavedGuest* saved = resumes_from(vm);
  return vm.state == VmState::kPaused && saved != nullptr && saved->generation == vm.generation;
}

bool fits(const SavedGuest& saved, const Node& node) {
  constexpr std::uint64_t kTolerance = 10'000;  // 100 in a million
  const std::uint64_t apart =
      std::max(saved.tsc_khz, node.tsc_khz) - std::min(saved.tsc_khz, node.tsc_khz);
  return node.accelerator == saved.accelerator &&
         node.hypervisor_version == saved.hypervisor_version && apart <= saved.tsc_khz / kTolerance;
}

std::string host_text(const SavedGuest& saved) {
  return fmt::format("{}, hypervisor {}, {} kHz", saved.accelerator, saved.hypervisor_version,
                     saved.tsc_khz);
}

void forget_saved(Vm& vm) {
  if (!vm.saves->resume_from) return;
  change_saves(vm, [](Saves& saves) {
    saves.resume_from.reset();
    saves.used_by = Generation();
  });
}

void end_snapshot(Vm& vm, std::string_view error) {
  if (!vm.saves->is_snapshot_asked()) return;
  change_saves(vm, [&](Saves& saves) {
    saves.snapshots_done = saves.snapshots_asked;
    saves.snapshot_error = error;
  });
}

Result<void> check_saved(const SavedGuest& saved) {
  const auto fault = [](const char* field) {
    return fail(Code::kInvalidArgument, reason::kReportInvalid, field);
  };
  if (saved.size.value == 0 || saved.size.value > limits::kSavedGuestBytes)
    return fault("saved: bytes");
  if (saved.accelerator.empty() || !is_line(saved.accelerator, limits::kWordBytes))
    return fault("saved: accelerator");
  if (saved.hypervisor_version.empty() || !is_line(saved.hypervisor_version, limits::kWordBytes))
    return fault("saved: hypervisor_version");
  if (saved.saved.unix_ms < 0) return fault("saved: saved_unix_ms");
  return {};
}

}  // namespace blixard::cluster
