#pragma once

// The consensus core: a pure state machine with the semantics of etcd-io/raft.
//
//   core.step(message);  core.tick();  core.propose(...);     // inputs, any number
//   while (core.has_output()) {
//     Output out = core.take_output();
//     send(out.messages);                                      // now
//     if (out.append) disk.append(*out.append)                 // then, when durable:
//         -> core.step() each of append.responses for this node, send the others,
//            core.appended(append.mark)
//     apply(out.committed) -> core.applied(last index)
//   }
//
// No I/O, clock, thread, global or hidden randomness: time is ticks, randomness a seed, the log a
// Storage it may look at. The same inputs give the same outputs.
//
// Storage writes are asynchronous (the reference's AsyncStorageWrites): a leader's appends leave
// at once and its own copy counts only when it is durable, like everybody's; whatever promises
// something (votes, acknowledgements) is in `append.responses` and leaves after the append it
// depends on. Appends complete in the order they were handed out. Completions carry a mark, so that
// one that comes after its entries were overwritten says nothing about those that took their place.
//
// Safety rules kept here, by their place in docs/consensus.md: entries of earlier terms are
// committed only by counting one of the own term (paper 5.4.2); an acknowledgement names the entry
// that was compared, never the end of the log; a follower's commit stops at the last entry that
// the message vouched for; a configuration counts from the moment it is applied, one change at a
// time; reads wait for a commit in the own term.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "core/raft/event.h"
#include "core/raft/progress.h"
#include "core/raft/storage.h"
#include "core/raft/types.h"

namespace blixard::raft {

// What an older reference does differently. The product runs current(), in which every member is
// false; v3_4() exists so that the packaged reference (etcd 3.4) can judge this core message by
// message. Each difference is one named member; nothing else in the core knows of series.
struct Series {
  // Storage.
  bool acknowledges_itself_at_once = false;  // a leader does not wait for its own disk
  bool votes_for_itself_at_once = false;     // nor does a candidate
  bool answers_in_order = false;             // all messages leave in one order, answers among them
  bool applies_behind_snapshot = false;      // hands out what follows one that is being installed
  bool campaigns_while_installing = false;
  // Appends.
  bool rejects_by_end = false;           // tells where the log ends, not where the logs may meet
  bool ignores_equal_answer = false;     // an answer that moves nothing ends no probing
  bool resumes_when_unpaused = false;    // tells the commit index to who was paused, and only then
  bool snapshot_must_arrive = false;     // at its index; not any that the log can follow
  bool skips_optional_snapshot = false;  // a snapshot is sent only where an empty append would be
  bool heartbeat_ends_no_probe = false;  // its answer prompts no append if nothing is missing
  bool sends_to_itself = false;          // after a configuration change
  ProgressRules progress{};
  // Elections.
  bool active_by_check = false;             // a leader is active for itself when it checks
  bool ignores_joint_changes = false;       // unapplied, when it campaigns
  bool transfer_campaigns_at_once = false;  // unapplied changes do not matter then
  // Proposals and changes.
  bool leaves_joint_by_itself = false;   // appends that entry without proposing it
  bool limits_empty_entries = false;     // refuses them too when too much is uncommitted
  bool transfers_to_demoted = false;     // goes on although the other became a learner
  bool forgets_outgoing_voters = false;  // when it looks for itself in a snapshot
  bool forwards_in_own_name = false;     // overwrites who asked
  bool read_answers_of_strangers = false;
  bool keeps_postponed_reads = false;    // across terms
  bool singleton_reads_at_once = false;  // before anything is committed in the term
  bool reads_wait_for_others = false;    // although its own answer is a quorum of a joint one
  bool drops_quietly = false;            // a proposal over the limit is no warning
  static Series current() { return {}; }
  static Series v3_4();
};

struct Config {
  NodeId id;
  std::uint64_t seed = 0;  // of election timeouts
  int election_ticks = 10;
  int heartbeat_ticks = 1;
  bool pre_vote = true;
  bool check_quorum = true;
  bool step_down_on_removal = true;
  bool check_conf_changes = true;  // when they are proposed
  bool forwards_proposals = true;
  bool lease_reads = false;  // only for judges: needs bounded clocks
  // Committed entries are handed out although they are not durable here yet (a quorum has them).
  bool applies_before_durable = true;
  std::size_t message_bytes_max = std::size_t{1} << 20;
  std::size_t committed_bytes_max = std::size_t{4} << 20;  // handed out and not yet applied
  std::size_t uncommitted_bytes_max = std::size_t{64} << 20;
  std::size_t inflight_messages_max = 64;
  std::size_t inflight_bytes_max = std::size_t{8} << 20;
  std::size_t pending_reads_max = 4096;
  std::size_t unstable_bytes_max = std::size_t{128} << 20;  // of a follower, waiting for its disk
  Series series{};
};

// Found on disk at start.
struct Initial {
  HardState hard_state;
  ConfState configuration;  // as of `applied`
  LogIndex applied;         // of the state machine
};

// Names what an append made durable.
struct AppendMark {
  Term term;                     // of the core when the append was handed out
  Term last_term;                // of the last entry
  LogIndex last;                 // none: it had no entries
  LogIndex snapshot;             // none: it had no snapshot
  std::uint64_t generation = 0;  // grows whenever entries not yet durable are dropped
  friend bool operator==(const AppendMark&, const AppendMark&) = default;
};

struct Append {
  std::optional<HardState> hard_state;
  std::vector<Entry> entries;            // continue the log or overwrite its tail
  std::optional<SnapshotMeta> snapshot;  // to install before the entries
  std::vector<Message> responses;        // to send, or to step when `to` is this node, afterwards
  AppendMark mark;
  bool must_sync = false;  // false: only the commit index moved, nobody waits for it
};

struct ReadState {
  ReadId read;
  LogIndex index;  // serve the read once this is applied
  friend bool operator==(const ReadState&, const ReadState&) = default;
};

struct SoftState {
  NodeId leader;
  Role role = Role::kFollower;
  friend bool operator==(const SoftState&, const SoftState&) = default;
};

struct Output {
  std::optional<SoftState> soft_state;  // when it changed
  std::optional<HardState> hard_state;  // when it changed; also in `append`
  std::vector<Message> messages;        // send now
  std::optional<Append> append;
  std::vector<Entry> committed;  // apply in order; may come before they are durable here
  std::vector<ReadState> reads;
  std::vector<ReadId> refused_reads;  // too many, or leadership was lost: ask again
};

struct Status {
  NodeId id;
  HardState hard_state;
  SoftState soft_state;
  LogIndex applied;
  LogIndex last;
  NodeId transferee;
  ConfState configuration;
  const ProgressMap* progress = nullptr;  // of a leader; else null. Until the next input.
};

class Core {
 public:
  // Precondition: the configuration and the log are what an earlier life left. Errors:
  // kInvalidArgument "raft_config_invalid", kDataLoss "raft_state_invalid" (a commit beyond the
  // log, a configuration that cannot be).
  static Result<std::unique_ptr<Core>> make(const Config& config, const Storage& storage,
                                            const Initial& initial, EventSink* events);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // Inputs.
  void tick();
  // A message from a node, or of our own from Append::responses. Whatever it holds, it does no
  // harm: one that cannot come from a correct node is dropped. Errors: kInvalidArgument
  // "message_invalid"; kFailedPrecondition "peer_unknown" (a response from a node we do not
  // track); kUnavailable "proposal_dropped" (of kPropose).
  Result<void> step(Message message);
  // Proposes entries: kind and payload of each; the core numbers them. On success they got the
  // consecutive indices that end at last_index(), in term(). On a follower that knows a leader and
  // may forward: sent there. Errors: kUnavailable "proposal_dropped": no leader, a transfer is
  // under way, or too much is uncommitted.
  Result<void> propose(std::vector<Entry> entries);
  // Errors: as propose(); a change that may not be made now becomes an empty entry and is told by
  // an event (kConfChangeRefused).
  Result<void> propose(const ConfChange& change, EntryKind kind = EntryKind::kConfiguration);
  void read_index(ReadId read);
  Result<void> campaign();
  // Of the leader. Elsewhere the wish is sent to it in the name of `to`, which a transport that
  // checks names does not carry: ask the leader's owner instead.
  void transfer_leader(NodeId to);
  Result<void> forget_leader();
  void report_unreachable(NodeId node);
  void report_snapshot(NodeId node, bool succeeded);
  void entries_loaded();  // what Storage::entries had not in memory

