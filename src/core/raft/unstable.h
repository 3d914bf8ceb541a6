#pragma once

// The end of the log that is not durable yet: entries and at most one snapshot, kept here until the
// disk has them and Storage shows them.
//
// Entries [offset, end) live here, whatever Storage holds at those places (a tail that is being
// overwritten). Those before `offset_in_progress` were handed to the disk. What is handed out is
// copied: an Entry is a reference to its payload.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/ids.h"
#include "core/raft/event.h"
#include "core/raft/types.h"

namespace blixard::raft {

class Unstable {
 public:
  Unstable(LogIndex offset, EventSink* events)
      : offset_(offset), offset_in_progress_(offset), events_(events) {}

  [[nodiscard]] LogIndex offset() const { return offset_; }
  [[nodiscard]] LogIndex offset_in_progress() const { return offset_in_progress_; }
  [[nodiscard]] const std::optional<SnapshotMeta>& snapshot() const { return snapshot_; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] std::size_t size() const { return entries_.size() - start_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t generation() const { return generation_; }
  [[nodiscard]] std::span<const Entry> entries() const {
    return std::span<const Entry>(entries_).subspan(start_);
  }

  // None: neither an entry nor the snapshot says it.
  [[nodiscard]] std::optional<LogIndex> last() const;
  [[nodiscard]] std::optional<Term> term(LogIndex index) const;

  // What was not handed to the disk yet.
  [[nodiscard]] std::span<const Entry> next_entries() const;
  [[nodiscard]] bool has_next_snapshot() const { return snapshot_ && !snapshot_in_progress_; }
  void handed_out();

  // Entries continue or overwrite what is here, or begin earlier. Precondition: not empty,
  // consecutive, beginning at most at the end. Takes the payloads.
  void append(std::span<Entry> entries);
  void restore(SnapshotMeta snapshot);

  // The disk has everything up to this entry, as it was in that generation. Anything that does not
  // fit what is here is ignored.
  void stable_to(LogIndex index, Term term, std::uint64_t generation);
  void stable_snapshot(LogIndex index);

 private:
  void drop_front(std::size_t count);
  void emit(EventKind kind, EventLevel level, LogIndex index, Term term = {}, Term other = {});

  std::vector<Entry> entries_;  // the first start_ of them are gone
  std::size_t start_ = 0;
  std::size_t bytes_ = 0;
  LogIndex offset_;
  LogIndex offset_in_progress_;
  std::optional<SnapshotMeta> snapshot_;
  bool snapshot_in_progress_ = false;
  std::uint64_t generation_ = 0;
  EventSink* events_;
};

}  // namespace blixard::raft
