#pragma once

// Time and byte quantities as types.
//
// Instant is a point on one node's monotonic clock: comparable only on that node, meaningless
// after a restart. WallTime is what people read; no decision rests on it.

#include <chrono>
#include <compare>
#include <cstdint>

namespace blixard {

using Duration = std::chrono::nanoseconds;
using namespace std::chrono_literals;  // NOLINT(google-global-names-in-headers): 5s, 10ms

struct Instant {
  Duration since_start{};

  friend constexpr auto operator<=>(Instant, Instant) = default;
  friend constexpr Instant operator+(Instant at, Duration d) { return {at.since_start + d}; }
  friend constexpr Instant operator-(Instant at, Duration d) { return {at.since_start - d}; }
  friend constexpr Duration operator-(Instant a, Instant b) {
    return a.since_start - b.since_start;
  }
  static constexpr Instant never() { return {Duration::max()}; }
};

// Milliseconds since 1970-01-01 UTC.
struct WallTime {
  std::int64_t unix_ms = 0;
  friend constexpr auto operator<=>(WallTime, WallTime) = default;
};

struct Bytes {
  std::uint64_t value = 0;

  constexpr Bytes() = default;
  constexpr explicit Bytes(std::uint64_t count) : value(count) {}
  friend constexpr auto operator<=>(Bytes, Bytes) = default;
  friend constexpr Bytes operator+(Bytes a, Bytes b) { return Bytes(a.value + b.value); }
  friend constexpr Bytes operator-(Bytes a, Bytes b) { return Bytes(a.value - b.value); }
  [[nodiscard]] constexpr std::uint64_t mib() const { return value >> 20; }
};

constexpr Bytes kib(std::uint64_t count) { return Bytes(count << 10); }
constexpr Bytes mib(std::uint64_t count) { return Bytes(count << 20); }
constexpr Bytes gib(std::uint64_t count) { return Bytes(count << 30); }

}  // namespace blixard
