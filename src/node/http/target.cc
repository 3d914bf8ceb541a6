#include "node/http/target.h"

#include <optional>
#include <utility>

#include "base/limits.h"

namespace blixard::http {
namespace {

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
  return std::nullopt;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

enum class Part : std::uint8_t { kPath, kQuery };

Result<std::string> decoded(std::string_view text, Part part) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      const auto high = i + 2 < text.size() ? hex_digit(text[i + 1]) : std::nullopt;
      const auto low = i + 2 < text.size() ? hex_digit(text[i + 2]) : std::nullopt;
      if (!high || !low) {
        return fail(Code::kInvalidArgument, "target_invalid", "a % needs two hex digits behind it");
      }
      c = static_cast<char>(*high * 16 + *low);
      i += 2;
      if (part == Part::kPath && c == '/') {
        return fail(Code::kInvalidArgument, "target_invalid", "%2F may not stand in a path");
      }
    } else if (c == '+' && part == Part::kQuery) {
      c = ' ';
    }
    if (is_control(c)) {
      return fail(Code::kInvalidArgument, "target_invalid", "a control character in the target");
    }
    out += c;
  }
  return out;
}

Result<std::map<std::string, std::string>> parse_query(std::string_view text) {
  std::map<std::string, std::string> query;
  while (!text.empty()) {
    const auto end = text.find('&');
    const std::string_view pair = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    BLX_TRY(auto name, decoded(pair.substr(0, equals), Part::kQuery));
    BLX_TRY(auto value,
            decoded(equals == std::string_view::npos ? "" : pair.substr(equals + 1), Part::kQuery));
    if (query.size() == limits::kHttpQueryParameters) {
      return fail(Code::kInvalidArgument, "target_invalid", "too many query parameters");
    }
    if (!query.emplace(name, std::move(value)).second) {
      return fail(Code::kInvalidArgument, "target_invalid",
                  "the query parameter " + name + " comes twice");
    }
  }
  return query;
}

}  // namespace

Result<Target> parse_target(std::string_view text) {
  if (text.size() > limits::kHttpTargetBytes) {
    return fail(Code::kResourceExhausted, "target_too_long");
  }
  if (!text.starts_with('/')) {
    return fail(Code::kInvalidArgument, "target_invalid", "the target must begin with /");
  }
  if (const auto fragment = text.find('#'); fragment != std::string_view::npos) {
    return fail(Code::kInvalidArgument, "target_invalid", "a fragment is not sent to a server");
  }
  const auto question = text.find('?');
  Target target;
  BLX_TRY(target.path, decoded(text.substr(0, question), Part::kPath));
  if (question != std::string_view::npos) {
    BLX_TRY(target.query, parse_query(text.substr(question + 1)));
  }
  return target;
}

std::string percent_encoded(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool is_digit = c >= '0' && c <= '9';
    if (is_letter || is_digit || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

}  // namespace blixard::http
