#include "core/sched/place.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/bug.h"
#include "base/limits.h"
#include "core/sched/gangs.h"
#include "core/sched/preempt.h"
#include "core/sched/queue.h"
#include "core/sched/sentences.h"

namespace blixard::sched {

namespace {

using cluster::State;
using cluster::Vm;

// VMs that are looked at as victims, by all that wait together.
constexpr std::size_t kVictimLooksPerPlan = 200'000;

// Constraints are looked at here and not by apply: the node is to be the one that was looked at.
std::uint64_t looked_at(const Vm& vm, const FleetNode& node) {
  const cluster::Wishes& wishes = *vm.spec.wishes;
  const bool asks = !wishes.constraints.empty() || wishes.locality != cluster::Locality();
  return asks ? node.revision : 0;
}

std::string waits_for(std::size_t leaving, std::string_view node) {
  return fmt::format("waits for {} VMs of lower priority to leave node {}", leaving, node);
}

class OnePlan {
 public:
  OnePlan(const State& state, StateFleet& fleet, WallTime now)
      : state_(state),
        state_fleet_(fleet),
        fleet_(fleet.fleet()),
        now_(now),
        circumstances_(state),
        gangs_(state, circumstances_),
        sentences_(state, fleet_, circumstances_),
        all_(all_of(fleet_)) {}

  Plan run() {
    order_ = in_turn(state_, all_);
    gangs_.index(order_);
    for (const Vm* vm : order_) {
      if (lines_ >= limits::kPlacementsPerPlan) break;
      if (!handled_.contains(vm->id)) place(*vm);
    }
    explain();
    for (auto each = taken_.rbegin(); each != taken_.rend(); ++each)
      fleet_.give_back(each->at, each->request, each->devices);
    return std::move(plan_);
  }

 private:
  struct Taken {
    NodeIndex at;
    Request request;
    resources::DeviceNumbers devices;
  };
  struct Waiting {
    const Vm* vm;
    std::string reason;  // empty: what its nodes say
  };

  [[nodiscard]] Situation situation() const { return {.circumstances = &circumstances_}; }

  void place(const Vm& vm) {
    if (const std::set<Name> gangs = gangs_.unmet_of(vm); !gangs.empty()) {
      place_gang(gangs);
    } else {
      place_alone(vm);
    }
  }

  void place_alone(const Vm& vm) {
    const Request request = request_of(state_, vm);
    Decision decision = choose(fleet_, vm, request, situation());
    if (!decision.is_placed()) {
      wait(vm, request);
      return;
    }
    plan_.placements.push_back(take(vm, request, std::move(decision)));
    ++lines_;
  }

  Placement take(const Vm& vm, const Request& request, Decision decision) {
    const FleetNode& node = fleet_.node(decision.at);
    Placement placement{.vm = vm.id,
                        .generation = vm.generation,
                        .node = node.id,
                        .devices = decision.devices,
                        .node_revision = looked_at(vm, node),
                        .score = decision.score};
    if (BLX_BUG(kTrustsThePlan)) return placement;
    circumstances_.count(request, node.id);
    fleet_.take(decision.at, request, decision.devices);
    taken_.push_back(
        {.at = decision.at, .request = request, .devices = std::move(decision.devices)});
    return placement;
  }

  void take_back(std::size_t taken) {
    for (; taken_.size() > taken; taken_.pop_back()) {
      const Taken& last = taken_.back();
      fleet_.give_back(last.at, last.request, last.devices);
      circumstances_.withdraw(last.request, fleet_.node(last.at).id);
    }
  }

  // Gangs.

