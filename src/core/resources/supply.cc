#include "core/resources/supply.h"

#include <array>
#include <utility>

namespace blixard::resources {

namespace {

constexpr std::uint32_t kRatioMin = 100;
constexpr std::uint32_t kRatioMax = 1000;
constexpr std::uint32_t kReserveMax = 90;

constexpr std::array<std::pair<std::string_view, Overcommit>, 4> kPresets = {{
    {"standard", kStandard},
    {"conservative", kConservative},
    {"moderate", kModerate},
    {"aggressive", kAggressive},
}};

std::int64_t offered(std::int64_t physical, std::uint32_t ratio, std::uint32_t reserve) {
  return physical * ratio * (100 - reserve) / 10'000;
}

}  // namespace

std::string_view preset_name(const Overcommit& overcommit) {
  for (const auto& [name, preset] : kPresets) {
    if (preset == overcommit) return name;
  }
  return "custom";
}

std::optional<Overcommit> parse_preset(std::string_view name) {
  for (const auto& [known, preset] : kPresets) {
    if (known == name) return preset;
  }
  return std::nullopt;
}

bool is_valid(const Overcommit& overcommit) {
  const auto is_ratio = [](std::uint32_t percent) {
    return percent >= kRatioMin && percent <= kRatioMax;
  };
  return is_ratio(overcommit.cpu_percent) && is_ratio(overcommit.memory_percent) &&
         is_ratio(overcommit.disk_percent) && overcommit.reserve_percent <= kReserveMax;
}

Amounts offered(const Amounts& physical, const Overcommit& overcommit) {
  const std::uint32_t reserve = overcommit.reserve_percent;
  return {.cpu_milli = offered(physical.cpu_milli, overcommit.cpu_percent, reserve),
          .memory_mib = offered(physical.memory_mib, overcommit.memory_percent, reserve),
          .disk_mib = offered(physical.disk_mib, overcommit.disk_percent, reserve),
          .network_mbit = physical.network_mbit};
}

}  // namespace blixard::resources
