#include "sim/qemu/identity.h"

#include <algorithm>
#include <array>

#include "sim/qemu/number.h"

namespace blixard::sim {
namespace {

constexpr std::size_t kSeedDigits = 64;
constexpr std::size_t kMachineDigits = 32;
constexpr std::int64_t kTimeMax = std::int64_t{1} << 53;

std::optional<std::int64_t> number(std::string_view digits, std::int64_t most) {
  const auto value = parse_number<std::uint64_t>(digits);
  if (!value || *value > static_cast<std::uint64_t>(most)) return std::nullopt;
  return static_cast<std::int64_t>(*value);
}

bool is_ipv4(std::string_view text) {
  constexpr int kParts = 4;
  for (int i = 0; i < kParts; ++i) {
    const std::size_t end = i + 1 < kParts ? text.find('.') : text.size();
    if (end == std::string_view::npos || !number(text.substr(0, end), 255)) return false;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return true;
}

bool is_network(std::string_view text) {
  const std::size_t slash = text.find('/');
  return slash != std::string_view::npos && is_ipv4(text.substr(0, slash)) &&
         number(text.substr(slash + 1), 32).has_value();
}

}  // namespace

std::expected<Identity, std::string> Identity::parse(std::span<const std::string_view> words) {
  Identity identity;
  for (const std::string_view word : words) {
    if (auto wrong = identity.take(word)) return std::unexpected(*std::move(wrong));
  }
  return identity;
}

std::optional<std::string> Identity::take(std::string_view word) {
  struct Kind {
    std::string_view key;
    std::optional<std::string> Identity::* value;
    bool (*is_valid)(std::string_view);
  };
  static constexpr std::array<Kind, 8> kKinds = {{
      {"was", &Identity::was_, is_host_name},
      {"name", &Identity::name_, is_host_name},
      {"mac", &Identity::mac_, is_mac},
      {"machine", &Identity::machine_,
       [](std::string_view v) { return is_hex(v, kMachineDigits); }},
      {"seed", &Identity::seed_, [](std::string_view v) { return is_hex(v, kSeedDigits); }},
      {"time_ms", &Identity::time_,
       [](std::string_view v) { return number(v, kTimeMax).value_or(0) > 0; }},
      {"ip", &Identity::address_, is_network},
      {"gw", &Identity::gateway_, is_ipv4},
  }};
  const std::size_t equals = word.find('=');
  if (equals == std::string_view::npos) return "unknown argument";
  const std::string_view key = word.substr(0, equals);
  const std::string_view value = word.substr(equals + 1);
  const auto* const kind = std::ranges::find(kKinds, key, &Kind::key);
  if (kind == kKinds.end()) return "unknown argument";
  std::optional<std::string>& taken = this->*kind->value;
  if (taken) return std::string(key) + " given twice";
  if (!kind->is_valid(value)) return "bad " + std::string(key);
  taken = value;
  if (key == "time_ms") wall_ = {*number(value, kTimeMax)};
  return std::nullopt;
}

bool Identity::is_for_clones() const { return was_ || mac_ || machine_ || seed_ || time_; }

std::expected<void, std::string> Identity::apply(Soul& soul, Instant now) const {
  const bool is_known = !was_ || soul.host_name == *was_ || soul.host_name == name_;
  if (!is_known) return std::unexpected("another guest");
  if (seed_) soul.random.mix(*seed_);
  if (time_ && (wall_ > kGuestWallMax || wall_.unix_ms < soul.clock.uptime(now) / 1ms)) {
    return std::unexpected("cannot set the time: Invalid argument");
  }
  if (time_) soul.clock.set(wall_, now);
  if (name_) soul.host_name = *name_;
  if (machine_) soul.machine_id = *machine_;
  if (mac_) soul.mac = *mac_;
  return {};
}

}  // namespace blixard::sim
