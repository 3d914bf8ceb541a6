#include "node/placement/placer.h"

#include "blixard/v1/cluster.pb.h"
#include "env/failpoint.h"
#include "env/scope.h"
#include "env/sync.h"
#include "node/trace/command_trace.h"
#include "observe/allocations.h"

namespace blixard::placement {
namespace {

constexpr Duration kRetryDelay = 1s;
constexpr Duration kLateMax = 3s;  // of a plan, in simulation

using telemetry::PlacementOutcome;
constexpr auto kStrategy = telemetry::PlacementStrategy::kMostFreeMemory;

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

env::Task<void> Placer::place_pending() {
  if (BLX_FAILPOINT_FIRES("placement::plan")) {
    retry_is_due_ = true;  // as when planning took too long
    co_return;
  }
  const Instant begun = env_.clock.monotonic();
  const sched::Plan plan = sched::plan_pending(replica_.state());
  record_decisions(plan, env_.clock.monotonic() - begun);
  if (!plan.empty() && env_.rare.happens(env::RareSite::kPlacementLate)) {
    const auto most = static_cast<std::uint64_t>(kLateMax.count());
    if (!co_await env_.clock.sleep(Duration(env_.random.below(most)))) co_return;
  }
  // Side by side, so that one plan costs one group commit and not one sync a VM.
  env::Scope scope(env_.executor, co_await env::this_cancellation());
  for (const sched::Placement& placement : plan.placements) {
    v1::Command command;
    auto* place = command.mutable_place_vm();
    place->set_vm_id(placement.vm.value);
    place->set_generation(placement.generation.value);
    place->set_node_id(placement.node.value);
    place->set_node_revision(placement.node_revision);
    trace_plan(placement.vm, replica_.state().find_node(placement.node), begun, command);
    scope.spawn(propose(std::move(command), PlacementOutcome::kPlaced, begun));
  }
  for (const sched::Unplaced& unplaced : plan.unplaced) {
    v1::Command command;
    auto* explain = command.mutable_explain_pending();
    explain->set_vm_id(unplaced.vm.value);
    explain->set_generation(unplaced.generation.value);
    explain->set_reason(unplaced.reason);
    trace_plan(unplaced.vm, nullptr, begun, command);
    scope.spawn(propose(std::move(command), PlacementOutcome::kNoNodeFits, begun));
  }
  co_await scope.join();
}

// Nobody is preempted: a VM that fits nowhere waits.
void Placer::record_decisions(const sched::Plan& plan, Duration planning) {
  for (const sched::Placement& placement : plan.placements) {
    if (const cluster::Node* node = replica_.state().find_node(placement.node)) {
      telemetry_.record_vm_scheduling_decision(kStrategy, telemetry_.label(*node), planning, 0);
    }
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

env::Task<void> Placer::propose(v1::Command command, PlacementOutcome meant, Instant begun) {
  Result<void> outcome;
  BLX_CO_FAILPOINT_INTO(outcome, env_, "placement::propose", kUnavailable, "no_leader");
  if (outcome) {
    if (const auto placed = co_await replica_.propose(std::move(command)); !placed) {
      outcome = std::unexpected(placed.error());
    }
  }
  const Duration taken = env_.clock.monotonic() - begun;
  if (outcome) {
    telemetry_.record_vm_placement_attempt(kStrategy, meant, taken);
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
      kStrategy, is_not_taken ? PlacementOutcome::kNotTaken : PlacementOutcome::kOutdated, taken);
  BLX_LOG(env_.log, kDebug, "placement refused: {}", outcome.error().message());
}

}  // namespace blixard::placement
