#include "vopr/scenario_words.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/edit_distance.h"
#include "vopr/scenario.h"

namespace blixard::vopr {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t nanoseconds = 1;
};
constexpr auto kUnits = std::to_array<Unit>({{"ns", 1},
                                             {"us", 1'000},
                                             {"ms", 1'000'000},
                                             {"s", 1'000'000'000},
                                             {"m", 60'000'000'000},
                                             {"h", 3'600'000'000'000}});
constexpr std::size_t kSeconds = 3;  // the largest that time_text() uses
constexpr std::array<std::string_view, 3> kManners{"patient", "noisy", "vanishing"};
constexpr std::size_t kNearNames = 3;
constexpr std::size_t kNameCompared = 64;

bool is_digit(char letter) { return letter >= '0' && letter <= '9'; }

}  // namespace

std::optional<Duration> parse_time(std::string_view text) {
  const auto split = std::ranges::find_if(text, [](char c) { return !is_digit(c) && c != '.'; });
  const std::string_view number(text.begin(), split);
  const auto unit = std::ranges::find(kUnits, std::string_view(split, text.end()), &Unit::name);
  if (unit == kUnits.end() || number.empty() || !is_digit(number.front()) ||
      !is_digit(number.back()) || std::ranges::count(number, '.') > 1)
    return std::nullopt;
  const std::string_view whole = number.substr(0, number.find('.'));
  const std::string_view rest =
      whole.size() == number.size() ? std::string_view() : number.substr(whole.size() + 1);
  std::int64_t count = 0;
  for (const char digit : whole) {
    count = count * 10 + (digit - '0');
    if (count > kUntilMost.count() / unit->nanoseconds) return std::nullopt;
  }
  std::int64_t total = count * unit->nanoseconds;
  std::int64_t place = unit->nanoseconds;
  for (const char digit : rest) {
    if (place % 10 != 0) return std::nullopt;
    place /= 10;
    total += (digit - '0') * place;
  }
  if (total > kUntilMost.count()) return std::nullopt;
  return Duration(total);
}

std::string time_text(Duration time) {
  BLX_ASSERT(time.count() >= 0);
  std::size_t unit = kSeconds;
  while (unit > 0 && time.count() > 0 && time.count() < kUnits.at(unit).nanoseconds)
    --unit;
  const std::int64_t size = kUnits.at(unit).nanoseconds;
  std::string text = std::to_string(time.count() / size);
  std::int64_t rest = time.count() % size;
  if (rest > 0) text += '.';
  for (std::int64_t place = size / 10; rest > 0; place /= 10) {
    text += static_cast<char>('0' + rest / place);
    rest %= place;
  }
  return text.append(kUnits.at(unit).name);
}

std::string_view manner_name(Manner manner) {
  return kManners.at(static_cast<std::size_t>(manner));
}

std::optional<Manner> parse_manner(std::string_view name) {
  const auto found = std::ranges::find(kManners, name);
  if (found == kManners.end()) return std::nullopt;
  return static_cast<Manner>(found - kManners.begin());
}

std::string near_names(std::string_view name, std::span<const std::string_view> names) {
  std::vector<std::pair<std::size_t, std::string_view>> by_changes;
  for (const std::string_view each : names)
    by_changes.emplace_back(edit_distance(name.substr(0, kNameCompared), each), each);
  std::ranges::sort(by_changes);
  if (by_changes.size() > kNearNames) by_changes.resize(kNearNames);
  std::string text;
  for (const auto& [changes, each] : by_changes) {
    if (!text.empty()) text += ", ";
    text += each;
  }
  return text;
}

}  // namespace blixard::vopr
