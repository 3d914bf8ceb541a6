#pragma once

// Latencies to within 1 %, in a fixed room, whatever their range: each power of two of nanoseconds
// has 128 buckets, as in an HDR histogram. Adding one takes no memory and a few instructions, so
// that it may stand in what is measured.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "base/units.h"

namespace blixard::perf {

class Latencies {
 public:
  void add(Duration latency) {
    const auto ns = latency.count() < 0 ? 0 : static_cast<std::uint64_t>(latency.count());
    ++buckets_.at(bucket_of(ns));
    ++count_;
    if (ns > max_ns_) max_ns_ = ns;
  }
  void add(const Latencies& other) {
    for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket)
      buckets_[bucket] += other.buckets_[bucket];
    count_ += other.count_;
    if (other.max_ns_ > max_ns_) max_ns_ = other.max_ns_;
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  // `part` of all took at most so long; of none: 0.
  [[nodiscard]] double ns_at(double part) const {
    const auto rank = static_cast<std::uint64_t>(part * static_cast<double>(count_));
    std::uint64_t seen = 0;
    for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
      seen += buckets_[bucket];
      if (seen > rank) return static_cast<double>(std::min(middle_of(bucket), max_ns_));
    }
    return static_cast<double>(max_ns_);
  }
  [[nodiscard]] double us_at(double part) const { return ns_at(part) / 1000; }
  [[nodiscard]] double us_max() const { return static_cast<double>(max_ns_) / 1000; }

 private:
  static constexpr unsigned kBits = 7;

  static std::size_t bucket_of(std::uint64_t ns) {
    if (ns < std::uint64_t{1} << kBits) return ns;
    const auto shift = static_cast<unsigned>(std::bit_width(ns)) - kBits - 1;
    return (std::size_t{shift} << kBits) + (ns >> shift);
  }
  static std::uint64_t middle_of(std::size_t bucket) {
    if (bucket < std::size_t{1} << kBits) return bucket;
    const std::size_t shift = (bucket >> kBits) - 1;
    const std::uint64_t begin = (bucket - (shift << kBits)) << shift;
    return begin + (std::uint64_t{1} << shift) / 2;
  }

  std::array<std::uint64_t, (64 - kBits + 1) << kBits> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ns_ = 0;
};

}  // namespace blixard::perf
