// How fast virtual time goes: whole runs, judges and all, for each of several seeds. Rates are per
// second of CPU time, and one run takes one core; what an event needs of the allocator is exact.

#include "vopr/run.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>

#include "observe/allocations.h"
#include "vopr/scenario.h"

namespace blixard::vopr {
namespace {

constexpr std::uint64_t kSeeds = 20;

// Three nodes of which each seed's own choice of faults comes every second or two, while users
// make, start, stop and read VMs.
constexpr std::string_view kThreeNodes = R"(
name = "three-nodes"
until = "60s"
nodes = [3, 3]
spares = [1, 1]
clients = [3, 3]
vms = [4, 4]

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

// As test/scenarios/everything.toml: up to five nodes, and operators and intruders at work too.
constexpr std::string_view kEverything = R"(
name = "everything"
until = "40s"
nodes = [3, 5]
spares = [1, 2]
clients = [1, 5]
vms = [2, 6]

[[workload]]
kind = "vms"
gap = ["50ms", "3s"]
noisy_percent = 10
vanishing_percent = 5

[[workload]]
kind = "reads"
gap = ["50ms", "3s"]
noisy_percent = 5
vanishing_percent = 5

[[workload]]
kind = "images"
gap = ["5s", "40s"]

[[workload]]
kind = "membership"
gap = ["3s", "25s"]

[[workload]]
kind = "leadership"
gap = ["2s", "30s"]

[[workload]]
kind = "restarts"
gap = ["5s", "40s"]

[[workload]]
kind = "upgrades"
gap = ["3s", "30s"]

[[workload]]
kind = "certificates"
gap = ["5s", "40s"]

[[workload]]
kind = "intruders"
gap = ["2s", "30s"]

[faults]
gap = ["100ms", "6s"]
length = ["20ms", "12s"]
)";

// Nothing goes wrong and nobody asks for much: what the heartbeats of nodes and guests cost.
constexpr std::string_view kIdleGuests = R"(
name = "idle-guests"
until = "5m"
nodes = [3, 3]
spares = [0, 0]
clients = [1, 1]
vms = [6, 6]
rare_percent = 0

[[workload]]
kind = "vms"
gap = ["10s", "30s"]
)";

void BM_Run(benchmark::State& state, std::string_view text) {
  const auto scenario = parse_scenario(text);
  if (!scenario) {
    state.SkipWithError(std::string(scenario.error().message()).c_str());
    return;
  }
  std::vector<Plan> plans;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed)
    plans.push_back(draw(*scenario, seed));
  double virtual_seconds = 0;
  std::uint64_t events = 0;
  std::uint64_t made = 0;
  for ([[maybe_unused]] auto _ : state) {
    for (const Plan& plan : plans) {
      const observe::AllocationMeter meter;
      const Report report = run(plan, {});
      made += meter.spent().allocations;
      if (report.violation) state.SkipWithError(report.violation->text.c_str());
      virtual_seconds += std::chrono::duration<double>(report.elapsed).count();
      events += report.counts.events;
    }
  }
  const auto count = static_cast<double>(events);
  state.counters["virtual_s"] = benchmark::Counter(virtual_seconds, benchmark::Counter::kIsRate);
  state.counters["events"] = benchmark::Counter(count, benchmark::Counter::kIsRate);
  state.counters["events_per_virtual_s"] = count / virtual_seconds;
  state.counters["allocations_per_event"] = static_cast<double>(made) / count;
}
BENCHMARK_CAPTURE(BM_Run, three_nodes, kThreeNodes)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Run, everything, kEverything)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Run, idle_guests, kIdleGuests)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace blixard::vopr
