// What the core hands out, and what it hears of its disk.

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "core/raft/core_impl.h"

namespace blixard::raft {

bool Core::Impl::has_append() const {
  return hard_state() != previous_hard_ || log_.unstable().has_next_snapshot() ||
         !log_.unstable().next_entries().empty() || !after_append_.empty();
}

bool Core::Impl::has_output() const {
  return SoftState{leader_, role_} != previous_soft_ || has_append() || !messages_.empty() ||
         (!committed_waiting_ &&
          log_.has_committed(config_.applies_before_durable, series_.applies_behind_snapshot)) ||
         !read_states_.empty() || !refused_reads_.empty();
}

Output Core::Impl::take_output() {
  Output out;
  if (const SoftState soft{leader_, role_}; soft != previous_soft_) {
    previous_soft_ = soft;
    out.soft_state = soft;
  }
  if (!committed_waiting_) {
    const LogIndex next = log_.applying().next();
    out.committed = spare_entries_.take();
    const Storage::Fetch fetch = log_.take_committed(
        config_.applies_before_durable, series_.applies_behind_snapshot, out.committed);
    BLX_ASSERT(fetch != Storage::Fetch::kCompacted);  // what is not applied is kept
    if (out.committed.empty()) spare_entries_.give(std::exchange(out.committed, {}));
    if (fetch == Storage::Fetch::kNotInMemory) committed_waiting_ = next;
  }
  if (!messages_.empty()) out.messages = std::exchange(messages_, spare_messages_.take());
  out.reads = std::exchange(read_states_, {});
  out.refused_reads = std::exchange(refused_reads_, {});
  if (has_append()) fill_append(out);
  return out;
}

void Core::Impl::fill_append(Output& out) {
  Append& append = out.append.emplace();
  Unstable& unstable = log_.unstable();
  if (const HardState hard = hard_state(); hard != previous_hard_) {
    append.must_sync = hard.term != previous_hard_.term || hard.vote != previous_hard_.vote;
    append.hard_state = hard;
    out.hard_state = hard;
    previous_hard_ = hard;
  }
  const std::span<const Entry> entries = unstable.next_entries();
  if (!entries.empty()) append.entries = spare_entries_.take();
  append.entries.assign(entries.begin(), entries.end());
  append.mark.term = term_;
  append.mark.generation = unstable.generation();
  if (unstable.has_next_snapshot()) {
    append.snapshot = unstable.snapshot();
    append.mark.snapshot = append.snapshot->index;
  }
  // Also if this append has no entries: a mark of an earlier term is not believed, and this one
  // makes up for it.
  if (!unstable.empty()) {
    const EntryRef last = log_.last_entry();
    append.mark.last = last.index;
    append.mark.last_term = last.term;
  }
  append.must_sync = append.must_sync || !append.entries.empty() || append.snapshot.has_value();
  if (!after_append_.empty())
    append.responses = std::exchange(after_append_, spare_messages_.take());
  unstable.handed_out();
}

void Core::Impl::recycle(Output used) {
  spare_messages_.give(std::move(used.messages));
  spare_entries_.give(std::move(used.committed));
  if (!used.append) return;
  spare_messages_.give(std::move(used.append->responses));
  spare_entries_.give(std::move(used.append->entries));
}

void Core::Impl::appended(const AppendMark& mark) {
  BLX_ASSERT(mark.term <= term_);
  if (mark.last) {
    // In a later term the entries may have been overwritten here, and what overwrites them may be
    // on its way to the disk behind this append.
    if (mark.term < term_ && !BLX_BUG(kTrustsStaleCompletion)) {
      emit({.kind = EventKind::kStaleAppendIgnored, .other_term = mark.term});
    } else {
      log_.unstable().stable_to(mark.last, mark.last_term, mark.generation);
    }
  }
  // What a snapshot has is committed, whatever the term.
  if (mark.snapshot) {
    log_.unstable().stable_snapshot(mark.snapshot);
    applied(mark.snapshot);
  }
}

}  // namespace blixard::raft
