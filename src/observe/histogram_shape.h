#pragma once

// The buckets of a histogram: log-linear in base 2, as in HdrHistogram (Tene) and circllhist
// (Hartmann, Schlossnagle 2020). Each doubling from the lowest to the highest bound is cut into 1,
// 2 or 4 equal parts, so the relative error has one bound over the whole range, and the bucket of
// a value follows from its highest bits: no search. The parts are coarse on purpose, for the bounds
// shown to Prometheus are exactly these, and every bucket is a line of text.
//
// A bucket holds the values above the bound before it, up to and with its own, as `le` means it.
// Bounds are whole numbers of the unit: nanoseconds, bytes or things counted.

#include <algorithm>
#include <bit>
#include <cstdint>

#include "base/assert.h"
#include "base/units.h"

namespace blixard::observe {

enum class Unit : std::uint8_t { kCount, kSeconds, kBytes };

class HistogramShape {
 public:
  constexpr HistogramShape() = default;

  // The lowest bound is rounded down and the highest up to a power of two of the unit.
  static consteval HistogramShape seconds(Duration lowest, Duration highest, int parts = 1) {
    return {Unit::kSeconds, static_cast<std::uint64_t>(lowest.count()),
            static_cast<std::uint64_t>(highest.count()), parts};
  }
  static consteval HistogramShape bytes(Bytes lowest, Bytes highest, int parts = 1) {
    return {Unit::kBytes, lowest.value, highest.value, parts};
  }
  static consteval HistogramShape counts(std::uint64_t lowest, std::uint64_t highest,
                                         int parts = 1) {
    return {Unit::kCount, lowest, highest, parts};
  }

  [[nodiscard]] constexpr Unit unit() const { return unit_; }
  // Without the one beyond the highest bound.
  [[nodiscard]] constexpr std::uint32_t buckets() const { return buckets_; }

  // Bucket of a value; buckets() for one beyond the highest bound.
  [[nodiscard]] constexpr std::uint32_t bucket_of(std::uint64_t value) const {
    const std::uint64_t below = value - (value != 0 ? 1 : 0);  // so that a bound is in its bucket
    if (below >> low_ == 0) return 0;
    const auto octave = static_cast<std::uint32_t>(std::bit_width(below)) - 1 - low_;
    const auto part = static_cast<std::uint32_t>(below >> (octave + low_ - part_bits_)) &
                      ((1u << part_bits_) - 1);
    return std::min<std::uint32_t>(1 + (octave << part_bits_) + part, buckets_);
  }

  // Largest value of a bucket.
  [[nodiscard]] constexpr std::uint64_t bound(std::uint32_t bucket) const {
    if (bucket == 0) return std::uint64_t{1} << low_;
    const std::uint32_t octave = low_ + ((bucket - 1) >> part_bits_);
    const std::uint64_t part = ((bucket - 1) & ((1u << part_bits_) - 1)) + 1;
    return (std::uint64_t{1} << octave) + (part << (octave - part_bits_));
  }

  friend constexpr bool operator==(HistogramShape, HistogramShape) = default;

 private:
  consteval HistogramShape(Unit unit, std::uint64_t lowest, std::uint64_t highest, int parts)
      : unit_(unit),
        low_(static_cast<std::uint8_t>(std::bit_width(lowest) - 1)),
        part_bits_(static_cast<std::uint8_t>(std::bit_width(static_cast<unsigned>(parts)) - 1)) {
    const auto high = static_cast<int>(std::bit_width(highest - 1));
    const bool is_sound = (parts == 1 || parts == 2 || parts == 4) && low_ >= part_bits_ &&
                          lowest > 0 && high > low_ && high < 63;
    BLX_ASSERT(is_sound);
    buckets_ = static_cast<std::uint16_t>(1 + ((high - low_) << part_bits_));
  }

  Unit unit_ = Unit::kCount;
  std::uint8_t low_ = 0;  // the lowest bound is 2^low_
  std::uint8_t part_bits_ = 0;
  std::uint16_t buckets_ = 0;
};

}  // namespace blixard::observe
