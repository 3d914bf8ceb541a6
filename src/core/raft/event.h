#pragma once

// What the core reports about its decisions: one kind for each line that the reference logs (both
// series), with the values of that line, and a few of our own. Whoever wants text renders it; the
// core makes none.
//
// The comment at a kind is the reference's line. Its words name members of Event: %self is `self`,
// %index `index`, [%progress] the rendered progress. Only what a line
// names is set. Node ids are printed in hexadecimal, everything else in decimal; %type is
// `message_type`. A second line after "3.4:" is what series 3.4 prints.
//
// Pointers are valid during on_event() only. A sink must not call the core.

#include <cstdint>

#include "base/ids.h"
#include "core/raft/progress.h"
#include "core/raft/types.h"

namespace blixard::raft {

enum class EventLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };

enum class EventKind : std::uint8_t {
  // Roles and elections.
  // newRaft %self [peers: [%configuration: voters of both lists, hex, with commas], term: %term,
  //   commit: %commit, applied: %other_index, lastindex: %index, lastterm: %index_term]
  kStarted,
  kBecameFollower,      // %self became follower at term %term
  kBecameCandidate,     // %self became candidate at term %term
  kBecamePreCandidate,  // %self became pre-candidate at term %term
  kBecameLeader,        // %self became leader at term %term
  kAlreadyLeader,       // %self ignoring MsgHup because already leader
  // %self is unpromotable and can not campaign
  // 3.4: %self is unpromotable and can not campaign; ignoring MsgHup
  kUnpromotable,
  // %self cannot campaign at term %term since there are still pending configuration changes to
  //   apply
  // 3.4: ... since there are still %count pending configuration changes to apply
  kCampaignBlocked,
  kElectionStarted,  // %self is starting a new election at term %term
  // %self [logterm: %index_term, index: %index] sent %type request to %peer at term %term
  kVoteRequested,
  kVoteReceived,  // %self received %type from %peer at term %term
  kVoteRefused,   // %self received %type rejection from %peer at term %term
  kVoteTally,     // %self has received %count %type votes and %other_count vote rejections
  // The next three begin: %self [logterm: %index_term, index: %index, vote: %vote (hex)]
  // ... ignored %type from %peer [logterm: %other_term, index: %other_index] at term %term: lease
  //   is not expired (remaining ticks: %count)
  kLeaseHeld,
  // ... cast %type for %peer [logterm: %other_term, index: %other_index] at term %term
  kVoteCast,
  // ... rejected %type from %peer [logterm: %other_term, index: %other_index] at term %term
  kVoteDenied,
  // %self [term: %term] received a %type message with higher term from %peer [term: %other_term]
  kHigherTerm,
  // %self [term: %term] ignored a %type message with lower term from %peer [term: %other_term]
  kLowerTermIgnored,
  kQuorumLost,     // %self stepped down to follower since quorum is not active
  kForgetIgnored,  // ignoring MsgForgetLeader due to ReadOnlyLeaseBased
  kForgotLeader,   // %self forgetting leader %peer at term %term
  // %self [term %term] received MsgTimeoutNow from %peer and starts an election to get leadership.
  kTimeoutNowReceived,
  // 3.4: %self received MsgTimeoutNow from %peer but is not promotable
  kTimeoutNowUnpromotable,
  // %self [term %term state %role] ignored MsgTimeoutNow from %peer
  kTimeoutNowIgnored,

  // Proposals.
  kProposalNoLeader,  // %self no leader at term %term; dropping proposal
  // %self not forwarding to leader %peer at term %term; dropping proposal
  kProposalNotForwarded,
  // %self [term %term] transfer leadership to %peer is in progress; dropping proposal
  kProposalDuringTransfer,
  // %self appending new entries to log would exceed uncommitted entry size limit; dropping proposal
  kUncommittedLimit,
  // %self ignoring conf change %change at config %configuration: %refusal, where %refusal is
  //   kPending: possible unapplied conf change at index %index (applied to %other_index)
  //   kJoint: must transition out of joint config first
  //   kNotJoint: not in joint state; refusing empty conf change
  kConfChangeRefused,

  // The leader and its members.
  kNoProgress,  // %self no progress available for %peer
  // %self received MsgAppResp(rejected, hint: (index %other_index, term %other_term)) from %peer
  //   for index %index
  // 3.4: %self received MsgAppResp(MsgApp was rejected, lastindex: %other_index) from %peer for
  //   index %index
  kAppendWasRejected,
  kProgressDecreased,  // %self decreased progress of %peer to [%progress]
  // %self recovered from needing snapshot, resumed sending replication messages to %peer
  //   [%progress]
  kSnapshotNotNeeded,
  // %self snapshot succeeded, resumed sending replication messages to %peer [%progress]
  kSnapshotSucceeded,
  // %self snapshot failed, resumed sending replication messages to %peer [%progress]
  kSnapshotFailed,
  // %self failed to send message to %peer because it is unreachable [%progress]
  kUnreachable,
  kSnapshotToInactive,  // ignore sending snapshot to %peer since it is not recently active
  // %self failed to send snapshot to %peer because snapshot is temporarily unavailable
  kSnapshotUnavailable,
  // %self [firstindex: %other_index, commit: %commit] sent snapshot[index: %index, term:
  //   %index_term] to %peer [%progress]
  kSnapshotSent,
  kReplicationPaused,  // %self paused sending replication messages to %peer [%progress]

