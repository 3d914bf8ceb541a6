#include "node/placement/drainer.h"

#include <utility>

#include "blixard/v1/cluster.pb.h"
#include "env/scope.h"
#include "env/sync.h"
#include "node/placement/evict.h"
#include "node/placement/follow.h"
#include "observe/allocations.h"

namespace blixard::placement {
namespace {

constexpr Duration kLookAgain = 1s;

}  // namespace

env::Task<void> Drainer::run() {
  const observe::AllocationTag tag(observe::Subsystem::kPlacement);
  while (true) {
    const bool drains = replica_.is_leader() && sched::is_any_draining(replica_.state());
    if (drains) co_await carry_out(plan());
    Result<void> woken;
    if (drains) {
      woken = co_await env_.clock.sleep(kLookAgain);
    } else {
      woken = co_await replica_.applied().wait();
    }
    if (!woken && woken.error().code() == Code::kCancelled) co_return;
  }
}

sched::DrainPlan Drainer::plan() {
  follow(planner_, replica_);
  return sched::plan_drains(replica_.state(), planner_, env_.clock.wall());
}

env::Task<void> Drainer::carry_out(sched::DrainPlan plan) {
  env::Scope scope(env_.executor, co_await env::this_cancellation());
  for (const sched::Eviction& eviction : plan.evictions) {
    scope.spawn(propose(evict_command(eviction.vm, eviction.generation, v1::EVICT_CAUSE_DRAIN,
                                      eviction.explanation)));
  }
  for (const sched::DrainEnd& end : plan.ends) {
    v1::Command command;
    auto& ended = *command.mutable_end_drain();
    ended.set_node_id(end.node.value);
    ended.set_since_unix_ms(end.since.unix_ms);
    ended.set_outcome(end.outcome);
    scope.spawn(propose(std::move(command)));
  }
  co_await scope.join();
}

// What was refused or not taken is planned again on the state of then.
env::Task<void> Drainer::propose(v1::Command command) {
  const auto done = co_await replica_.propose(std::move(command));
  if (!done) BLX_LOG(env_.log, kDebug, "drain: {}", done.error().message());
}

}  // namespace blixard::placement
