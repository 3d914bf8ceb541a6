#include "core/raft/progress.h"

#include <algorithm>

#include "base/assert.h"

namespace blixard::raft {
namespace {

LogIndex before(LogIndex index) { return LogIndex(index.value - (index ? 1 : 0)); }

}  // namespace

void Progress::reset(ProgressState next_state) {
  state = next_state;
  flow_paused = false;
  pending_snapshot = LogIndex();
  inflights.clear();
}

void Progress::become_probe() {
  // A snapshot that was sent may have arrived although nobody said so.
  const LogIndex known = std::max(match, pending_snapshot);
  reset(ProgressState::kProbe);
  next = known.next();
  sent_commit = std::min(sent_commit, known);
}

void Progress::become_replicate() {
  reset(ProgressState::kReplicate);
  next = match.next();
}

void Progress::become_snapshot(LogIndex snapshot, ProgressRules rules) {
  reset(ProgressState::kSnapshot);
  pending_snapshot = snapshot;
  if (rules.snapshot_keeps_next) return;
  next = snapshot.next();
  sent_commit = snapshot;
}

void Progress::sent_entries(std::size_t entries, std::size_t bytes, ProgressRules rules) {
  BLX_ASSERT(state != ProgressState::kSnapshot);
  if (state == ProgressState::kProbe) {
    if (entries > 0) flow_paused = true;
    return;
  }
  if (entries > 0) {
    const LogIndex last(next.value + entries - 1);
    inflights.add(last, bytes);
    next = last.next();
  }
  if (!rules.pauses_by_window) flow_paused = inflights.full();
}

bool Progress::can_bump_commit(LogIndex commit) const {
  return commit > sent_commit && sent_commit < before(next);
}

bool Progress::acknowledged(LogIndex index, ProgressRules rules) {
  if (rules.falls_below_match) next = std::max(next, index.next());
  if (index <= match) return false;
  match = index;
  next = std::max(next, index.next());
  flow_paused = false;
  return true;
}

bool Progress::rejected(LogIndex rejected, LogIndex hint, ProgressRules rules) {
  if (state == ProgressState::kReplicate) {
    if (rejected <= match) return false;
    next = match.next();
    sent_commit = std::min(sent_commit, match);
    return true;
  }
  // One append at a time is under way, so an answer to any other is an old one.
  if (!next || rejected != before(next)) return false;
  next = std::min(rejected, hint.next());
  next = std::max(next, rules.falls_below_match ? LogIndex(1) : match.next());
  sent_commit = std::min(sent_commit, before(next));
  flow_paused = false;
  return true;
}

bool Progress::is_paused(ProgressRules rules) const {
  if (state == ProgressState::kSnapshot) return true;
  const bool by_window = state == ProgressState::kReplicate && rules.pauses_by_window;
  return by_window ? inflights.full() : flow_paused;
}

}  // namespace blixard::raft
