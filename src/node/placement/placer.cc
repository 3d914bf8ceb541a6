#include "node/placement/placer.h"

#include <algorithm>
#include <map>

#include "blixard/v1/cluster.pb.h"
#include "core/sched/strategy.h"
#include "env/failpoint.h"
#include "env/scope.h"
#include "env/sync.h"
#include "node/placement/evict.h"
#include "node/placement/follow.h"
#include "node/trace/command_trace.h"
#include "observe/allocations.h"

namespace blixard::placement {
namespace {

constexpr Duration kRetryDelay = 1s;
constexpr Duration kLateMax = 3s;  // of a plan, in simulation

using telemetry::PlacementOutcome;

}  // namespace

env::Task<void> Placer::run() {
  const observe::AllocationTag tag(observe::Subsystem::kPlacement);
  while (true) {
    const std::uint64_t revision = replica_.state().revision();
    retry_is_due_ = false;
    if (replica_.is_leader()) co_await place_pending();
    if (replica_.state().revision() != revision) continue;
    const Instant again = env_.clock.monotonic() + kRetryDelay;
    Result<void> woken;
    if (retry_is_due_) {
      woken =
          co_await env::with_deadline(env_.executor, env_.clock, again, replica_.applied().wait());
    } else {
      woken = co_await replica_.applied().wait();
    }
    if (!woken && woken.error().code() == Code::kCancelled) co_return;
  }
}

sched::Plan Placer::plan() {
  const cluster::State& state = replica_.state();
  if (state.pending().empty()) return {};
  follow(planner_, replica_);
  return planner_.plan(state, env_.clock.wall());
}

env::Task<void> Placer::place_pending() {
  if (BLX_FAILPOINT_FIRES("placement::plan")) {
    retry_is_due_ = true;  // as when planning took too long
    co_return;
  }
  const Instant begun = env_.clock.monotonic();
  const sched::Plan plan = this->plan();
  retry_is_due_ |= plan.waits_for_budget;
  record_decisions(plan, env_.clock.monotonic() - begun);
  if (!plan.empty() && env_.rare.happens(env::RareSite::kPlacementLate)) {
    const auto most = static_cast<std::uint64_t>(kLateMax.count());
    if (!co_await env_.clock.sleep(Duration(env_.random.below(most)))) co_return;
  }
  // Side by side, so that one plan costs one group commit and not one sync a VM.
  env::Scope scope(env_.executor, co_await env::this_cancellation());
  for (const sched::Placement& placement : plan.placements) {
    v1::Command command;
    *command.mutable_place_vm() = place_command(placement);
    trace_plan(placement.vm, replica_.state().find_node(placement.node), begun, command);
    scope.spawn(propose(std::move(command), placement.vm, PlacementOutcome::kPlaced, begun));
  }
  for (const sched::Gang& gang : plan.gangs) {
    v1::Command command;
    for (const sched::Placement& placement : gang.placements)
      *command.mutable_place_gang()->add_placements() = place_command(placement);
    const VmId first = gang.placements.front().vm;
    scope.spawn(propose(std::move(command), first, PlacementOutcome::kPlaced, begun));
  }
  for (const sched::Preemption& preemption : plan.preemptions)
    scope.spawn(preempt(preemption));
  for (const sched::Unplaced& unplaced : plan.unplaced) {
    v1::Command command;
    auto* explain = command.mutable_explain_pending();
    explain->set_vm_id(unplaced.vm.value);
    explain->set_generation(unplaced.generation.value);
    explain->set_reason(unplaced.reason);
    trace_plan(unplaced.vm, nullptr, begun, command);
    scope.spawn(propose(std::move(command), unplaced.vm, PlacementOutcome::kNoNodeFits, begun));
  }
  co_await scope.join();
}

v1::PlaceVm Placer::place_command(const sched::Placement& placement) const {
  v1::PlaceVm place;
  place.set_vm_id(placement.vm.value);
  place.set_generation(placement.generation.value);
  place.set_node_id(placement.node.value);
  place.set_node_revision(placement.node_revision);
  for (const std::uint16_t device : placement.devices)
    place.add_devices(device);
  return place;
}

telemetry::PlacementStrategy Placer::strategy_of(VmId vm) const {
  const cluster::PlacementPolicy& policy = replica_.state().policy();
  const cluster::Vm* known = replica_.state().find_vm(vm);
  return telemetry::label_of(known == nullptr ? policy.strategy
                                              : sched::strategy_of(*known->spec.wishes, policy));
}

void Placer::record_decisions(const sched::Plan& plan, Duration planning) {
  std::map<VmId, std::size_t> victims;
  for (const sched::Preemption& preemption : plan.preemptions)
    ++victims[preemption.by];
  const auto record = [&](VmId vm, NodeId id, std::size_t preempted) {
    if (const cluster::Node* node = replica_.state().find_node(id)) {
      telemetry_.record_vm_scheduling_decision(strategy_of(vm), telemetry_.label(*node), planning,
                                               preempted);
    }
  };
  for (const sched::Placement& placement : plan.placements)
    record(placement.vm, placement.node, 0);
  for (const sched::Gang& gang : plan.gangs)
    for (const sched::Placement& placement : gang.placements)
      record(placement.vm, placement.node, 0);
  for (const auto& [by, count] : victims) {
    const auto first = std::ranges::find(plan.preemptions, by, &sched::Preemption::by);
    if (const cluster::Vm* victim = replica_.state().find_vm(first->victim))
      record(by, victim->node, count);
  }
}

void Placer::trace_plan(VmId vm, const cluster::Node* node, Instant begun,
                        v1::Command& command) const {
  if (tracer_ == nullptr) return;
  const trace::TraceContext request = tracer_->vms().find(vm);
  trace::ActiveSpan span = tracer_->begin(request, "placement.plan");
  span.began(begun);
  span.set("blixard.vm.id", vm.value);
  if (node != nullptr) span.set("blixard.node.name", node->name.text());
  trace::set_trace(command, request);
}

env::Task<Result<void>> Placer::propose(v1::Command command) {
  BLX_CO_FAILPOINT(env_, "placement::propose", kUnavailable, "no_leader");
  BLX_CO_TRY(co_await replica_.propose(std::move(command)));
  co_return Result<void>();
}

env::Task<void> Placer::propose(v1::Command command, VmId vm, PlacementOutcome meant,
                                Instant begun) {
  const telemetry::PlacementStrategy strategy = strategy_of(vm);
  const Result<void> outcome = co_await propose(std::move(command));
  const Duration taken = env_.clock.monotonic() - begun;
  if (outcome) {
    telemetry_.record_vm_placement_attempt(strategy, meant, taken);
    co_return;
  }
  const Code code = outcome.error().code();
  // What apply refused was planned on a state that moved on: the next round plans on the new one.
  const bool is_full =
      outcome.error().reason() == "node_full" || outcome.error().reason() == "port_taken";
  const bool is_not_taken = code == Code::kUnavailable || code == Code::kDeadlineExceeded ||
                            (code == Code::kResourceExhausted && !is_full);
  retry_is_due_ |= is_not_taken;
  telemetry_.record_vm_placement_attempt(
      strategy, is_not_taken ? PlacementOutcome::kNotTaken : PlacementOutcome::kOutdated, taken);
  BLX_LOG(env_.log, kDebug, "placement refused: {}", outcome.error().message());
}

// What was refused is planned again on the state of then.
env::Task<void> Placer::preempt(sched::Preemption preemption) {
  v1::Command command = evict_command(preemption.victim, preemption.generation,
                                      v1::EVICT_CAUSE_PREEMPTION, preemption.explanation);
  command.mutable_evict_vm()->set_by_vm_id(preemption.by.value);
  const Result<void> outcome = co_await propose(std::move(command));
  if (outcome) co_return;
  retry_is_due_ = true;
  BLX_LOG(env_.log, kDebug, "preemption refused: {}", outcome.error().message());
}

}  // namespace blixard::placement
