// What questions cost the node that is asked: they are answered on its loop, between other things.
// The argument is the number of VMs, on a hundred nodes.

#include "core/sched/whatif.h"

#include <string>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "core/cluster/scenario.h"
#include "core/sched/explain.h"

namespace blixard::sched {
namespace {

using cluster::Scenario;
using cluster::Trial;

constexpr std::uint64_t kNodes = 100;
constexpr int kAsked = 1000;

void must(const Result<cluster::Outcome>& outcome) { BLX_ASSERT(outcome.has_value()); }

v1::Command create_command(const char* form, std::uint64_t number) {
  v1::Command create =
      Scenario::create_command(fmt::format(fmt::runtime(form), number), 1, 128 + number % 7 * 64);
  create.mutable_create_vm()->set_uuid(create.create_vm().name().substr(0, 16));
  return create;
}

Scenario fleet(std::uint64_t vms) {
  Scenario cluster;
  must(cluster.add_image("alpine"));
  for (std::uint64_t node = 1; node <= kNodes; ++node)
    must(cluster.add_node(node, 512, 1U << 20));
  for (std::uint64_t number = 0; number < vms; ++number) {
    const v1::Command create = create_command("placed-{:09}", number);
    must(cluster.apply(create));
    must(cluster.place(create.create_vm().name(), number % kNodes + 1));
  }
  cluster.changes.clear();
  return cluster;
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgName("vms")->Arg(1'000)->Arg(10'000)->Arg(100'000)->Unit(benchmark::kMillisecond);
}

void copy_state(benchmark::State& run) {
  const Scenario cluster = fleet(static_cast<std::uint64_t>(run.range(0)));
  for (auto _ : run) {
    const cluster::State copy = cluster.state;
    benchmark::DoNotOptimize(copy.revision());
  }
}
BENCHMARK(copy_state)->Apply(sizes);

void explain_one(benchmark::State& run) {
  const Scenario cluster = fleet(static_cast<std::uint64_t>(run.range(0)));
  const cluster::Vm& vm = cluster.state.vms().begin()->second;
  for (auto _ : run) {
    StateFleet fleet;
    fleet.load(cluster.state);
    benchmark::DoNotOptimize(explain(cluster.state, fleet, vm).fitting);
  }
}
BENCHMARK(explain_one)->Apply(sizes);

void plan_a_thousand(benchmark::State& run) {
  const Scenario cluster = fleet(static_cast<std::uint64_t>(run.range(0)));
  std::size_t placed = 0;
  for (auto _ : run) {
    Trial trial(cluster.state, WallTime{1});
    std::vector<VmId> asked;
    for (std::uint64_t number = 0; number < kAsked; ++number)
      asked.push_back(*trial.create(create_command("asked-{:010}", number).create_vm()));
    WhatIf whatif(trial, std::move(asked));
    while (whatif.step()) {
    }
    placed = whatif.fates().size();
  }
  run.counters["asked"] = static_cast<double>(placed);
}
BENCHMARK(plan_a_thousand)->Apply(sizes);

}  // namespace
}  // namespace blixard::sched
