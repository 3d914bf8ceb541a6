#include "core/sched/mix.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace blixard::sched {

namespace {

using Counted = std::vector<std::pair<TypicalShape, std::uint64_t>>;

std::int64_t rounded_up(std::int64_t size) {
  constexpr int kDigits = 3;
  const auto width = std::bit_width(static_cast<std::uint64_t>(std::max<std::int64_t>(size, 0)));
  if (width <= kDigits) return size;
  const std::int64_t step = std::int64_t{1} << (width - kDigits);
  return (size + step - 1) / step * step;
}

// The most frequent ones, the most frequent first.
Counted most_frequent(const ShapeCounts& counts) {
  Counted all(counts.begin(), counts.end());
  std::ranges::sort(all, [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  if (all.size() > kMixEntries) all.resize(kMixEntries);
  return all;
}

std::uint64_t sum_of(const Counted& counted) {
  std::uint64_t sum = 0;
  for (const auto& [shape, count] : counted)
    sum += count;
  return sum;
}

// A power of two, or half way between two, at most the count; in 128ths.
std::uint64_t stepped(std::uint64_t count) {
  constexpr std::uint64_t kWhole = 128;
  constexpr std::uint64_t kHalfStep = 181;  // of 128, the root of two
  const auto exponent = std::bit_width(count) - 1;
  const bool is_above = count * kWhole >= kHalfStep << exponent;
  return (is_above ? kHalfStep : kWhole) << exponent;
}

}  // namespace

TypicalShape typical(const resources::Demand& demand) {
  TypicalShape shape{.cpu_milli = demand.amounts.cpu_milli,
                     .memory_mib = demand.amounts.memory_mib,
                     .device_kind = {},
                     .device_models = {}};
  if (demand.devices.empty()) return shape;
  const resources::DeviceNeed& need = demand.devices.front();
  shape.device_count = need.count;
  shape.device_milli = need.milli;
  shape.device_kind = need.kind;
  shape.device_models = need.models;
  return shape;
}

Mix mix_of(const ShapeCounts& counts) {
  std::uint64_t all = 0;
  for (const auto& [shape, count] : counts)
    all += count;
  Counted chosen = most_frequent(counts);
  // Too many sizes: what is left out would be a quarter.
  if (sum_of(chosen) * 4 < all * 3) {
    ShapeCounts coarse;
    for (const auto& [shape, count] : counts) {
      TypicalShape rounded = shape;
      rounded.cpu_milli = rounded_up(shape.cpu_milli);
      rounded.memory_mib = rounded_up(shape.memory_mib);
      coarse[std::move(rounded)] += count;
    }
    chosen = most_frequent(coarse);
  }
  std::uint64_t sum = 0;
  for (auto& [shape, count] : chosen) {
    count = stepped(count);
    sum += count;
  }
  Mix mix;
  for (auto& [shape, count] : chosen) {
    const auto weight = static_cast<std::uint32_t>(count * kMixWeight / sum);
    if (weight != 0) mix.entries.push_back({.shape = std::move(shape), .weight = weight});
  }
  // Counts decide who is in; the order of shapes keeps equal contents equal.
  std::ranges::sort(mix.entries, {}, &Mix::Entry::shape);
  return mix;
}

}  // namespace blixard::sched
