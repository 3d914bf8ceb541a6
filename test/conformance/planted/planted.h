#pragma once

// Likely mistakes around consensus, in the agent, the scheduler, the model and the API: each is put
// back into our own code, and the simulation of whole clusters (src/vopr) must find it within a
// stated number of seeds, by a checker that is known beforehand: a bug that is noticed only because
// something else fell over is not understood. What stops a bug may be one of several, where which
// comes first is a matter of luck.
//
// The sound program must pass the very same seeds.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/bug.h"

namespace blixard::planted {

struct Row {
  Bug bug = Bug::kNone;
  std::string_view name;
  std::string_view scenario;  // NAME.toml beside
  std::uint64_t seeds = 0;    // within which it must be found
  std::array<std::string_view, 3> checkers;
};

// In the order of the bugs.
[[nodiscard]] std::span<const Row> table();

struct Finding {
  std::string checker;
  std::string text;
};

// Runs a seed of a scenario with a bug, in a process of its own, so that an assertion that fails
// and a run without end are findings like the others ("assertion"). None: every checker was
// content.
std::optional<Finding> run_seed(Bug bug, const std::string& scenario, std::uint64_t seed);

// The text of a scenario by its name. Ends the program if there is none, or if it is not valid.
std::string scenario_named(std::string_view name);

}  // namespace blixard::planted
