#include "core/raft/unstable.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/assert.h"
#include "base/bug.h"

namespace blixard::raft {

std::optional<LogIndex> Unstable::last() const {
  if (!empty()) return LogIndex(offset_.value + size() - 1);
  if (snapshot_) return snapshot_->index;
  return std::nullopt;
}

std::optional<Term> Unstable::term(LogIndex index) const {
  if (index < offset_) {
    if (snapshot_ && snapshot_->index == index) return snapshot_->term;
    return std::nullopt;
  }
  const std::uint64_t at = index.value - offset_.value;
  if (at >= size()) return std::nullopt;
  return entries()[at].term;
}

std::span<const Entry> Unstable::next_entries() const {
  return entries().subspan(offset_in_progress_.value - offset_.value);
}

void Unstable::handed_out() {
  offset_in_progress_ = LogIndex(offset_.value + size());
  if (snapshot_) snapshot_in_progress_ = true;
}

void Unstable::append(std::span<Entry> entries) {
  BLX_ASSERT(!entries.empty());
  const LogIndex from = entries.front().index;
  const LogIndex end(offset_.value + size());
  BLX_ASSERT(from <= end);
  if (from < end) {
    ++generation_;
    if (from <= offset_) {
      emit(EventKind::kTailReplaced, EventLevel::kInfo, from);
      drop_front(size());
      offset_ = from;
    } else {
      emit(EventKind::kTailTruncated, EventLevel::kInfo, from);
      const std::size_t keep = start_ + (from.value - offset_.value);
      for (std::size_t at = keep; at < entries_.size(); ++at)
        bytes_ -= entry_bytes(entries_[at]);
      entries_.erase(std::next(entries_.begin(), static_cast<std::ptrdiff_t>(keep)),
                     entries_.end());
    }
    offset_in_progress_ = std::min(offset_in_progress_, from);
  }
  for (const Entry& entry : entries)
    bytes_ += entry_bytes(entry);
  entries_.insert(entries_.end(), std::make_move_iterator(entries.begin()),
                  std::make_move_iterator(entries.end()));
}

void Unstable::restore(SnapshotMeta snapshot) {
  if (!empty()) ++generation_;
  drop_front(size());
  offset_ = snapshot.index.next();
  offset_in_progress_ = offset_;
  snapshot_ = std::move(snapshot);
  snapshot_in_progress_ = false;
}

void Unstable::stable_to(LogIndex index, Term term, std::uint64_t generation) {
  const std::optional<Term> ours = this->term(index);
  if (!ours) return emit(EventKind::kStableMissing, EventLevel::kDebug, index);
  if (index < offset_) return emit(EventKind::kStableSnapshot, EventLevel::kInfo, index);
  if (!BLX_BUG(kTrustsStaleCompletion)) {
    if (*ours != term)
      return emit(EventKind::kStableMismatch, EventLevel::kInfo, index, term, *ours);
    if (generation != generation_) return;
  }
  drop_front(index.value + 1 - offset_.value);
  offset_ = index.next();
  offset_in_progress_ = std::max(offset_in_progress_, offset_);
}

void Unstable::stable_snapshot(LogIndex index) {
  if (!snapshot_ || snapshot_->index != index) return;
  snapshot_.reset();
  snapshot_in_progress_ = false;
}

void Unstable::drop_front(std::size_t count) {
  for (std::size_t at = start_; at < start_ + count; ++at) {
    bytes_ -= entry_bytes(entries_[at]);
    entries_[at].payload = Payload();  // its memory goes now, its place when it pays
  }
  start_ += count;
  if (start_ == entries_.size()) {
    entries_.clear();
    start_ = 0;
  } else if (start_ * 2 > entries_.size()) {
    entries_.erase(entries_.begin(),
                   std::next(entries_.begin(), static_cast<std::ptrdiff_t>(start_)));
    start_ = 0;
  }
}

void Unstable::emit(EventKind kind, EventLevel level, LogIndex index, Term term, Term other) {
  if (events_ == nullptr) return;
  Event event;
  event.kind = kind;
  event.level = level;
  event.index = index;
  event.index_term = term;
  event.other_term = other;
  events_->on_event(event);
}

}  // namespace blixard::raft
