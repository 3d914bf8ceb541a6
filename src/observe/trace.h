#pragma once

// Traces, as values: who a request is, on its way over many nodes, and what was done for it there.
//
// A trace is one request of a client. A span is one piece of work for it, with a beginning, an end
// and a parent. The context (trace, span, sampled) travels with the request: between programs as
// the header `traceparent` of W3C Trace Context (https://www.w3.org/TR/trace-context/), between
// nodes inside of the replicated command. What is not sampled leaves no spans anywhere.
//
// A Span has a fixed size and no pointers but to string literals, so recording one is copying it.
// Names, keys and reasons are literals; a text is cut and made printable ASCII, because it may come
// from outside and goes into other people's databases.

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/limits.h"
#include "base/result.h"
#include "base/units.h"

namespace blixard::observe {

struct TraceId {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  friend constexpr auto operator<=>(const TraceId&, const TraceId&) = default;
  constexpr explicit operator bool() const { return (high | low) != 0; }
  [[nodiscard]] std::string text() const;  // 32 lower case hex digits
  // None: not 32 lower case hex digits, or all zero.
  static std::optional<TraceId> parse(std::string_view text);
};

struct SpanId {
  std::uint64_t value = 0;

  friend constexpr auto operator<=>(SpanId, SpanId) = default;
  constexpr explicit operator bool() const { return value != 0; }
  [[nodiscard]] std::string text() const;  // 16 lower case hex digits
  static std::optional<SpanId> parse(std::string_view text);
};

// What a request carries. `span` is the parent of what is done for it next.
struct TraceContext {
  TraceId trace;
  SpanId span;
  bool sampled = false;

  friend bool operator==(const TraceContext&, const TraceContext&) = default;
  [[nodiscard]] bool is_valid() const { return trace && span; }
  [[nodiscard]] bool is_traced() const { return sampled && is_valid(); }
};

inline constexpr std::size_t kTraceparentBytes = 55;  // of version 00

// `traceparent` as section 3.2 of the specification has it: version ff, upper case, zero ids and a
// version 00 of another length are invalid; a higher version is read as far as it is known. Of the
// flags only `sampled` is looked at. None: invalid, and then there is no trace to follow.
[[nodiscard]] std::optional<TraceContext> parse_traceparent(std::string_view text);

struct TraceparentText {
  std::array<char, kTraceparentBytes> bytes;
  [[nodiscard]] std::string_view view() const { return {bytes.data(), bytes.size()}; }
};
// In version 00. Precondition: is_valid().
[[nodiscard]] TraceparentText format_traceparent(const TraceContext& context);

// The numbers are OTLP's.
enum class SpanKind : std::uint8_t { kInternal = 1, kServer = 2, kClient = 3 };

struct Span {
  struct Attribute {
    const char* key = nullptr;
    std::int64_t number = 0;
    std::uint8_t text_at = 0;
    std::uint8_t text_bytes = 0;
    bool is_text = false;
  };

  TraceId trace;
  SpanId id;
  SpanId parent;  // none: the root of its trace
  const char* name = "";
  const char* failure = nullptr;  // the reason of the error it ended with; null: none
  std::int64_t start_unix_ns = 0;
  Duration duration{};
  SpanKind kind = SpanKind::kInternal;
  std::uint8_t attributes = 0;
  std::uint8_t text_bytes = 0;
  std::array<Attribute, limits::kSpanAttributes> attribute;
  std::array<char, limits::kSpanTextBytes> text;  // of all attributes

  // `key` must be a string literal. What is one too many is left out.
  void set(const char* key, std::int64_t number);
  void set(const char* key, std::string_view words);

  [[nodiscard]] std::span<const Attribute> all() const { return {attribute.data(), attributes}; }
  [[nodiscard]] std::string_view text_of(const Attribute& of) const {
    return {text.data() + of.text_at, of.text_bytes};
  }
};

}  // namespace blixard::observe
