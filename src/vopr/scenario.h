#pragma once

// Scenarios: TOML files that say what a run is made of (docs/simulation.md). A scenario has ranges
// for the settings, workloads that are stacked on each other and faults to choose from; draw()
// makes a plan of it and a seed. Or it has [[step]]s, then they are the plan: so does a shrunk run.
//
//   name = "partitions"
//   until = "60s"
//   nodes = [3, 5]
//   [[workload]]
//   kind = "vms"
//   gap = ["50ms", "3s"]
//   [faults]
//   gap = ["100ms", "4s"]
//   of = ["cut", "isolate", "crash"]      # none given: this seed's own choice of all of them

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "vopr/plan.h"

namespace blixard::vopr {

struct NumberRange {
  std::uint64_t least = 0;
  std::uint64_t most = 0;
  friend bool operator==(const NumberRange&, const NumberRange&) = default;
};
struct TimeRange {
  Duration least{};
  Duration most{};
  friend bool operator==(const TimeRange&, const TimeRange&) = default;
};

// What a scenario may say at most; parse_scenario() refuses the rest.
inline constexpr std::size_t kScenarioBytes = std::size_t{16} << 20;
inline constexpr std::size_t kScenarioNameBytes = 64;
inline constexpr std::size_t kStepsMost = 100'000;
inline constexpr std::size_t kWorkloadsMost = 16;
inline constexpr Duration kUntilMost = 24h;  // and any other time
inline constexpr NumberRange kNodesBounds{1, 7};
inline constexpr NumberRange kSparesBounds{0, 8};
inline constexpr NumberRange kClientsBounds{0, 16};
inline constexpr NumberRange kVmsBounds{0, 26};
inline constexpr TimeRange kTickBounds{10ms, 10s};
inline constexpr NumberRange kElectionTicksBounds{3, 100};
inline constexpr NumberRange kEntriesBounds{0, 1'000'000};
inline constexpr NumberRange kSnapshotBounds{1, 1'000'000};
inline constexpr NumberRange kPercentBounds{0, 100};
inline constexpr TimeRange kBootBounds{0s, 10min};
inline constexpr NumberRange kVersionBounds{1, 2};
inline constexpr NumberRange kTemplatesBounds{0, 8'192};
inline constexpr TimeRange kGapBounds{1ms, kUntilMost};

// What kind of steps come at which rate. Workloads of one scenario run beside each other.
struct Workload {
  std::string kind;  // "vms", "reads", "membership", "upgrades", ... (workload_kinds())
  TimeRange gap;     // between two steps of one client, or of the operator
  std::uint32_t noisy_percent = 0;
  std::uint32_t vanishing_percent = 0;
  friend bool operator==(const Workload&, const Workload&) = default;
};

struct Faults {
  TimeRange gap;
  TimeRange length;
  std::vector<Action> of;  // empty: each seed has its own choice (swarm testing, Groce et al. 2012)
  friend bool operator==(const Faults&, const Faults&) = default;
};

struct Scenario {
  std::string name;
  Duration until = 30s;
  NumberRange nodes{3, 3};
  NumberRange spares{1, 1};
  NumberRange clients{1, 3};
  NumberRange vms{2, 4};
  TimeRange tick{50ms, 150ms};
  NumberRange election_ticks{8, 12};
  NumberRange snapshot_entries{20, 400};
  NumberRange trailing_entries{0, 60};
  NumberRange rare_percent{0, 50};
  TimeRange boot{50ms, 4s};
  NumberRange version{1, 1};
  NumberRange templates_mib{0, 0};
  std::vector<Workload> workloads;
  Faults faults;           // no gap: none
  std::uint64_t seed = 0;  // that a plan was drawn from; 0: none is given
  std::vector<Step> steps;
  friend bool operator==(const Scenario&, const Scenario&) = default;
};

[[nodiscard]] std::vector<std::string_view> workload_kinds();

// Errors: kInvalidArgument "scenario_invalid" with the line and what is right instead. Unknown keys
// are errors.
Result<Scenario> parse_scenario(std::string_view text);

// The same scenario and seed give the same plan. A scenario with steps gives those, whatever the
// seed; its own seed, if it has one, goes before `seed`. No plan has seed 0: it stands for 1.
[[nodiscard]] Plan draw(const Scenario& scenario, std::uint64_t seed);

// A scenario whose draw() is this plan.
[[nodiscard]] std::string scenario_text(const Plan& plan);

}  // namespace blixard::vopr
