#pragma once

// The list of runs that ever failed: what a line of it says, and which saved plans belong to it.

#include <string>
#include <string_view>
#include <vector>

#include "app/vopr/command_line.h"
#include "base/result.h"

namespace blixard::app {

// A scenario that is no path stands beside `file`, with or without ".toml". Errors name the line.
Result<std::vector<PlanSource>> parse_suite(std::string_view text, const std::string& file);

}  // namespace blixard::app
