#pragma once

// The replicated state machine as the rest of the node sees it: propose a command, read the
// state, watch it change.
//
// propose() answers after the command is durable on a quorum, committed and applied here; the
// answer is apply's. When it fails with kUnavailable, kDeadlineExceeded or kCancelled the command
// may still take effect: try again with the same request id, which acts once.

#include <cstdint>
#include <memory>
#include <string>

#include "base/ids.h"
#include "base/result.h"
#include "core/cluster/state.h"
#include "env/sync.h"
#include "env/task.h"

namespace blixard::replica {

struct Status {
  NodeId self;
  NodeId leader;  // none: unknown
  Term term;
  LogIndex last;
  LogIndex applied;
  LogIndex snapshot;
};

class Replica {
 public:
  virtual ~Replica() = default;

  // Stamps version and time. Errors: apply's, and kResourceExhausted "too_many_proposals",
  // kInvalidArgument "command_too_large", kUnavailable "not_leader".
  virtual env::Task<Result<cluster::Outcome>> propose(v1::Command command) = 0;

  // After it returned, state() shows every command that was acknowledged before the call.
  virtual env::Task<Result<void>> read_barrier() = 0;

  // Valid until the next suspension of the caller.
  [[nodiscard]] virtual const cluster::State& state() const = 0;
  [[nodiscard]] virtual Status status() const = 0;
  [[nodiscard]] virtual bool is_leader() const = 0;

  // Notified after each batch of applied commands.
  [[nodiscard]] virtual env::Signal& applied() = 0;

  // The changes after revision `since`, oldest first, if they are all still remembered
  // (limits::kEventBacklog); kOutOfRange "revision_compacted" tells the caller to read the state.
  [[nodiscard]] virtual Result<std::vector<cluster::Change>> changes(std::uint64_t since) const = 0;

  // Lets what is in flight finish, then refuses.
  virtual env::Task<void> stop() = 0;
};

}  // namespace blixard::replica
