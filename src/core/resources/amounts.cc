#include "core/resources/amounts.h"

#include <fmt/format.h>

namespace blixard::resources {

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::kCpu:
      return "cpu";
    case Kind::kMemory:
      return "memory";
    case Kind::kDisk:
      return "disk";
    case Kind::kNetwork:
      return "network";
  }
  return "unknown";
}

std::string amount_text(Kind kind, std::int64_t value) {
  switch (kind) {
    case Kind::kCpu: {
      const std::int64_t whole = value / kMilliPerCore;
      const std::int64_t rest = value % kMilliPerCore;
      if (rest == 0) return fmt::format("{} vCPUs", whole);
      std::string digits = fmt::format("{:03}", rest < 0 ? -rest : rest);
      digits.erase(digits.find_last_not_of('0') + 1);
      return fmt::format("{}{}.{} vCPUs", value < 0 && whole == 0 ? "-" : "", whole, digits);
    }
    case Kind::kMemory:
      return fmt::format("{} MiB of memory", value);
    case Kind::kDisk:
      return fmt::format("{} MiB of disk", value);
    case Kind::kNetwork:
      return fmt::format("{} Mbit/s of network", value);
  }
  return fmt::format("{}", value);
}

}  // namespace blixard::resources
