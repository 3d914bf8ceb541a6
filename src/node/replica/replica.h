#pragma once

// The replicated state machine as the rest of the node sees it: propose a command, read the
// state, watch it change.
//
// Every node has a replica; one of them leads. propose() works on each: a follower forwards to the
// leader. It answers after the command is durable on a quorum, committed, and applied here; the
// answer is apply's. When it fails with kUnavailable, kDeadlineExceeded or kCancelled the command
// may still take effect: try again with the same request id, which acts once.
//
// When the log fails, the replica stops acknowledging for good: what waits and what comes is
// answered kUnavailable "log_failed", and failed() returns, so that the node can stop.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "core/cluster/state.h"
#include "core/raft/types.h"
#include "env/env.h"
#include "env/sync.h"
#include "env/task.h"
#include "node/log/log.h"
#include "node/peer/peers.h"
#include "node/replica/cluster_view.h"
#include "node/replica/instruments.h"
#include "node/trace/tracer.h"

namespace blixard::replica {

struct Status;

// Told of everything that is applied, for judges of whole clusters.
class ApplyWatch {
 public:
  virtual ~ApplyWatch() = default;
  // The disk was read; nothing has been said to others yet.
  virtual void on_opened(const Status& status) = 0;
  // From here on `state` is that of `index`: at the start, and of a snapshot that was installed.
  virtual void on_restored(const cluster::State& state, LogIndex index, Term term) = 0;
  virtual void on_applied(const cluster::State& state, const raft::Entry& entry,
                          const Result<cluster::Outcome>& outcome) = 0;
};

struct Options {
  log::Options log{};
  // A snapshot is taken after so many entries or bytes of commands, whichever comes first.
  std::uint64_t snapshot_entries = 100'000;
  std::uint64_t snapshot_bytes = std::uint64_t{64} << 20;
  // Entries kept behind a snapshot, so that a follower that is a little late needs none.
  std::uint64_t trailing_entries = 5'000;
  Duration tick = 100ms;        // one heartbeat
  int election_ticks = 10;      // and up to twice that, by chance
  ApplyWatch* watch = nullptr;  // outlives the replica
  Instruments instruments{};
  trace::Tracer* tracer = nullptr;  // of traced commands; outlives the replica
};

struct Status {
  NodeId self;
  NodeId leader;  // none: unknown
  raft::Role role = raft::Role::kFollower;
  Term term;
  LogIndex last;
  LogIndex commit;
  LogIndex applied;
  LogIndex snapshot;
  raft::ConfState configuration;
  std::size_t proposals_in_flight = 0;  // that wait here to be applied
  std::size_t appends_waiting = 0;      // that are not durable here
  std::uint64_t read_rounds = 0;        // to a quorum, since the start
  bool failed = false;                  // nothing is acknowledged any more
};

// A member as the leader sees it.
struct MemberProgress {
  NodeId node;
  bool learner = false;
  bool active = false;  // heard of within an election timeout
  LogIndex match;       // durable there
};

// A change of who takes part in consensus. One at a time, committed and applied before the next.
struct MembershipChange {
  enum class Kind : std::uint8_t { kAddLearner = 1, kPromote, kRemove };
  Kind kind = Kind::kAddLearner;
  NodeId node;
  // Applied with the change, in the same entry: what the model learns of it. May be empty.
  std::string command;
};

class Replica {
 public:
  virtual ~Replica() = default;

  // Stamps version and time (the leader's). Not cut short by cancellation. Errors: apply's, and
  // kResourceExhausted "too_many_proposals", "disk_full" (the command was not taken);
  // kInvalidArgument "command_too_large", "command_invalid"; kUnavailable "no_leader",
  // "leadership_lost", "leader_unreachable", "log_failed", "stopped"; kDeadlineExceeded
  // "not_committed" (no quorum answered in time); kPermissionDenied "servers_only" (rights.h).
  virtual env::Task<Result<cluster::Outcome>> propose(v1::Command command) = 0;

  // After it returned, state() shows every command that was acknowledged, anywhere, before the
  // call. Concurrent calls share one round to a quorum; no log write. Works on followers. Errors:
  // kUnavailable "no_leader", "log_failed", "stopped"; kDeadlineExceeded "no_quorum".
  virtual env::Task<Result<void>> read_barrier() = 0;

  // On any node; answered when it is applied here. Errors: propose()'s, kFailedPrecondition
  // "member_unknown", "member_exists", "not_caught_up" and "not_a_server" (a promotion),
  // "last_voter", "change_in_progress".
  virtual env::Task<Result<cluster::Outcome>> change_membership(MembershipChange change) = 0;
  // Returns when the other leads, as seen here. None: the leader chooses the most advanced voter.
  // Errors: kFailedPrecondition "not_a_voter", kDeadlineExceeded "transfer_failed", kUnavailable;
  // kPermissionDenied "servers_only".
  virtual env::Task<Result<void>> transfer_leader(NodeId to) = 0;

  // Valid until the next suspension of the caller.
  [[nodiscard]] virtual const cluster::State& state() const = 0;
  // Its members for every thread; on this one cluster_view().members() is valid until the next
  // suspension. Readers of it end before the replica.
  [[nodiscard]] virtual ClusterView& cluster_view() = 0;
  [[nodiscard]] virtual Status status() const = 0;
  [[nodiscard]] virtual bool is_leader() const = 0;
  [[nodiscard]] virtual std::vector<MemberProgress> members() const = 0;  // empty: not the leader

  // Notified after each batch of applied commands, and when the leader or role changed.
  [[nodiscard]] virtual env::Signal& applied() = 0;

  // The changes after revision `since`, oldest first, if they are all still remembered
  // (limits::kEventBacklog); kFailedPrecondition "revision_compacted" tells the caller to read the
  // state.
  [[nodiscard]] virtual Result<std::vector<cluster::Change>> changes(std::uint64_t since) const = 0;

  // Waits until the replica can no longer acknowledge anything and returns why: kUnavailable
  // "log_failed", "removed" (this node is no member any more), or "stopped" after stop();
  // kCancelled with the caller's scope.
  virtual env::Task<Result<void>> failed() = 0;

  // Lets what is in flight finish, hands leadership over if it has it and somebody can take it,
  // then refuses. Before the end of a Replica that was used.
  virtual env::Task<void> stop() = 0;
};

// Answers requests of peers that are not the replica's own.
class RequestHandler {
 public:
  virtual ~RequestHandler() = default;
  virtual env::Task<Result<std::string>> on_request(NodeId from, peer::RequestKind kind,
                                                    Payload body) = 0;
};

// Writes the beginning of a new cluster's log: a snapshot at index 1 with `state`, whose
// configuration names this node as the only voter. Precondition: `directory` has no log. Errors:
// the log's; kFailedPrecondition "log_not_empty".
env::Task<Result<void>> bootstrap(env::Env env, std::string directory, const cluster::State& state,
                                  Options options);

// Reads the snapshot and the log in `directory`; what was committed is applied when it returns. An
// empty directory is a node that waits for its leader. `requests` answers what is not consensus'
// own (kEnrol, kRenew, kTrace). Errors: the log's; kFailedPrecondition "model_too_new"; kDataLoss
// "snapshot_invalid", "command_invalid" with the index of the entry, "raft_state_invalid"; after
// one of the start itself (not of opening the log) the peers are stopped.
env::Task<Result<std::unique_ptr<Replica>>> open_replica(env::Env env, std::string directory,
                                                         NodeId self, Options options,
                                                         peer::Peers& peers,
                                                         RequestHandler* requests);

}  // namespace blixard::replica
