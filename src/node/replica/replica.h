#pragma once

// The replicated state machine as the rest of the node sees it: propose a command, read the
// state, watch it change.
//
// propose() answers after the command is durable on a quorum, committed and applied here; the
// answer is apply's. When it fails with kUnavailable, kDeadlineExceeded or kCancelled the command
// may still take effect: try again with the same request id, which acts once.
//
// When the log fails, the replica stops acknowledging for good: what waits and what comes is
// answered kUnavailable "log_failed", and failed() returns, so that the node can stop.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "core/cluster/state.h"
#include "env/env.h"
#include "env/sync.h"
#include "env/task.h"
#include "node/log/log.h"

namespace blixard::replica {

struct Options {
  log::Options log{};
  // A snapshot is taken after so many entries or bytes of commands, whichever comes first.
  std::uint64_t snapshot_entries = 10'000;
  std::uint64_t snapshot_bytes = std::uint64_t{64} << 20;
};

struct Status {
  NodeId self;
  NodeId leader;  // none: unknown
  Term term;
  LogIndex last;
  LogIndex applied;
  LogIndex snapshot;
  bool failed = false;  // nothing is acknowledged any more
};

class Replica {
 public:
  virtual ~Replica() = default;

  // Stamps version and time. Not cut short by cancellation. Errors: apply's, and
  // kResourceExhausted "too_many_proposals", "disk_full" (the command was not taken);
  // kInvalidArgument "command_too_large", "command_invalid"; kUnavailable "not_leader",
  // "log_failed", "stopped".
  virtual env::Task<Result<cluster::Outcome>> propose(v1::Command command) = 0;

  // After it returned, state() shows every command that was acknowledged before the call. Errors:
  // kUnavailable "not_leader", "log_failed", "stopped".
  virtual env::Task<Result<void>> read_barrier() = 0;

  // Valid until the next suspension of the caller.
  [[nodiscard]] virtual const cluster::State& state() const = 0;
  [[nodiscard]] virtual Status status() const = 0;
  [[nodiscard]] virtual bool is_leader() const = 0;

  // Notified after each batch of applied commands.
  [[nodiscard]] virtual env::Signal& applied() = 0;

  // The changes after revision `since`, oldest first, if they are all still remembered
  // (limits::kEventBacklog); kFailedPrecondition "revision_compacted" tells the caller to read the
  // state.
  [[nodiscard]] virtual Result<std::vector<cluster::Change>> changes(std::uint64_t since) const = 0;

  // Waits until the replica can no longer acknowledge anything and returns why: kUnavailable
  // "log_failed", or "stopped" after stop(); kCancelled with the caller's scope.
  virtual env::Task<Result<void>> failed() = 0;

  // Lets what is in flight finish, then refuses. Before the end of a Replica that was used.
  virtual env::Task<void> stop() = 0;
};

// The replica of a cluster with one voter, in `directory`: reads the snapshot, applies the log
// behind it, and leads at once. Errors: the log's; kFailedPrecondition "other_node" (the directory
// is another node's), "model_too_new"; kDataLoss "snapshot_invalid", "command_invalid" with the
// index of the entry.
env::Task<Result<std::unique_ptr<Replica>>> open_replica(env::Env env, std::string directory,
                                                         NodeId self, Options options);

}  // namespace blixard::replica
