#include "node/replica/raft_replica.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "core/raft/conf_change.h"
#include "core/raft/configuration.h"
#include "env/failpoint.h"
#include "observe/allocations.h"

namespace blixard::replica {
namespace {

// A leader that removed itself may be the only one who knows: of two, the other one cannot lead
// without its vote before it knows too, and then tells it to go.
constexpr Duration kRemovedLeaderStays = 10min;

std::string_view role_name(raft::Role role) {
  switch (role) {
    case raft::Role::kFollower:
      return "follower";
    case raft::Role::kPreCandidate:
    case raft::Role::kCandidate:
      return "candidate";
    case raft::Role::kLeader:
      return "leader";
  }
  return "?";
}

bool is_only_voter(const raft::ConfState& configuration, NodeId node) {
  return raft::all_voters(configuration) == std::vector<NodeId>{node};
}

log::Options log_options(Options options) {
  options.log.entry_bytes_max = limits::kCommandBytes;
  return options.log;
}

}  // namespace

env::Task<Result<void>> bootstrap(env::Env env, std::string directory, const cluster::State& state,
                                  Options options) {
  BLX_CO_TRY(auto log, co_await log::Log::open(env, std::move(directory), log_options(options)));
  Result<void> done;
  if (log->snapshot() || log->last()) {
    done = fail(Code::kFailedPrecondition, "log_not_empty");
  } else {
    done = co_await log->save_snapshot({.index = LogIndex(1), .term = Term(1)}, state.encode(),
                                       LogIndex(2));
  }
  co_await log->close();
  co_return done;
}

env::Task<Result<std::unique_ptr<Replica>>> open_replica(env::Env env, std::string directory,
                                                         NodeId self, Options options,
                                                         peer::Peers& peers,
                                                         RequestHandler* requests) {
  BLX_CO_TRY(auto log, co_await log::Log::open(env, std::move(directory), log_options(options)));
  auto replica = std::make_unique<RaftReplica>(env, self, options, std::move(log), peers, requests);
  const auto started = co_await replica->start();
  if (!started) {
    co_await replica->stop();
    co_await peers.stop();  // they know the replica
    co_return std::unexpected(started.error());
  }
  co_return std::unique_ptr<Replica>(std::move(replica));
}

RaftReplica::RaftReplica(env::Env env, NodeId self, Options options, std::unique_ptr<log::Log> log,
                         peer::Peers& peers, RequestHandler* requests)
    : env_(env),
      self_(self),
      options_(options),
      log_(std::move(log)),
      peers_(peers),
      requests_(requests),
      machine_(env.clock),
      reads_(self, env.random.next()),
      driver_(env, options.tick, *log_, peers, *this),
      applied_signal_(env.executor),
      ended_(env.executor),
      pulse_(env.executor),
      scope_(env.executor, nullptr),
      saving_(env.executor, nullptr) {}

// Start.

env::Task<Result<void>> RaftReplica::start() {
  const observe::AllocationTag tag(observe::Subsystem::kReplica);
  raft::Initial initial;
  initial.hard_state = log_->recovered().hard_state;
  BLX_CO_TRY(co_await load_snapshot(initial));
  // A snapshot is installed before the hard state that follows from it is written.
  initial.hard_state.term = std::max(initial.hard_state.term, machine_.applied_term());
  initial.hard_state.commit = std::max(initial.hard_state.commit, initial.applied);
  const raft::Config config{.id = self_,
                            .seed = env_.random.next(),
                            .election_ticks = options_.election_ticks,
                            .forwards_proposals = false,
                            .pending_reads_max = limits::kReadRounds};
  BLX_CO_TRY(driver_.start(config, initial));
  if (options_.watch != nullptr) options_.watch->on_opened(status());
  peers_.set_handler(this);
  follow_members();
  BLX_CO_TRY(co_await catch_up());
  machine_.set_tracer(options_.tracer);  // what is read again left its spans when it happened
  co_return Result<void>();
}

env::Task<Result<void>> RaftReplica::load_snapshot(raft::Initial& initial) {
  const auto meta = log_->snapshot();
  if (!meta) {
    machine_.restore({}, {}, {});
    co_return Result<void>();
  }
  BLX_CO_TRY(const std::string content, co_await log_->load_snapshot());
  BLX_CO_TRY(cluster::State state, cluster::State::decode(content));
  initial.configuration = state.configuration();
  initial.applied = meta->index;
  driver_.view().set_snapshot({meta->index, meta->term, state.configuration()});
  machine_.restore(std::move(state), meta->index, meta->term);
  tell_restored();
  co_return Result<void>();
}

// What was committed is applied; the only voter also leads, since nobody else can be asked.
env::Task<Result<void>> RaftReplica::catch_up() {
  const LogIndex commit = log_->recovered().hard_state.commit;
  while (!end_ && machine_.applied() < commit)
    co_await pulse();
  if (!end_ && is_only_voter(machine_.state().configuration(), self_)) {
    ignore(driver_.core().campaign(), "the next election timeout does it again");
    driver_.wake();
    while (!end_ && !(is_leader() && machine_.applied_term() == driver_.core().term()))
      co_await pulse();
  }
  if (end_) co_return std::unexpected(*end_);
  co_return Result<void>();
}

env::Task<void> RaftReplica::pulse() {
  ignore(co_await pulse_.wait().under(scope_.cancellation()), "whoever waits looks at the state");
}

// Application.

void RaftReplica::on_committed(const std::vector<raft::Entry>& entries) {
  for (const raft::Entry& entry : entries) {
    if (!apply(entry)) return;
  }
  if (machine_.take_nodes_changed()) follow_members();
  driver_.core().applied(machine_.applied());
  reads_.applied(machine_.applied());
  applied_signal_.notify_all();
  pulse_.notify_all();
  snapshot_if_due();
}

bool RaftReplica::apply(const raft::Entry& entry) {
  // What cannot be applied must not be passed over: the node ends, and begins with it again.
  if (auto error = BLX_FAILPOINT_ERROR("raft::apply_entry", kDataLoss, "command_invalid")) {
    end(*std::move(error));
    return false;
  }
  const Position position{entry.term, entry.index};
  Proposal* proposal = proposals_.take(position);
  traced_.committed(position);
  Result<cluster::Outcome> outcome = cluster::Outcome{.index = entry.index};
  if (entry.kind != raft::EntryKind::kNormal) {
    outcome = apply_change(entry);
  } else if (!entry.payload.empty()) {
    outcome = machine_.apply(entry, proposal != nullptr ? proposal->command : nullptr);
  } else {
    // The core makes an empty entry of a change that may not be now.
    machine_.skip(entry);
    outcome = fail(Code::kFailedPrecondition, "change_in_progress");
  }
  const bool fatal = !outcome && StateMachine::is_fatal(outcome.error());
  if (options_.watch != nullptr && !fatal) {
    options_.watch->on_applied(machine_.state(), entry, outcome);
  }
  if (proposals_.keeps_outcomes()) proposals_.keep(position, outcome);
  if (fatal) {
    end(outcome.error());
  } else {
    options_.instruments.applied_commands[outcome ? Applied::kAccepted : Applied::kRefused].add();
  }
  if (proposal != nullptr) proposal->done.complete(std::move(outcome));
  return !fatal;
}

Result<cluster::Outcome> RaftReplica::apply_change(const raft::Entry& entry) {
  const auto unreadable = [&](std::string_view why) {
    return fail(Code::kDataLoss, "command_invalid",
                fmt::format("entry {} of the log cannot be applied: {}", entry.index.value, why));
  };
  if (entry.kind != raft::EntryKind::kConfiguration &&
      entry.kind != raft::EntryKind::kConfigurationV1) {
    return fail(Code::kFailedPrecondition, "model_too_new",
                fmt::format("entry {} of the log is of the unknown kind {}: start the newer "
                            "program again",
                            entry.index.value, static_cast<int>(entry.kind)));
  }
  const auto change = raft::decode_conf_change(entry.payload.view());
  if (!change) return unreadable(change.error().message());
  const bool led = driver_.core().is_leader();
  const auto configuration = driver_.core().apply_conf_change(*change);
  if (!configuration) return unreadable(configuration.error().message());
  const bool was_member = machine_.state().membership(self_) != cluster::Membership::kNone;
  auto outcome = machine_.apply(entry, *configuration, change->context.view());
  const bool is_member = machine_.state().membership(self_) != cluster::Membership::kNone;
  if (is_member) {
    removed_.reset();
  } else if (was_member) {
    removed_ = now() + (led ? kRemovedLeaderStays : Duration());
  }
  return outcome;
}

Result<std::vector<cluster::Change>> RaftReplica::changes(std::uint64_t since) const {
  if (env_.rare.happens(env::RareSite::kChangesCompacted)) {
    return fail(Code::kFailedPrecondition, "revision_compacted");
  }
  return machine_.changes().after(since);
}

void RaftReplica::tell_restored() const {
  if (options_.watch == nullptr) return;
  options_.watch->on_restored(machine_.state(), machine_.applied(), machine_.applied_term());
}

// Whoever may come to lead speaks to every node, and so every node to it; two workers never have
// anything to say to each other.
std::string_view RaftReplica::dialled(const cluster::Members& members, NodeId id) const {
  const auto is_worker = [](const cluster::Member* member) {
    return member != nullptr && member->peer->role == cluster::NodeRole::kWorker;
  };
  const cluster::Member* member = members.find(id);
  if (member == nullptr || id == self_) return {};
  if (is_worker(member) && is_worker(members.find(self_))) return {};
  return member->peer->address;
}

// Once for each batch of entries, so that a change is seen whole and the view published once.
void RaftReplica::follow_members() {
  const cluster::Members before = view_.members();
  if (!view_.follow(machine_.state())) return;
  const cluster::Members& members = view_.members();
  for (const cluster::Member& member : members) {
    const std::string_view address = dialled(members, member.peer->id);
    if (address.empty() || address == dialled(before, member.peer->id)) continue;
    if (const auto endpoint = env::Endpoint::parse(address)) {
      peers_.set_peer(member.peer->id, *endpoint);
    } else {
      BLX_LOG(env_.log, kWarn, "replica: node {} cannot be reached: {}", member.peer->id.value,
              endpoint.error().message());
    }
  }
  for (const cluster::Member& member : before) {
    const NodeId id = member.peer->id;
    if (members.find(id) == nullptr && !dialled(before, id).empty()) peers_.remove_peer(id);
  }
  // Also of whom this node was told when it entered, and who was gone before it heard of it; not of
  // those who joined since, whom it will hear of.
  for (const peer::PeerStatus& peer : peers_.status()) {
    if (machine_.state().was_removed(peer.node)) peers_.remove_peer(peer.node);
  }
}

void RaftReplica::on_role(const raft::SoftState& state) {
  const bool was_leader = role_.role == raft::Role::kLeader;
  const bool is_leader_now = state.role == raft::Role::kLeader;
  if (was_leader != is_leader_now || state.leader != role_.leader) {
    BLX_LOG(env_.log, kInfo, "replica: node {} is {} in term {}, led by {}", self_.value,
            role_name(state.role), driver_.core().term().value,
            state.leader ? fmt::format("node {}", state.leader.value) : "nobody");
  } else {
    BLX_LOG(env_.log, kDebug, "replica: node {} is {} in term {}", self_.value,
            role_name(state.role), driver_.core().term().value);
  }
  const Instruments& counted = options_.instruments;
  if (state.leader && state.leader != last_leader_) counted.leader_changes.add();
  if (state.leader) last_leader_ = state.leader;
  if (state.role == raft::Role::kCandidate) counted.elections.add();
  role_ = state;
  // A round that the old leader will not answer.
  if (state.leader) {
    if (const auto read = reads_.ask_again()) driver_.core().read_index(*read);
  }
  applied_signal_.notify_all();
  pulse_.notify_all();
}

void RaftReplica::on_tick() {
  expire_proposals();
  const bool led = static_cast<bool>(driver_.core().leader());
  reads_.expire(now(), led ? Error(Code::kDeadlineExceeded, "no_quorum")
                           : Error(Code::kUnavailable, "no_leader"));
  if (const auto read = reads_.ask_again()) driver_.core().read_index(*read);
  warn_of_slow_commits();
  end_if_removed();
  pulse_.notify_all();
}

// The end.

// A tick later: a leader that removed itself has by then told the others so.
void RaftReplica::end_if_removed() {
  if (removed_ && now() - *removed_ >= options_.tick) end(Error(Code::kUnavailable, "removed"));
}

void RaftReplica::on_log_failed(const Error& error) {
  end(Error(Code::kUnavailable, "log_failed", error.message()));
}

void RaftReplica::end(Error why) {
  if (end_) return;
  end_.emplace(std::move(why));
  for (Proposal* proposal : std::exchange(queued_, {}))
    proposal->done.complete(std::unexpected(*end_));
  proposals_.expire([&](const Proposal&) { return end_; });
  reads_.refuse_all(*end_);
  driver_.halt();
  scope_.cancel();
  ended_.notify_all();
  applied_signal_.notify_all();
  pulse_.notify_all();
}

env::Task<Result<void>> RaftReplica::failed() {
  const Call call(*this);
  while (!end_)
    BLX_CO_TRY(co_await ended_.wait());
  co_return std::unexpected(*end_);
}

env::Task<void> RaftReplica::stop() { co_await leave().under(uncut_); }

env::Task<void> RaftReplica::leave() {
  draining_ = true;
  const Instant deadline = now() + election_timeout();
  while (!end_ && in_flight_ > 0 && now() < deadline)
    co_await pulse();
  if (!end_ && driver_.running() && is_leader() &&
      !is_only_voter(driver_.core().status().configuration, self_)) {
    const auto transferred = co_await transfer_leader(NodeId());
    if (!transferred) {
      BLX_LOG(env_.log, kInfo, "replica: leadership is not handed over: {}",
              transferred.error().message());
    }
  }
  end(Error(Code::kUnavailable, "stopped"));
  co_await scope_.join();
  co_await saving_.join();
  co_await driver_.stop();
  while (calls_ > 0) {
    if (!co_await pulse_.wait()) break;
  }
  received_.reset();
  co_await log_->close();
}

Status RaftReplica::status() const {
  const raft::Status status = driver_.core().status();
  const auto snapshot = log_->snapshot();
  return {.self = self_,
          .leader = end_ ? NodeId() : status.soft_state.leader,
          .role = end_ ? raft::Role::kFollower : status.soft_state.role,
          .term = status.hard_state.term,
          .last = status.last,
          .commit = status.hard_state.commit,
          .applied = machine_.applied(),
          .snapshot = snapshot ? snapshot->index : LogIndex(),
          .configuration = status.configuration,
          .proposals_in_flight = in_flight_,
          .appends_waiting = driver_.appends_waiting(),
          .read_rounds = reads_.rounds(),
          .failed = log_->failed()};
}

}  // namespace blixard::replica
