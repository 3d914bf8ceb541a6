#pragma once

// Packing of one resource, online: items of unlike sizes come one by one, each goes for good into
// one of equal bins, and as few bins as possible are opened. What comes is not known beforehand,
// nor how much of it: the sizes are learned as they arrive.
//
// Best-fit and first-fit are here to compare with. Fragmentation-aware asks of every gap that an
// item could leave what it is expected to cost (bins_gaps.h) and takes the placement that adds
// least. It never trusts what it learned blindly: best-fit runs beside it as a shadow, and whoever
// has fallen behind the shadow places like it until the lead is gone.
//
// Whole numbers only: the same items give the same bins on every machine. An item costs one look
// at each distinct gap that it fits into, or at most kGapCells of them when the capacity is large.

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/sched/bins_gaps.h"

namespace blixard::sched {

enum class BinStrategy : std::uint8_t { kFragmentationAware, kBestFit, kFirstFit };

std::string_view bin_strategy_name(BinStrategy strategy);
std::optional<BinStrategy> parse_bin_strategy(std::string_view name);

inline constexpr std::int64_t kBinCapacityMost = std::int64_t{1} << 31;

class BinPacker {
 public:
  // Errors: kInvalidArgument if the capacity is not 1 to kBinCapacityMost.
  static Result<BinPacker> make(std::int64_t capacity, BinStrategy strategy);

  // The number of the bin, counted from 0 in the order of opening: bins() before the call is a new
  // one. Errors: kInvalidArgument if the size is not 1 to the capacity; nothing has changed then.
  Result<std::uint64_t> place(std::int64_t size);

  [[nodiscard]] std::uint64_t bins() const { return bins_; }
  [[nodiscard]] std::uint64_t items() const { return items_; }
  [[nodiscard]] std::int64_t capacity() const { return capacity_; }
  // No packing of the items so far has fewer bins.
  [[nodiscard]] std::uint64_t lower_bound() const;

 private:
  // Bins by what is left in them; full ones are forgotten.
  using Gaps = std::map<std::int64_t, std::vector<std::uint64_t>>;

  BinPacker(std::int64_t capacity, BinStrategy strategy);
  std::uint64_t put(Gaps::iterator gap, std::int64_t size);
  std::uint64_t open_bin(std::int64_t size);
  std::uint64_t place_by_value(std::int64_t size);
  std::uint64_t place_first(std::int64_t size);
  void shadow(std::int64_t size);
  void watch_order(std::int64_t size);
  [[nodiscard]] bool is_sorted() const;

  std::int64_t capacity_;
  BinStrategy strategy_;
  std::uint64_t bins_ = 0;
  std::uint64_t items_ = 0;
  std::uint64_t sum_ = 0;
  Gaps gaps_;
  GapCells cells_;
  GapCosts costs_;
  std::map<std::int64_t, std::uint64_t> shadow_gaps_;  // best-fit's bins, counted
  std::uint64_t shadow_bins_ = 0;
  std::int64_t last_ = 0;           // the size before this one
  std::int64_t steps_ = 0;          // from a size to another
  std::int64_t rise_ = 0;           // of these, how many more went up than down
  std::vector<std::int64_t> tree_;  // first-fit: what is left, and the most of each pair above it
  std::size_t leaves_ = 0;
};

}  // namespace blixard::sched
