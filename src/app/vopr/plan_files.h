#pragma once

// Scenarios and saved plans on the disk, and the commands that people are told to type.

#include <string>
#include <string_view>
#include <vector>

#include "app/vopr/command_line.h"
#include "base/result.h"
#include "vopr/plan.h"
#include "vopr/scenario.h"

namespace blixard::app {

// Errors name the file. At most 16 MiB.
Result<std::string> read_text(const std::string& path);
Result<void> write_text(const std::string& path, std::string_view text);

Result<vopr::Scenario> read_scenario(const std::string& path);
// The files themselves and the *.toml of folders, by name.
Result<std::vector<vopr::Scenario>> read_scenarios(const std::vector<std::string>& paths);

// Without a seed anywhere it is 1.
Result<vopr::Plan> read_plan(const PlanSource& source);

// "one-copy-4711.toml" whatever a checker is called.
std::string plan_file_name(std::string_view checker, std::uint64_t seed);

// "--scenario partitions.toml --seed 7", or the saved plan's path.
std::string arguments_of(const PlanSource& source);

}  // namespace blixard::app
