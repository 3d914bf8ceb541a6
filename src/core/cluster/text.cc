#include "core/cluster/text.h"

#include <cstdint>

namespace blixard::cluster {

namespace {

std::uint32_t byte_at(std::string_view text, std::size_t at) {
  return static_cast<std::uint8_t>(text[at]);
}

// Length of the well-formed character at the start (RFC 3629, section 4), 0 if there is none:
// neither overlong forms nor surrogates nor anything above U+10FFFF.
std::size_t character_length(std::string_view text) {
  const std::uint32_t lead = byte_at(text, 0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  std::uint32_t point = lead & (0x7fu >> length);
  for (std::size_t at = 1; at < length; ++at) {
    if ((byte_at(text, at) & 0xc0) != 0x80) return 0;
    point = point << 6 | (byte_at(text, at) & 0x3f);
  }
  if (length == 3 && (point < 0x800 || (point >= 0xd800 && point <= 0xdfff))) return 0;
  if (length == 4 && (point < 0x10000 || point > 0x10ffff)) return 0;
  return length;
}

// C0, DEL and C1 (U+0080 to U+009F, which terminals obey as well).
bool is_control(std::string_view character) {
  const std::uint32_t lead = byte_at(character, 0);
  if (character.size() == 1) return (lead < 0x20 && lead != '\n' && lead != '\t') || lead == 0x7f;
  return character.size() == 2 && lead == 0xc2 && byte_at(character, 1) < 0xa0;
}

// How much at the start is printable ASCII.
std::size_t plain_length(std::string_view text) {
  std::size_t length = 0;
  while (length < text.size() && text[length] >= 0x20 && text[length] < 0x7f)
    ++length;
  return length;
}

}  // namespace

std::string bounded_text(std::string_view text, std::size_t bytes_max) {
  if (is_bounded_text(text, bytes_max)) return std::string(text);
  std::string bounded;
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    const std::size_t taken = length == 0 ? 1 : length;
    const bool kept = length != 0 && !is_control(text.substr(0, length));
    const std::string_view piece = kept ? text.substr(0, length) : "?";
    if (bounded.size() + piece.size() > bytes_max) break;
    bounded += piece;
    text.remove_prefix(taken);
  }
  return bounded;
}

bool is_bounded_text(std::string_view text, std::size_t bytes_max) {
  if (text.size() > bytes_max) return false;
  while (true) {
    text.remove_prefix(plain_length(text));
    if (text.empty()) return true;
    const std::size_t length = character_length(text);
    if (length == 0 || is_control(text.substr(0, length))) return false;
    text.remove_prefix(length);
  }
}

bool is_line(std::string_view text, std::size_t bytes_max) {
  return is_bounded_text(text, bytes_max) && text.find_first_of("\n\t") == std::string_view::npos;
}

}  // namespace blixard::cluster
