#pragma once

// What toml++ itself cannot be trusted with: keys of so many parts that taking them apart ends the
// stack, and headers without a name, where it assumes one. Without texts of several lines, what a
// line is can be told from its beginning.

#include <cstdint>
#include <optional>
#include <string_view>

namespace blixard::toml_text {

struct Fault {
  std::uint64_t line = 0;
  std::string_view what;
  std::string_view instead;
};

// The first line that may not be given to the library; none: all may.
std::optional<Fault> check_lines(std::string_view text);

}  // namespace blixard::toml_text