  // Completions.
  void appended(const AppendMark& mark);
  // Everything up to `index` is applied.
  void applied(LogIndex index);
  // Of a committed entry of kind kConfiguration(V1), at its turn in the order of application. A
  // change that was refused (no changes while not joint, node 0) gives the configuration as it is.
  // Errors: kInvalidArgument "conf_change_invalid": nothing changed.
  Result<ConfState> apply_conf_change(const ConfChange& change);

  // Outputs.
  [[nodiscard]] bool has_output() const;
  Output take_output();
  // What is left of an output that was carried out: the memory of its vectors is used again. Of
  // no effect otherwise, and never needed.
  void recycle(Output used);

  // Views.
  [[nodiscard]] Status status() const;
  [[nodiscard]] NodeId id() const;
  [[nodiscard]] Term term() const;
  [[nodiscard]] NodeId leader() const;
  [[nodiscard]] Role role() const;
  [[nodiscard]] bool is_leader() const { return role() == Role::kLeader; }
  [[nodiscard]] LogIndex commit() const;
  // Took one, which is not durable yet: the members are its own, and everything before it is
  // covered.
  [[nodiscard]] bool installs_snapshot() const;
  [[nodiscard]] LogIndex last_index() const;
  // The first index of each range that is needed and not in memory: by followers that wait for it,
  // or to hand it out as committed.
  [[nodiscard]] std::vector<LogIndex> entries_wanted() const;

  // For judges.
  void set_election_timeout(int ticks);  // until the role changes
  [[nodiscard]] int election_timeout() const;

 private:
  class Impl;
  explicit Core(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace blixard::raft