  void place_gang(std::set<Name> gangs) {
    const std::vector<const Vm*> members = gangs_.members_of(gangs);
    for (const Vm* vm : members)
      handled_.insert(vm->id);
    // In the next plan, which is all its own.
    const bool is_late = lines_ != 0 && lines_ + members.size() > limits::kPlacementsPerPlan;
    if (is_late) return;
    const std::size_t taken = taken_.size();
    Gang gang;
    std::vector<const Vm*> left;
    std::string first_refusal;
    for (const Vm* vm : members) {
      const Request request = request_of(state_, *vm);
      Decision decision;
      if (gang.placements.size() < limits::kGang)
        decision = choose(fleet_, *vm, request, situation());
      if (decision.is_placed()) {
        gang.placements.push_back(take(*vm, request, std::move(decision)));
      } else {
        if (left.empty()) first_refusal = sentences_.of(request);
        left.push_back(vm);
      }
    }
    const auto unmet =
        std::ranges::find_if(gangs, [&](const Name& name) { return gangs_.is_unmet(name); });
    if (unmet == gangs.end()) {
      lines_ += gang.placements.size();
      plan_.gangs.push_back(std::move(gang));
      for (const Vm* vm : left)
        waiting_.push_back({.vm = vm, .reason = {}});
      return;
    }
    const std::uint32_t wanted = state_.find_group(*unmet)->gang;
    const std::string reason =
        left.empty()
            ? fmt::format("group {} is placed {} at once: {} are there so far", *unmet, wanted,
                          members.size())
            : fmt::format("group {} is placed {} at once, {} of {} find a node: {}", *unmet, wanted,
                          gang.placements.size(), members.size(), first_refusal);
    take_back(taken);
    // Who needs nobody beside it does not wait for the other gangs of other members.
    for (const Vm* vm : members) {
      if (gangs_.is_last_of(gangs_.unmet_of(*vm))) {
        place_alone(*vm);
      } else {
        waiting_.push_back({.vm = vm, .reason = reason});
      }
    }
  }

  // Who finds no node.

  void wait(const Vm& vm, const Request& request) {
    std::string reason;
    if (const std::set<VmId>* leaving = state_fleet_.making_room_for(vm.name)) {
      const NodeId node = state_.find_vm(*leaving->begin())->node;
      reason = waits_for(leaving->size(), node ? state_.find_node(node)->name.text() : "");
      keep_for(request, fleet_.find(node));
    } else if (!state_fleet_.preemptible().empty()) {
      reason = make_room(vm, request);
    }
    waiting_.push_back({.vm = &vm, .reason = std::move(reason)});
  }

  // What it waits for is not for those after it.
  void keep_for(const Request& request, NodeIndex at) {
    if (at == kNoNode) return;
    Request kept = kept_for(request);
    fleet_.take(at, kept, {});
    taken_.push_back({.at = at, .request = std::move(kept), .devices = {}});
  }

  // The new reason; empty: nobody can.
  std::string make_room(const Vm& vm, const Request& request) {
    std::string key = sentences_.key_of(request);
    if (victim_looks_ > kVictimLooksPerPlan || without_victims_.contains(key)) return {};
    for (const auto& [node, vms] : state_fleet_.preemptible())
      victim_looks_ += vms.size();
    const auto victims = find_victims(state_, state_fleet_, circumstances_, request, told_, all_);
    if (!victims) without_victims_.insert(std::move(key));
    if (!victims || lines_ + victims->vms.size() > limits::kPlacementsPerPlan) return {};
    if (const std::string lack = budget_lack(*vm.spec.wishes, victims->vms.size()); !lack.empty())
      return lack;
    const FleetNode& node = fleet_.node(victims->at);
    for (const Vm* victim : victims->vms) {
      told_.insert(victim->id);
      plan_.preemptions.push_back(
          {.victim = victim->id,
           .generation = victim->generation,
           .by = vm.id,
           .explanation = fmt::format("VM {} of priority {} needs its room on node {}", vm.name,
                                      request.wishes->priority, node.name)});
    }
    lines_ += victims->vms.size();
    keep_for(request, victims->at);
    return waits_for(victims->vms.size(), node.name);
  }

