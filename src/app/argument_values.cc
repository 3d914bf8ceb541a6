#include "app/argument_values.h"

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "app/whole_number.h"
#include "base/limits.h"

namespace blixard::app {

std::string default_data_directory() {
  if (::geteuid() == 0) return "/var/lib/blixard";
  if (const char* data = std::getenv("XDG_DATA_HOME"); data != nullptr && *data == '/') {
    return std::string(data) + "/blixard";
  }
  const char* home = std::getenv("HOME");
  return std::string(home != nullptr ? home : "/tmp") + "/.local/share/blixard";
}

Result<std::uint32_t> parse_memory_mib(const std::string& text) {
  struct Unit {
    std::string_view suffix;
    std::uint32_t mib;
  };
  constexpr std::array<Unit, 5> kUnits{{{"MiB", 1}, {"GiB", 1024}, {"M", 1}, {"G", 1024}, {"", 1}}};
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.suffix)) continue;
    const auto digits = std::string_view(text).substr(0, text.size() - unit.suffix.size());
    const auto count = parse_number<std::uint32_t>(digits);
    if (!count || *count > limits::kMemoryMibMax / unit.mib) break;
    return *count * unit.mib;
  }
  return fail(Code::kInvalidArgument, "size_invalid",
              "'" + text + "' is not a size; write it as 128MiB or 2GiB");
}

Result<std::uint32_t> parse_seconds(const std::string& text) {
  struct Unit {
    char suffix;
    std::uint32_t seconds;
  };
  constexpr std::array<Unit, 4> kUnits{{{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}}};
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.suffix)) continue;
    const auto count =
        parse_number<std::uint32_t>(std::string_view(text).substr(0, text.size() - 1));
    constexpr std::uint32_t kMost = 30 * 86400;
    if (!count || *count == 0 || *count > kMost / unit.seconds) break;
    return *count * unit.seconds;
  }
  return fail(Code::kInvalidArgument, "time_invalid",
              "'" + text + "' is not a time; write it as 30m, 1h or 7d, at most 30d");
}

Result<Duration> parse_duration(const std::string& text) {
  std::size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9')
    ++digits;
  const std::string unit = text.substr(digits);
  if (digits > 0 && digits < 10) {
    const auto count = std::stol(text.substr(0, digits));
    if (unit == "ms") return Duration(std::chrono::milliseconds(count));
    if (unit == "s" || unit.empty()) return Duration(std::chrono::seconds(count));
    if (unit == "m") return Duration(std::chrono::minutes(count));
  }
  return fail(Code::kInvalidArgument, "timeout_invalid",
              "'" + text + "' is not a time; write it as 90s or 5m");
}

Result<Publish> parse_publish(const std::string& text) {
  const std::string_view view(text);
  const auto colon = view.find(':');
  const auto host = colon == std::string_view::npos
                        ? std::optional<std::uint16_t>(0)
                        : parse_number<std::uint16_t>(view.substr(0, colon));
  const auto guest =
      parse_number<std::uint16_t>(colon == std::string_view::npos ? view : view.substr(colon + 1));
  if (!host || !guest || *guest == 0) {
    return fail(Code::kInvalidArgument, "publish_invalid",
                "'" + text + "' is not a pair of ports; write it as 8080:80");
  }
  return Publish{*host, *guest};
}

}  // namespace blixard::app
