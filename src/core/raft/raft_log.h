#pragma once

// The log as the core sees it: what Storage holds, what is not durable yet (Unstable) behind it or
// over its tail, and the three positions in it.
//
// Invariants: first - 1 <= applied <= applying <= committed <= last. What is committed is never
// overwritten. An entry found in Unstable counts, whatever Storage says at that index.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "base/ids.h"
#include "core/raft/event.h"
#include "core/raft/storage.h"
#include "core/raft/types.h"
#include "core/raft/unstable.h"

namespace blixard::raft {

struct EntryRef {
  LogIndex index;
  Term term;
};

class RaftLog {
 public:
  // What became of a leader's entries.
  enum class Verdict : std::uint8_t {
    kAppended,
    kRejected,   // the entry before them is not here
    kForbidden,  // they contradict what is committed: nothing was changed
  };

  // `applying_bytes_max`: of entries handed out and not yet applied.
  RaftLog(const Storage& storage, std::size_t applying_bytes_max, EventSink* events);

  [[nodiscard]] LogIndex first() const;
  [[nodiscard]] LogIndex last() const;
  [[nodiscard]] EntryRef last_entry() const;
  // None: compacted, or behind the end.
  [[nodiscard]] std::optional<Term> term(LogIndex index) const;
  [[nodiscard]] Term term_or_none(LogIndex index) const { return term(index).value_or(Term()); }
  // Whether a log that ends there has everything this one has (paper, section 5.4.1).
  [[nodiscard]] bool is_up_to_date(EntryRef end) const;
  // The largest index up to `index` whose term is at most `term`, and that term: where this log
  // and one that says so may meet. The term is none where it is not known. O(log n).
  [[nodiscard]] EntryRef meeting_point(LogIndex index, Term term) const;
  // Appends entries [from, last] to `out`, at least one, at most bytes_max; none if from > last.
  [[nodiscard]] Storage::Fetch entries(LogIndex from, std::size_t bytes_max,
                                       std::vector<Entry>& out) const;
  [[nodiscard]] Storage::Fetch slice(LogIndex from, LogIndex to, std::size_t bytes_max,
                                     std::vector<Entry>& out) const;
  [[nodiscard]] std::optional<SnapshotMeta> snapshot() const;

  // A leader's append: entries behind (previous, previous_term), and its commit index. Sets `last`
  // to the last index that the message vouched for. Takes the payloads of what it appends.
  // Precondition: consecutive from previous + 1.
  [[nodiscard]] Verdict append_after(EntryRef previous, std::span<Entry> entries, LogIndex commit,
                                     LogIndex& last);
  // A leader's own, numbered behind last().
  void append(std::span<Entry> entries) { unstable_.append(entries); }
  void restore(const SnapshotMeta& snapshot);

  // Never backwards. Precondition: to <= last().
  void commit_to(LogIndex to);
  // A quorum has `index`: commits it if it is of `term` (paper, section 5.4.2).
  [[nodiscard]] bool commit_by_quorum(LogIndex index, Term term);
  // As found on disk. Precondition: first() - 1 <= applied <= commit <= last().
  void load(LogIndex commit, LogIndex applied);

  [[nodiscard]] LogIndex committed() const { return committed_; }
  [[nodiscard]] LogIndex applying() const { return applying_; }
  [[nodiscard]] LogIndex applied() const { return applied_; }

  // Whether committed entries can be handed out. `unstable_too`: also those that are not durable
  // here. `behind_snapshot`: also while a snapshot is being installed, those behind it.
  [[nodiscard]] bool has_committed(bool unstable_too, bool behind_snapshot) const;
  // Hands them out. Not kFound: they are not in memory, nothing changed.
  [[nodiscard]] Storage::Fetch take_committed(bool unstable_too, bool behind_snapshot,
                                              std::vector<Entry>& out);
  // Returns the payload bytes of the entries that were handed out and are now applied.
  // Precondition: at most committed().
  std::size_t applied_to(LogIndex index);

  [[nodiscard]] const Unstable& unstable() const { return unstable_; }
  [[nodiscard]] Unstable& unstable() { return unstable_; }
  [[nodiscard]] bool installs_snapshot() const { return unstable_.snapshot().has_value(); }

 private:
  struct Batch {  // handed out to be applied
    LogIndex last;
    std::size_t bytes = 0;
    std::size_t payload_bytes = 0;
  };

  [[nodiscard]] LogIndex appliable_end(bool unstable_too) const;
  [[nodiscard]] LogIndex next_to_apply() const;
  [[nodiscard]] std::size_t first_conflict(std::span<const Entry> entries) const;

  const Storage& storage_;
  EventSink* events_;
  Unstable unstable_;
  LogIndex committed_;
  LogIndex applying_;
  LogIndex applied_;
  std::size_t applying_bytes_max_;
  std::size_t applying_bytes_ = 0;
  bool applying_paused_ = false;
  std::deque<Batch> batches_;
};

}  // namespace blixard::raft