  // Why its tenant may not have so many stopped now; empty: it may.
  std::string budget_lack(const cluster::Wishes& wishes, std::size_t victims) {
    const std::string_view name = cluster::tenant_of(wishes);
    const cluster::Tenant* tenant = state_.find_tenant(name);
    if (tenant == nullptr || tenant->preemptions_per_hour == 0) return {};
    const cluster::Rate rate = cluster::preemption_rate(*tenant);
    cluster::Bucket& left =
        budgets_.try_emplace(tenant->name, tenant->preemptions_left).first->second;
    cluster::Bucket after = left;
    for (std::size_t victim = 0; victim < victims; ++victim) {
      if (after.take(rate, now_)) continue;
      plan_.waits_for_budget = true;
      return fmt::format(
          "no node has room unless {} VMs of lower priority leave, and tenant {} "
          "has used up its {} preemptions an hour",
          victims, name, tenant->preemptions_per_hour);
    }
    left = after;
    return {};
  }

  // Sentences. Who has none yet comes first.
  void explain() {
    for (Waiting& each : waiting_)
      if (each.vm->reason == cluster::kWaitingForPlacement) explain(each);
    for (Waiting& each : waiting_)
      if (each.vm->reason != cluster::kWaitingForPlacement) explain(each);
  }

  void explain(Waiting& waiting) {
    if (lines_ >= limits::kPlacementsPerPlan) return;
    if (waiting.reason.empty()) {
      const Request request = request_of(state_, *waiting.vm);
      const auto [found, is_new] = said_.try_emplace(sentences_.key_of(request));
      if (is_new) found->second = sentences_.of(request);
      waiting.reason = found->second;
    }
    if (waiting.reason.empty() || waiting.reason == waiting.vm->reason) return;
    plan_.unplaced.push_back({.vm = waiting.vm->id,
                              .generation = waiting.vm->generation,
                              .reason = std::move(waiting.reason)});
    ++lines_;
  }

  const State& state_;
  StateFleet& state_fleet_;
  Fleet& fleet_;
  WallTime now_;
  Circumstances circumstances_;
  Gangs gangs_;
  Sentences sentences_;
  resources::Amounts all_;
  std::vector<const Vm*> order_;
  std::set<VmId> handled_;  // members of gangs
  std::vector<Taken> taken_;
  std::vector<Waiting> waiting_;
  std::set<VmId> told_;  // to leave, by this plan
  std::map<Name, cluster::Bucket> budgets_;
  std::map<std::string, std::string> said_;  // by Sentences::key_of()
  std::set<std::string> without_victims_;    // likewise
  std::size_t victim_looks_ = 0;
  std::size_t lines_ = 0;
  Plan plan_;
};

}  // namespace

Decision choose(Fleet& fleet, const Vm& vm, const Request& request, const Situation& situation) {
  const auto on = [&](NodeId node) {
    const NodeIndex at = fleet.find(node);
    return at == kNoNode ? Decision() : decide_on(fleet, at, request, situation);
  };
  if (!vm.eviction.is_default() && vm.eviction->target) {
    if (auto decision = on(vm.eviction->target); decision.is_placed()) return decision;
  }
  if (request.saved != nullptr) {
    if (auto decision = on(request.saved->holder); decision.is_placed()) return decision;
  }
  return decide(fleet, request, situation);
}

void Planner::follow(const State& state,
                     const std::optional<std::span<const cluster::Change>>& changes) {
  if (!changes || revision() == 0) {
    fleet_.load(state);
  } else {
    fleet_.follow(state, *changes);
  }
}

Plan Planner::plan(const State& state, WallTime now) {
  if (state.pending().empty()) return {};
  return OnePlan(state, fleet_, now).run();
}

bool Planner::has_place_elsewhere(const State& state, const Vm& vm) {
  Circumstances circumstances(state);
  const Request request = request_of(state, vm);
  circumstances.leave_out(request, vm.node);
  const Decision decision = decide(fleet_.fleet(), request, {.circumstances = &circumstances});
  return decision.is_placed() && fleet_.fleet().node(decision.at).id != vm.node;
}

Plan plan_pending(const State& state, WallTime now) {
  if (state.pending().empty()) return {};
  Planner planner;
  planner.follow(state);
  return planner.plan(state, now);
}

}  // namespace blixard::sched
