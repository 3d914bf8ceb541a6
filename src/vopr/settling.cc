#include "vopr/settling.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "core/cluster/trial.h"
#include "core/image/digest.h"
#include "core/sched/drain.h"
#include "core/sched/place.h"
#include "vopr/run.h"
#include "vopr/stored_saves.h"
#include "vopr/stored_templates.h"

namespace blixard::vopr {
namespace {

using cluster::VmDesired;
using cluster::VmState;

// Whether apply would let some node take this pending VM, whatever plans say. Constraints are for
// plans alone to look at.
bool has_place(const cluster::Vm& vm, const cluster::State& state) {
  if (!vm.spec.wishes->constraints.empty()) return false;
  return std::ranges::any_of(state.nodes(), [&](const auto& entry) {
    if (entry.second.registered.unix_ms == 0) return false;
    cluster::Trial trial(state, WallTime());
    return trial.place({.vm = vm.id, .node = entry.first, .devices = {}}).has_value();
  });
}

VmState live_state(VmDesired desired) {
  return desired == VmDesired::kPaused ? VmState::kPaused : VmState::kRunning;
}

// What the leader's loops still have to do.
std::string unplanned(const cluster::State& state, WallTime now) {
  sched::Planner planner;
  planner.follow(state);
  const sched::Plan plan = planner.plan(state, now);
  const sched::DrainPlan drains = sched::plan_drains(state, planner, now);
  if (plan.empty() && drains.evictions.empty() && drains.ends.empty()) return {};
  return fmt::format(
      "there are {} VMs to place, {} gangs, {} VMs to tell to leave, {} reasons to "
      "say, {} drains to end",
      plan.placements.size(), plan.gangs.size(), plan.preemptions.size() + drains.evictions.size(),
      plan.unplaced.size(), drains.ends.size());
}

// A clock that was ahead when the drain began may have put its deadline far off: until then it
// waits for a place for the VMs that are left.
bool is_to_end(const cluster::Drain& drain, WallTime now) {
  return drain.is_under_way() && drain.deadline.unix_ms <= now.unix_ms + kSettle / 1ms;
}

}  // namespace

std::string Settling::missing() {
  if (clients_.waiting() > 0) return fmt::format("{} clients wait", clients_.waiting());
  if (operator_.busy()) return "the operator is at work";
  const Site* leader = cluster_.leader();
  if (leader == nullptr) return "nobody leads";
  for (const auto& site : cluster_.sites()) {
    if (!site->belongs) continue;
    if (std::string what = missing_at(*site, *leader); !what.empty()) return what;
  }
  const cluster::State& state = leader->replica()->state();
  const WallTime now = leader->machine->env().clock.wall();
  compare_states(*leader);
  for (const auto& [id, node] : state.nodes()) {
    if (node.leaving) return fmt::format("node {} is leaving", id.value);
    if (is_to_end(node.drain, now)) return fmt::format("node {} is drained", id.value);
    const bool is_here = std::ranges::any_of(
        cluster_.sites(), [&](const auto& site) { return site->belongs && site->id == id; });
    if (!is_here) return fmt::format("node {} has no machine", id.value);
  }
  std::uint32_t version = cluster::kModelVersion;
  for (const auto& site : cluster_.sites())
    if (site->belongs) version = std::min(version, site->model_version());
  if (state.model_version() < version) {
    return fmt::format("the cluster speaks model version {}, all know {}", state.model_version(),
                       version);
  }
  for (const auto& [id, vm] : state.vms()) {
    if (std::string what = missing_of(vm, state); !what.empty()) return what;
  }
  if (std::string what = unplanned(state, now); !what.empty()) return what;
  if (std::string what = ownerless(state); !what.empty()) return what;
  if (std::string what = cluster_.souls().missing(state); !what.empty()) return what;
  if (std::string what = lost_of_saves(state); !what.empty()) return what;
  if (!after_restart_) return {};
  if (std::string what = left_of_saves(state); !what.empty()) return what;
  return left_of_templates();
}

std::string Settling::missing_at(const Site& site, const Site& leader) {
  if (site.removed) return fmt::format("{} was removed", site.name);
  if (!site.ready) return fmt::format("{} is not ready", site.name);
  const replica::Status its = site.replica()->status();
  const replica::Status wanted = leader.replica()->status();
  if (its.applied != wanted.applied || wanted.applied != cluster_.judge().last()) {
    return fmt::format("{} has applied {} of {}", site.name, its.applied.value,
                       cluster_.judge().last().value);
  }
  const cluster::State& state = leader.replica()->state();
  const bool is_full = state.configuration().voters.size() >= limits::kVoters;
  if (state.membership(site.id) != cluster::Membership::kVoter && !is_full) {
    return fmt::format("{} is no voter", site.name);
  }
  return {};
}

void Settling::compare_states(const Site& leader) {
  const std::string hash = leader.replica()->state().hash();
  for (const auto& site : cluster_.sites()) {
    if (!site->belongs || site.get() == &leader) continue;
    if (site->replica()->state().hash() != hash) {
      cluster_.recorder().fail("equal-state", fmt::format("{} has another state", site->name));
    }
  }
}

std::string Settling::missing_of(const cluster::Vm& vm, const cluster::State& state) {
  if (vm.evicting) return fmt::format("{} is leaving node {}", vm.name, vm.node.value);
  const bool may_be_over =
      vm.spec.restart == cluster::RestartPolicy::kNever ||
      (vm.spec.restart == cluster::RestartPolicy::kOnFailure && vm.state == VmState::kStopped);
  const bool is_over = vm.state == VmState::kFailed || vm.state == VmState::kStopped;
  // One that was told to stop gives no reason, and is started when it is wanted again.
  const bool ended_by_itself = is_over && !vm.reason.empty();
  const bool is_pending = vm.state == VmState::kPending && !has_place(vm, state);
  // Whose guest ended before it was saved is over.
  const bool is_at_rest = is_over || is_pending;
  bool is_good = false;
  switch (vm.desired) {
    case VmDesired::kRunning:
    case VmDesired::kPaused:
      is_good =
          vm.state == live_state(vm.desired) || is_pending || (ended_by_itself && may_be_over);
      break;
    case VmDesired::kStopped:
      is_good = is_at_rest;
      break;
    case VmDesired::kSuspended:
      is_good = vm.state == VmState::kSuspended || is_at_rest;
      break;
    case VmDesired::kDeleted:
      break;
  }
  if (is_good) return {};
  return fmt::format("{} is {}, wanted {}: {}", vm.name, state_name(vm.state),
                     desired_name(vm.desired), vm.reason);
}

// Every guest belongs to a VM that runs on that node, and the other way round.
std::string Settling::ownerless(const cluster::State& state) {
  std::map<Uuid, std::uint32_t> running;
  for (const Cluster::Guest& guest : cluster_.guests())
    running[guest.uuid] = guest.site;
  std::set<Uuid> owned;
  for (const auto& [id, vm] : state.vms()) {
    const auto found = running.find(vm.uuid);
    if (vm.state == VmState::kRunning || vm.state == VmState::kPaused) {
      if (found == running.end()) {
        return fmt::format("{} is {} without a process", vm.name, state_name(vm.state));
      }
      const Site& site = *cluster_.sites().at(found->second - 1);
      if (site.id != vm.node) {
        return fmt::format("{} runs on {}, and is node {}'s", vm.name, site.name, vm.node.value);
      }
    } else if (found != running.end()) {
      return fmt::format("{} is {} and has a process", vm.name, state_name(vm.state));
    }
    owned.insert(vm.uuid);
  }
  for (const auto& [uuid, site] : running) {
    if (!owned.contains(uuid)) return fmt::format("{} on n{} has no owner", uuid.text(), site);
  }
  // Nor are there other processes, but for those that stand by: of whoever becomes a template, or
  // was to be a clone and never ran.
  for (const auto& site : cluster_.sites()) {
    if (!site->belongs) continue;
    const auto here = std::ranges::count(cluster_.guests(), site->number, &Cluster::Guest::site);
    const std::size_t standbys = site->qemu.standing_by();
    if (site->machine->processes() != static_cast<std::size_t>(here) + standbys ||
        standbys > Cluster::kStandbys) {
      return fmt::format("{} runs {} processes, {} of them guests, {} stand by", site->name,
                         site->machine->processes(), here, standbys);
    }
  }
  return {};
}

// What a VM goes on from, or may go back to, lies on its holder's disk.
std::string Settling::lost_of_saves(const cluster::State& state) const {
  for (const auto& [id, vm] : state.vms()) {
    for (const auto& saved : {vm.saves->resume_from, vm.saves->snapshot}) {
      if (!saved) continue;
      const std::string name = image::digest_text(saved->digest);
      for (const auto& site : cluster_.sites()) {
        if (!site->belongs || site->id != saved->holder || site->harmed_saves.contains(name))
          continue;
        if (std::ranges::count(stored_saves(*site), name) == 0)
          return fmt::format("{} does not have the saved guest {} of {}", site->name, name,
                             vm.name);
      }
    }
  }
  return {};
}

// Nor does anything lie there that no VM names, but what cannot be read any more.
std::string Settling::left_of_saves(const cluster::State& state) const {
  std::set<std::pair<NodeId, std::string>> named;
  for (const auto& [id, vm] : state.vms()) {
    const cluster::Saves& saves = *vm.saves;
    if (saves.snapshot)
      named.emplace(saves.snapshot->holder, image::digest_text(saves.snapshot->digest));
    if (!saves.resume_from) continue;
    // Whoever starts from it has a copy.
    for (const auto& site : cluster_.sites())
      named.emplace(site->id, image::digest_text(saves.resume_from->digest));
  }
  for (const auto& site : cluster_.sites()) {
    if (!site->belongs) continue;
    for (const std::string& name : stored_saves(*site)) {
      if (!named.contains({site->id, name}) && !site->harmed_saves.contains(name))
        return fmt::format("{} has a saved guest of nobody, {}", site->name, name);
    }
  }
  return {};
}

// What a making or a removing that was cut short left goes with the next start of the daemon.
std::string Settling::left_of_templates() const {
  for (const auto& site : cluster_.sites()) {
    if (!site->belongs) continue;
    for (const StoredTemplate& stored : stored_templates(*site)) {
      if (!stored.is_whole())
        return fmt::format("{} has a part of a template, {}", site->name, stored.directory);
    }
  }
  return {};
}

}  // namespace blixard::vopr
