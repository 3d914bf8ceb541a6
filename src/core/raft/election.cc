// Elections: who campaigns, who votes for whom (paper, section 5.2; thesis, sections 4.2.3 and
// 9.6).

#include <algorithm>

#include "base/assert.h"
#include "core/raft/configuration.h"
#include "core/raft/core_impl.h"

namespace blixard::raft {
namespace {

constexpr std::size_t kScanBytes = std::size_t{1} << 20;

MessageType response_of(MessageType request) {
  return request == MessageType::kVote ? MessageType::kVoteResponse : MessageType::kPreVoteResponse;
}

}  // namespace

void Core::Impl::tick_election() {
  ++election_elapsed_;
  if (!promotable() || election_elapsed_ < election_timeout_) return;
  election_elapsed_ = 0;
  hup(pre_vote() ? Campaign::kPreElection : Campaign::kElection);
}

bool Core::Impl::promotable() const {
  const Progress* self = tracker_.find(id_);
  if (self == nullptr || self->is_learner) return false;
  return series_.campaigns_while_installing || !log_.installs_snapshot();
}

// Whoever leads without having applied a committed change would count by an old configuration.
std::size_t Core::Impl::unapplied_changes() const {
  std::size_t found = 0;
  LogIndex next = std::max(log_.applied().next(), log_.first());
  while (next <= log_.committed()) {
    std::vector<Entry> entries;
    if (log_.slice(next, log_.committed(), kScanBytes, entries) != Storage::Fetch::kFound)
      return found + 1;  // not known: as if there were one
    for (const Entry& entry : entries) {
      if (entry.kind == EntryKind::kConfigurationV1) ++found;
      if (entry.kind == EntryKind::kConfiguration && !series_.ignores_joint_changes) ++found;
    }
    next = entries.back().index.next();
  }
  return found;
}

void Core::Impl::hup(Campaign kind) {
  if (role_ == Role::kLeader)
    return emit({.kind = EventKind::kAlreadyLeader, .level = EventLevel::kDebug});
  if (!promotable()) return emit({.kind = EventKind::kUnpromotable, .level = EventLevel::kWarning});
  if (const std::size_t changes = unapplied_changes(); changes > 0) {
    return emit(
        {.kind = EventKind::kCampaignBlocked, .level = EventLevel::kWarning, .count = changes});
  }
  emit({.kind = EventKind::kElectionStarted});
  campaign(kind);
}

void Core::Impl::campaign(Campaign kind) {
  MessageType request = MessageType::kVote;
  Term term;
  if (kind == Campaign::kPreElection) {
    become_pre_candidate();
    request = MessageType::kPreVote;
    term = term_.next();  // not begun: asking changes nothing
  } else {
    become_candidate();
    term = term_;
  }
  if (series_.votes_for_itself_at_once &&
      poll(id_, response_of(request), true, false) == VoteResult::kWon) {
    if (kind == Campaign::kPreElection) return campaign(Campaign::kElection);
    return become_leader();
  }
  request_votes(kind, request, term);
}

void Core::Impl::request_votes(Campaign kind, MessageType type, Term term) {
  const EntryRef last = log_.last_entry();
  for (const NodeId node : all_voters(tracker_.configuration())) {
    if (node == id_) {
      // Our own vote counts once it is durable, like any other.
      if (!series_.votes_for_itself_at_once)
        send({.type = response_of(type), .to = id_, .term = term});
      continue;
    }
    emit({.kind = EventKind::kVoteRequested,
          .peer = node,
          .message_type = type,
          .index = last.index,
          .index_term = last.term});
    Message message{.type = type, .to = node, .term = term};
    message.log_term = last.term;
    message.index = last.index;
    message.transfer = kind == Campaign::kTransfer;
    send(std::move(message));
  }
}

VoteResult Core::Impl::poll(NodeId node, MessageType type, bool granted, bool tell) {
  emit({.kind = granted ? EventKind::kVoteReceived : EventKind::kVoteRefused,
        .peer = node,
        .message_type = type});
  tracker_.record_vote(node, granted);
  const Tracker::Tally tally = tracker_.tally();
  if (tell) {
    emit({.kind = EventKind::kVoteTally,
          .message_type = type,
          .count = tally.granted,
          .other_count = tally.refused});
  }
  return tally.result;
}

void Core::Impl::on_vote_request(const Message& message) {
  const bool is_pre_vote = message.type == MessageType::kPreVote;
  bool may_vote = vote_ == message.from ||                // as we did already
                  (!vote_ && !leader_) ||                 // nobody leads this term
                  (is_pre_vote && message.term > term_);  // a term to come
  // A learner votes: it may have been promoted by a change that has not reached it, and then the
  // others need its vote.
  if (BLX_BUG(kLearnerRefusesVote)) {
    const Progress* self = tracker_.find(id_);
    may_vote = may_vote && self != nullptr && !self->is_learner;
  }
  Message answer{.type = response_of(message.type), .to = message.from};
  if (!may_vote || !log_.is_up_to_date({message.index, message.log_term})) {
    emit_vote(EventKind::kVoteDenied, message);
    answer.term = term_;
    answer.reject = true;
    return send(std::move(answer));
  }
  emit_vote(EventKind::kVoteCast, message);
  answer.term = message.term;  // of a pre-vote: else the candidate would take it for an old one
  send(std::move(answer));
  if (is_pre_vote) return;
  election_elapsed_ = 0;
  vote_ = message.from;
}

void Core::Impl::on_vote_response(const Message& message) {
  switch (poll(message.from, message.type, !message.reject, true)) {
    case VoteResult::kWon:
      if (role_ == Role::kPreCandidate) return campaign(Campaign::kElection);
      // Removed since it asked, which only series 3.4 lets happen: it ends here then.
      if (tracker_.find(id_) == nullptr) return become_follower(term_, NodeId());
      // Not before the own vote, and with it the term, is durable: after a crash this node could
      // begin the same term again, get the same votes and lead it with other entries.
      if (!tracker_.votes().contains(id_)) return;
      become_leader();
      return broadcast_appends();
    case VoteResult::kLost:
      return become_follower(term_, NodeId());
    case VoteResult::kPending:
      return;
  }
}

void Core::Impl::step_candidate(Message& message, Result<void>& result) {
  const MessageType awaited =
      role_ == Role::kPreCandidate ? MessageType::kPreVoteResponse : MessageType::kVoteResponse;
  if (message.type == awaited) return on_vote_response(message);
  switch (message.type) {
    case MessageType::kPropose:
      emit({.kind = EventKind::kProposalNoLeader});
      result = fail(Code::kUnavailable, "proposal_dropped");
      return;
    case MessageType::kAppend:
    case MessageType::kHeartbeat:
    case MessageType::kSnapshot:
      become_follower(message.term, message.from);
      return step_follower(message, result);
    case MessageType::kReadIndex:
      return refuse_read(message.from, message.read);
    case MessageType::kTimeoutNow:
      return emit({.kind = EventKind::kTimeoutNowIgnored,
                   .level = EventLevel::kDebug,
                   .peer = message.from,
                   .role = role_});
    default:
      return;
  }
}

void Core::Impl::become_candidate() {
  BLX_ASSERT(role_ != Role::kLeader);
  reset(term_.next());
  vote_ = id_;
  role_ = Role::kCandidate;
  emit({.kind = EventKind::kBecameCandidate});
}

void Core::Impl::become_pre_candidate() {
  BLX_ASSERT(role_ != Role::kLeader);
  tracker_.reset_votes();
  leader_ = NodeId();
  role_ = Role::kPreCandidate;
  emit({.kind = EventKind::kBecamePreCandidate});
}

void Core::Impl::become_leader() {
  BLX_ASSERT(role_ != Role::kFollower);
  reset(term_);
  leader_ = id_;
  role_ = Role::kLeader;
  Progress* self = tracker_.find(id_);
  BLX_ASSERT(self != nullptr);
  self->become_replicate();
  if (!series_.active_by_check) self->recent_active = true;
  // There may be a change in what is not applied yet; to look for it could take long.
  pending_change_ = log_.last();
  // The first entry of the own term: what came before is committed with it (paper, 5.4.2).
  const bool taken = append_own(std::vector<Entry>(1));
  BLX_ASSERT(taken);
  emit({.kind = EventKind::kBecameLeader});
}

void Core::Impl::emit_vote(EventKind kind, const Message& message, std::uint64_t ticks) const {
  if (events_ == nullptr) return;
  const EntryRef last = log_.last_entry();
  emit({.kind = kind,
        .peer = message.from,
        .message_type = message.type,
        .index = last.index,
        .index_term = last.term,
        .other_index = message.index,
        .other_term = message.log_term,
        .vote = vote_,
        .count = ticks});
}

}  // namespace blixard::raft
