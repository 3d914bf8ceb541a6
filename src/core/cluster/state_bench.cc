// What a large cluster costs its nodes: snapshots, which hold up the loop while they are encoded,
// and what users and commands ask of the state. The argument is the number of VMs, on eight nodes,
// with as many remembered answers as there can be.

#include "core/cluster/state.h"

#include <string>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "base/limits.h"
#include "core/cluster/scenario.h"

namespace blixard::cluster {
namespace {

constexpr std::uint64_t kNodes = 8;

std::string name_of(std::uint64_t number) { return fmt::format("load-{:06}", number); }

std::string bytes_of(std::uint64_t number) { return fmt::format("{:016}", number); }

void must(const Result<Outcome>& outcome) { BLX_ASSERT(outcome.has_value()); }

// VMs that run.
Scenario fleet(std::uint64_t vms) {
  Scenario cluster;
  must(cluster.add_image("alpine"));
  for (std::uint64_t node = 1; node <= kNodes; ++node)
    must(cluster.add_node(node, limits::kNodeVcpus, limits::kNodeMemoryMib));
  for (std::uint64_t number = 0; number < vms; ++number) {
    const std::string name = name_of(number);
    v1::Command create = Scenario::create_command(name, 1, 128);
    create.mutable_create_vm()->set_uuid(bytes_of(number));
    create.set_request_id(bytes_of(number));
    must(cluster.apply(create));
    must(cluster.place(name, number % kNodes + 1));
    must(cluster.report(name, v1::VM_STATE_STARTING));
    must(cluster.report(name, v1::VM_STATE_RUNNING));
  }
  for (std::uint64_t number = vms; number < limits::kRememberedRequests; ++number) {
    v1::Command desire = Scenario::command("set_desired { desired: VM_DESIRED_RUNNING }");
    desire.mutable_set_desired()->set_name(name_of(0));
    desire.set_request_id(bytes_of(number));
    must(cluster.apply(desire));
  }
  cluster.changes.clear();
  return cluster;
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgName("vms")->Arg(1'000)->Arg(10'000)->Arg(100'000);
}

void encode(benchmark::State& run) {
  const Scenario cluster = fleet(static_cast<std::uint64_t>(run.range(0)));
  std::size_t bytes = 0;
  for (auto _ : run)
    bytes = cluster.state.encode().size();
  run.counters["bytes"] = static_cast<double>(bytes);
}
BENCHMARK(encode)->Apply(sizes)->Unit(benchmark::kMillisecond);

void decode(benchmark::State& run) {
  const std::string bytes = fleet(static_cast<std::uint64_t>(run.range(0))).state.encode();
  for (auto _ : run)
    BLX_ASSERT(State::decode(bytes).has_value());
}
BENCHMARK(decode)->Apply(sizes)->Unit(benchmark::kMillisecond);

// A page of 100 from the middle.
void page(benchmark::State& run) {
  const auto vms = static_cast<std::uint64_t>(run.range(0));
  const Scenario cluster = fleet(vms);
  const std::string after = name_of(vms / 2);
  for (auto _ : run)
    BLX_ASSERT(cluster.state.vms_after(after, 100).size() == 100);
}
BENCHMARK(page)->Apply(sizes)->Unit(benchmark::kMicrosecond);

// From its creation until it is gone: six commands.
void life_of_a_vm(benchmark::State& run) {
  Scenario cluster = fleet(static_cast<std::uint64_t>(run.range(0)));
  const std::string name = "load-000500-again";
  for (auto _ : run) {
    must(cluster.create(name));
    must(cluster.place(name, 2));
    must(cluster.report(name, v1::VM_STATE_STARTING));
    must(cluster.report(name, v1::VM_STATE_RUNNING));
    must(cluster.desire(name, v1::VM_DESIRED_DELETED));
    must(cluster.report(name, v1::VM_STATE_STOPPED, true));
    cluster.changes.clear();
  }
}
BENCHMARK(life_of_a_vm)->Apply(sizes)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace blixard::cluster
