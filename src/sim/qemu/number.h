#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace blixard::sim {

// All of the text; none: it is no number, or does not fit.
template <class Number>
std::optional<Number> parse_number(std::string_view digits, int base = 10) {
  Number value = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  const bool is_number = !digits.empty() && read.ec == std::errc();
  if (!is_number || read.ptr != digits.data() + digits.size()) return std::nullopt;
  return value;
}

}  // namespace blixard::sim
