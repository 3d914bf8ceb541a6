#pragma once

// Who a guest is: all of its memory that anybody can tell it by. A save keeps it, and a clone has
// it in common with its template until it is told to become somebody else.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/units.h"

namespace blixard::sim {

// The kernel's random generator: of two with the same seed and count the next bytes are the same.
struct GuestRandom {
  std::uint64_t seed = 0;
  std::uint64_t count = 0;

  std::string take_hex(std::size_t bytes);  // 2 * bytes characters
  void mix(std::string_view entropy);
};

// A kernel takes no time of day beyond this one.
inline constexpr WallTime kGuestWallMax{8'277'292'036'000};
inline constexpr Duration kUptimeMax = std::chrono::hours(24 * 365 * 30);

// Ticks with the machine's monotonic clock while the guest runs, and stands still while it does
// not.
class GuestClock {
 public:
  GuestClock() = default;
  GuestClock(WallTime wall, Duration uptime) : wall_(wall), uptime_(uptime) {}

  void run(Instant now);
  void stop(Instant now);
  void set(WallTime wall, Instant now);
  void fall_behind(Duration by);
  [[nodiscard]] WallTime wall(Instant now) const;
  [[nodiscard]] Duration uptime(Instant now) const;

 private:
  WallTime wall_;  // both as of `since_`, or for ever
  Duration uptime_{};
  std::optional<Instant> since_;  // none: it stands still
};

struct Soul {
  std::string host_name;
  std::string machine_id;  // 32 hex digits
  std::string mac;
  std::string boot_id;  // Linux draws it when it is first read; empty: not yet
  GuestRandom random;
  GuestClock clock;
  std::optional<Duration> boot_left = Duration{};  // until its agent answers; none: it never will
  std::uint64_t save = 0;                          // the one that it was loaded from; 0: it booted
  std::string half_line;  // what its agent has read of a line that has not ended yet
};

// As the first page of the guest's memory.
inline constexpr std::size_t kSoulBytes = 4096;
inline constexpr std::size_t kAgentLineMax = 512;
inline constexpr std::size_t kBootIdDigits = 32;
std::string encode_soul(const Soul& soul, Instant now);
// None: these bytes are no guest's.
std::optional<Soul> decode_soul(std::string_view page);

bool is_hex(std::string_view text, std::size_t digits);  // lower case
bool is_host_name(std::string_view text);
bool is_mac(std::string_view text);  // of one card

// To tell whether bytes are the same; no protection against anybody.
std::uint64_t checksum(std::string_view bytes);

}  // namespace blixard::sim
