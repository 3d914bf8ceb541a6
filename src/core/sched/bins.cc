#include "core/sched/bins.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace blixard::sched {

namespace {

constexpr std::array<std::pair<BinStrategy, std::string_view>, 3> kNames{
    {{BinStrategy::kFragmentationAware, "fragmentation-aware"},
     {BinStrategy::kBestFit, "best-fit"},
     {BinStrategy::kFirstFit, "first-fit"}}};

// How far ahead best-fit may be: bins that are open for a better fit are no loss yet. Few bins of
// a short stream must not cost much, though, and what is learned of a sorted stream misleads.
std::uint64_t slack(std::uint64_t bins) {
  constexpr std::uint64_t kMost = 4;
  return std::min(bins / 6, kMost) + (bins / 100);
}

}  // namespace

std::string_view bin_strategy_name(BinStrategy strategy) {
  return std::ranges::find(kNames, strategy, [](const auto& entry) { return entry.first; })->second;
}

std::optional<BinStrategy> parse_bin_strategy(std::string_view name) {
  for (const auto& [strategy, text] : kNames) {
    if (text == name) return strategy;
  }
  return std::nullopt;
}

BinPacker::BinPacker(std::int64_t capacity, BinStrategy strategy)
    : capacity_(capacity), strategy_(strategy), cells_(capacity), costs_(cells_.count()) {}

Result<BinPacker> BinPacker::make(std::int64_t capacity, BinStrategy strategy) {
  if (capacity < 1 || capacity > kBinCapacityMost) {
    return fail(Code::kInvalidArgument, "capacity_invalid",
                fmt::format("a capacity is 1 to {}, not {}", kBinCapacityMost, capacity));
  }
  return BinPacker(capacity, strategy);
}

std::uint64_t BinPacker::lower_bound() const {
  const auto capacity = static_cast<std::uint64_t>(capacity_);
  return (sum_ / capacity) + (sum_ % capacity == 0 ? 0 : 1);
}

Result<std::uint64_t> BinPacker::place(std::int64_t size) {
  if (size < 1 || size > capacity_) {
    return fail(Code::kInvalidArgument, "size_invalid",
                fmt::format("a size is 1 to the capacity {}, not {}", capacity_, size));
  }
  ++items_;
  sum_ += static_cast<std::uint64_t>(size);
  if (strategy_ == BinStrategy::kFirstFit) return place_first(size);
  if (strategy_ == BinStrategy::kFragmentationAware) return place_by_value(size);
  const auto tightest = gaps_.lower_bound(size);
  return tightest == gaps_.end() ? open_bin(size) : put(tightest, size);
}

std::uint64_t BinPacker::put(Gaps::iterator gap, std::int64_t size) {
  const std::int64_t left = gap->first - size;
  const std::uint64_t bin = gap->second.back();
  gap->second.pop_back();
  if (gap->second.empty()) gaps_.erase(gap);
  if (left > 0) gaps_[left].push_back(bin);
  return bin;
}

std::uint64_t BinPacker::open_bin(std::int64_t size) {
  if (size < capacity_) gaps_[capacity_ - size].push_back(bins_);
  return bins_++;
}

// How many bins best-fit would have.
void BinPacker::shadow(std::int64_t size) {
  auto gap = shadow_gaps_.lower_bound(size);
  std::int64_t left = capacity_ - size;
  if (gap == shadow_gaps_.end()) {
    ++shadow_bins_;
  } else {
    left = gap->first - size;
    if (--gap->second == 0) shadow_gaps_.erase(gap);
  }
  if (left > 0) ++shadow_gaps_[left];
}

void BinPacker::watch_order(std::int64_t size) {
  if (last_ != 0 && size != last_) {
    ++steps_;
    rise_ += size > last_ ? 1 : -1;
  }
  last_ = size;
}

// In a shuffled stream sizes fall as often as they rise: the difference has a standard deviation of
// less than the square root of the steps.
bool BinPacker::is_sorted() const {
  constexpr std::int64_t kSquared = 16;  // four of them
  return rise_ * rise_ > kSquared * steps_;
}

std::uint64_t BinPacker::place_by_value(std::int64_t size) {
  shadow(size);
  watch_order(size);
  costs_.learn(cells_.of_size(size));
  const std::size_t none = cells_.count();
  auto chosen = gaps_.end();
  std::int64_t least = costs_.added(none, cells_.of_gap(capacity_ - size));
  const bool behind = bins_ >= shadow_bins_ + (is_sorted() ? 0 : slack(shadow_bins_));
  if (behind) least = std::numeric_limits<std::int64_t>::max();
  for (auto gap = gaps_.lower_bound(size); gap != gaps_.end();) {
    const std::int64_t added =
        costs_.added(cells_.of_gap(gap->first), cells_.of_gap(gap->first - size));
    if (added < least) {
      least = added;
      chosen = gap;
    }
    if (behind) break;
    gap = none == static_cast<std::size_t>(capacity_)
              ? std::next(gap)
              : gaps_.lower_bound(cells_.next_cell(gap->first));
  }
  const std::size_t from = chosen == gaps_.end() ? none : cells_.of_gap(chosen->first);
  const std::int64_t room = chosen == gaps_.end() ? capacity_ : chosen->first;
  costs_.moved(from, cells_.of_gap(room - size));
  return chosen == gaps_.end() ? open_bin(size) : put(chosen, size);
}

// Leaves are the bins in the order of opening, those to come with all of their capacity; a node
// has the most of its two, so that the way down finds the first that is large enough.
std::uint64_t BinPacker::place_first(std::int64_t size) {
  if (bins_ == leaves_) {
    const std::vector<std::int64_t> old = std::move(tree_);
    const std::size_t was = leaves_;
    leaves_ = std::max<std::size_t>(2 * was, 64);
    tree_.assign(2 * leaves_, capacity_);
    for (std::size_t bin = 0; bin < was; ++bin)
      tree_[leaves_ + bin] = old[was + bin];
    for (std::size_t node = leaves_; --node > 0;)
      tree_[node] = std::max(tree_[2 * node], tree_[(2 * node) + 1]);
  }
  std::size_t node = 1;
  while (node < leaves_)
    node = tree_[2 * node] >= size ? 2 * node : (2 * node) + 1;
  const std::size_t bin = node - leaves_;
  tree_[node] -= size;
  for (node /= 2; node > 0; node /= 2)
    tree_[node] = std::max(tree_[2 * node], tree_[(2 * node) + 1]);
  bins_ = std::max<std::uint64_t>(bins_, bin + 1);
  return bin;
}

}  // namespace blixard::sched
