#pragma once

// A number that is the whole text.

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace blixard::app {

// Nothing: it is none of that type, or more than a number.
template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

}  // namespace blixard::app
