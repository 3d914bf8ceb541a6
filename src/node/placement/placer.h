#pragma once

// The leader's loop that gives pending VMs a node.
//
// It looks at the applied state, lets core/sched plan, and proposes the plan; apply checks it
// again, so a plan made on an old state does no harm. It runs again whenever the state changed:
// capacity that appears is used at once, and a VM that fits nowhere carries the reason. While
// nothing changes it proposes nothing; what the log could not take is tried again after a while.

#include "core/sched/place.h"
#include "env/env.h"
#include "env/task.h"
#include "node/replica/replica.h"
#include "node/telemetry/telemetry.h"
#include "node/trace/tracer.h"

namespace blixard::placement {

class Placer {
 public:
  Placer(env::Env env, replica::Replica& replica,
         telemetry::Telemetry& telemetry = telemetry::Telemetry::none(),
         trace::Tracer* tracer = nullptr)
      : env_(env), replica_(replica), telemetry_(telemetry), tracer_(tracer) {}

  // Until cancelled.
  env::Task<void> run();

 private:
  env::Task<void> place_pending();
  sched::Plan plan();
  void record_decisions(const sched::Plan& plan, Duration planning);
  v1::PlaceVm place_command(const sched::Placement& placement) const;
  telemetry::PlacementStrategy strategy_of(VmId vm) const;
  // Of a VM whose request is traced; the command is part of that trace, too.
  void trace_plan(VmId vm, const cluster::Node* node, Instant begun, v1::Command& command) const;
  // `meant` is what the command says of `vm`; `begun` when the plan was made.
  env::Task<void> propose(v1::Command command, VmId vm, telemetry::PlacementOutcome meant,
                          Instant begun);
  env::Task<Result<void>> propose(v1::Command command);
  env::Task<void> preempt(sched::Preemption preemption);

  env::Env env_;
  replica::Replica& replica_;
  telemetry::Telemetry& telemetry_;
  trace::Tracer* tracer_;
  sched::Planner planner_;
  bool retry_is_due_ = false;  // the log did not take a proposal
};

}  // namespace blixard::placement
