// What a follower does with what its leader sends (paper, sections 5.3 and 7).

#include <algorithm>
#include <utility>

#include "core/raft/configuration.h"
#include "core/raft/core_impl.h"

namespace blixard::raft {

void Core::Impl::step_follower(Message& message, Result<void>& result) {
  switch (message.type) {
    case MessageType::kPropose:
      return forward_proposal(message, result);
    case MessageType::kAppend:
    case MessageType::kHeartbeat:
    case MessageType::kSnapshot:
      election_elapsed_ = 0;
      leader_ = message.from;
      result = message.type == MessageType::kAppend      ? on_append(message)
               : message.type == MessageType::kHeartbeat ? on_heartbeat(message)
                                                         : on_snapshot(message);
      return;
    case MessageType::kTransferLeader:
      if (!leader_) return emit({.kind = EventKind::kTransferNoLeader});
      return send({.type = message.type, .from = message.from, .to = leader_});
    case MessageType::kForgetLeader:
      if (config_.lease_reads)
        return emit({.kind = EventKind::kForgetIgnored, .level = EventLevel::kError});
      if (!leader_) return;
      emit({.kind = EventKind::kForgotLeader, .peer = leader_});
      leader_ = NodeId();
      return;
    case MessageType::kTimeoutNow:
      if (series_.transfer_campaigns_at_once && !promotable())
        return emit({.kind = EventKind::kTimeoutNowUnpromotable, .peer = message.from});
      emit({.kind = EventKind::kTimeoutNowReceived, .peer = message.from});
      // Without pre-vote: the leader wishes it, we are not cut off.
      if (series_.transfer_campaigns_at_once) return campaign(Campaign::kTransfer);
      return hup(Campaign::kTransfer);
    case MessageType::kReadIndex:
      if (!leader_) {
        emit({.kind = EventKind::kReadNoLeader});
        return refuse_read(message.from, message.read);
      }
      message.to = leader_;
      return send(std::move(message));
    case MessageType::kReadIndexResponse:
      read_states_.push_back({.read = message.read, .index = message.index});
      return;
    default:
      return;
  }
}

void Core::Impl::forward_proposal(Message& message, Result<void>& result) {
  if (!leader_) {
    emit({.kind = EventKind::kProposalNoLeader});
    result = fail(Code::kUnavailable, "proposal_dropped");
  } else if (!config_.forwards_proposals) {
    emit({.kind = EventKind::kProposalNotForwarded, .peer = leader_});
    result = fail(Code::kUnavailable, "proposal_dropped");
  } else {
    message.to = leader_;
    send(std::move(message));
  }
}

Result<void> Core::Impl::on_append(Message& message) {
  Message answer{.type = MessageType::kAppendResponse, .to = message.from};
  if (message.index < log_.committed()) {
    answer.index = log_.committed();
    send(std::move(answer));
    return {};
  }
  if (!message.entries.empty() && log_.unstable().bytes() > config_.unstable_bytes_max) {
    emit({.kind = EventKind::kLogFull, .level = EventLevel::kWarning, .peer = message.from});
    return {};
  }
  const EntryRef previous{message.index, message.log_term};
  LogIndex last;
  switch (log_.append_after(previous, message.entries, message.commit, last)) {
    case RaftLog::Verdict::kAppended:
      spare_entries_.give(std::move(message.entries));
      answer.index = last;
      send(std::move(answer));
      return {};
    case RaftLog::Verdict::kForbidden:
      return fail(Code::kInvalidArgument, "message_invalid", "contradicts what is committed");
    case RaftLog::Verdict::kRejected:
      break;
  }
  emit({.kind = EventKind::kAppendRejected,
        .level = EventLevel::kDebug,
        .peer = message.from,
        .index = message.index,
        .index_term = message.log_term,
        .other_term = log_.term_or_none(message.index)});
  answer.index = message.index;
  answer.reject = true;
  answer.reject_hint = log_.last();
  if (!series_.rejects_by_end) {
    const EntryRef hint =
        log_.meeting_point(std::min(message.index, log_.last()), message.log_term);
    answer.reject_hint = hint.index;
    answer.log_term = hint.term;
  }
  send(std::move(answer));
  return {};
}

Result<void> Core::Impl::on_heartbeat(const Message& message) {
  if (message.commit > log_.last())
    return fail(Code::kInvalidArgument, "message_invalid", "commits what we never acknowledged");
  log_.commit_to(message.commit);
  Message answer{.type = MessageType::kHeartbeatResponse, .to = message.from};
  answer.read = message.read;
  send(std::move(answer));
  return {};
}

Result<void> Core::Impl::on_snapshot(const Message& message) {
  const SnapshotMeta& snapshot = *message.snapshot;
  const bool restored = restore(snapshot);
  emit({.kind = restored ? EventKind::kSnapshotRestored : EventKind::kSnapshotIgnored,
        .index = snapshot.index,
        .index_term = snapshot.term,
        .commit = log_.committed()});
  Message answer{.type = MessageType::kAppendResponse, .to = message.from};
  answer.index = restored ? log_.last() : log_.committed();
  if (BLX_BUG(kSnapshotForgetsTail)) {  // acknowledges what is not durable
    answer.from = id_;
    answer.term = term_;
    messages_.push_back(std::move(answer));
    return {};
  }
  send(std::move(answer));
  return {};
}

// False: it was ignored, as obsolete or as not for us.
bool Core::Impl::restore(const SnapshotMeta& snapshot) {
  if (snapshot.index <= log_.committed()) return false;
  const ConfState& configuration = snapshot.configuration;
  const bool for_us =
      contains(configuration.voters, id_) || contains(configuration.learners, id_) ||
      (contains(configuration.voters_outgoing, id_) && !series_.forgets_outgoing_voters);
  if (!for_us) {
    emit({.kind = EventKind::kSnapshotWithoutUs,
          .level = EventLevel::kWarning,
          .configuration = &configuration});
    return false;
  }
  const auto tell = [&](EventKind kind) {
    const EntryRef last = log_.last_entry();
    emit({.kind = kind,
          .index = snapshot.index,
          .index_term = snapshot.term,
          .other_index = last.index,
          .other_term = last.term,
          .commit = log_.committed()});
  };
  if (log_.term(snapshot.index) == snapshot.term) {
    tell(EventKind::kSnapshotFastForward);
    log_.commit_to(snapshot.index);
    return false;
  }
  // Before anything changes: a configuration that cannot be installed must leave no trace.
  Tracker fresh(config_.inflight_messages_max, config_.inflight_bytes_max);
  Result<Changed> changed = restore_conf_state(fresh, configuration, snapshot.index);
  if (!changed) return false;
  log_.restore(snapshot);
  switch_to(std::move(*changed));
  tell(EventKind::kSnapshotInstalled);
  return true;
}

}  // namespace blixard::raft
