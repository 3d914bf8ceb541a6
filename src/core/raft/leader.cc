// What a leader does with what its members answer (paper, section 5.3).

#include <algorithm>
#include <utility>

#include "core/raft/configuration.h"
#include "core/raft/core_impl.h"

namespace blixard::raft {

void Core::Impl::tick_heartbeat() {
  ++heartbeat_elapsed_;
  ++election_elapsed_;
  if (election_elapsed_ >= config_.election_ticks) {
    election_elapsed_ = 0;
    if (check_quorum()) check_activity();
    transferee_ = NodeId();  // who has not taken over by now gives up
  }
  if (role_ != Role::kLeader || heartbeat_elapsed_ < config_.heartbeat_ticks) return;
  heartbeat_elapsed_ = 0;
  broadcast_heartbeats(reads_.newest());
}

void Core::Impl::check_activity() {
  if (Progress* self = tracker_.find(id_); self != nullptr && series_.active_by_check)
    self->recent_active = true;
  if (!tracker_.quorum_active()) {
    emit({.kind = EventKind::kQuorumLost, .level = EventLevel::kWarning});
    become_follower(term_, NodeId());
  }
  for (auto& [node, progress] : tracker_.progress()) {
    if (node != id_) progress.recent_active = false;
  }
}

void Core::Impl::step_leader(Message& message, Result<void>& result) {
  switch (message.type) {
    case MessageType::kPropose:
      result = on_propose(message);
      return;
    case MessageType::kReadIndex:
      return on_read_request(message.from, message.read);
    case MessageType::kForgetLeader:
      return;
    default:
      break;
  }
  Progress* progress = tracker_.find(message.from);
  if (progress == nullptr) {
    return emit(
        {.kind = EventKind::kNoProgress, .level = EventLevel::kDebug, .peer = message.from});
  }
  step_leader_from(message, *progress);
}

void Core::Impl::step_leader_from(Message& message, Progress& progress) {
  switch (message.type) {
    case MessageType::kAppendResponse:
      return on_append_response(message, progress);
    case MessageType::kHeartbeatResponse:
      return on_heartbeat_response(message, progress);
    case MessageType::kSnapshotStatus:
      return on_snapshot_status(message, progress);
    case MessageType::kUnreachable:
      // What was on its way is probably lost.
      if (progress.state == ProgressState::kReplicate) progress.become_probe();
      return emit({.kind = EventKind::kUnreachable,
                   .level = EventLevel::kDebug,
                   .peer = message.from,
                   .progress = &progress});
    case MessageType::kTransferLeader:
      return on_transfer(message.from, progress);
    default:
      return;
  }
}

Result<void> Core::Impl::on_propose(Message& message) {
  for (const Entry& entry : message.entries) {
    if (entry.kind == EntryKind::kNormal) continue;
    BLX_TRY(const ConfChange change, decode_conf_change(entry.payload.view()));
    if (entry.kind == EntryKind::kConfigurationV1 && change.changes.size() != 1)
      return fail(Code::kInvalidArgument, "conf_change_invalid", "not a single step");
  }
  if (tracker_.find(id_) == nullptr) return fail(Code::kUnavailable, "proposal_dropped");
  if (transferee_) {
    emit({.kind = EventKind::kProposalDuringTransfer,
          .level = EventLevel::kDebug,
          .peer = transferee_});
    return fail(Code::kUnavailable, "proposal_dropped");
  }
  // The others may commit without this disk, so the bound on what is uncommitted does not hold back
  // a leader whose disk hangs.
  if (log_.unstable().bytes() > config_.unstable_bytes_max) {
    emit({.kind = EventKind::kLogFull, .level = EventLevel::kWarning, .peer = id_});
    return fail(Code::kUnavailable, "proposal_dropped");
  }
  const LogIndex last = log_.last();
  for (std::size_t at = 0; at < message.entries.size(); ++at) {
    Entry& entry = message.entries[at];
    if (entry.kind != EntryKind::kNormal) check_change(entry, LogIndex(last.value + 1 + at));
  }
  if (!append_own(std::move(message.entries))) return fail(Code::kUnavailable, "proposal_dropped");
  broadcast_appends();
  return {};
}

void Core::Impl::on_append_response(const Message& message, Progress& progress) {
  progress.recent_active = true;
  if (message.reject) return on_rejection(message, progress);
  // Nobody can have more of our log than we have.
  if (message.index > log_.last()) return;
  const bool was_paused = progress.is_paused(series_.progress);
  const bool moved = progress.acknowledged(message.index, series_.progress);
  // An answer that says nothing new still ends the probing that began when a member seemed
  // unreachable.
  const bool ends_probe = !series_.ignores_equal_answer && progress.match == message.index &&
                          progress.state == ProgressState::kProbe;
  if (moved || ends_probe) on_acknowledged(message, progress, was_paused);
}

void Core::Impl::on_rejection(const Message& message, Progress& progress) {
  emit({.kind = EventKind::kAppendWasRejected,
        .level = EventLevel::kDebug,
        .peer = message.from,
        .index = message.index,
        .other_index = message.reject_hint,
        .other_term = message.log_term});
  LogIndex hint = message.reject_hint;
  // Where our log is of a later term than its log at the hint, the two cannot meet: skip that.
  if (message.log_term) hint = log_.meeting_point(message.reject_hint, message.log_term).index;
  if (!progress.rejected(message.index, hint, series_.progress)) return;
  emit({.kind = EventKind::kProgressDecreased,
        .level = EventLevel::kDebug,
        .peer = message.from,
        .progress = &progress});
  if (progress.state == ProgressState::kReplicate) progress.become_probe();
  send_append(message.from, progress, true);
}

void Core::Impl::on_acknowledged(const Message& message, Progress& progress, bool was_paused) {
  const LogIndex needed =
      series_.snapshot_must_arrive ? progress.pending_snapshot : LogIndex(log_.first().value - 1);
  if (progress.state == ProgressState::kProbe) {
    progress.become_replicate();
  } else if (progress.state == ProgressState::kReplicate) {
    progress.inflights.free_up_to(message.index);
  } else if (progress.match >= needed) {
    emit({.kind = EventKind::kSnapshotNotNeeded,
          .level = EventLevel::kDebug,
          .peer = message.from,
          .progress = &progress});
    progress.become_probe();
    progress.become_replicate();
  }
  const bool tells_commit = series_.resumes_when_unpaused
                                ? was_paused
                                : message.from != id_ && progress.can_bump_commit(log_.committed());
  if (commit_by_quorum()) {
    release_postponed_reads();
    broadcast_appends();
  } else if (tells_commit) {
    send_append(message.from, progress, true);
  }
  if (message.from != id_ || series_.sends_to_itself) send_all(message.from, progress);
  if (message.from == transferee_ && progress.match == log_.last()) {
    emit({.kind = EventKind::kTimeoutNowAfterAck, .peer = message.from});
    send_timeout_now(message.from);
  }
}

void Core::Impl::on_heartbeat_response(const Message& message, Progress& progress) {
  progress.recent_active = true;
  progress.flow_paused = false;
  if (series_.progress.pauses_by_window && progress.state == ProgressState::kReplicate &&
      progress.inflights.full())
    progress.inflights.free_first();
  // Also who waits for something to probe with gets an (empty) append, so that its answer ends the
  // probing; and who waits for a snapshot or for entries from disk is tried again.
  const bool probes = progress.state == ProgressState::kProbe && !series_.heartbeat_ends_no_probe;
  if (progress.match < log_.last() || probes) send_append(message.from, progress, true);
  if (!config_.lease_reads && !message.read.none()) acknowledge_read(message.from, message.read);
}

void Core::Impl::on_snapshot_status(const Message& message, Progress& progress) {
  if (progress.state != ProgressState::kSnapshot) return;
  if (message.reject) progress.pending_snapshot = LogIndex();  // it probes from what has matched
  progress.become_probe();
  emit({.kind = message.reject ? EventKind::kSnapshotFailed : EventKind::kSnapshotSucceeded,
        .level = EventLevel::kDebug,
        .peer = message.from,
        .progress = &progress});
  // Wait for its answer to the snapshot; of a failed one, for the next heartbeat.
  progress.flow_paused = true;
}

void Core::Impl::on_transfer(NodeId to, Progress& progress) {
  if (progress.is_learner)
    return emit({.kind = EventKind::kTransferToLearner, .level = EventLevel::kDebug});
  if (transferee_ == to) return emit({.kind = EventKind::kTransferUnderWay, .peer = to});
  if (transferee_) {
    const NodeId previous = std::exchange(transferee_, NodeId());
    emit({.kind = EventKind::kTransferAborted, .peer = previous});
  }
  if (to == id_) return emit({.kind = EventKind::kTransferToSelf, .level = EventLevel::kDebug});
  emit({.kind = EventKind::kTransferStarted, .peer = to});
  election_elapsed_ = 0;  // it has one election timeout
  transferee_ = to;
  // Its answer to the last append says that its copy is durable.
  if (progress.match == log_.last() || BLX_BUG(kTransfersToLagging)) {
    send_timeout_now(to);
    emit({.kind = EventKind::kTimeoutNowAtOnce, .peer = to});
  } else {
    send_append(to, progress, true);
  }
}

}  // namespace blixard::raft
