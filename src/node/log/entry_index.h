#pragma once

// Where on disk each entry is. Indices are consecutive: base() + 1 up to last().
//
// Entries that later ones overwrote are not in it, so the segments of the places never decrease
// from one index to the next.

#include <cstdint>
#include <deque>
#include <optional>

#include "base/ids.h"

namespace blixard::log {

struct Place {
  std::uint64_t segment = 0;   // sequence number
  std::uint64_t offset = 0;    // of the payload
  std::uint64_t checksum = 0;  // of the payload, so that a read is checked without its batch
  Term term;
  std::uint32_t bytes = 0;
  std::uint8_t kind = 0;
};

class EntryIndex {
 public:
  [[nodiscard]] LogIndex base() const { return base_; }
  [[nodiscard]] LogIndex last() const { return LogIndex(base_.value + places_.size()); }
  [[nodiscard]] const Place* find(LogIndex index) const;

  // Drops what is at `index` and behind, then adds it there. False: it would leave a gap.
  bool put(LogIndex index, const Place& place);
  // Forgets everything; the next entry is base + 1.
  void reset(LogIndex base);
  // Forgets the leading entries that are in segments before `segment`.
  void drop_before(std::uint64_t segment);

 private:
  LogIndex base_;
  std::deque<Place> places_;
};

}  // namespace blixard::log
