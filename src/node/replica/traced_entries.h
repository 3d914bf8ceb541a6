#pragma once

// The leader's spans of traced commands between their place in the log and their commit. Nearly
// always empty; bounded: the oldest makes room, unrecorded.

#include <utility>

#include "base/limits.h"
#include "base/ring.h"
#include "node/replica/proposals.h"
#include "node/trace/tracer.h"

namespace blixard::replica {

class TracedEntries {
 public:
  // What was put at this place or behind it before, in an earlier term, is not there any more.
  void placed(Position position, trace::ActiveSpan span) {
    while (!entries_.empty() && entries_.back().position.index >= position.index) {
      entries_.back().span.fail({Code::kUnavailable, "leadership_lost"});
      entries_.pop_back();
    }
    if (!span.is_recorded()) return;
    span.set("blixard.raft.term", position.term.value);
    span.set("blixard.raft.index", position.index.value);
    if (entries_.size() == limits::kTracedEntries) {
      entries_.front().span.drop();
      entries_.pop_front();
    }
    entries_.push_back({position, std::move(span)});
  }

  // The entry at `position` is committed: it took the place of whatever else was put there.
  void committed(Position position) {
    while (!entries_.empty() && entries_.front().position.index <= position.index) {
      Entry& entry = entries_.front();
      if (entry.position != position) entry.span.fail({Code::kUnavailable, "leadership_lost"});
      entries_.pop_front();
    }
  }

 private:
  struct Entry {
    Position position;
    trace::ActiveSpan span;  // ends with the entry
  };
  Ring<Entry> entries_;
};

}  // namespace blixard::replica
