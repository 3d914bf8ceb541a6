#pragma once

// The bug zoo: every known fault of consensus implementations (docs/consensus.md) is put back into
// our own code, one at a time, and somebody must notice within a stated number of seeds.
//
// A judge is a simulation that runs a seed and says what it found wrong. Each row of the table
// names a fault and the judges that must catch it, with the checker that must be the one that
// speaks: a fault that is noticed only because something else fell over is not understood.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/bug.h"

namespace blixard::zoo {

struct Finding {
  std::string checker;
  std::string text;
};

using Judge = std::optional<Finding> (*)(std::uint64_t seed);

struct Test {
  std::string_view judge;  // its name
  std::string_view checker;
  std::uint64_t seeds = 0;  // within which it must have caught the fault
  Judge run = nullptr;
};

struct Row {
  Bug bug = Bug::kNone;
  std::string_view name;
  std::span<const Test> tests;
};

// Of every fault of consensus; of others an empty row, which check_switches() finds.
[[nodiscard]] Row row_of(Bug bug);

// Judges besides the simulation of cores.
std::optional<Finding> judge_failed_sync(std::uint64_t seed);
std::optional<Finding> judge_retries(std::uint64_t seed);
std::optional<Finding> judge_clocks(std::uint64_t seed);

}  // namespace blixard::zoo
