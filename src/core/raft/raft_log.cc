#include "core/raft/raft_log.h"

#include <algorithm>

#include "base/assert.h"
#include "base/bug.h"

namespace blixard::raft {
namespace {

LogIndex before(LogIndex index) { return LogIndex(index.value - 1); }

}  // namespace

RaftLog::RaftLog(const Storage& storage, std::size_t applying_bytes_max, EventSink* events)
    : storage_(storage),
      events_(events),
      unstable_(storage.last().next(), events),
      committed_(before(storage.first())),
      applying_(committed_),
      applied_(committed_),
      applying_bytes_max_(std::max<std::size_t>(applying_bytes_max, 1)) {}

LogIndex RaftLog::first() const {
  return installs_snapshot() ? unstable_.snapshot()->index.next() : storage_.first();
}

LogIndex RaftLog::last() const {
  if (const std::optional<LogIndex> last = unstable_.last()) return *last;
  return storage_.last();
}

EntryRef RaftLog::last_entry() const {
  const LogIndex index = last();
  const std::optional<Term> its_term = term(index);
  BLX_ASSERT(its_term.has_value());
  return {index, *its_term};
}

std::optional<Term> RaftLog::term(LogIndex index) const {
  if (const std::optional<Term> found = unstable_.term(index)) return found;
  if (index.next() < first() || index > last()) return std::nullopt;
  return storage_.term(index);
}

bool RaftLog::is_up_to_date(EntryRef end) const {
  const EntryRef ours = last_entry();
  return end.term > ours.term || (end.term == ours.term && end.index >= ours.index);
}

EntryRef RaftLog::meeting_point(LogIndex index, Term term) const {
  if (index > last()) return {index, Term()};
  LogIndex low = before(first());  // of which the term is known; terms never fall
  if (index < low) return {index, Term()};
  if (term_or_none(low) > term) return {LogIndex(low.value == 0 ? 0 : low.value - 1), Term()};
  LogIndex high = index;
  while (low < high) {
    const LogIndex middle(low.value + (high.value - low.value + 1) / 2);
    if (term_or_none(middle) <= term) {
      low = middle;
    } else {
      high = before(middle);
    }
  }
  return {low, term_or_none(low)};
}

Storage::Fetch RaftLog::entries(LogIndex from, std::size_t bytes_max,
                                std::vector<Entry>& out) const {
  const LogIndex end = last();
  if (from > end) return Storage::Fetch::kFound;
  return slice(from, end, bytes_max, out);
}

Storage::Fetch RaftLog::slice(LogIndex from, LogIndex to, std::size_t bytes_max,
                              std::vector<Entry>& out) const {
  BLX_ASSERT(from <= to && to <= last());
  if (from < first()) return Storage::Fetch::kCompacted;
  std::size_t bytes = 0;
  const std::size_t before_us = out.size();
  if (from < unstable_.offset()) {
    const LogIndex stored_to = std::min(to, before(unstable_.offset()));
    const Storage::Fetch fetch = storage_.entries(from, stored_to, bytes_max, out);
    if (fetch != Storage::Fetch::kFound) return fetch;
    if (out.size() - before_us < stored_to.value - from.value + 1) return fetch;
    for (std::size_t at = before_us; at < out.size(); ++at)
      bytes += entry_bytes(out[at]);
  }
  if (to < unstable_.offset()) return Storage::Fetch::kFound;
  const LogIndex begin = std::max(from, unstable_.offset());
  const std::span<const Entry> entries = unstable_.entries().subspan(
      begin.value - unstable_.offset().value, to.value - begin.value + 1);
  std::size_t count = 0;
  while (count < entries.size()) {
    bytes += entry_bytes(entries[count]);
    if (bytes > bytes_max && out.size() - before_us + count > 0) break;
    ++count;
  }
  out.insert(out.end(), entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(count));
  return Storage::Fetch::kFound;
}

std::optional<SnapshotMeta> RaftLog::snapshot() const {
  return installs_snapshot() ? unstable_.snapshot() : storage_.snapshot();
}

std::size_t RaftLog::first_conflict(std::span<const Entry> entries) const {
  for (std::size_t at = 0; at < entries.size(); ++at) {
    const Entry& entry = entries[at];
    const std::optional<Term> ours = term(entry.index);
    if (ours == entry.term) continue;
    if (events_ != nullptr && entry.index <= last()) {
      events_->on_event({.kind = EventKind::kConflictFound,
                         .index = entry.index,
                         .index_term = entry.term,
                         .other_term = ours.value_or(Term())});
    }
    return at;
  }
  return entries.size();
}

RaftLog::Verdict RaftLog::append_after(EntryRef previous, std::span<Entry> entries, LogIndex commit,
                                       LogIndex& last) {
  if (term(previous.index) != previous.term) return Verdict::kRejected;
  last = LogIndex(previous.index.value + entries.size());
  const std::size_t conflict = first_conflict(entries);
  if (conflict < entries.size()) {
    if (entries[conflict].index <= committed_) {
      if (events_ != nullptr) {
        events_->on_event({.kind = EventKind::kConflictWithCommitted,
                           .level = EventLevel::kError,
                           .index = entries[conflict].index});
      }
      return Verdict::kForbidden;
    }
    unstable_.append(entries.subspan(conflict));
  }
  commit_to(std::min(commit, BLX_BUG(kCommitsBeyondMessage) ? this->last() : last));
  if (BLX_BUG(kAcknowledgesLogEnd)) last = this->last();
  return Verdict::kAppended;
}

void RaftLog::restore(const SnapshotMeta& snapshot) {
  if (events_ != nullptr) {
    events_->on_event({.kind = EventKind::kLogRestoring,
                       .index = snapshot.index,
                       .index_term = snapshot.term,
                       .other_index = applied_,
                       .commit = committed_,
                       .count = unstable_.size(),
                       .applying = applying_,
                       .offset = unstable_.offset(),
                       .offset_in_progress = unstable_.offset_in_progress()});
  }
  committed_ = snapshot.index;
  unstable_.restore(snapshot);
}

void RaftLog::commit_to(LogIndex to) {
  if (committed_ >= to) return;
  BLX_ASSERT(to <= last());
  committed_ = to;
}

bool RaftLog::commit_by_quorum(LogIndex index, Term term) {
  if (index <= committed_) return false;
  const Term its_term = term_or_none(index);
  if (!its_term) return false;
  if (its_term != term && !BLX_BUG(kCommitsOldTerm)) return false;
  commit_to(index);
  return true;
}

void RaftLog::load(LogIndex commit, LogIndex applied) {
  BLX_ASSERT(before(first()) <= applied && applied <= commit && commit <= last());
  committed_ = commit;
  applying_ = applied;
  applied_ = applied;
}

LogIndex RaftLog::appliable_end(bool unstable_too) const {
  return unstable_too ? committed_ : std::min(committed_, before(unstable_.offset()));
}

LogIndex RaftLog::next_to_apply() const {
  return installs_snapshot() ? std::max(applying_.next(), first()) : applying_.next();
}

bool RaftLog::has_committed(bool unstable_too, bool behind_snapshot) const {
  if (applying_paused_ || (installs_snapshot() && !behind_snapshot)) return false;
  return next_to_apply() <= appliable_end(unstable_too);
}

Storage::Fetch RaftLog::take_committed(bool unstable_too, bool behind_snapshot,
                                       std::vector<Entry>& out) {
  if (!has_committed(unstable_too, behind_snapshot)) return Storage::Fetch::kFound;
  const LogIndex end = appliable_end(unstable_too);
  const Storage::Fetch fetch =
      slice(next_to_apply(), end, applying_bytes_max_ - applying_bytes_, out);
  if (fetch != Storage::Fetch::kFound) return fetch;
  Batch batch{.last = out.back().index};
  for (const Entry& entry : out) {
    batch.bytes += entry_bytes(entry);
    batch.payload_bytes += entry.payload.size();
  }
  applying_ = batch.last;
  applying_bytes_ += batch.bytes;
  // Also when the next entry would have passed the limit: else it would leave alone at once.
  applying_paused_ = applying_bytes_ >= applying_bytes_max_ || applying_ < end;
  batches_.push_back(batch);
  return fetch;
}

std::size_t RaftLog::applied_to(LogIndex index) {
  BLX_ASSERT(index <= committed_);
  std::size_t payload_bytes = 0;
  while (!batches_.empty() && batches_.front().last <= index) {
    applying_bytes_ -= batches_.front().bytes;
    payload_bytes += batches_.front().payload_bytes;
    batches_.pop_front();
  }
  applied_ = std::max(applied_, index);
  applying_ = std::max(applying_, index);
  applying_paused_ = applying_bytes_ >= applying_bytes_max_;
  return payload_bytes;
}

}  // namespace blixard::raft
