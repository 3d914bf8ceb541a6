#include "vopr/history.h"

#include <array>

#include <fmt/format.h>

namespace blixard::vopr {

void History::line(std::uint32_t process, std::string_view type, std::string_view function,
                   std::string_view key, std::string_view rest) {
  text_ += fmt::format(R"({{"process":{},"type":"{}","f":"{}")", process, type, function);
  if (!key.empty()) text_ += fmt::format(R"(,"key":"{}")", key);
  text_ += rest;
  text_ += "}\n";
}

void History::invoke(std::uint32_t process, std::string_view function, std::string_view key,
                     std::string_view value) {
  line(process, "invoke", function, key,
       value.empty() ? std::string() : fmt::format(R"(,"value":{})", value));
}

void History::ok(std::uint32_t process, std::string_view function, std::string_view key,
                 std::string_view value) {
  line(process, "ok", function, key,
       value.empty() ? std::string() : fmt::format(R"(,"value":{})", value));
}

void History::refused(std::uint32_t process, std::string_view function, std::string_view key,
                      std::string_view error) {
  line(process, "ok", function, key, fmt::format(R"(,"error":"{}")", error));
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
