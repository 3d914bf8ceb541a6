#include "sim/qemu/soul.h"

#include <algorithm>

#include <fmt/format.h>

#include "sim/qemu/number.h"
#include "sim/random.h"

namespace blixard::sim {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::string_view kTitle = "blixard guest 1\n";
constexpr std::string_view kNever = "never";

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

std::string to_hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes)
    text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

// "key=value\n", one after the other in a fixed order.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  [[nodiscard]] bool good() const { return is_good_; }

  std::string_view word(std::string_view key) {
    const std::size_t end = rest_.find('\n');
    is_good_ = is_good_ && end != std::string_view::npos && rest_.starts_with(key) &&
               key.size() < end && rest_[key.size()] == '=';
    if (!is_good_) return {};
    const std::string_view value = rest_.substr(key.size() + 1, end - key.size() - 1);
    rest_.remove_prefix(end + 1);
    return value;
  }
  template <class Number>
  Number number(std::string_view key, int base = 10) {
    return parse<Number>(word(key), base);
  }
  Duration duration(std::string_view key) { return Duration(number<Duration::rep>(key)); }
  std::optional<Duration> duration_or_never(std::string_view key) {
    const std::string_view value = word(key);
    if (value == kNever) return std::nullopt;
    return Duration(parse<Duration::rep>(value, 10));
  }
  std::string bytes(std::string_view key) {
    std::string_view digits = word(key);
    expect(is_hex(digits, digits.size()) && digits.size() % 2 == 0);
    std::string bytes;
    for (; is_good_ && !digits.empty(); digits.remove_prefix(2))
      bytes += static_cast<char>(parse<std::uint8_t>(digits.substr(0, 2), 16));
    return bytes;
  }
  void expect(bool is_so) { is_good_ = is_good_ && is_so; }

 private:
  template <class Number>
  Number parse(std::string_view digits, int base) {
    const auto value = parse_number<Number>(digits, base);
    expect(value.has_value());
    return value.value_or(0);
  }

  std::string_view rest_;
  bool is_good_ = true;
};

}  // namespace

std::string GuestRandom::take_hex(std::size_t bytes) {
  SeededRandom stream(SeededRandom(seed).seed_for(std::to_string(count)));
  ++count;
  return stream.hex(bytes);
}

void GuestRandom::mix(std::string_view entropy) {
  seed = SeededRandom(SeededRandom(seed).seed_for(std::to_string(count))).seed_for(entropy);
  count = 0;
}

void GuestClock::run(Instant now) {
  if (!since_) since_ = now;
}

void GuestClock::stop(Instant now) {
  if (!since_) return;
  wall_ = wall(now);
  uptime_ = uptime(now);
  since_.reset();
}

void GuestClock::set(WallTime wall, Instant now) {
  uptime_ = uptime(now);
  wall_ = wall;
  if (since_) since_ = now;
}

void GuestClock::fall_behind(Duration by) { wall_.unix_ms -= by / 1ms; }

WallTime GuestClock::wall(Instant now) const {
  return {wall_.unix_ms + (since_ ? (now - *since_) / 1ms : 0)};
}

Duration GuestClock::uptime(Instant now) const {
  return uptime_ + (since_ ? now - *since_ : Duration{});
}

std::string encode_soul(const Soul& soul, Instant now) {
  std::string page(kTitle);
  page += fmt::format("host={}\nmachine={}\nmac={}\nboot={}\n", soul.host_name, soul.machine_id,
                      soul.mac, soul.boot_id);
  page += fmt::format("seed={:x}\ncount={}\n", soul.random.seed, soul.random.count);
  page += fmt::format("wall_ms={}\nuptime_ns={}\n", soul.clock.wall(now).unix_ms,
                      soul.clock.uptime(now).count());
  page += fmt::format("boot_left_ns={}\n", soul.boot_left ? std::to_string(soul.boot_left->count())
                                                          : std::string(kNever));
  page += fmt::format("save={:x}\nhalf={}\n", soul.save, to_hex(soul.half_line));
  page.resize(kSoulBytes, '\0');
  return page;
}

std::optional<Soul> decode_soul(std::string_view page) {
  if (!page.starts_with(kTitle)) return std::nullopt;
  Reader reader(page.substr(kTitle.size()));
  Soul soul;
  soul.host_name = reader.word("host");
  soul.machine_id = reader.word("machine");
  soul.mac = reader.word("mac");
  soul.boot_id = reader.word("boot");
  soul.random.seed = reader.number<std::uint64_t>("seed", 16);
  soul.random.count = reader.number<std::uint64_t>("count");
  const WallTime wall{reader.number<std::int64_t>("wall_ms")};
  const Duration uptime = reader.duration("uptime_ns");
  soul.clock = GuestClock(wall, uptime);
  soul.boot_left = reader.duration_or_never("boot_left_ns");
  soul.save = reader.number<std::uint64_t>("save", 16);
  soul.half_line = reader.bytes("half");
  reader.expect(is_host_name(soul.host_name) && is_hex(soul.machine_id, 32));
  reader.expect(soul.mac.empty() || is_mac(soul.mac));
  reader.expect(wall.unix_ms >= 0 && wall.unix_ms <= kGuestWallMax.unix_ms);
  reader.expect(uptime >= Duration{} && uptime < kUptimeMax);
  reader.expect(!soul.boot_left || (*soul.boot_left >= Duration{} && *soul.boot_left < kUptimeMax));
  reader.expect(soul.boot_id.empty() || is_hex(soul.boot_id, kBootIdDigits));
  reader.expect(soul.half_line.size() <= kAgentLineMax);
  if (!reader.good()) return std::nullopt;
  return soul;
}

bool is_hex(std::string_view text, std::size_t digits) {
  return text.size() == digits && text.find_first_not_of(kHexDigits) == std::string_view::npos;
}

bool is_host_name(std::string_view text) {
  if (text.empty() || text.size() > 63) return false;
  return is_letter_or_digit(text.front()) && is_letter_or_digit(text.back()) &&
         std::ranges::all_of(text,
                             [](char c) { return is_letter_or_digit(c) || c == '-' || c == '.'; });
}

bool is_mac(std::string_view text) {
  if (text.size() != 17) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool is_right =
        i % 3 == 2 ? text[i] == ':' : kHexDigits.find(text[i]) != std::string_view::npos;
    if (!is_right) return false;
  }
  return kHexDigits.find(text[1]) % 2 == 0 && text != "00:00:00:00:00:00";
}

std::uint64_t checksum(std::string_view bytes) { return SeededRandom(0).seed_for(bytes); }

}  // namespace blixard::sim
