#include "core/sched/rebalance.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/sched/decide.h"
#include "core/sched/drain.h"
#include "core/sched/strategy.h"

namespace blixard::sched {

namespace {

using cluster::State;
using cluster::Strategy;
using cluster::Vm;

constexpr std::int64_t kHourMs = 3'600'000;

bool was_moved(const Vm& vm) {
  return !vm.eviction.is_default() && vm.eviction->cause == cluster::EvictCause::kRebalance;
}

// Neither has one move ended nor the hour's moves been used up.
bool may_move_any(const State& state, WallTime now) {
  std::uint32_t moves = 0;
  for (const auto& [id, vm] : state.vms()) {
    if (!was_moved(vm)) continue;
    const bool is_under_way = vm.evicting || (!vm.node && wants_to_run(vm.desired));
    if (is_under_way) return false;
    moves += vm.eviction->since.unix_ms > now.unix_ms - kHourMs ? 1 : 0;
  }
  return moves < state.policy().rebalance.moves_per_hour;
}

bool may_be_moved(const Vm& vm, const cluster::PlacementPolicy& policy) {
  const cluster::Wishes& wishes = *vm.spec.wishes;
  const Strategy strategy = strategy_of(wishes, policy);
  return vm.node && vm.state == cluster::VmState::kRunning &&
         vm.desired == cluster::VmDesired::kRunning && !vm.evicting &&
         wishes.on_evict == cluster::OnEvict::kMove && strategy != Strategy::kManual &&
         strategy != Strategy::kCostOptimized && strategy != Strategy::kSpreadAcrossFailureDomains;
}

struct Gain {
  Score score = 0;
  NodeIndex to = kNoNode;
  Score here = 0;
  Score there = 0;
};

Gain gain_of(const State& state, Fleet& fleet, const Vm& vm) {
  const NodeIndex at = fleet.find(vm.node);
  if (at == kNoNode || fleet.node(at).closed != Closed::kOpen) return {};
  const Request request = request_of(state, vm);
  Circumstances circumstances(state);
  circumstances.leave_out(request, vm.node);
  fleet.lift(at, request.demand, vm.devices);
  const Situation situation{.circumstances = &circumstances};
  const Decision here = decide_on(fleet, at, request, situation);
  const Decision best = decide(fleet, request, situation);
  fleet.put_down(at, request.demand, vm.devices);
  if (!best.is_placed() || best.at == at || !here.is_placed()) return {};
  return {.score = best.score - here.score, .to = best.at, .here = here.score, .there = best.score};
}

std::string points(Score score) {
  const Score tenths = score / (kPoint / 10);
  return fmt::format("{}{}.{}", tenths < 0 ? "-" : "", std::abs(tenths) / 10,
                     std::abs(tenths) % 10);
}

}  // namespace

Rebalancing plan_rebalance(const State& state, Planner& planner, VmId first, WallTime now) {
  const cluster::RebalancePolicy& policy = state.policy().rebalance;
  if (!policy.enabled || is_any_draining(state) || !may_move_any(state, now))
    return {.next = first};
  Fleet& fleet = planner.fleet().fleet();
  const Score threshold = Score{policy.threshold_percent} * kPoint;
  Gain best;
  const Vm* chosen = nullptr;
  std::size_t looked_at = 0;
  auto each = state.vms().lower_bound(first);
  for (; each != state.vms().end() && looked_at < kVmsPerLook; ++each) {
    const Vm& vm = each->second;
    if (!may_be_moved(vm, state.policy())) continue;
    ++looked_at;
    const Gain gain = gain_of(state, fleet, vm);
    if (gain.score <= threshold || gain.score <= best.score) continue;
    best = gain;
    chosen = &vm;
  }
  Rebalancing result{.next = each == state.vms().end() ? VmId() : each->first};
  if (chosen != nullptr) {
    const FleetNode& to = fleet.node(best.to);
    result.move = {.vm = chosen->id,
                   .generation = chosen->generation,
                   .target = to.id,
                   .explanation = fmt::format(
                       "rebalancing: node {} scores {}, node {} only {}", to.name,
                       points(best.there), state.find_node(chosen->node)->name, points(best.here))};
  }
  return result;
}

}  // namespace blixard::sched