  // Transfer of leadership.
  kTransferToLearner,  // %self is learner. Ignored transferring leadership
  // %self [term %term] transfer leadership to %peer is in progress, ignores request to same node
  //   %peer
  kTransferUnderWay,
  kTransferAborted,   // %self [term %term] abort previous transferring leadership to %peer
  kTransferToSelf,    // %self is already leader. Ignored transferring leadership to self
  kTransferStarted,   // %self [term %term] starts to transfer leadership to %peer
  kTransferNoLeader,  // %self no leader at term %term; dropping leader transfer msg
  // %self sends MsgTimeoutNow to %peer immediately as %peer already has up-to-date log
  kTimeoutNowAtOnce,
  kTimeoutNowAfterAck,  // %self sent MsgTimeoutNow to %peer after received MsgAppResp

  // Reads.
  kReadNoLeader,  // %self no leader at term %term; dropping index reading msg

  // The log.
  // %self [logterm: %other_term, index: %index] rejected MsgApp [logterm: %index_term, index:
  //   %index] from %peer
  kAppendRejected,
  // found conflict at index %index [existing term: %other_term, conflicting term: %index_term]
  kConflictFound,
  kTailReplaced,   // replace the unstable entries from index %index
  kTailTruncated,  // truncate the unstable entries before index %index
  // %self [term: %term] ignored entry appends from a MsgStorageAppendResp message with lower term
  //   [term: %other_term]
  kStaleAppendIgnored,
  kStableMissing,   // entry at index %index missing from unstable log; ignoring
  kStableSnapshot,  // entry at index %index matched unstable snapshot; ignoring
  // entry at (index,term)=(%index,%index_term) mismatched with entry at (%index,%other_term) in
  //   unstable log; ignoring
  kStableMismatch,

  // Snapshots, on a follower.
  // log [committed=%commit, applied=%other_index, applying=%applying, unstable.offset=%offset,
  //   unstable.offsetInProgress=%offset_in_progress, len(unstable.Entries)=%count] starts to
  //   restore snapshot [index: %index, term: %index_term]
  // 3.4: log [committed=%commit, applied=%other_index, unstable.offset=%offset,
  //   len(unstable.Entries)=%count] starts to restore ...
  kLogRestoring,
  // %self [commit: %commit, lastindex: %other_index, lastterm: %other_term] restored snapshot
  //   [index: %index, term: %index_term]
  kSnapshotInstalled,
  // %self [commit: %commit] restored snapshot [index: %index, term: %index_term]
  kSnapshotRestored,
  // %self [commit: %commit] ignored snapshot [index: %index, term: %index_term]
  kSnapshotIgnored,
  // %self [commit: %commit, lastindex: %other_index, lastterm: %other_term] fast-forwarded commit
  //   to snapshot [index: %index, term: %index_term]
  kSnapshotFastForward,
  // %self attempted to restore snapshot but it is not in the ConfState %configuration; should
  //   never happen
  kSnapshotWithoutUs,

  // Configurations.
  kConfigurationSwitched,  // %self switched to configuration %configuration
  // initiating automatic transition out of joint configuration %configuration
  kAutoLeave,
  // not initiating automatic transition out of joint configuration %configuration: raft proposal
  //   dropped
  kAutoLeaveDropped,

  // Ours; the reference has no such line.
  kMessageRefused,         // of `peer`, of %type: no correct node sends it, at least not to us
  kConflictWithCommitted,  // at %index: two logs committed differently, or ours lost its tail
  kLogFull,                // too much waits for our disk; an append of `peer` was dropped
};

enum class ConfChangeRefusal : std::uint8_t { kNone, kPending, kJoint, kNotJoint };

struct Event {
  EventKind kind = EventKind::kStarted;
  EventLevel level = EventLevel::kInfo;
  NodeId self{};
  Term term{};  // ours, at that moment
  NodeId peer{};
  MessageType message_type = MessageType::kAppend;
  LogIndex index{};
  Term index_term{};
  LogIndex other_index{};
  Term other_term{};
  LogIndex commit{};
  NodeId vote{};
  Role role = Role::kFollower;
  std::uint64_t count = 0;
  std::uint64_t other_count = 0;
  LogIndex applying{};
  LogIndex offset{};
  LogIndex offset_in_progress{};
  ConfChangeRefusal refusal = ConfChangeRefusal::kNone;
  EntryKind entry_kind = EntryKind::kNormal;  // of the entry with `change`
  const Progress* progress = nullptr;
  const ConfState* configuration = nullptr;
  const ConfChange* change = nullptr;
  const Message* message = nullptr;
};

class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void on_event(const Event& event) = 0;
};

}  // namespace blixard::raft
