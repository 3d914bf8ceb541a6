#include "observe/trace.h"

#include <algorithm>

#include "base/assert.h"

namespace blixard::observe {
namespace {

constexpr std::string_view kDigits = "0123456789abcdef";
constexpr std::size_t kWordDigits = 16;
constexpr std::uint8_t kSampled = 1;

void put_hex(std::uint64_t value, std::size_t digits, char* out) {
  for (std::size_t i = digits; i-- > 0; value >>= 4)
    out[i] = kDigits[value & 15];
}

// Lower case only, all of the text.
std::optional<std::uint64_t> read_hex(std::string_view text) {
  std::uint64_t value = 0;
  for (const char c : text) {
    const auto digit = kDigits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    value = value << 4 | digit;
  }
  return value;
}

}  // namespace

std::string TraceId::text() const {
  std::string out(2 * kWordDigits, '0');
  put_hex(high, kWordDigits, out.data());
  put_hex(low, kWordDigits, out.data() + kWordDigits);
  return out;
}

std::optional<TraceId> TraceId::parse(std::string_view text) {
  if (text.size() != 2 * kWordDigits) return std::nullopt;
  const auto high = read_hex(text.substr(0, kWordDigits));
  const auto low = read_hex(text.substr(kWordDigits));
  if (!high || !low) return std::nullopt;
  const TraceId id{*high, *low};
  return id ? std::optional(id) : std::nullopt;
}

std::string SpanId::text() const {
  std::string out(kWordDigits, '0');
  put_hex(value, kWordDigits, out.data());
  return out;
}

std::optional<SpanId> SpanId::parse(std::string_view text) {
  if (text.size() != kWordDigits) return std::nullopt;
  const auto value = read_hex(text);
  return value && *value != 0 ? std::optional(SpanId{*value}) : std::nullopt;
}

// version "-" trace-id "-" parent-id "-" trace-flags
std::optional<TraceContext> parse_traceparent(std::string_view text) {
  if (text.size() < kTraceparentBytes) return std::nullopt;
  if (text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  const auto version = read_hex(text.substr(0, 2));
  const auto flags = read_hex(text.substr(53, 2));
  if (!version || *version == 0xff || !flags) return std::nullopt;
  if (text.size() > kTraceparentBytes && (*version == 0 || text[kTraceparentBytes] != '-')) {
    return std::nullopt;
  }
  const auto trace = TraceId::parse(text.substr(3, 32));
  const auto span = SpanId::parse(text.substr(36, kWordDigits));
  if (!trace || !span) return std::nullopt;
  return TraceContext{.trace = *trace, .span = *span, .sampled = (*flags & kSampled) != 0};
}

TraceparentText format_traceparent(const TraceContext& context) {
  BLX_ASSERT(context.is_valid());
  TraceparentText text;
  char* out = text.bytes.data();
  text.bytes.fill('-');
  put_hex(0, 2, out);
  put_hex(context.trace.high, kWordDigits, out + 3);
  put_hex(context.trace.low, kWordDigits, out + 19);
  put_hex(context.span.value, kWordDigits, out + 36);
  put_hex(context.sampled ? kSampled : 0, 2, out + 53);
  return text;
}

void Span::set(const char* key, std::int64_t number) {
  if (attributes == attribute.size()) return;
  attribute[attributes++] = {
      .key = key, .number = number, .text_at = 0, .text_bytes = 0, .is_text = false};
}

void Span::set(const char* key, std::string_view words) {
  if (attributes == attribute.size()) return;
  const std::size_t bytes = std::min({words.size(), limits::kSpanAttributeTextBytes,
                                      limits::kSpanTextBytes - std::size_t{text_bytes}});
  std::ranges::transform(words.substr(0, bytes), text.begin() + text_bytes,
                         [](char c) { return c >= ' ' && c <= '~' ? c : '?'; });
  attribute[attributes++] = {.key = key,
                             .number = 0,
                             .text_at = text_bytes,
                             .text_bytes = static_cast<std::uint8_t>(bytes),
                             .is_text = true};
  text_bytes = static_cast<std::uint8_t>(text_bytes + bytes);
}

}  // namespace blixard::observe
