#pragma once

// Where on disk each entry is, and its term. Indices are consecutive: base() + 1 up to last().
//
// Entries that later ones overwrote are not in it, so the segments of the places never decrease
// from one index to the next. Terms are kept once for each stretch of entries that share one.

#include <cstdint>
#include <deque>
#include <optional>

#include "base/ids.h"

namespace blixard::log {

struct Place {
  std::uint64_t segment = 0;   // sequence number
  std::uint64_t checksum = 0;  // of the payload, so that a read is checked without its batch
  std::uint32_t offset = 0;    // of the payload
  std::uint32_t bytes = 0;
  std::uint8_t kind = 0;
};

class EntryIndex {
 public:
  [[nodiscard]] LogIndex base() const { return base_; }
  [[nodiscard]] LogIndex last() const { return LogIndex(base_.value + places_.size()); }
  [[nodiscard]] const Place* find(LogIndex index) const;
  // Also of base(), if it is known; none elsewhere.
  [[nodiscard]] std::optional<Term> term(LogIndex index) const;

  // Drops what is at `index` and behind, then adds it there. At or below base(), that moves there,
  // and its term is not known any more. False: it would leave a gap.
  bool put(LogIndex index, Term term, const Place& place);
  // Forgets everything; the next entry is base + 1.
  void reset(LogIndex base, std::optional<Term> base_term);
  // Forgets the leading entries that are in segments before `segment`.
  void drop_before(std::uint64_t segment);
  void drop_first();  // precondition: there is one
  void set_base_term(Term term) { base_term_ = term; }

 private:
  struct Stretch {
    LogIndex first;
    Term term;
  };

  LogIndex base_;
  std::optional<Term> base_term_ = Term();
  std::deque<Place> places_;
  std::deque<Stretch> terms_;
};

}  // namespace blixard::log
