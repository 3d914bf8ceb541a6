#pragma once

// What a gap in a bin is expected to cost, learned from the sizes that have come so far.
//
// M(g) is the capacity that one more bin with gap g wastes in the end. The stream ends after each
// item with a small chance h, and then all of g is wasted; else the next item comes, of size s with
// its share of what was seen. If no open bin takes it more cheaply, the gap becomes g - s, and the
// cost c of placing it elsewhere is saved:
//
//   M(g) = h g + (1 - h) (M(g) - sum over s of share(s) E[max(0, c(s) - (M(g - s) - M(g)))])
//
// c(s) is the least M(g' - s) - M(g') of the gaps g' that happen to be open, M(capacity - s) if
// none is; how often each gap is open is observed. Solved by a few steps of iteration now and then,
// from the last solution on. How many items are still to come is not known: as many as have come,
// roughly, so h falls as one over their number, and only then do bins stay open for a better fit.
// Several bins with one gap wait in line: the k-th costs h g k / (rate at which such gaps are
// filled) more, never more than all of g.
//
// After: fragmentation gradient descent (Weng et al., USENIX ATC 2023) in one dimension; the line
// is the sum-of-squares rule's reason (Csirik et al., J. ACM 2006); costs as dual prices, Gupta and
// Radovanovic (Operations Research 2020); the guess of the horizon, Gott's.
//
// Fixed point: costs in 1/65,536 of a cell, shares and chances in 1/2^30, rates in 1/2^32.

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace blixard::sched {

// Capacities up to this are exact; the gaps of larger ones are rounded to so many cells.
inline constexpr std::int64_t kGapCells = 256;

class GapCells {
 public:
  explicit GapCells(std::int64_t capacity)
      : capacity_(capacity), cells_(capacity < kGapCells ? capacity : kGapCells) {}

  [[nodiscard]] std::size_t count() const { return static_cast<std::size_t>(cells_); }
  // Of a gap under the capacity: 0 to count() - 1.
  [[nodiscard]] std::size_t of_gap(std::int64_t gap) const;
  // Of an item: 1 to count().
  [[nodiscard]] std::size_t of_size(std::int64_t size) const;
  // The least gap of the capacity or less that is in a cell after this one's.
  [[nodiscard]] std::int64_t next_cell(std::int64_t gap) const;

 private:
  std::int64_t capacity_;
  std::int64_t cells_;
};

class GapCosts {
 public:
  explicit GapCosts(std::size_t cells);

  // An item of this cell has come. To be told before it is placed.
  void learn(std::size_t size);
  // What a placement adds: the gap `from` (count of cells: a new bin) becomes `to`.
  [[nodiscard]] std::int64_t added(std::size_t from, std::size_t to) const;
  // It was done.
  void moved(std::size_t from, std::size_t to);

 private:
  // A gap that an item of the size at hand could go into, by what that adds.
  struct Offer {
    std::int64_t added;
    std::size_t gap;
  };

  void solve();
  void offer(std::size_t size, std::int64_t share);
  [[nodiscard]] std::int64_t waiting(std::size_t gap, std::int64_t ahead) const;

  std::size_t cells_;
  std::uint64_t items_ = 0;
  std::uint64_t next_solve_ = 1;
  std::int64_t ends_ = 0;  // h
  std::vector<std::uint64_t> seen_;
  std::vector<std::int64_t> cost_;
  std::vector<std::int64_t> bins_;   // with this gap now
  std::vector<std::int64_t> open_;   // how often there is one
  std::vector<std::int64_t> rate_;   // at which a single one would be filled
  std::vector<std::int64_t> saved_;  // of one step of the iteration
  std::vector<Offer> offers_;
  std::vector<std::int64_t> elsewhere_;
};

}  // namespace blixard::sched
