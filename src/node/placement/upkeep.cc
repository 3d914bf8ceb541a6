#include "node/placement/upkeep.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "blixard/v1/cluster.pb.h"
#include "env/sync.h"
#include "node/placement/evict.h"
#include "node/placement/follow.h"
#include "observe/allocations.h"

namespace blixard::placement {
namespace {

constexpr Duration kLookAgain = 10s;

bool expires(const cluster::Reservation& reservation) { return reservation.expires != WallTime{}; }

}  // namespace

env::Task<void> Upkeep::run() {
  const observe::AllocationTag tag(observe::Subsystem::kPlacement);
  while (true) {
    const bool is_needed = this->is_needed();
    if (is_needed) {
      co_await expire_reservations();
      co_await rebalance();
    }
    Result<void> woken;
    if (is_needed) {
      woken = co_await env_.clock.sleep(kLookAgain);
    } else {
      woken = co_await replica_.applied().wait();
    }
    if (!woken && woken.error().code() == Code::kCancelled) co_return;
  }
}

bool Upkeep::is_needed() const {
  if (!replica_.is_leader()) return false;
  const cluster::State& state = replica_.state();
  return state.policy().rebalance.enabled ||
         std::ranges::any_of(state.reservations(),
                             [](const auto& each) { return expires(each.second); });
}

env::Task<void> Upkeep::expire_reservations() {
  std::vector<Name> over;
  for (const auto& [name, reservation] : replica_.state().reservations())
    if (expires(reservation) && reservation.expires <= env_.clock.wall()) over.push_back(name);
  for (const Name& name : over) {
    v1::Command command;
    command.mutable_remove_reservation()->set_name(name.text());
    command.mutable_remove_reservation()->set_expired(true);
    co_await propose(std::move(command));
  }
}

env::Task<void> Upkeep::rebalance() {
  if (!replica_.state().policy().rebalance.enabled) co_return;
  follow(planner_, replica_);
  sched::Rebalancing plan =
      sched::plan_rebalance(replica_.state(), planner_, next_, env_.clock.wall());
  next_ = plan.next;
  if (!plan.move) co_return;
  v1::Command command = evict_command(plan.move->vm, plan.move->generation,
                                      v1::EVICT_CAUSE_REBALANCE, plan.move->explanation);
  command.mutable_evict_vm()->set_target_node_id(plan.move->target.value);
  co_await propose(std::move(command));
}

// What was refused or not taken is planned again on the state of then.
env::Task<void> Upkeep::propose(v1::Command command) {
  const auto done = co_await replica_.propose(std::move(command));
  if (!done) BLX_LOG(env_.log, kDebug, "upkeep: {}", done.error().message());
}

}  // namespace blixard::placement
