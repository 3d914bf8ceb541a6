#include "node/replica/solo.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"

namespace blixard::replica {
namespace {

constexpr std::size_t kReplayBytes = std::size_t{4} << 20;  // read at once
constexpr Term kFirstTerm{1};

}  // namespace

env::Task<Result<std::unique_ptr<Replica>>> open_replica(env::Env env, std::string directory,
                                                         NodeId self, Options options) {
  options.log.entry_bytes_max = limits::kCommandBytes;
  BLX_CO_TRY(auto log, co_await log::Log::open(env, std::move(directory), options.log));
  auto replica = std::make_unique<SoloReplica>(env, self, options, std::move(log));
  BLX_CO_TRY(co_await replica->start());
  co_return std::unique_ptr<Replica>(std::move(replica));
}

SoloReplica::SoloReplica(env::Env env, NodeId self, Options options, std::unique_ptr<log::Log> log)
    : env_(env),
      self_(self),
      options_(options),
      log_(std::move(log)),
      applied_signal_(env.executor),
      ended_(env.executor),
      scope_(env.executor, nullptr) {}

// Start.

env::Task<Result<void>> SoloReplica::start() {
  const log::HardState& found = log_->recovered().hard_state;
  if (found.vote && found.vote != self_) {
    co_return fail(
        Code::kFailedPrecondition, "other_node",
        fmt::format("the log is of node {}, this is node {}", found.vote.value, self_.value));
  }
  BLX_CO_TRY(co_await load_snapshot());
  BLX_CO_TRY(co_await replay());
  co_return co_await take_lead();
}

env::Task<Result<void>> SoloReplica::load_snapshot() {
  const auto meta = log_->snapshot();
  if (meta) {
    BLX_CO_TRY(const std::string content, co_await log_->load_snapshot());
    BLX_CO_TRY(state_, cluster::State::decode(content));
    applied_ = meta->index;
    applied_term_ = meta->term;
  }
  changes_.begin_at(state_.revision());
  co_return Result<void>();
}

env::Task<Result<void>> SoloReplica::replay() {
  while (applied_ < log_->last()) {
    BLX_CO_TRY(const auto entries,
               co_await log_->read(applied_.next(), log_->last(), kReplayBytes));
    for (const log::Entry& entry : entries)
      BLX_CO_TRY(replay_entry(entry));
  }
  co_return Result<void>();
}

Result<void> SoloReplica::replay_entry(const log::Entry& entry) {
  if (entry.kind != raft::EntryKind::kNormal) {
    return fail(Code::kFailedPrecondition, "model_too_new",
                fmt::format("entry {} of the log is of the unknown kind {}: start the newer "
                            "program again",
                            entry.index.value, static_cast<int>(entry.kind)));
  }
  if (!entry.payload.empty()) {
    v1::Command command;
    Result<void> checked = fail(Code::kDataLoss, "command_invalid", "it cannot be parsed");
    if (command.ParseFromString(std::string(entry.payload.view())))
      checked = cluster::check_command(command);
    if (!checked) {
      const bool too_new = checked.error().code() == Code::kFailedPrecondition;
      return fail(checked.error().code(), too_new ? "model_too_new" : "command_invalid",
                  fmt::format("entry {} of the log cannot be applied: {}", entry.index.value,
                              checked.error().message()));
    }
    ignore(apply(entry.index, command, entry.payload.size()),
           "a refused command is part of the history, and was answered when it was proposed");
  }
  applied_ = entry.index;
  applied_term_ = entry.term;
  return {};
}

env::Task<Result<void>> SoloReplica::take_lead() {
  // Entries of a later term than the hard state's cannot be: it is durable before them.
  log::HardState state = log_->recovered().hard_state;
  term_ = std::max({state.term, applied_term_, kFirstTerm});
  if (state.term == term_ && state.vote == self_) co_return Result<void>();
  state.term = term_;
  state.vote = self_;
  co_return co_await log_->append({}, state);
}

// Proposals.

env::Task<Result<cluster::Outcome>> SoloReplica::propose(v1::Command command) {
  if (end_) co_return std::unexpected(*end_);
  command.set_version(cluster::kModelVersion);
  command.set_time_unix_ms(env_.clock.wall().unix_ms);
  Proposal proposal(env_.executor);
  const std::size_t bytes = command.ByteSizeLong();
  if (bytes > limits::kCommandBytes) co_return fail(Code::kInvalidArgument, "command_too_large");
  // What replay would refuse must not get into the log.
  if (const auto checked = cluster::check_command(command); !checked) {
    co_return fail(Code::kInvalidArgument, "command_invalid", checked.error().message());
  }
  if (in_flight_ >= limits::kProposalsInFlight ||
      in_flight_bytes_ + bytes > limits::kProposalBytesInFlight) {
    co_return fail(Code::kResourceExhausted, "too_many_proposals");
  }
  proposal.bytes = command.SerializeAsString();
  proposal.command = std::move(command);

  ++in_flight_;
  in_flight_bytes_ += bytes;
  pending_.push_back(&proposal);
  if (!writing_) {
    writing_ = true;
    scope_.spawn(write_pending());
  }
  auto answer = co_await proposal.done;
  --in_flight_;
  in_flight_bytes_ -= bytes;
  co_return answer;
}

env::Task<void> SoloReplica::write_pending() {
  while (!pending_.empty()) {
    const std::vector<Proposal*> batch = take_batch();
    std::vector<log::Entry> entries;
    entries.reserve(batch.size());
    LogIndex index = applied_;
    for (Proposal* proposal : batch) {
      index = index.next();
      entries.push_back(
          {.term = term_, .index = index, .payload = Payload(std::move(proposal->bytes))});
    }
    const auto appended = co_await log_->append(std::move(entries), std::nullopt);
    if (appended) {
      apply_batch(batch);
      snapshot_if_due();
      continue;
    }
    if (log_->failed()) end("log_failed", appended.error().message());
    refuse(batch, end_ ? *end_ : appended.error());
  }
  writing_ = false;
}

std::vector<SoloReplica::Proposal*> SoloReplica::take_batch() {
  std::vector<Proposal*> batch;
  std::size_t bytes = 0;
  while (!pending_.empty()) {
    Proposal* proposal = pending_.front();
    bytes += proposal->bytes.size();
    // Half of the log's own bound leaves room for what its records add.
    if (!batch.empty() && bytes > limits::kLogBatchBytes / 2) break;
    batch.push_back(proposal);
    pending_.pop_front();
  }
  return batch;
}

Result<cluster::Outcome> SoloReplica::apply(LogIndex index, const v1::Command& command,
                                            std::size_t command_bytes) {
  auto outcome =
      state_.apply(index, command, [this](const cluster::Change& change) { changes_.add(change); });
  ++entries_since_snapshot_;
  bytes_since_snapshot_ += command_bytes;
  return outcome;
}

void SoloReplica::apply_batch(const std::vector<Proposal*>& batch) {
  for (Proposal* proposal : batch) {
    const LogIndex index = applied_.next();
    auto answer = apply(index, proposal->command, proposal->command.ByteSizeLong());
    applied_ = index;
    applied_term_ = term_;
    proposal->done.complete(std::move(answer));
  }
  applied_signal_.notify_all();
}

void SoloReplica::refuse(const std::vector<Proposal*>& batch, const Error& error) {
  for (Proposal* proposal : batch)
    proposal->done.complete(std::unexpected(error));
}

void SoloReplica::end(const char* reason, std::string detail) {
  if (end_) return;
  end_.emplace(Code::kUnavailable, reason, std::move(detail));
  ended_.notify_all();
  applied_signal_.notify_all();
}

// Snapshots.

void SoloReplica::snapshot_if_due() {
  if (snapshotting_ || end_ ||
      (entries_since_snapshot_ < options_.snapshot_entries &&
       bytes_since_snapshot_ < options_.snapshot_bytes)) {
    return;
  }
  snapshotting_ = true;
  entries_since_snapshot_ = 0;
  bytes_since_snapshot_ = 0;
  scope_.spawn(save_snapshot({.index = applied_, .term = applied_term_}, state_.encode()));
}

env::Task<void> SoloReplica::save_snapshot(log::SnapshotMeta meta, std::string content) {
  const std::size_t bytes = content.size();
  const auto saved = co_await log_->save_snapshot(meta, std::move(content), meta.index.next());
  snapshotting_ = false;
  if (saved) {
    BLX_LOG(env_.log, kDebug, "replica: snapshot at {}, {} bytes", meta.index.value, bytes);
  } else if (log_->failed()) {
    end("log_failed", saved.error().message());
  } else {
    BLX_LOG(env_.log, kWarn, "replica: no snapshot at {}, the next one comes {} entries later: {}",
            meta.index.value, options_.snapshot_entries, saved.error().message());
  }
}

// The rest.

env::Task<Result<void>> SoloReplica::read_barrier() {
  if (end_) co_return std::unexpected(*end_);
  co_return Result<void>();
}

Status SoloReplica::status() const {
  const auto snapshot = log_->snapshot();
  return {.self = self_,
          .leader = end_ ? NodeId() : self_,
          .term = term_,
          .last = log_->last(),
          .applied = applied_,
          .snapshot = snapshot ? snapshot->index : LogIndex(),
          .failed = log_->failed()};
}

env::Task<Result<void>> SoloReplica::failed() {
  while (!end_)
    BLX_CO_TRY(co_await ended_.wait());
  co_return std::unexpected(*end_);
}

env::Task<void> SoloReplica::stop() {
  end("stopped", {});
  co_await scope_.join();
  co_await log_->close();
}

}  // namespace blixard::replica
