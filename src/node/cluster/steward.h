#pragma once

// While this node leads: carries out what next_step() decides. Every member runs one; only the
// leader's acts, and what one leader leaves half done the next one finishes.

#include "env/env.h"
#include "env/task.h"
#include "node/cluster/plan.h"
#include "node/replica/replica.h"

namespace blixard::membership {

class Steward {
 public:
  Steward(env::Env env, replica::Replica& replica) : env_(env), replica_(replica) {}

  // Until it is cancelled.
  env::Task<void> run();

 private:
  void look_who_is_close();
  env::Task<Result<void>> carry_out(Step step);

  env::Env env_;
  replica::Replica& replica_;
  CloseSince close_;
};

}  // namespace blixard::membership
