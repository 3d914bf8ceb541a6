#pragma once

// The words of consensus: entries, hard state, configurations, messages. Plain values; encoding
// them for wire and disk is done elsewhere (core/wire, node/log).
//
// Names and meanings are those of the Raft paper (Ongaro and Ousterhout, USENIX ATC 2014), the
// thesis (Ongaro, 2014) and etcd-io/raft, whose semantics this core has.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/payload.h"

namespace blixard::raft {

enum class EntryKind : std::uint8_t {
  kNormal = 1,           // a command; an empty one is the no-op that begins a leader's term
  kConfiguration = 2,    // an encoded ConfChange
  kConfigurationV1 = 3,  // one that is carried out as a single step, never jointly
};

struct Entry {
  Term term;
  LogIndex index;
  EntryKind kind = EntryKind::kNormal;
  Payload payload;
  friend bool operator==(const Entry&, const Entry&) = default;
};

// What a batch of entries costs on wire and disk, near enough for limits.
inline constexpr std::size_t kEntryOverheadBytes = 24;
inline std::size_t entry_bytes(const Entry& entry) {
  return kEntryOverheadBytes + entry.payload.size();
}

// The persistent state of figure 2 of the paper, and the commit index, which saves work at start.
struct HardState {
  Term term;
  NodeId vote;  // none: not cast in this term
  LogIndex commit;
  friend bool operator==(const HardState&, const HardState&) = default;
};

// A configuration as it is kept in snapshots. Lists are sorted and without repetition. Joint while
// `voters_outgoing` is not empty: then a decision needs a majority of both lists.
struct ConfState {
  std::vector<NodeId> voters;
  std::vector<NodeId> learners;
  std::vector<NodeId> voters_outgoing;
  std::vector<NodeId> learners_next;  // voters of the outgoing list that become learners
  bool auto_leave = false;            // the leader ends the joint configuration by itself
  friend bool operator==(const ConfState&, const ConfState&) = default;
};

struct SnapshotMeta {
  LogIndex index;  // of the last entry it covers; none: no snapshot
  Term term;
  ConfState configuration;
  friend bool operator==(const SnapshotMeta&, const SnapshotMeta&) = default;
};

enum class ConfChangeType : std::uint8_t { kAddVoter = 1, kRemove, kUpdate, kAddLearner };

struct ConfChangeSingle {
  ConfChangeType type = ConfChangeType::kAddVoter;
  NodeId node;  // none: the change was refused when it was proposed and is carried out as nothing
  friend bool operator==(const ConfChangeSingle&, const ConfChangeSingle&) = default;
};

enum class ConfTransition : std::uint8_t {
  kAuto = 0,           // a single step where that is possible, else joint and left by itself
  kJointImplicit = 1,  // joint, left by itself
  kJointExplicit = 2,  // joint until an empty change is proposed
};

// A change of the configuration (thesis, chapter 4). One without changes leaves a joint
// configuration.
struct ConfChange {
  ConfTransition transition = ConfTransition::kAuto;
  std::vector<ConfChangeSingle> changes;
  Payload context;  // the caller's; carried along
  friend bool operator==(const ConfChange&, const ConfChange&) = default;
};

// Names one round of read-index. `origin` is the node that asked; `sequence` must not be used
// again by a later life of that node, or a late answer to the earlier one would pass for an answer
// to it: begin at a random number.
struct ReadId {
  std::uint64_t origin = 0;
  std::uint64_t sequence = 0;
  friend auto operator<=>(const ReadId&, const ReadId&) = default;
  [[nodiscard]] bool none() const { return origin == 0 && sequence == 0; }
};

enum class MessageType : std::uint8_t {
  // Between nodes.
  kAppend = 1,
  kAppendResponse,
  kVote,
  kVoteResponse,
  kPreVote,
  kPreVoteResponse,
  kSnapshot,  // its content travels beside it
  kHeartbeat,
  kHeartbeatResponse,
  kTimeoutNow,
  kReadIndex,
  kReadIndexResponse,
  kTransferLeader,
  kPropose,
  kForgetLeader,
  // From the node itself only; one that comes from outside is refused.
  kCampaign,
  kBeat,
  kCheckQuorum,
  kUnreachable,     // `from` could not be reached
  kSnapshotStatus,  // of the snapshot sent to `from`: rejected means failed
};

struct Message {
  MessageType type = MessageType::kAppend;
  NodeId from;
  NodeId to;
  Term term;
  Term log_term;   // of the entry at `index`; of a rejection: of the entry at `reject_hint`
  LogIndex index;  // see each type's handler; of kAppend: the entry before `entries`
  LogIndex commit;
  bool reject = false;
  LogIndex reject_hint;
  bool transfer = false;  // a vote request by the leader's wish: leases are ignored
  ReadId read;
  std::vector<Entry> entries;
  std::optional<SnapshotMeta> snapshot;
  friend bool operator==(const Message&, const Message&) = default;
};

enum class Role : std::uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };

[[nodiscard]] bool is_local(MessageType type);     // never taken from another node
[[nodiscard]] bool is_response(MessageType type);  // ignored from a node we do not track

}  // namespace blixard::raft
