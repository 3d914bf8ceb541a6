// Snapshots: taken, sent and received.

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "env/failpoint.h"
#include "node/replica/raft_replica.h"
#include "node/replica/rights.h"

namespace blixard::replica {

// Taken.

void RaftReplica::snapshot_if_due() {
  if (snapshotting_ || end_) return;
  if (machine_.entries_since_snapshot() >= options_.snapshot_entries ||
      machine_.bytes_since_snapshot() >= options_.snapshot_bytes ||
      env_.rare.happens(env::RareSite::kSnapshotTakenEarly)) {
    begin_snapshot();
  }
}

void RaftReplica::begin_snapshot() {
  if (snapshotting_ || end_) return;
  snapshotting_ = true;
  machine_.snapshot_begun();
  saving_.spawn(save_snapshot({.index = machine_.applied(),
                               .term = machine_.applied_term(),
                               .configuration = machine_.state().configuration()},
                              machine_.state().encode()));
}

// A quorum may have an entry before this node does: what is not durable here yet would be taken for
// a gap in the log.
env::Task<void> RaftReplica::save_snapshot(raft::SnapshotMeta meta, std::string content) {
  const std::size_t bytes = content.size();
  const LogIndex index = meta.index;
  Result<void> saved = co_await driver_.durable(index, meta.term);
  if (saved) {
    const std::uint64_t trailing = std::min(options_.trailing_entries, index.value);
    saved = co_await log_->save_snapshot({.index = index, .term = meta.term}, std::move(content),
                                         LogIndex(index.value - trailing + 1));
  }
  snapshotting_ = false;
  if (saved) {
    // Unless a newer one from the leader took its place meanwhile.
    const auto newest = log_->snapshot();
    if (newest && newest->index == index) driver_.view().set_snapshot(std::move(meta));
    BLX_LOG(env_.log, kDebug, "replica: snapshot at {}, {} bytes", index.value, bytes);
  } else if (log_->failed()) {
    on_log_failed(saved.error());
  } else if (!end_ && saved.error().reason() != "snapshot_stale") {
    BLX_LOG(env_.log, kWarn, "replica: no snapshot at {}, the next one comes {} entries later: {}",
            index.value, options_.snapshot_entries, saved.error().message());
  }
}

// Sent.

void RaftReplica::send_snapshot(raft::Message message) {
  scope_.spawn(transfer_snapshot(std::move(message)));
}

env::Task<void> RaftReplica::transfer_snapshot(raft::Message message) {
  const NodeId to = message.to;
  auto file = co_await log_->open_snapshot();
  if (!driver_.running()) co_return;
  Result<void> sent = fail(Code::kUnavailable, "snapshot_replaced");
  if (!file) {
    sent = std::unexpected(file.error());
  } else if (const auto meta = driver_.view().snapshot();
             meta && meta->index == (*file)->meta().index) {
    if (cluster::membership_in(meta->configuration, to) == cluster::Membership::kNone) {
      // It was taken before the node became a member, who would ignore it as not meant for it.
      begin_snapshot();
      driver_.core().report_snapshot(to, false);
      driver_.wake();
      co_return;
    }
    // A newer one than the core knew of is as good.
    message.snapshot = meta;
    BLX_LOG(env_.log, kInfo, "replica: node {} is sent the snapshot at {}", to.value,
            message.snapshot->index.value);
    sent = {};
    BLX_CO_FAILPOINT_INTO(sent, env_, "snapshot::send", kUnavailable, "peer_unreachable");
    if (sent) {
      sent =
          co_await peers_.send_snapshot(std::move(message), make_snapshot_source(std::move(*file)));
    }
  }
  if (!driver_.running()) co_return;
  if (!sent) {
    BLX_LOG(env_.log, kWarn, "replica: the snapshot did not get to node {}: {}", to.value,
            sent.error().message());
  }
  driver_.core().report_snapshot(to, sent.has_value());
  driver_.wake();
}

// Received.

env::Task<Result<std::unique_ptr<peer::SnapshotSink>>> RaftReplica::on_snapshot(
    peer::Sender from, raft::Message message, std::uint64_t bytes) {
  const Call call(*this);
  if (end_) co_return std::unexpected(*end_);
  if (!message.snapshot || !message.snapshot->index || bytes > limits::kSnapshotBytes) {
    co_return fail(Code::kInvalidArgument, "snapshot_invalid");
  }
  if (!may_send(machine_.state(), from, message.type, message.term, driver_.core().term())) {
    co_return fail(Code::kPermissionDenied, "servers_only");
  }
  BLX_CO_FAILPOINT(env_, "snapshot::receive", kUnavailable, "snapshot_in_progress");
  heard_[from.node] = now();
  if (message.snapshot->index <= driver_.core().commit()) {
    driver_.step(std::move(message));  // tells how far this node is
    co_return fail(Code::kFailedPrecondition, "snapshot_stale");
  }
  if (receiving_ || received_ || env_.rare.happens(env::RareSite::kSnapshotRefused)) {
    co_return fail(Code::kUnavailable, "snapshot_in_progress");
  }
  receiving_ = true;
  auto file = co_await log_->begin_snapshot(
      {.index = message.snapshot->index, .term = message.snapshot->term}, bytes);
  if (!file) {
    receiving_ = false;
    co_return std::unexpected(file.error());
  }
  BLX_LOG(env_.log, kInfo, "replica: node {} sends the snapshot at {}, {} bytes", from.node.value,
          message.snapshot->index.value, bytes);
  co_return make_snapshot_sink(std::move(message), bytes, std::move(*file), *this);
}

Result<void> RaftReplica::snapshot_received(ReceivedSnapshot snapshot, raft::Message message) {
  if (!driver_.running()) return fail(Code::kUnavailable, "stopped");
  received_ = std::move(snapshot);
  driver_.step(std::move(message));
  return {};
}

void RaftReplica::snapshot_decided(bool installs) {
  if (!installs && received_ && !installing_) received_.reset();
  if (installs) installing_ = true;
}

env::Task<Result<void>> RaftReplica::install(const raft::SnapshotMeta& meta) {
  BLX_ASSERT(received_ && received_->meta == meta);
  BLX_CO_FAILPOINT(env_, "snapshot::install", kResourceExhausted, "disk_full");
  BLX_CO_TRY(co_await received_->file->install());
  driver_.view().set_snapshot(meta);
  machine_.restore(std::move(received_->state), meta.index, meta.term);
  tell_restored();
  received_.reset();
  installing_ = false;
  BLX_LOG(env_.log, kInfo, "replica: goes on behind the snapshot at {}", meta.index.value);
  follow_members();
  proposals_.skip_to(meta.index);
  reads_.applied(meta.index);
  applied_signal_.notify_all();
  pulse_.notify_all();
  co_return Result<void>();
}

}  // namespace blixard::replica
