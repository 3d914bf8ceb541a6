// Budgets of the simulator's own bookkeeping: plans that are drawn, and histories of clients.

#include <gtest/gtest.h>

#include "test/perf/budgets/ledger.h"
#include "vopr/history.h"
#include "vopr/scenario.h"

namespace blixard::budgets {
namespace {

// As test/scenarios/everything.toml, for longer.
constexpr std::string_view kScenario = R"(
name = "everything"
until = "10m"
nodes = [3, 5]
spares = [1, 2]
clients = [3, 5]
vms = [6, 6]

[[workload]]
kind = "vms"
gap = ["50ms", "3s"]

[[workload]]
kind = "reads"
gap = ["50ms", "3s"]

[faults]
gap = ["100ms", "4s"]
length = ["50ms", "10s"]
)";

TEST(VoprBudget, OperationsOfAPlan) {
  const auto scenario = vopr::parse_scenario(kScenario);
  ASSERT_TRUE(scenario) << scenario.error().message();
  std::size_t steps = 0;
  const Meter meter;
  for (std::uint64_t seed = 1; seed <= 20; ++seed)
    steps += vopr::draw(*scenario, seed).steps.size();
  EXPECT_TRUE(within_budget("vopr.draw_20_plans", steps, meter.spent()));
}

TEST(VoprBudget, EntriesOfAHistory) {
  constexpr std::uint64_t kOperations = 500'000;
  const Meter meter;
  vopr::History history(kOperations);
  for (std::uint64_t i = 0; i < kOperations; ++i) {
    const auto process = static_cast<std::uint32_t>(i % 5);
    history.invoke(process, "get", "a");
    history.ok(process, "get", "a", R"({"id":1,"state":"running"})");
  }
  EXPECT_TRUE(within_budget("vopr.history_entries", 2 * kOperations, meter.spent()));
}

}  // namespace
}  // namespace blixard::budgets
