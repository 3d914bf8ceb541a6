// Proposals and reads.

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/bug.h"
#include "base/limits.h"
#include "core/raft/quorum.h"
#include "env/failpoint.h"
#include "node/replica/raft_replica.h"
#include "node/replica/rights.h"
#include "node/trace/command_trace.h"
#include "observe/allocations.h"

namespace blixard::replica {
namespace {

// Half of the log's own bound leaves room for what its records add.
constexpr std::size_t kBatchBytes = limits::kLogBatchBytes / 2;
constexpr Duration kSlowCommit = 1s;
constexpr Duration kSlowCommitInterval = 10s;  // between two lines about it

constexpr const char* kNotLeader = "not_leader";

Error not_committed() { return {Code::kDeadlineExceeded, "not_committed"}; }
Error no_leader() { return {Code::kUnavailable, "no_leader"}; }

// What was begun came to nothing: the command is part again of what it was part of before.
void take_back(trace::ActiveSpan& span, v1::Command& command, const trace::TraceContext& before) {
  if (!span.is_recorded()) return;
  span.drop();
  trace::move_trace(command, before);
}

}  // namespace

env::Task<Result<cluster::Outcome>> RaftReplica::propose(v1::Command command) {
  const observe::AllocationTag tag(observe::Subsystem::kReplica);
  const Call call(*this);
  const Instant begun = now();
  trace::ActiveSpan span = begin_span(command, trace::propose_name(command));
  auto outcome = co_await propose_until_applied(command);
  span.end(outcome);
  const Instruments& counted = options_.instruments;
  counted.proposals.add();
  if (!outcome) counted.proposals_failed[failure_of(outcome.error())].add();
  counted.proposal_duration.observe(now() - begun);
  co_return outcome;
}

env::Task<Result<cluster::Outcome>> RaftReplica::propose_until_applied(v1::Command& command) {
  BLX_CO_FAILPOINT(env_, "raft::propose", kUnavailable, "no_leader");
  if (end_) co_return std::unexpected(*end_);
  BLX_CO_TRY(const std::size_t bytes, stamp(command));
  const trace::TraceContext context = trace::context_of(command);
  const Instant begun = now();
  do {
    BLX_CO_TRY(refusal(bytes));
    if (driver_.core().is_leader()) {
      if (driver_.disk_full()) co_return fail(Code::kResourceExhausted, "disk_full");
      Proposal proposal(env_.executor);
      proposal.command = &command;
      proposal.bytes = bytes;
      proposal.begun = begun;
      proposal.deadline = begun + limits::kProposalTimeout;
      proposal.span = begin_span(command, "raft.replicate");
      queued_.push_back(&proposal);
      ++in_flight_;
      in_flight_bytes_ += bytes;
      driver_.wake();
      auto answer = co_await proposal.done;
      --in_flight_;
      in_flight_bytes_ -= bytes;
      if (answer || answer.error().reason() != kNotLeader) {
        proposal.span.end(answer);
        co_return answer;
      }
      take_back(proposal.span, command, context);
    } else if (const NodeId leader = driver_.core().leader()) {
      bool taken = true;
      trace::ActiveSpan span = begin_span(command, "raft.forward");
      span.set("blixard.raft.leader", leader.value);
      ++in_flight_;
      in_flight_bytes_ += bytes;
      auto answer = co_await ask_leader(peer::RequestKind::kPropose, command.SerializeAsString(),
                                        begun + limits::kProposalTimeout, taken);
      --in_flight_;
      in_flight_bytes_ -= bytes;
      if (taken) {
        span.end(answer);
        co_return answer;
      }
      take_back(span, command, context);
    }
    if (!end_) co_await pulse();
  } while (now() - begun < election_timeout());
  if (end_) co_return std::unexpected(*end_);
  co_return std::unexpected(no_leader());
}

// What replay would refuse must not get into the log. Returns the command's size.
Result<std::size_t> RaftReplica::stamp(v1::Command& command) const {
  command.set_version(BLX_BUG(kSpeaksItsOwnVersion) ? cluster::kModelVersion
                                                    : machine_.state().model_version());
  command.set_time_unix_ms(env_.clock.wall().unix_ms);
  cluster::fit_to_version(command);
  if (command.version() < cluster::required_version(command)) {
    return fail(Code::kFailedPrecondition, "model_too_old",
                fmt::format("not until all nodes run this version: they speak model version {}, "
                            "this needs {}",
                            command.version(), cluster::required_version(command)));
  }
  const bool is_sound = !command.has_trace() || trace::context_of(command).is_traced();
  if (!is_sound) command.clear_trace();
  std::size_t bytes = command.ByteSizeLong();
  if (bytes > limits::kCommandBytes && command.has_trace()) {
    command.clear_trace();
    bytes = command.ByteSizeLong();
  }
  if (bytes > limits::kCommandBytes) return fail(Code::kInvalidArgument, "command_too_large");
  if (const auto checked = cluster::check_command(command, bytes); !checked) {
    return fail(Code::kInvalidArgument, "command_invalid", checked.error().message());
  }
  return bytes;
}

trace::ActiveSpan RaftReplica::begin_span(v1::Command& command, const char* name) const {
  trace::ActiveSpan span = trace::begin(options_.tracer, trace::context_of(command), name);
  if (span.is_recorded()) trace::move_trace(command, span.context());
  return span;
}

Result<void> RaftReplica::refusal(std::size_t bytes) const {
  if (end_) return std::unexpected(*end_);
  if (draining_) return fail(Code::kUnavailable, "stopped");
  if (in_flight_ >= limits::kProposalsInFlight ||
      in_flight_bytes_ + bytes > limits::kProposalBytesInFlight) {
    return fail(Code::kResourceExhausted, "too_many_proposals");
  }
  return {};
}

// Into the core.

void RaftReplica::feed(raft::Core& core) {
  if (!queued_.empty()) place_queued(core);
  if (const auto read = reads_.begin_round()) core.read_index(*read);
}

void RaftReplica::place_queued(raft::Core& core) {
  for (std::size_t placed = 0; placed < queued_.size();)
    placed += place_some(core, placed);
  queued_.clear();
}

// One buffer holds the commands of all the entries, each encoded once.
std::size_t RaftReplica::place_some(raft::Core& core, std::size_t first) {
  std::size_t count = 0;
  std::size_t bytes = 0;
  while (first + count < queued_.size()) {
    bytes += queued_[first + count]->bytes;
    if (count > 0 && bytes > kBatchBytes) {
      bytes -= queued_[first + count]->bytes;
      break;
    }
    ++count;
  }
  auto buffer = std::make_shared<std::string>();
  std::vector<raft::Entry> entries(count);
  if (core.is_leader()) {
    buffer->resize(bytes);
    char* at = buffer->data();
    for (std::size_t i = 0; i < count; ++i) {
      const Proposal& proposal = *queued_[first + i];
      proposal.command->SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(at));
      entries[i].payload = Payload(buffer, std::string_view(at, proposal.bytes));
      at += proposal.bytes;
    }
  }
  const bool taken = core.is_leader() && !env_.rare.happens(env::RareSite::kProposalQueueFull) &&
                     core.propose(std::move(entries)).has_value();
  // A transfer is under way, or leadership is lost; or else more is uncommitted than may be.
  const bool full = !taken && core.is_leader() && !core.status().transferee;
  if (taken) options_.instruments.batch_commands.observe(count);
  LogIndex index(core.last_index().value - count);
  for (std::size_t i = 0; i < count; ++i) {
    Proposal& proposal = *queued_[first + i];
    if (!taken) {
      proposal.done.complete(full ? fail(Code::kResourceExhausted, "too_many_proposals")
                                  : fail(Code::kUnavailable, kNotLeader));
      continue;
    }
    index = index.next();
    proposal.position = {core.term(), index};
    traced_.placed(proposal.position, std::move(proposal.span));
    const bool hurries = BLX_BUG(kAnswersWhenPlaced) && proposal.command->has_set_desired();
    if (proposal.answer_placed || hurries) {
      proposal.done.complete(cluster::Outcome{.index = index});
    } else {
      proposals_.track(proposal);
    }
  }
  return count;
}

