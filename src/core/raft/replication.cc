// What a leader sends: appends within each member's window, snapshots to who fell behind the log,
// heartbeats; and its own log and commit index.

#include <algorithm>
#include <utility>

#include "core/raft/core_impl.h"

namespace blixard::raft {

void Core::Impl::broadcast_appends() {
  for (auto& [node, progress] : tracker_.progress()) {
    if (node != id_) send_append(node, progress, true);
  }
}

void Core::Impl::send_all(NodeId to, Progress& progress) {
  while (send_append(to, progress, false)) {
  }
}

// True: something was sent. `if_empty`: also an append without entries, which tells the commit
// index and asks where the logs meet.
bool Core::Impl::send_append(NodeId to, Progress& progress, bool if_empty) {
  if (progress.is_paused(series_.progress)) return false;
  Message message{.type = MessageType::kAppend, .to = to};
  message.index = LogIndex(progress.next.value - 1);
  const std::optional<Term> previous = log_.term(message.index);
  if (!previous) {
    if (!if_empty && series_.skips_optional_snapshot) return false;
    return send_snapshot(to, progress);
  }
  message.log_term = *previous;
  message.entries = spare_entries_.take();
  // A full window lets only empty appends through: they make a member answer that lost the others.
  Storage::Fetch fetch = Storage::Fetch::kFound;
  if (progress.state != ProgressState::kReplicate || !progress.inflights.full())
    fetch = log_.entries(progress.next, config_.message_bytes_max, message.entries);
  if (fetch == Storage::Fetch::kNotInMemory) {
    waiting_[to] = progress.next;
    return false;
  }
  if (message.entries.empty()) spare_entries_.give(std::exchange(message.entries, {}));
  if (message.entries.empty() && !if_empty) return false;
  if (fetch == Storage::Fetch::kCompacted) return send_snapshot(to, progress);
  if (!waiting_.empty()) waiting_.erase(to);
  message.commit = log_.committed();
  std::size_t bytes = 0;
  for (const Entry& entry : message.entries)
    bytes += entry.payload.size();
  const std::size_t count = message.entries.size();
  send(std::move(message));
  progress.sent_entries(count, bytes, series_.progress);
  progress.sent_commit_index(log_.committed());
  return true;
}

bool Core::Impl::send_snapshot(NodeId to, Progress& progress) {
  if (!progress.recent_active) {
    emit({.kind = EventKind::kSnapshotToInactive, .level = EventLevel::kDebug, .peer = to});
    return false;
  }
  std::optional<SnapshotMeta> snapshot = log_.snapshot();
  if (!snapshot) {
    emit({.kind = EventKind::kSnapshotUnavailable, .level = EventLevel::kDebug, .peer = to});
    return false;
  }
  emit({.kind = EventKind::kSnapshotSent,
        .level = EventLevel::kDebug,
        .peer = to,
        .index = snapshot->index,
        .index_term = snapshot->term,
        .other_index = log_.first(),
        .commit = log_.committed(),
        .progress = &progress});
  progress.become_snapshot(snapshot->index, series_.progress);
  emit({.kind = EventKind::kReplicationPaused,
        .level = EventLevel::kDebug,
        .peer = to,
        .progress = &progress});
  waiting_.erase(to);
  Message message{.type = MessageType::kSnapshot, .to = to};
  message.snapshot = std::move(snapshot);
  send(std::move(message));
  return true;
}

void Core::Impl::broadcast_heartbeats(ReadId read) {
  for (auto& [node, progress] : tracker_.progress()) {
    if (node == id_) continue;
    // Never beyond what the member has: it could be another entry there.
    Message message{.type = MessageType::kHeartbeat, .to = node};
    message.commit = std::min(progress.match, log_.committed());
    message.read = read;
    progress.sent_commit_index(message.commit);
    send(std::move(message));
  }
}

void Core::Impl::send_timeout_now(NodeId to) { send({.type = MessageType::kTimeoutNow, .to = to}); }

bool Core::Impl::takes_uncommitted(std::size_t bytes) {
  // One proposal of any size is always taken, and the empty entries of ours.
  const bool limited = bytes > 0 || series_.limits_empty_entries;
  if (limited && uncommitted_bytes_ > 0 &&
      uncommitted_bytes_ + bytes > config_.uncommitted_bytes_max)
    return false;
  uncommitted_bytes_ += bytes;
  return true;
}

bool Core::Impl::append_own(std::vector<Entry> entries) {
  LogIndex index = log_.last();
  std::size_t bytes = 0;
  for (Entry& entry : entries) {
    index = index.next();
    entry.index = index;
    entry.term = term_;
    bytes += entry.payload.size();
  }
  if (!takes_uncommitted(bytes)) {
    emit({.kind = EventKind::kUncommittedLimit,
          .level = series_.drops_quietly ? EventLevel::kDebug : EventLevel::kWarning});
    return false;
  }
  log_.append(entries);
  spare_entries_.give(std::move(entries));
  if (series_.acknowledges_itself_at_once) {
    if (Progress* self = tracker_.find(id_)) self->acknowledged(index);
    static_cast<void>(commit_by_quorum());
    return true;
  }
  Message own{.type = MessageType::kAppendResponse, .to = id_};
  own.index = index;
  send(std::move(own));
  return true;
}

bool Core::Impl::commit_by_quorum() { return log_.commit_by_quorum(tracker_.committed(), term_); }

void Core::Impl::entries_loaded() {
  committed_waiting_ = LogIndex();
  const std::map<NodeId, LogIndex> waited = std::exchange(waiting_, {});
  for (const auto& [node, next] : waited) {
    if (Progress* progress = tracker_.find(node)) send_all(node, *progress);
  }
}

std::vector<LogIndex> Core::Impl::entries_wanted() const {
  std::vector<LogIndex> wanted;
  if (committed_waiting_) wanted.push_back(committed_waiting_);
  for (const auto& [node, next] : waiting_)
    wanted.push_back(next);
  return wanted;
}

}  // namespace blixard::raft
