#pragma once

// The values of options as people write them: sizes, times, pairs of ports. What is refused says
// how it is written.

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/units.h"

namespace blixard::app {

struct Publish {
  std::uint16_t host_port = 0;
  std::uint16_t guest_port = 0;
};

// Where a daemon keeps its data unless told: /var/lib/blixard for root, else
// $XDG_DATA_HOME/blixard or ~/.local/share/blixard.
std::string default_data_directory();

// "128MiB", "1GiB", "512" (MiB). Errors: kInvalidArgument.
Result<std::uint32_t> parse_memory_mib(const std::string& text);
// "90s", "30m", "12h" or "7d". Errors: kInvalidArgument.
Result<std::uint32_t> parse_seconds(const std::string& text);
// "500ms", "90s" or "5m". Errors: kInvalidArgument.
Result<Duration> parse_duration(const std::string& text);
// "8080:80" or "80" (any free host port). Errors: kInvalidArgument.
Result<Publish> parse_publish(const std::string& text);

}  // namespace blixard::app
