#pragma once

// The leader's loop that empties nodes which are drained, and ends their drains.
//
// core/sched says who is told to leave next; the command makes the VM's agent stop and give it
// back, and then it is placed like any other that waits. While a drain is under way it looks again
// each second, because deadlines pass without anything being applied.

#include "core/sched/drain.h"
#include "env/env.h"
#include "env/task.h"
#include "node/replica/replica.h"

namespace blixard::placement {

class Drainer {
 public:
  Drainer(env::Env env, replica::Replica& replica) : env_(env), replica_(replica) {}

  // Until cancelled.
  env::Task<void> run();

 private:
  sched::DrainPlan plan();
  env::Task<void> carry_out(sched::DrainPlan plan);
  env::Task<void> propose(v1::Command command);

  env::Env env_;
  replica::Replica& replica_;
  sched::Planner planner_;
};

}  // namespace blixard::placement
