#include "vopr/soul_judge.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "node/vm/qemu/arguments.h"

namespace blixard::vopr {
namespace {

using cluster::VmState;

// Who boots is told all of it by its command line, and draws the rest.
bool was_loaded(const sim::GuestView& guest) { return guest.save != 0 || guest.damaged; }

std::string machine_id_of(const Uuid& uuid) {
  std::string id = uuid.text();
  std::erase(id, '-');
  return id;
}

// Empty: the guest is who it has to be.
std::string fault_of(const cluster::Vm& vm, const SoulJudge::Living& living) {
  const sim::GuestView& guest = living.guest;
  if (guest.damaged) return "was loaded from something else than was saved";
  const auto is_not = [](std::string_view what, std::string_view is, std::string_view wanted) {
    return fmt::format("has {} {}, not {}", what, is, wanted);
  };
  if (guest.host_name != vm.name.text())
    return is_not("the host name", guest.host_name, vm.name.text());
  const std::string mac = qemu::mac_address(vm.uuid);
  if (guest.mac != mac) return is_not("the MAC address", guest.mac, mac);
  const std::string machine_id =
      living.saved_machine_id.empty() ? machine_id_of(vm.uuid) : living.saved_machine_id;
  if (guest.machine_id != machine_id) return is_not("machine id", guest.machine_id, machine_id);
  if (!guest.identified) return "was named, and never given a seed";
  return {};
}

// Empty: they have nothing in common.
std::string common_of(const sim::GuestView& one, const sim::GuestView& other) {
  if (one.mac == other.mac) return "the MAC address " + one.mac;
  if (one.machine_id == other.machine_id) return "machine id " + one.machine_id;
  if (one.random_seed == other.random_seed) return "the state of the random generator";
  return {};
}

}  // namespace

void SoulJudge::on_begun(const Uuid& uuid) {
  const auto found = assignments_.find(uuid);
  if (found == assignments_.end()) return;
  Assignment& assignment = found->second;
  if (++assignment.guests > 1) return;
  if (const auto living = look_(uuid)) assignment.wall_jumps = living->wall_jumps;
}

void SoulJudge::on_applied(const cluster::State& state, LogIndex index) {
  if (index <= last_) return;
  last_ = index;
  if (state.revision() == revision_) return;
  revision_ = state.revision();
  std::map<Uuid, Assignment> before = std::exchange(assignments_, {});
  for (const auto& [id, vm] : state.vms()) {
    const auto known = before.find(vm.uuid);
    const bool is_new = known == before.end() || known->second.generation != vm.generation;
    const bool is_clear = is_new && vm.state != VmState::kRunning;
    Assignment& assignment = assignments_[vm.uuid];
    assignment =
        is_new ? Assignment{.generation = vm.generation, .is_clear = is_clear} : known->second;
    if (vm.state != VmState::kRunning || assignment.is_judged) continue;
    assignment.is_judged = true;
    if (assignment.is_clear && assignment.guests == 1) judge(vm, assignment);
  }
}

void SoulJudge::judge(const cluster::Vm& vm, Assignment& assignment) {
  const auto living = look_(vm.uuid);
  if (!living) return;
  const sim::GuestView& guest = living->guest;
  const auto accuse = [&](const std::string& what) {
    recorder_.fail("souls", fmt::format("{} (pid {}) is shown running and {}", vm.name,
                                        guest.process.pid, what));
  };
  if (was_loaded(guest)) {
    if (const std::string fault = fault_of(vm, *living); !fault.empty()) return accuse(fault);
    // The clock of a guest that has ended stands still, and which time it was told is not known
    // where the machine's clock has jumped since.
    const bool is_known = guest.status == "running" && living->wall_jumps == assignment.wall_jumps;
    if (is_known && std::chrono::abs(guest.clock_offset) > kClockMax) {
      return accuse(fmt::format("its time of day is {} ms off", guest.clock_offset / 1ms));
    }
  }
  std::erase_if(shown_, [&](const auto& each) {
    const auto other = look_(each.first);
    return !other || other->guest.process != each.second;
  });
  for (const auto& [uuid, process] : shown_) {
    if (uuid == vm.uuid) continue;
    const auto other = look_(uuid);
    const std::string common = common_of(guest, other->guest);
    if (!common.empty()) accuse(fmt::format("has {} in common with {}", common, other->guest.name));
  }
  shown_[vm.uuid] = guest.process;
  const auto [drawn, is_new] = seeds_.try_emplace(guest.random_seed, guest.process);
  if (!is_new && drawn->second != guest.process) {
    accuse(fmt::format("has the state of the random generator that pid {} had", drawn->second.pid));
  }
}

std::string SoulJudge::missing(const cluster::State& state) const {
  std::vector<std::pair<const cluster::Vm*, sim::GuestView>> seen;
  for (const auto& [id, vm] : state.vms()) {
    if (vm.state != VmState::kRunning && vm.state != VmState::kPaused) continue;
    auto living = look_(vm.uuid);
    if (!living) continue;
    const std::string fault = was_loaded(living->guest) ? fault_of(vm, *living) : "";
    if (!fault.empty()) return fmt::format("{} is {} and {}", vm.name, state_name(vm.state), fault);
    for (const auto& [other, guest] : seen) {
      const std::string common = common_of(living->guest, guest);
      if (!common.empty())
        return fmt::format("{} has {} in common with {}", vm.name, common, other->name);
    }
    seen.emplace_back(&vm, std::move(living->guest));
  }
  return {};
}

}  // namespace blixard::vopr
