#pragma once

// The inside of Core. One class, its functions in files by idea: core (construction, dispatch by
// term and role), election, follower, leader (what members answer), replication (what is sent to
// them), reads, membership, output.
//
// Invariants: a leader is a member of its configuration, or was removed and does not step down;
// `term_` never falls; `vote_` changes only from none within a term; whatever promises something
// goes to `after_append_`, everything else to `messages_`.

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/bug.h"
#include "core/raft/conf_change.h"
#include "core/raft/core.h"
#include "core/raft/raft_log.h"
#include "core/raft/read_index.h"
#include "core/raft/spares.h"
#include "core/raft/tracker.h"

namespace blixard::raft {

enum class Campaign : std::uint8_t { kPreElection, kElection, kTransfer };

class Core::Impl {
 public:
  Impl(const Config& config, const Storage& storage, const Initial& initial, EventSink* events);
  Result<void> start(const Initial& initial);

  void tick();
  // From outside, or of our own from Append::responses.
  Result<void> receive(Message message);
  // Of this node, as it is.
  Result<void> step(Message& message);
  Result<void> propose(std::vector<Entry> entries);
  void read_index(ReadId read);
  void entries_loaded();
  void appended(const AppendMark& mark);
  void applied(LogIndex index);
  Result<ConfState> apply_change(const ConfChange& change);
  [[nodiscard]] bool has_output() const;
  Output take_output();
  void recycle(Output used);

  [[nodiscard]] Status status() const;
  [[nodiscard]] std::vector<LogIndex> entries_wanted() const;

  [[nodiscard]] NodeId id() const { return id_; }
  [[nodiscard]] Term term() const { return term_; }
  [[nodiscard]] NodeId leader() const { return leader_; }
  [[nodiscard]] Role role() const { return role_; }
  [[nodiscard]] const RaftLog& log() const { return log_; }
  void set_election_timeout(int ticks) { election_timeout_ = ticks; }
  [[nodiscard]] int election_timeout() const { return election_timeout_; }

 private:
  struct PostponedRead {
    NodeId from;
    ReadId read;
  };

  // core.cc
  bool take_term(const Message& message);  // false: nothing else is to be done
  bool take_higher_term(const Message& message);
  void answer_lower_term(const Message& message);
  void send(Message message);
  void reset(Term term);
  void become_follower(Term term, NodeId leader);
  [[nodiscard]] HardState hard_state() const { return {term_, vote_, log_.committed()}; }
  [[nodiscard]] bool check_quorum() const { return config_.check_quorum && !BLX_BUG(kNoPreVote); }
  [[nodiscard]] bool pre_vote() const { return config_.pre_vote && !BLX_BUG(kNoPreVote); }
  void emit(Event event) const;

  // election.cc
  void tick_election();
  void hup(Campaign kind);
  void campaign(Campaign kind);
  [[nodiscard]] bool promotable() const;
  [[nodiscard]] std::size_t unapplied_changes() const;
  void request_votes(Campaign kind, MessageType type, Term term);
  VoteResult poll(NodeId node, MessageType type, bool granted, bool tell);
  void on_vote_request(const Message& message);
  void on_vote_response(const Message& message);
  void step_candidate(Message& message, Result<void>& result);
  void become_candidate();
  void become_pre_candidate();
  void become_leader();
  void emit_vote(EventKind kind, const Message& message, std::uint64_t ticks = 0) const;

  // follower.cc
  void step_follower(Message& message, Result<void>& result);
  void forward_proposal(Message& message, Result<void>& result);
  Result<void> on_append(Message& message);
  Result<void> on_heartbeat(const Message& message);
  Result<void> on_snapshot(const Message& message);
  bool restore(const SnapshotMeta& snapshot);

  // leader.cc
  void tick_heartbeat();
  void step_leader(Message& message, Result<void>& result);
  void step_leader_from(Message& message, Progress& progress);
  void check_activity();
  void on_append_response(const Message& message, Progress& progress);
  void on_rejection(const Message& message, Progress& progress);
  void on_acknowledged(const Message& message, Progress& progress, bool was_paused);
  void on_heartbeat_response(const Message& message, Progress& progress);
  void on_snapshot_status(const Message& message, Progress& progress);
  void on_transfer(NodeId to, Progress& progress);
  Result<void> on_propose(Message& message);

  // replication.cc
  void broadcast_appends();
  bool send_append(NodeId to, Progress& progress, bool if_empty);
  void send_all(NodeId to, Progress& progress);  // as much as the window takes
  bool send_snapshot(NodeId to, Progress& progress);
  void broadcast_heartbeats(ReadId read);
  void send_timeout_now(NodeId to);
  bool append_own(std::vector<Entry> entries);
  bool commit_by_quorum();
  [[nodiscard]] bool takes_uncommitted(std::size_t bytes);

  // reads.cc
  void on_read_request(NodeId from, ReadId read);
  void confirm_read(NodeId from, ReadId read);  // begins the round
  void answer_read(NodeId from, ReadId read, LogIndex index);
  void refuse_read(NodeId from, ReadId read);
  void acknowledge_read(NodeId from, ReadId read);
  void release_postponed_reads();
  void drop_reads();
  [[nodiscard]] bool committed_in_own_term() const;

  // membership.cc
  void check_change(Entry& entry, LogIndex index);
  void switch_to(Changed changed);
  void leave_joint_when_applied();
  [[nodiscard]] LogIndex next_of_new_members() const;

  // output.cc
  [[nodiscard]] bool has_append() const;
  void fill_append(Output& out);

  Config config_;
  Series series_;
  NodeId id_;
  EventSink* events_;
  RaftLog log_;
  Tracker tracker_;

  Term term_{};
  NodeId vote_{};
  Role role_ = Role::kFollower;
  NodeId leader_{};
  NodeId transferee_{};
  LogIndex pending_change_{};  // at least the index of the newest unapplied change, if any
  std::size_t uncommitted_bytes_ = 0;

  int election_elapsed_ = 0;
  int heartbeat_elapsed_ = 0;
  int election_timeout_ = 0;
  std::uint64_t random_;

  ReadQueue reads_;
  std::vector<PostponedRead> postponed_reads_;
  std::map<NodeId, LogIndex> waiting_;  // members whose next entries are not in memory
  LogIndex committed_waiting_{};        // likewise, to be handed out

  std::vector<Message> messages_;
  std::vector<Message> after_append_;
  std::vector<ReadState> read_states_;
  std::vector<ReadId> refused_reads_;
  Spares<Message> spare_messages_;
  Spares<Entry> spare_entries_;
  SoftState previous_soft_;
  HardState previous_hard_;
};

}  // namespace blixard::raft
