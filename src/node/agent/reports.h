#pragma once

// What this node saw of its VMs, on its way into the log: in order, in batches, until accepted.
//
// Reports of one VM keep their order (the model refuses a jump from Placed to Running); those
// that come while a proposal is under way travel together in the next.

#include <deque>

#include "blixard/v1/cluster.pb.h"
#include "env/env.h"
#include "env/sync.h"
#include "env/task.h"
#include "node/replica/replica.h"

namespace blixard::agent {

class Reports {
 public:
  Reports(env::Env env, replica::Replica& replica, NodeId self)
      : env_(env), replica_(replica), self_(self), changed_(env.executor) {}

  void add(v1::VmReport report);

  // Sends until cancelled.
  env::Task<void> run();

  // Returns when all that was added has been accepted. Errors: kCancelled.
  env::Task<Result<void>> flush();

 private:
  env::Env env_;
  replica::Replica& replica_;
  NodeId self_;
  std::deque<v1::VmReport> pending_;
  env::Signal changed_;
};

}  // namespace blixard::agent
