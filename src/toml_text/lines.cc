#include "toml_text/lines.h"

#include <algorithm>
#include <cstddef>

namespace blixard::toml_text {
namespace {

constexpr std::ptrdiff_t kDotsInLine = 16;

bool begins_key(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
         (letter >= '0' && letter <= '9') || letter == '-' || letter == '_' || letter == '"' ||
         letter == '\'';
}

std::optional<Fault> check_line(std::string_view line, std::uint64_t number) {
  const std::size_t first = line.find_first_not_of(" \t\r");
  if (first == std::string_view::npos || line[first] == '#') return {};
  const bool plain = std::ranges::all_of(
      line, [](char c) { return (c >= ' ' && c <= '~') || c == '\t' || c == '\r'; });
  if (!plain) return Fault{number, "there is more than ASCII", "ASCII but in lines of comment"};
  if (line.contains("\"\"\"") || line.contains("'''"))
    return Fault{number, "a text of several lines", "a text in one line"};
  if (std::ranges::count(line, '.') > kDotsInLine)
    return Fault{number, "the line is full of dots", "a key without them"};
  if (line[first] != '[') return {};
  std::size_t name = line.find_first_not_of(" \t", first + 1);
  if (name != std::string_view::npos && line[name] == '[')
    name = line.find_first_not_of(" \t", name + 1);
  if (name == std::string_view::npos || !begins_key(line[name]))
    return Fault{number, "a table without a name", "[table] or [[table]] with one"};
  return {};
}

}  // namespace

std::optional<Fault> check_lines(std::string_view text) {
  for (std::uint64_t number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (const auto fault = check_line(line, number)) return fault;
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return {};
}

}  // namespace blixard::toml_text
