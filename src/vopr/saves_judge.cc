#include "vopr/saves_judge.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/image/digest.h"

namespace blixard::vopr {
namespace {

using cluster::VmDesired;
using cluster::VmState;

}  // namespace

SavesJudge::ProcessKey SavesJudge::key_of(std::uint32_t machine, const sim::GuestView& guest) {
  return {machine, guest.process.pid, guest.process.start_ticks};
}

void SavesJudge::accuse(const std::string& text) { recorder_.fail("saved-once", text); }

const std::string* SavesJudge::machine_id_in(std::uint64_t save) const {
  const auto made = made_.find(save);
  return made == made_.end() ? nullptr : &made->second.machine_id;
}

// What QEMU does.

void SavesJudge::on_saved(std::uint32_t machine, const sim::GuestView& guest, std::uint64_t save) {
  made_.try_emplace(save, Made{.uuid = guest.uuid, .machine_id = guest.machine_id});
  if (const auto process = processes_.find(key_of(machine, guest)); process != processes_.end()) {
    process->second.has_run = false;
  }
}

void SavesJudge::on_runs(std::uint32_t machine, NodeId node, const sim::GuestView& guest) {
  const auto [process, is_new] = processes_.try_emplace(
      key_of(machine, guest), Process{.uuid = guest.uuid, .node = node, .name = guest.name});
  process->second.runs = process->second.has_run = true;
  if (is_new) begin(node, guest);
  const auto away = away_.find(guest.uuid);
  const bool is_away = away != away_.end() && away->second.node == process->second.node;
  if (is_away && !is_harmed_(away->second.digest)) {
    accuse(fmt::format("{} (pid {}) was told to be saved, and runs again", guest.name,
                       guest.process.pid));
  }
}

void SavesJudge::on_stands(std::uint32_t machine, const sim::GuestView& guest) {
  const auto process = processes_.find(key_of(machine, guest));
  if (process != processes_.end()) process->second.runs = false;
}

void SavesJudge::on_ended(std::uint32_t machine, const sim::GuestView& guest) {
  processes_.erase(key_of(machine, guest));
}

void SavesJudge::begin(NodeId node, const sim::GuestView& guest) {
  const auto made = made_.find(guest.save);
  if (made == made_.end()) return;
  const auto who = [&] { return fmt::format("{} (pid {})", guest.name, guest.process.pid); };
  if (made->second.uuid != guest.uuid) {
    return accuse(
        fmt::format("{} goes on from what was saved of {}", who(), made->second.uuid.text()));
  }
  const auto use = uses_.find(guest.uuid);
  if (use == uses_.end() || use->second.node != node) {
    return accuse(
        fmt::format("{} goes on, and the log does not say that node {} uses its saved "
                    "guest",
                    who(), node.value));
  }
  if (use->second.is_spent) {
    return accuse(
        fmt::format("{} goes on from what was saved once more than the log says: "
                    "generation {} has used it",
                    who(), use->second.generation.value));
  }
  use->second.is_spent = true;
  bind(guest, use->second);
}

void SavesJudge::bind(const sim::GuestView& guest, const Use& use) {
  Made& made = made_.at(guest.save);
  const auto [known, is_new] = by_digest_.try_emplace(use.digest, guest.save);
  const bool is_other = known->second != guest.save || (made.is_bound && made.digest != use.digest);
  if (is_other) {
    accuse(fmt::format("{} (pid {}) goes on from another saved guest than {}", guest.name,
                       guest.process.pid, image::digest_text(use.digest)));
  }
  made.digest = use.digest;
  made.is_bound = true;
}

// What the cluster knows.

void SavesJudge::on_applied(const cluster::State& state, LogIndex index) {
  if (index <= last_) return;
  last_ = index;
  if (state.revision() == revision_) return;
  revision_ = state.revision();
  away_.clear();
  for (const auto& [id, vm] : state.vms())
    look(vm);
}

void SavesJudge::look(const cluster::Vm& vm) {
  const cluster::Saves& saves = *vm.saves;
  if (vm.state == VmState::kSuspended && saves.used_by) {
    accuse(fmt::format("{} is suspended and its saved guest was used", vm.name));
  }
  if (saves.resume_from && saves.used_by) {
    const auto known = uses_.find(vm.uuid);
    if (known == uses_.end() || known->second.generation != saves.used_by) {
      uses_[vm.uuid] = {
          .generation = saves.used_by, .node = vm.node, .digest = saves.resume_from->digest};
    }
  }
  // Who is to be deleted is not woken any more.
  if (cluster::is_saved_away(vm) && vm.desired != VmDesired::kDeleted) check_away(vm);
}

void SavesJudge::check_away(const cluster::Vm& vm) {
  const cluster::Digest& digest = vm.saves->resume_from->digest;
  away_[vm.uuid] = {.node = vm.node, .digest = digest};
  const auto running = std::ranges::find_if(processes_, [&](const auto& entry) {
    const Process& process = entry.second;
    return process.uuid == vm.uuid && process.node == vm.node && (process.runs || process.has_run);
  });
  if (running == processes_.end() || is_harmed_(digest)) return;
  accuse(fmt::format("{} is told to be saved, and {} since", running->second.name,
                     running->second.runs ? "runs" : "has run"));
}

}  // namespace blixard::vopr
