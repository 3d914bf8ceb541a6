#include "vopr/history.h"

#include <iterator>

#include <fmt/format.h>

namespace blixard::vopr {

// Formatted where it stays: a run has as many lines as clients had answers.
void History::line(std::uint32_t process, std::string_view type, std::string_view function,
                   std::string_view key, Argument argument) {
  const auto end = std::back_inserter(text_);
  fmt::format_to(end, R"({{"process":{},"type":"{}","f":"{}")", process, type, function);
  if (!key.empty()) fmt::format_to(end, R"(,"key":"{}")", key);
  if (!argument.name.empty()) {
    const std::string_view quote = argument.is_text ? "\"" : "";
    fmt::format_to(end, R"(,"{0}":{1}{2}{1})", argument.name, quote, argument.text);
  }
  text_ += "}\n";
}

void History::invoke(std::uint32_t process, std::string_view function, std::string_view key,
                     std::string_view value) {
  line(process, "invoke", function, key, {.name = value.empty() ? "" : "value", .text = value});
}

void History::ok(std::uint32_t process, std::string_view function, std::string_view key,
                 std::string_view value) {
  line(process, "ok", function, key, {.name = value.empty() ? "" : "value", .text = value});
}

void History::refused(std::uint32_t process, std::string_view function, std::string_view key,
                      std::string_view error) {
  line(process, "ok", function, key, {.name = "error", .text = error, .is_text = true});
}

void History::fail(std::uint32_t process, std::string_view function, std::string_view key) {
  line(process, "fail", function, key, {});
}

void History::info(std::uint32_t process, std::string_view function, std::string_view key) {
  line(process, "info", function, key, {});
}

std::string seen_vm(const boost::json::object& vm) {
  boost::json::object seen;
  for (const char* member : {"id", "name", "desired", "generation", "state"}) {
    if (const auto* value = vm.if_contains(member)) seen[member] = *value;
  }
  return boost::json::serialize(seen);
}

}  // namespace blixard::vopr