// For and by others.

env::Task<Result<cluster::Outcome>> RaftReplica::ask_leader(peer::RequestKind kind,
                                                            std::string body, Instant deadline,
                                                            bool& taken) {
  const NodeId leader = driver_.core().leader();
  proposals_.expect();
  auto reply =
      co_await peers_.request(leader, kind, std::move(body), deadline).under(scope_.cancellation());
  if (reply && env_.rare.happens(env::RareSite::kForwardAnswerLost)) {
    reply = fail(Code::kUnavailable, "peer_unreachable");
  }
  Result<Position> position = fail(Code::kUnavailable, "leader_unreachable");
  if (reply) position = decode_position(*reply);
  std::optional<Result<cluster::Outcome>> answer;
  if (position && position->index <= machine_.applied()) {
    answer = proposals_.kept(*position).value_or(fail(Code::kUnavailable, "leadership_lost"));
  }
  proposals_.expected();
  if (end_) co_return std::unexpected(*end_);
  if (!reply) {
    const Error& error = reply.error();
    taken = error.reason() != kNotLeader;
    const bool unknown = error.code() == Code::kDeadlineExceeded ||
                         error.reason() == "peer_unreachable" ||
                         error.reason() == "peer_queue_full" || error.code() == Code::kCancelled;
    if (unknown) {
      co_return fail(Code::kUnavailable, "leader_unreachable", error.message());
    }
    co_return std::unexpected(error);
  }
  if (answer) co_return std::move(*answer);
  if (!position) co_return std::unexpected(position.error());
  co_return co_await applied_at(*position, deadline);
}

