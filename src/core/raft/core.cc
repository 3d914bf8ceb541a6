#include "core/raft/core.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "core/raft/configuration.h"
#include "core/raft/core_impl.h"
#include "core/raft/message_check.h"

namespace blixard::raft {
namespace {

// splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
std::uint64_t next_random(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15;
  std::uint64_t mixed = state;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

bool is_vote_request(MessageType type) {
  return type == MessageType::kVote || type == MessageType::kPreVote;
}

bool is_from_leader(MessageType type) {
  return type == MessageType::kAppend || type == MessageType::kHeartbeat ||
         type == MessageType::kSnapshot;
}

bool is_promise(MessageType type) {
  return type == MessageType::kAppendResponse || type == MessageType::kVoteResponse ||
         type == MessageType::kPreVoteResponse;
}

std::size_t inflight_messages(const Config& config) {
  return BLX_BUG(kUnboundedInflight) ? std::size_t{1} << 30 : config.inflight_messages_max;
}

std::size_t inflight_bytes(const Config& config) {
  return BLX_BUG(kUnboundedInflight) ? 0 : config.inflight_bytes_max;
}

bool is_usable(const Config& config) {
  return config.id && config.heartbeat_ticks > 0 &&
         config.election_ticks > config.heartbeat_ticks && config.election_ticks < (1 << 20) &&
         config.inflight_messages_max > 0 && (!config.lease_reads || config.check_quorum);
}

}  // namespace

Series Series::v3_4() {
  Series series;
  series.acknowledges_itself_at_once = true;
  series.votes_for_itself_at_once = true;
  series.answers_in_order = true;
  series.applies_behind_snapshot = true;
  series.campaigns_while_installing = true;
  series.rejects_by_end = true;
  series.ignores_equal_answer = true;
  series.resumes_when_unpaused = true;
  series.snapshot_must_arrive = true;
  series.skips_optional_snapshot = true;
  series.heartbeat_ends_no_probe = true;
  series.sends_to_itself = true;
  series.progress = ProgressRules::v3_4();
  series.active_by_check = true;
  series.ignores_joint_changes = true;
  series.transfer_campaigns_at_once = true;
  series.leaves_joint_by_itself = true;
  series.limits_empty_entries = true;
  series.transfers_to_demoted = true;
  series.forgets_outgoing_voters = true;
  series.forwards_in_own_name = true;
  series.read_answers_of_strangers = true;
  series.keeps_postponed_reads = true;
  series.singleton_reads_at_once = true;
  series.reads_wait_for_others = true;
  series.drops_quietly = true;
  return series;
}

Core::Impl::Impl(const Config& config, const Storage& storage, const Initial& initial,
                 EventSink* events)
    : config_(config),
      series_(config.series),
      id_(config.id),
      events_(events),
      log_(storage, config.committed_bytes_max, events),
      tracker_(inflight_messages(config), inflight_bytes(config)),
      term_(initial.hard_state.term),
      vote_(initial.hard_state.vote),
      random_(config.seed) {}

Result<void> Core::Impl::start(const Initial& initial) {
  BLX_TRY(Changed changed,
          restore_conf_state(tracker_, initial.configuration, next_of_new_members()));
  switch_to(std::move(changed));
  const LogIndex behind_snapshot = log_.committed();
  const LogIndex applied = std::max(initial.applied, behind_snapshot);
  // The commit index is not always durable before what it commits is applied.
  const LogIndex commit = std::max(initial.hard_state.commit, applied);
  if (commit > log_.last())
    return fail(Code::kDataLoss, "raft_state_invalid", "the log ends before the commit index");
  const std::optional<Term> last_term = log_.term(log_.last());
  if (!last_term) return fail(Code::kDataLoss, "raft_state_invalid", "the last term is unknown");
  if (initial.hard_state != HardState{} && *last_term > term_)
    return fail(Code::kDataLoss, "raft_state_invalid", "the log is of a later term than the vote");
  log_.load(commit, applied);
  become_follower(term_, NodeId());
  const EntryRef last = log_.last_entry();
  emit({.kind = EventKind::kStarted,
        .index = last.index,
        .index_term = last.term,
        .other_index = applied,
        .commit = commit,
        .configuration = &tracker_.configuration()});
  previous_soft_ = {leader_, role_};
  previous_hard_ = hard_state();
  return {};
}

void Core::Impl::emit(Event event) const {
  if (events_ == nullptr) return;
  event.self = id_;
  event.term = term_;
  events_->on_event(event);
}

void Core::Impl::tick() {
  if (role_ == Role::kLeader) {
    tick_heartbeat();
  } else {
    tick_election();
  }
}

Result<void> Core::Impl::receive(Message message) {
  if (Result<void> sound = check_message(message, id_); !sound) {
    emit({.kind = EventKind::kMessageRefused,
          .level = EventLevel::kWarning,
          .peer = message.from,
          .message_type = message.type,
          .message = &message});
    return sound;
  }
  const bool needs_member =
      is_response(message.type) && message.from != id_ &&
      !(series_.read_answers_of_strangers && message.type == MessageType::kReadIndexResponse);
  if (needs_member && tracker_.find(message.from) == nullptr)
    return fail(Code::kFailedPrecondition, "peer_unknown");
  return step(message);
}

Result<void> Core::Impl::step(Message& message) {
  if (!take_term(message)) return {};
  Result<void> result;
  switch (message.type) {
    case MessageType::kCampaign:
      hup(pre_vote() ? Campaign::kPreElection : Campaign::kElection);
      break;
    case MessageType::kVote:
    case MessageType::kPreVote:
      on_vote_request(message);
      break;
    default:
      if (role_ == Role::kLeader) {
        step_leader(message, result);
      } else if (role_ == Role::kFollower) {
        step_follower(message, result);
      } else {
        step_candidate(message, result);
      }
  }
  return result;
}

bool Core::Impl::take_term(const Message& message) {
  if (!message.term || message.term == term_) return true;
  if (message.term > term_) return take_higher_term(message);
  answer_lower_term(message);
  return false;
}

bool Core::Impl::take_higher_term(const Message& message) {
  if (is_vote_request(message.type)) {
    const bool in_lease = check_quorum() && leader_ && election_elapsed_ < config_.election_ticks;
    if (in_lease && !message.transfer) {
      emit_vote(EventKind::kLeaseHeld, message,
                static_cast<std::uint64_t>(config_.election_ticks - election_elapsed_));
      return false;
    }
  }
  // A pre-vote speaks of a term that nobody has begun; a granted one of the term we asked for.
  if (message.type == MessageType::kPreVote) return true;
  if (message.type == MessageType::kPreVoteResponse && !message.reject) return true;
  emit({.kind = EventKind::kHigherTerm,
        .peer = message.from,
        .message_type = message.type,
        .other_term = message.term});
  become_follower(message.term, is_from_leader(message.type) ? message.from : NodeId());
  return true;
}

void Core::Impl::answer_lower_term(const Message& message) {
  const bool from_old_leader =
      message.type == MessageType::kHeartbeat || message.type == MessageType::kAppend;
  if ((check_quorum() || pre_vote()) && from_old_leader) {
    // Its answer tells the old leader of our term: else we, who may not vote it out because of its
    // lease and do not follow it because of its term, would be stuck.
    send({.type = MessageType::kAppendResponse, .to = message.from});
  } else if (message.type == MessageType::kPreVote) {
    // Who asks with an old term must learn ours, or live nodes can deadlock.
    emit_vote(EventKind::kVoteDenied, message);
    send(
        {.type = MessageType::kPreVoteResponse, .to = message.from, .term = term_, .reject = true});
  } else {
    emit({.kind = EventKind::kLowerTermIgnored,
          .peer = message.from,
          .message_type = message.type,
          .other_term = message.term});
  }
}

void Core::Impl::send(Message message) {
  if (!message.from || series_.forwards_in_own_name) message.from = id_;
  if (!message.term && message.type != MessageType::kPropose &&
      message.type != MessageType::kReadIndex)
    message.term = term_;
  const bool waits = is_promise(message.type) && !series_.answers_in_order &&
                     !(BLX_BUG(kAnswersBeforeDurable) && message.to != id_);
  std::vector<Message>& queue = waits ? after_append_ : messages_;
  if (queue.capacity() == 0) queue.reserve(tracker_.progress().size());
  queue.push_back(std::move(message));
}

void Core::Impl::reset(Term term) {
  if (term_ != term) {
    term_ = term;
    vote_ = NodeId();
  }
  leader_ = NodeId();
  election_elapsed_ = 0;
  heartbeat_elapsed_ = 0;
  const auto ticks = static_cast<std::uint64_t>(config_.election_ticks);
  election_timeout_ = config_.election_ticks + static_cast<int>(next_random(random_) % ticks);
  transferee_ = NodeId();
  tracker_.reset_votes();
  const LogIndex last = log_.last();
  for (auto& [node, progress] : tracker_.progress()) {
    progress = tracker_.new_progress(last.next(), progress.is_learner);
    progress.recent_active = false;
    if (node == id_) progress.match = last;
  }
  pending_change_ = LogIndex();
  uncommitted_bytes_ = 0;
  waiting_.clear();
  drop_reads();
}

void Core::Impl::become_follower(Term term, NodeId leader) {
  reset(term);
  leader_ = leader;
  role_ = Role::kFollower;
  emit({.kind = EventKind::kBecameFollower});
}

Result<void> Core::Impl::propose(std::vector<Entry> entries) {
  if (entries.empty()) return {};
  Message message{.type = MessageType::kPropose, .from = id_};
  message.entries = std::move(entries);
  return step(message);
}

Status Core::Impl::status() const {
  return {.id = id_,
          .hard_state = hard_state(),
          .soft_state = {leader_, role_},
          .applied = log_.applied(),
          .last = log_.last(),
          .transferee = transferee_,
          .configuration = tracker_.configuration(),
          .progress = role_ == Role::kLeader ? &tracker_.progress() : nullptr};
}

Result<std::unique_ptr<Core>> Core::make(const Config& config, const Storage& storage,
                                         const Initial& initial, EventSink* events) {
  if (!is_usable(config)) return fail(Code::kInvalidArgument, "raft_config_invalid");
  if (!check_conf_state(initial.configuration))
    return fail(Code::kDataLoss, "raft_state_invalid", "a configuration that cannot be");
  if (storage.first().value == 0 || storage.first() > storage.last().next())
    return fail(Code::kDataLoss, "raft_state_invalid", "the log begins behind its end");
  auto impl = std::make_unique<Impl>(config, storage, initial, events);
  BLX_TRY(impl->start(initial));
  return std::unique_ptr<Core>(new Core(std::move(impl)));
}

Core::Core(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Core::~Core() = default;

void Core::tick() { impl_->tick(); }
Result<void> Core::step(Message message) { return impl_->receive(std::move(message)); }
Result<void> Core::propose(std::vector<Entry> entries) {
  return impl_->propose(std::move(entries));
}

Result<void> Core::propose(const ConfChange& change, EntryKind kind) {
  BLX_ASSERT(kind != EntryKind::kNormal);
  if (change.changes.size() > limits::kConfChanges ||
      change.context.size() > limits::kConfChangeContextBytes)
    return fail(Code::kInvalidArgument, "conf_change_invalid", "too large");
  std::vector<Entry> entries;
  entries.push_back({.term = {}, .index = {}, .kind = kind, .payload = encode_conf_change(change)});
  return impl_->propose(std::move(entries));
}

void Core::read_index(ReadId read) { impl_->read_index(read); }

Result<void> Core::campaign() {
  Message message{.type = MessageType::kCampaign};
  return impl_->step(message);
}

void Core::transfer_leader(NodeId to) {
  Message message{.type = MessageType::kTransferLeader, .from = to};
  ignore(impl_->step(message), "told by events");
}

Result<void> Core::forget_leader() {
  Message message{.type = MessageType::kForgetLeader};
  return impl_->step(message);
}

void Core::report_unreachable(NodeId node) {
  Message message{.type = MessageType::kUnreachable, .from = node};
  ignore(impl_->step(message), "told by events");
}

void Core::report_snapshot(NodeId node, bool succeeded) {
  Message message{.type = MessageType::kSnapshotStatus, .from = node};
  message.reject = !succeeded;
  ignore(impl_->step(message), "told by events");
}

void Core::entries_loaded() { impl_->entries_loaded(); }
void Core::appended(const AppendMark& mark) { impl_->appended(mark); }
void Core::applied(LogIndex index) { impl_->applied(index); }
Result<ConfState> Core::apply_conf_change(const ConfChange& change) {
  return impl_->apply_change(change);
}
bool Core::has_output() const { return impl_->has_output(); }
Output Core::take_output() { return impl_->take_output(); }
void Core::recycle(Output used) { impl_->recycle(std::move(used)); }
Status Core::status() const { return impl_->status(); }
NodeId Core::id() const { return impl_->id(); }
Term Core::term() const { return impl_->term(); }
NodeId Core::leader() const { return impl_->leader(); }
Role Core::role() const { return impl_->role(); }
LogIndex Core::commit() const { return impl_->log().committed(); }
bool Core::installs_snapshot() const { return impl_->log().installs_snapshot(); }
LogIndex Core::last_index() const { return impl_->log().last(); }
std::vector<LogIndex> Core::entries_wanted() const { return impl_->entries_wanted(); }
void Core::set_election_timeout(int ticks) { impl_->set_election_timeout(ticks); }
int Core::election_timeout() const { return impl_->election_timeout(); }

}  // namespace blixard::raft
