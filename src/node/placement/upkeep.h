#pragma once

// What the leader does about placement as time goes by: reservations whose time is over are
// removed, and if the policy says so, VMs are moved to where they are better off.

#include "core/sched/rebalance.h"
#include "env/env.h"
#include "env/task.h"
#include "node/replica/replica.h"

namespace blixard::placement {

class Upkeep {
 public:
  Upkeep(env::Env env, replica::Replica& replica) : env_(env), replica_(replica) {}

  // Until cancelled.
  env::Task<void> run();

 private:
  // There is something to do, now or later.
  [[nodiscard]] bool is_needed() const;
  env::Task<void> expire_reservations();
  env::Task<void> rebalance();
  env::Task<void> propose(v1::Command command);

  env::Env env_;
  replica::Replica& replica_;
  sched::Planner planner_;
  VmId next_;  // to look at
};

}  // namespace blixard::placement
