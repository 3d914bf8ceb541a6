#include <fmt/format.h>

#include "core/raft/configuration.h"
#include "test/conformance/raft/progress_text.h"
#include "test/conformance/raft/render.h"

namespace blixard::raft::interaction {
namespace {

// The values of an event under the names that lines are written with.
struct Values {
  const Event& event;
  Form form;

  [[nodiscard]] std::string self() const { return fmt::format("{:x}", event.self.value); }
  [[nodiscard]] std::string peer() const { return fmt::format("{:x}", event.peer.value); }
  [[nodiscard]] std::string_view type() const { return name_of(event.message_type); }
  [[nodiscard]] std::uint64_t term() const { return event.term.value; }
  [[nodiscard]] std::uint64_t index() const { return event.index.value; }
  [[nodiscard]] std::uint64_t index_term() const { return event.index_term.value; }
  [[nodiscard]] std::uint64_t other_index() const { return event.other_index.value; }
  [[nodiscard]] std::uint64_t other_term() const { return event.other_term.value; }
  [[nodiscard]] std::uint64_t commit() const { return event.commit.value; }
  [[nodiscard]] std::string progress() const {
    return event.progress ? raft::text::progress(*event.progress, rules_of(form)) : "";
  }
  [[nodiscard]] std::string configuration() const {
    return event.configuration ? raft::text::configuration(*event.configuration) : "";
  }
};

std::string_view name_of(ConfChangeType type) {
  switch (type) {
    case ConfChangeType::kAddVoter:
      return "ConfChangeAddNode";
    case ConfChangeType::kRemove:
      return "ConfChangeRemoveNode";
    case ConfChangeType::kUpdate:
      return "ConfChangeUpdateNode";
    case ConfChangeType::kAddLearner:
      return "ConfChangeAddLearnerNode";
  }
  return "?";
}

std::string_view name_of(ConfTransition transition) {
  switch (transition) {
    case ConfTransition::kAuto:
      return "ConfChangeTransitionAuto";
    case ConfTransition::kJointImplicit:
      return "ConfChangeTransitionJointImplicit";
    case ConfTransition::kJointExplicit:
      return "ConfChangeTransitionJointExplicit";
  }
  return "?";
}

// As Go prints the structures; those of 3.4 end with a list of unknown fields.
std::string printed(const ConfChange& change, EntryKind kind, Form form) {
  const std::string_view tail = form == Form::k34 ? " []" : "";
  if (kind == EntryKind::kConfigurationV1 && change.changes.size() == 1) {
    const ConfChangeSingle& single = change.changes.front();
    if (form == Form::k34)
      return fmt::format("{{0 {} {} [] []}}", name_of(single.type), single.node.value);
    return fmt::format("{{{} {} [] 0}}", name_of(single.type), single.node.value);
  }
  std::string changes;
  for (const ConfChangeSingle& single : change.changes) {
    changes += fmt::format("{}{{{} {}{}}}", changes.empty() ? "" : " ", name_of(single.type),
                           single.node.value, tail);
  }
  return fmt::format("{{{} [{}] []{}}}", name_of(change.transition), changes, tail);
}

std::string started(const Values& v) {
  std::string peers;
  for (const NodeId voter : all_voters(*v.event.configuration))
    peers += fmt::format("{}{:x}", peers.empty() ? "" : ",", voter.value);
  return fmt::format(
      "newRaft {} [peers: [{}], term: {}, commit: {}, applied: {}, lastindex: {}, lastterm: {}]",
      v.self(), peers, v.term(), v.commit(), v.other_index(), v.index(), v.index_term());
}

std::string vote_line(const Values& v, std::string_view what, std::string_view end = "") {
  return fmt::format(
      "{} [logterm: {}, index: {}, vote: {:x}] {} {} {} {} [logterm: {}, index: {}] at term {}{}",
      v.self(), v.index_term(), v.index(), v.event.vote.value, what, v.type(),
      v.event.kind == EventKind::kVoteCast ? "for" : "from", v.peer(), v.other_term(),
      v.other_index(), v.term(), end);
}

std::optional<std::string> election_line(const Values& v) {
  using enum EventKind;
  switch (v.event.kind) {
    case kStarted:
      return started(v);
    case kBecameFollower:
      return fmt::format("{} became follower at term {}", v.self(), v.term());
    case kBecameCandidate:
      return fmt::format("{} became candidate at term {}", v.self(), v.term());
    case kBecamePreCandidate:
      return fmt::format("{} became pre-candidate at term {}", v.self(), v.term());
    case kBecameLeader:
      return fmt::format("{} became leader at term {}", v.self(), v.term());
    case kAlreadyLeader:
      return fmt::format("{} ignoring MsgHup because already leader", v.self());
    case kUnpromotable:
      return fmt::format("{} is unpromotable and can not campaign{}", v.self(),
                         v.form == Form::k34 ? "; ignoring MsgHup" : "");
    case kCampaignBlocked:
      return fmt::format(
          "{} cannot campaign at term {} since there are still {}pending configuration changes to "
          "apply",
          v.self(), v.term(), v.form == Form::k34 ? fmt::format("{} ", v.event.count) : "");
    case kElectionStarted:
      return fmt::format("{} is starting a new election at term {}", v.self(), v.term());
    case kVoteRequested:
      return fmt::format("{} [logterm: {}, index: {}] sent {} request to {} at term {}", v.self(),
                         v.index_term(), v.index(), v.type(), v.peer(), v.term());
    case kVoteReceived:
      return fmt::format("{} received {} from {} at term {}", v.self(), v.type(), v.peer(),
                         v.term());
    case kVoteRefused:
      return fmt::format("{} received {} rejection from {} at term {}", v.self(), v.type(),
                         v.peer(), v.term());
    case kVoteTally:
      return fmt::format("{} has received {} {} votes and {} vote rejections", v.self(),
                         v.event.count, v.type(), v.event.other_count);
    case kLeaseHeld:
      return vote_line(v, "ignored",
                       fmt::format(": lease is not expired (remaining ticks: {})", v.event.count));
    case kVoteCast:
      return vote_line(v, "cast");
    case kVoteDenied:
      return vote_line(v, "rejected");
    default:
      return std::nullopt;
  }
}

std::optional<std::string> role_line(const Values& v) {
  using enum EventKind;
  switch (v.event.kind) {
    case kHigherTerm:
      return fmt::format("{} [term: {}] received a {} message with higher term from {} [term: {}]",
                         v.self(), v.term(), v.type(), v.peer(), v.other_term());
    case kLowerTermIgnored:
      return fmt::format("{} [term: {}] ignored a {} message with lower term from {} [term: {}]",
                         v.self(), v.term(), v.type(), v.peer(), v.other_term());
    case kQuorumLost:
      return fmt::format("{} stepped down to follower since quorum is not active", v.self());
    case kForgetIgnored:
      return "ignoring MsgForgetLeader due to ReadOnlyLeaseBased";
    case kForgotLeader:
      return fmt::format("{} forgetting leader {} at term {}", v.self(), v.peer(), v.term());
    case kTimeoutNowReceived:
      return fmt::format(
          "{} [term {}] received MsgTimeoutNow from {} and starts an election to get leadership.",
          v.self(), v.term(), v.peer());
    case kTimeoutNowUnpromotable:
      return fmt::format("{} received MsgTimeoutNow from {} but is not promotable", v.self(),
                         v.peer());
    case kTimeoutNowIgnored:
      return fmt::format("{} [term {} state {}] ignored MsgTimeoutNow from {}", v.self(), v.term(),
                         interaction::name_of(v.event.role), v.peer());
    case kReadNoLeader:
      return fmt::format("{} no leader at term {}; dropping index reading msg", v.self(), v.term());
    default:
      return std::nullopt;
  }
}

std::string refusal(const Values& v) {
  switch (v.event.refusal) {
    case ConfChangeRefusal::kPending:
      return fmt::format("possible unapplied conf change at index {} (applied to {})", v.index(),
                         v.other_index());
    case ConfChangeRefusal::kJoint:
      return "must transition out of joint config first";
    case ConfChangeRefusal::kNotJoint:
      return "not in joint state; refusing empty conf change";
    case ConfChangeRefusal::kNone:
      break;
  }
  return "?";
}

std::optional<std::string> proposal_line(const Values& v) {
  using enum EventKind;
  switch (v.event.kind) {
    case kProposalNoLeader:
      return fmt::format("{} no leader at term {}; dropping proposal", v.self(), v.term());
    case kProposalNotForwarded:
      return fmt::format("{} not forwarding to leader {} at term {}; dropping proposal", v.self(),
                         v.peer(), v.term());
    case kProposalDuringTransfer:
      return fmt::format("{} [term {}] transfer leadership to {} is in progress; dropping proposal",
                         v.self(), v.term(), v.peer());
    case kUncommittedLimit:
      return fmt::format(
          "{} appending new entries to log would exceed uncommitted entry size limit; dropping "
          "proposal",
          v.self());
    case kConfChangeRefused:
      return fmt::format("{} ignoring conf change {} at config {}: {}", v.self(),
                         printed(*v.event.change, v.event.entry_kind, v.form), v.configuration(),
                         refusal(v));
    case kConfigurationSwitched:
      return fmt::format("{} switched to configuration {}", v.self(), v.configuration());
    case kAutoLeave:
      return "initiating automatic transition out of joint configuration " + v.configuration();
    case kAutoLeaveDropped:
      return fmt::format(
          "not initiating automatic transition out of joint configuration {}: raft proposal "
          "dropped",
          v.configuration());
    default:
      return std::nullopt;
  }
}

std::optional<std::string> transfer_line(const Values& v) {
  using enum EventKind;
  switch (v.event.kind) {
    case kTransferToLearner:
      return fmt::format("{} is learner. Ignored transferring leadership", v.self());
    case kTransferUnderWay:
      return fmt::format(
          "{} [term {}] transfer leadership to {} is in progress, ignores request to same node {}",
          v.self(), v.term(), v.peer(), v.peer());
    case kTransferAborted:
      return fmt::format("{} [term {}] abort previous transferring leadership to {}", v.self(),
                         v.term(), v.peer());
    case kTransferToSelf:
      return fmt::format("{} is already leader. Ignored transferring leadership to self", v.self());
    case kTransferStarted:
      return fmt::format("{} [term {}] starts to transfer leadership to {}", v.self(), v.term(),
                         v.peer());
    case kTransferNoLeader:
      return fmt::format("{} no leader at term {}; dropping leader transfer msg", v.self(),
                         v.term());
    case kTimeoutNowAtOnce:
      return fmt::format(
          "{} sends MsgTimeoutNow to {} immediately as {} already has up-to-date log", v.self(),
          v.peer(), v.peer());
    case kTimeoutNowAfterAck:
      return fmt::format("{} sent MsgTimeoutNow to {} after received MsgAppResp", v.self(),
                         v.peer());
    default:
      return std::nullopt;
  }
}

std::optional<std::string> progress_line(const Values& v) {
  using enum EventKind;
  const auto resumed = [&](std::string_view why) {
    return fmt::format("{} {}, resumed sending replication messages to {} [{}]", v.self(), why,
                       v.peer(), v.progress());
  };
  switch (v.event.kind) {
    case kNoProgress:
      return fmt::format("{} no progress available for {}", v.self(), v.peer());
    case kAppendWasRejected:
      return v.form == Form::k34
                 ? fmt::format(
                       "{} received MsgAppResp(MsgApp was rejected, lastindex: {}) from {} "
                       "for index {}",
                       v.self(), v.other_index(), v.peer(), v.index())
                 : fmt::format(
                       "{} received MsgAppResp(rejected, hint: (index {}, term {})) from "
                       "{} for index {}",
                       v.self(), v.other_index(), v.other_term(), v.peer(), v.index());
    case kProgressDecreased:
      return fmt::format("{} decreased progress of {} to [{}]", v.self(), v.peer(), v.progress());
    case kSnapshotNotNeeded:
      return resumed("recovered from needing snapshot");
    case kSnapshotSucceeded:
      return resumed("snapshot succeeded");
    case kSnapshotFailed:
      return resumed("snapshot failed");
    case kUnreachable:
      return fmt::format("{} failed to send message to {} because it is unreachable [{}]", v.self(),
                         v.peer(), v.progress());
    case kSnapshotToInactive:
      return fmt::format("ignore sending snapshot to {} since it is not recently active", v.peer());
    case kSnapshotUnavailable:
      return fmt::format(
          "{} failed to send snapshot to {} because snapshot is temporarily unavailable", v.self(),
          v.peer());
    case kSnapshotSent:
      return fmt::format(
          "{} [firstindex: {}, commit: {}] sent snapshot[index: {}, term: {}] to {} "
          "[{}]",
          v.self(), v.other_index(), v.commit(), v.index(), v.index_term(), v.peer(), v.progress());
    case kReplicationPaused:
      return fmt::format("{} paused sending replication messages to {} [{}]", v.self(), v.peer(),
                         v.progress());
    default:
      return std::nullopt;
  }
}

std::optional<std::string> log_event_line(const Values& v) {
  using enum EventKind;
  switch (v.event.kind) {
    case kAppendRejected:
      return fmt::format(
          "{} [logterm: {}, index: {}] rejected MsgApp [logterm: {}, index: {}] from {}", v.self(),
          v.other_term(), v.index(), v.index_term(), v.index(), v.peer());
    case kConflictFound:
      return fmt::format("found conflict at index {} [existing term: {}, conflicting term: {}]",
                         v.index(), v.other_term(), v.index_term());
    case kTailReplaced:
      return fmt::format("replace the unstable entries from index {}", v.index());
    case kTailTruncated:
      return fmt::format("truncate the unstable entries before index {}", v.index());
    case kStaleAppendIgnored:
      return fmt::format(
          "{} [term: {}] ignored entry appends from a MsgStorageAppendResp message with lower term "
          "[term: {}]",
          v.self(), v.term(), v.other_term());
    case kStableMissing:
      return fmt::format("entry at index {} missing from unstable log; ignoring", v.index());
    case kStableSnapshot:
      return fmt::format("entry at index {} matched unstable snapshot; ignoring", v.index());
    case kStableMismatch:
      return fmt::format(
          "entry at (index,term)=({},{}) mismatched with entry at ({},{}) in unstable log; "
          "ignoring",
          v.index(), v.index_term(), v.index(), v.other_term());
    default:
      return std::nullopt;
  }
}

std::string log_restoring(const Values& v) {
  const bool old = v.form == Form::k34;
  return fmt::format(
      "log [committed={}, applied={}{}, unstable.offset={}{}, len(unstable.Entries)={}] starts to "
      "restore snapshot [index: {}, term: {}]",
      v.commit(), v.other_index(), old ? "" : fmt::format(", applying={}", v.event.applying.value),
      v.event.offset.value,
      old ? "" : fmt::format(", unstable.offsetInProgress={}", v.event.offset_in_progress.value),
      v.event.count, v.index(), v.index_term());
}

std::optional<std::string> snapshot_line(const Values& v) {
  using enum EventKind;
  const auto with_last = [&](std::string_view what) {
    return fmt::format("{} [commit: {}, lastindex: {}, lastterm: {}] {} [index: {}, term: {}]",
                       v.self(), v.commit(), v.other_index(), v.other_term(), what, v.index(),
                       v.index_term());
  };
  const auto with_commit = [&](std::string_view what) {
    return fmt::format("{} [commit: {}] {} snapshot [index: {}, term: {}]", v.self(), v.commit(),
                       what, v.index(), v.index_term());
  };
  switch (v.event.kind) {
    case kLogRestoring:
      return log_restoring(v);
    case kSnapshotInstalled:
      return with_last("restored snapshot");
    case kSnapshotFastForward:
      return with_last("fast-forwarded commit to snapshot");
    case kSnapshotRestored:
      return with_commit("restored");
    case kSnapshotIgnored:
      return with_commit("ignored");
    case kSnapshotWithoutUs:
      return fmt::format(
          "{} attempted to restore snapshot but it is not in the ConfState {}; should never happen",
          v.self(), v.configuration());
    default:
      return std::nullopt;
  }
}

// What only our core says.
std::optional<std::string> own_line(const Values& v) {
  using enum EventKind;
  switch (v.event.kind) {
    case kMessageRefused:
      return fmt::format("{} refused a {} message from {}", v.self(), v.type(), v.peer());
    case kConflictWithCommitted:
      return fmt::format("{} conflict with committed entry at index {}", v.self(), v.index());
    case kLogFull:
      return fmt::format("{} dropped an append of {}: too much waits for the disk", v.self(),
                         v.peer());
    default:
      return std::nullopt;
  }
}

Level level_of(EventLevel level) {
  switch (level) {
    case EventLevel::kDebug:
      return Level::kDebug;
    case EventLevel::kInfo:
      return Level::kInfo;
    case EventLevel::kWarning:
      return Level::kWarn;
    case EventLevel::kError:
      return Level::kError;
  }
  return Level::kFatal;
}

}  // namespace

std::optional<LogLine> log_line(const Event& event, Form form) {
  const Values values{event, form};
  for (const auto& lines : {election_line, role_line, proposal_line, transfer_line, progress_line,
                            log_event_line, snapshot_line, own_line}) {
    if (auto text = lines(values)) return LogLine{level_of(event.level), std::move(*text)};
  }
  return std::nullopt;
}

}  // namespace blixard::raft::interaction
