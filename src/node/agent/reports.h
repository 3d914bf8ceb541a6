#pragma once

// What this node saw of its VMs, on its way into the log: in order, in batches, until accepted.
//
// Reports of one VM keep their order (the model refuses a jump from Placed to Running); those
// that come while a proposal is under way travel together in the next. While none is accepted they
// do not pile up: a state that a VM comes back to replaces the whole round since it was there last,
// so at most one report a state of each VM waits behind those that may be in the log already.

#include <cstddef>
#include <cstdint>
#include <deque>

#include <boost/unordered/unordered_flat_map.hpp>

#include "blixard/v1/cluster.pb.h"
#include "env/env.h"
#include "env/sync.h"
#include "env/task.h"
#include "node/replica/replica.h"
#include "node/trace/tracer.h"

namespace blixard::agent {

class Reports {
 public:
  Reports(env::Env env, replica::Replica& replica, NodeId self, trace::Tracer* tracer = nullptr)
      : env_(env), replica_(replica), self_(self), tracer_(tracer), changed_(env.executor) {}

  void add(v1::VmReport report);

  // Sends until cancelled.
  env::Task<void> run();

  // Returns when all that was added has been accepted or refused. Errors: kCancelled.
  env::Task<Result<void>> flush();

  [[nodiscard]] std::size_t waiting() const { return pending_.size(); }

 private:
  void drop_round(const v1::VmReport& report);
  void drop_sent();
  void forget(std::uint64_t vm_id, std::size_t count);
  env::Task<Result<void>> send();
  // Of those that are sent: part of the trace of the first VM that has one.
  [[nodiscard]] trace::ActiveSpan begin_span() const;

  env::Env env_;
  replica::Replica& replica_;
  NodeId self_;
  trace::Tracer* tracer_;
  std::deque<v1::VmReport> pending_;
  // How many of each VM. To look up in only: its order shows nowhere.
  boost::unordered_flat_map<std::uint64_t, std::size_t> pending_of_;
  std::size_t sent_ = 0;  // of the first ones, which may be in the log already
  env::Signal changed_;
};

}  // namespace blixard::agent