env::Task<Result<cluster::Outcome>> RaftReplica::applied_at(Position position, Instant deadline) {
  // No entry of an earlier term comes behind one of a later (log matching).
  if (position.term < machine_.applied_term()) {
    co_return fail(Code::kUnavailable, "leadership_lost");
  }
  Proposal waiting(env_.executor);
  waiting.begun = now();
  waiting.deadline = deadline;
  waiting.position = position;
  proposals_.track(waiting);
  co_return co_await waiting.done;
}

env::Task<Result<std::string>> RaftReplica::propose_for_other(NodeId from, Payload body) {
  v1::Command command;
  if (body.size() > limits::kCommandBytes ||
      !command.ParseFromArray(body.view().data(), static_cast<int>(body.size()))) {
    co_return fail(Code::kInvalidArgument, "command_invalid");
  }
  BLX_CO_TRY(const std::size_t bytes, stamp(command));
  BLX_CO_TRY(refusal(bytes));
  if (!driver_.core().is_leader()) co_return fail(Code::kUnavailable, kNotLeader);
  BLX_CO_TRY(may_propose(machine_.state(), from, command));
  if (driver_.disk_full()) co_return fail(Code::kResourceExhausted, "disk_full");
  Proposal proposal(env_.executor);
  proposal.command = &command;
  proposal.bytes = bytes;
  proposal.answer_placed = true;
  proposal.span = begin_span(command, "raft.replicate");
  queued_.push_back(&proposal);
  driver_.wake();
  const auto placed = co_await proposal.done;
  proposal.span.end(placed);
  if (!placed) co_return std::unexpected(placed.error());
  co_return encode(proposal.position);
}

// Waiting.

void RaftReplica::expire_proposals() {
  if (proposals_.empty()) return;
  const Instant at = now();
  const bool leaderless = !driver_.core().leader();
  const bool cut_off = leaderless || !quorum_heard();
  proposals_.expire([&](const Proposal& proposal) -> std::optional<Error> {
    if (at >= proposal.deadline) return not_committed();
    if (!cut_off || at - proposal.begun < election_timeout()) return std::nullopt;
    if (leaderless) return Error(Code::kUnavailable, "leadership_lost");
    return not_committed();
  });
}

bool RaftReplica::is_heard(NodeId node) const {
  const auto heard = heard_.find(node);
  return node == self_ || (heard != heard_.end() && heard->second + election_timeout() >= now());
}

// A follower hears of its leader only.
bool RaftReplica::quorum_heard() const {
  if (!driver_.core().is_leader()) return true;
  const auto most = [&](const std::vector<NodeId>& voters) {
    const auto heard = std::ranges::count_if(voters, [&](NodeId voter) { return is_heard(voter); });
    return voters.empty() || static_cast<std::size_t>(heard) > voters.size() / 2;
  };
  const raft::ConfState& configuration = machine_.state().configuration();
  return most(configuration.voters) && most(configuration.voters_outgoing);
}

void RaftReplica::warn_of_slow_commits() {
  const Proposal* oldest = proposals_.oldest();
  if (oldest == nullptr || now() - oldest->begun < kSlowCommit ||
      now() < slow_warned_ + kSlowCommitInterval) {
    return;
  }
  slow_warned_ = now();
  BLX_LOG(env_.log, kWarn, "replica: entry {} waits for a quorum since {} ms",
          oldest->position.index.value, (now() - oldest->begun) / 1ms);
}

// Reads.

env::Task<Result<void>> RaftReplica::read_barrier() {
  const observe::AllocationTag tag(observe::Subsystem::kReplica);
  const Call call(*this);
  BLX_CO_FAILPOINT(env_, "raft::read_barrier", kUnavailable, "no_leader");
  if (end_) co_return std::unexpected(*end_);
  if (draining_) co_return fail(Code::kUnavailable, "stopped");
  if (reads_.size() >= limits::kReadsInFlight) {
    co_return fail(Code::kResourceExhausted, "too_many_reads");
  }
  Read read(env_.executor);
  read.deadline = now() + election_timeout();
  reads_.add(read);
  driver_.wake();
  const Instant begun = now();
  const auto done = co_await read.done;
  const Instruments& counted = options_.instruments;
  counted.reads[done ? ReadOutcome::kConfirmed : ReadOutcome::kFailed].add();
  counted.read_duration.observe(now() - begun);
  co_return done;
}

void RaftReplica::on_read(const raft::ReadState& read) {
  // The next tick asks again.
  if (env_.rare.happens(env::RareSite::kReadRoundLate)) return;
  reads_.confirmed(read.read, read.index);
  reads_.applied(BLX_BUG(kReadsBeforeApplied) ? read.index : machine_.applied());
}

}  // namespace blixard::replica
