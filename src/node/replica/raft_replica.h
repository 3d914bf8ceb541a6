#pragma once

// The Replica over consensus: the parts and how they hang together.
//
// The driver turns the core; what it says is committed goes into the state machine; whoever waits
// for a place in the log or for a read is in `proposals_` and `reads_`. Everything runs on the
// node's one thread and nothing here is done twice: one encoding of a command, one append, one sync
// and one notification for all that came together.
//
// Waits end by a tick: each is looked at with every tick, so that a wait costs no timer. A node
// that has heard from no quorum for an election timeout says so to who waits longer than that.
//
// The files: raft_replica.cc (life, application), raft_replica_proposals.cc, _members.cc,
// _snapshots.cc.

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "blixard/v1/cluster.pb.h"
#include "env/scope.h"
#include "env/sync.h"
#include "node/replica/driver.h"
#include "node/replica/forward.h"
#include "node/replica/proposals.h"
#include "node/replica/reads.h"
#include "node/replica/replica.h"
#include "node/replica/snapshot_transfer.h"
#include "node/replica/state_machine.h"
#include "node/replica/traced_entries.h"

namespace blixard::replica {

class RaftReplica final : public Replica,
                          private peer::Handler,
                          private Driver::Owner,
                          private SnapshotReceiver {
 public:
  RaftReplica(env::Env env, NodeId self, Options options, std::unique_ptr<log::Log> log,
              peer::Peers& peers, RequestHandler* requests);

  // Before anything else. After an error: stop().
  env::Task<Result<void>> start();

  env::Task<Result<cluster::Outcome>> propose(v1::Command command) override;
  env::Task<Result<void>> read_barrier() override;
  env::Task<Result<cluster::Outcome>> change_membership(MembershipChange change) override;
  env::Task<Result<void>> transfer_leader(NodeId to) override;
  [[nodiscard]] const cluster::State& state() const override { return machine_.state(); }
  [[nodiscard]] ClusterView& cluster_view() override { return view_; }
  [[nodiscard]] Status status() const override;
  [[nodiscard]] bool is_leader() const override { return !end_ && driver_.core().is_leader(); }
  [[nodiscard]] std::vector<MemberProgress> members() const override;
  [[nodiscard]] env::Signal& applied() override { return applied_signal_; }
  [[nodiscard]] Result<std::vector<cluster::Change>> changes(std::uint64_t since) const override;
  env::Task<Result<void>> failed() override;
  env::Task<void> stop() override;

 private:
  // Counts who is inside, so that stop() can wait for the last to leave.
  class Call {
   public:
    explicit Call(RaftReplica& replica) : replica_(replica) { ++replica_.calls_; }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call() {
      if (--replica_.calls_ == 0) replica_.pulse_.notify_all();
    }

   private:
    RaftReplica& replica_;
  };

  // peer::Handler.
  [[nodiscard]] Result<void> admit(NodeId from) const override;
  void on_message(peer::Sender from, raft::Message message) override;
  env::Task<Result<std::string>> on_request(NodeId from, peer::RequestKind kind,
                                            Payload body) override;
  env::Task<Result<std::unique_ptr<peer::SnapshotSink>>> on_snapshot(peer::Sender from,
                                                                     raft::Message message,
                                                                     std::uint64_t bytes) override;
  void on_unreachable(NodeId node) override;
  void on_refused(NodeId node, const Error& why) override;

  // Driver::Owner.
  void feed(raft::Core& core) override;
  void on_committed(const std::vector<raft::Entry>& entries) override;
  void on_read(const raft::ReadState& read) override;
  void on_role(const raft::SoftState& state) override;
  void on_tick() override;
  void send_snapshot(raft::Message message) override;
  env::Task<Result<void>> install(const raft::SnapshotMeta& meta) override;
  void snapshot_decided(bool installs) override;
  void on_log_failed(const Error& error) override;

  // SnapshotReceiver.
  Result<void> snapshot_received(ReceivedSnapshot snapshot, raft::Message message) override;
  void snapshot_ended() override { receiving_ = false; }

  // Life.
  env::Task<Result<void>> load_snapshot(raft::Initial& initial);
  env::Task<Result<void>> catch_up();
  env::Task<void> leave();
  env::Task<void> drain(Instant deadline);
  void end(Error why);
  void end_if_removed();
  [[nodiscard]] Instant now() const { return env_.clock.monotonic(); }
  [[nodiscard]] Duration election_timeout() const {
    return options_.tick * options_.election_ticks;
  }
  // Returns at the next tick, or when something changed before it.
  env::Task<void> pulse();

  // Application.
  bool apply(const raft::Entry& entry);
  Result<cluster::Outcome> apply_change(const raft::Entry& entry);
  void tell_restored() const;
  void follow_members();
  // The address of a member that this node may have something to say to; "" of others.
  [[nodiscard]] std::string_view dialled(const cluster::Members& members, NodeId id) const;

  // Proposals.
  env::Task<Result<cluster::Outcome>> propose_until_applied(v1::Command& command);
  [[nodiscard]] Result<std::size_t> stamp(v1::Command& command) const;
  // Of a traced command, which is part of that span from here on.
  [[nodiscard]] trace::ActiveSpan begin_span(v1::Command& command, const char* name) const;
  [[nodiscard]] Result<void> refusal(std::size_t bytes) const;
  void place_queued(raft::Core& core);
  std::size_t place_some(raft::Core& core, std::size_t first);
  void expire_proposals();
  void warn_of_slow_commits();
  // Within an election timeout; this node is heard always.
  [[nodiscard]] bool is_heard(NodeId node) const;
  [[nodiscard]] bool quorum_heard() const;
  // A request to the leader that is answered with a place in the log. Sets `taken` to false when it
  // is certain that it got none.
  env::Task<Result<cluster::Outcome>> ask_leader(peer::RequestKind kind, std::string body,
                                                 Instant deadline, bool& taken);
  env::Task<Result<std::string>> propose_for_other(NodeId from, Payload body);
  // Of a place that somebody else, or a change of members, got.
  env::Task<Result<cluster::Outcome>> applied_at(Position position, Instant deadline);

  // Members.
  [[nodiscard]] Result<void> may_change(const MembershipChange& change) const;
  env::Task<Result<cluster::Outcome>> change_until_applied(MembershipChange change);
  Result<Position> change_here(MembershipChange change);
  env::Task<Result<NodeId>> choose_leader(NodeId to, Instant deadline);
  Result<NodeId> transfer_here(NodeId to);
  [[nodiscard]] bool must_hand_over_first(const MembershipChange& change) const;
  env::Task<Result<std::string>> change_for_other(NodeId from, Payload body);

  // Snapshots.
  void snapshot_if_due();
  void begin_snapshot();
  env::Task<void> save_snapshot(raft::SnapshotMeta meta, std::string content);
  env::Task<void> transfer_snapshot(raft::Message message);

  env::Env env_;
  NodeId self_;
  Options options_;
  std::unique_ptr<log::Log> log_;
  peer::Peers& peers_;
  RequestHandler* requests_;
  StateMachine machine_;
  ClusterView view_;
  Proposals proposals_;
  TracedEntries traced_;
  Reads reads_;
  Driver driver_;

  std::vector<Proposal*> queued_;  // for the next batch
  std::size_t in_flight_ = 0;
  std::size_t in_flight_bytes_ = 0;
  std::size_t calls_ = 0;
  bool draining_ = false;
  std::optional<Error> end_;  // why nothing is taken any more
  raft::SoftState role_;
  NodeId last_leader_;               // also while nobody leads
  std::map<NodeId, Instant> heard_;  // the last message of each
  Position change_;                  // of the last change of members proposed here
  std::optional<Instant> removed_;   // since when nobody needs this node any more
  Instant slow_warned_;

  bool snapshotting_ = false;
  bool receiving_ = false;   // a sink is there
  bool installing_ = false;  // the core has said that `received_` becomes the log's
  std::optional<ReceivedSnapshot> received_;  // the core has not said yet what it does with it

  env::Signal applied_signal_;
  env::Signal ended_;
  env::Signal pulse_;
  env::Cancellation uncut_;  // never requested: for stop()
  env::Scope scope_;         // ends with the replica; no caller's cancellation reaches it
  env::Scope saving_;        // of what may end by itself
};

}  // namespace blixard::replica
