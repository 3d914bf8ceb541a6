#include "core/sched/bins_gaps.h"

#include <algorithm>
#include <tuple>

namespace blixard::sched {

namespace {

constexpr int kCostBits = 16;
constexpr int kShareBits = 30;
constexpr int kRateBits = 32;
constexpr std::int64_t kSure = std::int64_t{1} << kShareBits;

// Chosen on generated instances of many kinds and lengths; 0.5 to 1 and 10 to 80 differ little.
constexpr std::int64_t kEnds = std::int64_t{1} << kRateBits;
constexpr std::int64_t kItemsBefore = 60;  // as if so many had come before the first
// A step of the iteration looks this many items ahead at most.
constexpr std::int64_t kRateLeast = (std::int64_t{1} << kRateBits) / 200;
constexpr int kOpenShift = 8;  // an average over the last 256 items or so
constexpr std::int64_t kWaitingMost = 255;
constexpr std::size_t kSteps = 4;
constexpr std::size_t kStepWork = 40'000;  // pairs of gap and size, of all steps of one solution

std::int64_t cells_cost(std::size_t cells) { return static_cast<std::int64_t>(cells) << kCostBits; }

}  // namespace

std::size_t GapCells::of_gap(std::int64_t gap) const {
  if (cells_ == capacity_) return static_cast<std::size_t>(gap);
  const std::int64_t nearest = ((gap * cells_) + (capacity_ / 2)) / capacity_;
  return static_cast<std::size_t>(std::min(nearest, cells_ - 1));
}

std::size_t GapCells::of_size(std::int64_t size) const {
  if (cells_ == capacity_) return static_cast<std::size_t>(size);
  const std::int64_t nearest = ((size * cells_) + (capacity_ / 2)) / capacity_;
  return static_cast<std::size_t>(std::max<std::int64_t>(nearest, 1));
}

std::int64_t GapCells::next_cell(std::int64_t gap) const {
  if (cells_ == capacity_) return gap + 1;
  const auto next = static_cast<std::int64_t>(of_gap(gap)) + 1;
  if (next >= cells_) return capacity_;
  const std::int64_t first = (next * capacity_) - (capacity_ / 2);
  return (first + cells_ - 1) / cells_;
}

GapCosts::GapCosts(std::size_t cells)
    : cells_(cells),
      seen_(cells + 1),
      cost_(cells + 1),
      bins_(cells + 1),
      open_(cells + 1),
      rate_(cells + 1),
      saved_(cells + 1) {
  // Nothing is known: all that is left over is lost.
  for (std::size_t gap = 0; gap < cells_; ++gap)
    cost_[gap] = cells_cost(gap);
}

void GapCosts::learn(std::size_t size) {
  ++seen_[size];
  ++items_;
  if (items_ < next_solve_) return;
  next_solve_ = items_ + std::max<std::uint64_t>(items_ / 20, 1);
  solve();
}

// What an item of this size, as a share of all, saves if one more bin has this gap or that one.
void GapCosts::offer(std::size_t size, std::int64_t share) {
  const std::int64_t anew = cost_[cells_ - size];
  offers_.clear();
  for (std::size_t gap = size; gap < cells_; ++gap) {
    const std::int64_t adds = cost_[gap - size] - cost_[gap];
    if (adds < anew) offers_.push_back({.added = adds, .gap = gap});
  }
  std::ranges::sort(offers_, {},
                    [](const Offer& offer) { return std::tuple(offer.added, offer.gap); });
  // What it costs on average if none of the offers before this one is there.
  elsewhere_.resize(offers_.size() + 1);
  elsewhere_.back() = anew;
  for (std::size_t i = offers_.size(); i-- > 0;) {
    const std::int64_t less = elsewhere_[i + 1] - offers_[i].added;
    elsewhere_[i] = elsewhere_[i + 1] - ((less * open_[offers_[i].gap]) >> kShareBits);
  }
  std::int64_t reaches = share;
  for (std::size_t i = 0; i < offers_.size() && reaches > share >> 13; ++i) {
    const std::size_t gap = offers_[i].gap;
    saved_[gap] += reaches * (elsewhere_[i + 1] - offers_[i].added);
    rate_[gap] += reaches << (kRateBits - kShareBits);
    reaches -= (reaches * open_[gap]) >> kShareBits;
  }
}

void GapCosts::solve() {
  ends_ = kEnds / (static_cast<std::int64_t>(items_) + kItemsBefore);
  const auto kinds = static_cast<std::size_t>(
      std::ranges::count_if(seen_, [](std::uint64_t count) { return count > 0; }));
  const std::size_t steps = std::clamp<std::size_t>(kStepWork / (kinds * cells_), 1, kSteps);
  for (std::size_t step = 0; step < steps; ++step) {
    std::ranges::fill(saved_, 0);
    std::ranges::fill(rate_, 0);
    for (std::size_t size = 1; size <= cells_; ++size) {
      if (seen_[size] == 0) continue;
      offer(size, static_cast<std::int64_t>((seen_[size] << kShareBits) / items_));
    }
    for (std::size_t gap = 1; gap < cells_; ++gap) {
      const std::int64_t whole = cells_cost(gap);
      const std::int64_t lost = ends_ * (whole - cost_[gap]);
      const std::int64_t change = lost - (saved_[gap] << (kRateBits - kShareBits));
      const std::int64_t rate = std::max(ends_ + rate_[gap], kRateLeast);
      cost_[gap] = std::clamp<std::int64_t>(cost_[gap] + (change / rate / 2), 0, whole);
    }
  }
}

// More, for a bin with so many before it in the line of its gap.
std::int64_t GapCosts::waiting(std::size_t gap, std::int64_t ahead) const {
  if (gap == 0 || gap == cells_) return 0;
  const std::int64_t whole = cells_cost(gap);
  const std::int64_t line = ends_ * whole * std::min(ahead, kWaitingMost);
  return std::min(whole - cost_[gap], line / (rate_[gap] + (kRateLeast >> 12)));
}

std::int64_t GapCosts::added(std::size_t from, std::size_t to) const {
  if (from == to) return 0;
  const std::int64_t leaves = from == cells_ ? 0 : waiting(from, bins_[from] - 1);
  return cost_[to] - cost_[from] + waiting(to, bins_[to]) - leaves;
}

void GapCosts::moved(std::size_t from, std::size_t to) {
  if (from != cells_) --bins_[from];
  ++bins_[to];
  for (std::size_t gap = 1; gap < cells_; ++gap)
    open_[gap] += ((bins_[gap] > 0 ? kSure : 0) - open_[gap]) >> kOpenShift;
}

}  // namespace blixard::sched
