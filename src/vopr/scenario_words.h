#pragma once

// How scenarios write what is not a number: times, manners, and the names near a mistyped one.

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/units.h"
#include "vopr/plan.h"

namespace blixard::vopr {

// "250ms", "1.25s", "2m", "1h", "40us", "7ns". Nothing if it is none, finer than a nanosecond or
// more than kUntilMost.
[[nodiscard]] std::optional<Duration> parse_time(std::string_view text);

// What parse_time() reads as exactly this. Precondition: not negative.
[[nodiscard]] std::string time_text(Duration time);

[[nodiscard]] std::string_view manner_name(Manner manner);
[[nodiscard]] std::optional<Manner> parse_manner(std::string_view name);

// Those of `names` that can be made of `name` with the fewest changes, nearest first and then by
// the alphabet, at most three: "cut, cut-one-way, clog".
[[nodiscard]] std::string near_names(std::string_view name,
                                     std::span<const std::string_view> names);

}  // namespace blixard::vopr
