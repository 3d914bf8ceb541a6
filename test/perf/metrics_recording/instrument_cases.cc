#include <array>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "node/telemetry/labels.h"
#include "observe/metrics.h"
#include "test/perf/metrics_recording/cases.h"
#include "test/perf/report/counting.h"

namespace blixard::perf {
namespace {

using telemetry::Outcome;
using telemetry::VmOperation;

constexpr std::uint64_t kCalls = 4'000'000;
constexpr std::uint64_t kSlowCalls = 400'000;

constexpr auto kShape = observe::HistogramShape::seconds(64us, 16s, 2);

// Everything that is counted into. Lives as long as the program.
struct Instruments {
  observe::Metrics metrics;
  observe::Counter counter = metrics.counter("bench_events_total", "Events.");
  observe::Gauge gauge = metrics.gauge("bench_level", "Level.");
  observe::Histogram histogram = metrics.histogram("bench_taken_seconds", "Time.", kShape);
  observe::CounterFamily<VmOperation, Outcome> operations = metrics.counters<VmOperation, Outcome>(
      "bench_operations_total", "Operations.", {"operation", "outcome"});

  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& counters =
      prometheus::BuildCounter().Name("events_total").Help("Events.").Register(registry);
  prometheus::Counter& their_counter = counters.Add({});
  prometheus::Gauge& their_gauge =
      prometheus::BuildGauge().Name("level").Help("Level.").Register(registry).Add({});
  prometheus::Histogram& their_histogram =
      prometheus::BuildHistogram().Name("taken").Help("Time.").Register(registry).Add({}, bounds());
  prometheus::Family<prometheus::Counter>& their_operations =
      prometheus::BuildCounter().Name("operations_total").Help("Operations.").Register(registry);
  // A pool of strings with the series they stand for.
  std::unordered_map<std::string_view, observe::Counter> pool;

  Instruments() {
    for (std::size_t i = 0; i < observe::kLabelValues<VmOperation>.size(); ++i)
      pool.emplace(observe::kLabelValues<VmOperation>[i],
                   operations[static_cast<VmOperation>(i), Outcome::kOk]);
  }

  static std::vector<double> bounds() {
    std::vector<double> all;
    for (std::uint32_t i = 0; i < kShape.buckets(); ++i)
      all.push_back(static_cast<double>(kShape.bound(i)) / 1e9);
    return all;
  }
};

Instruments& instruments() {
  static auto* const kAll = new Instruments;
  return *kAll;
}

// CPU time of one call, of as many threads at once.
template <class Call>
double by_threads(std::size_t count, std::uint64_t calls, Call call) {
  std::vector<double> spent(count);
  std::vector<std::thread> threads;
  threads.reserve(count);
  for (std::size_t t = 0; t < count; ++t) {
    threads.emplace_back([&spent, t, calls, call] {
      call();
      spent[t] = cpu_ns_per_call(calls, call);
    });
  }
  double sum = 0;
  for (std::size_t t = 0; t < count; ++t) {
    threads[t].join();
    sum += spent[t];
  }
  return sum / static_cast<double>(count);
}

template <class Ours, class Theirs>
void add_by_threads(Report& report, const std::string& what, double most, Ours ours,
                    Theirs theirs) {
  for (const std::size_t count : {std::size_t{2}, std::size_t{8}, std::size_t{32}}) {
    std::vector<Target> targets{at_most(most)};
    if (count == 2) targets.push_back(better_than("1 thread", 0.75));
    report.add({.name = what + ", " + std::to_string(count) + " threads",
                .unit = "ns",
                .items = {"S17"},
                .measure = [=] { return by_threads(count, kCalls / count, ours); },
                .baselines = {{"1 thread", [=] { return by_threads(1, kCalls / 2, ours); }},
                              {"prometheus-cpp",
                               [=] { return by_threads(count, kSlowCalls / count, theirs); }}},
                .allocations = {},
                .targets = targets,
                .varies = count > 2});  // more threads than a small machine has CPUs
  }
}

void add_counters(Report& report) {
  static Instruments& all = instruments();
  const auto ours = [] { all.counter.add(); };
  const auto theirs = [] { all.their_counter.Increment(); };
  report.add(
      {.name = "counter",
       .unit = "ns",
       .items = {"S5", "S38", "X3"},
       .measure = [=] { return cpu_ns_per_call(kCalls, ours); },
       .baselines = {{"prometheus-cpp", [=] { return cpu_ns_per_call(kSlowCalls, theirs); }}},
       .allocations = [=] { return allocations_of(ours); },
       .targets = {at_most(1.5), better_than("prometheus-cpp", 8), allocations_at_most(0)}});
  static VmOperation operation = VmOperation::kCreate;
  const auto next = [] {
    operation = static_cast<VmOperation>((static_cast<unsigned>(operation) + 1) % 4);
    keep(operation);
    return operation;
  };
  const auto indexed = [=] { all.operations[next(), Outcome::kOk].add(); };
  const auto looked_up = [=] {
    all.their_operations
        .Add({{"operation",
               std::string(observe::kLabelValues<VmOperation>[static_cast<unsigned>(next())])},
              {"outcome", "ok"}})
        .Increment();
  };
  const auto pooled = [=] {
    all.pool.find(observe::kLabelValues<VmOperation>[static_cast<unsigned>(next())])->second.add();
  };
  report.add({.name = "counter, chosen by two enums",
              .unit = "ns",
              .items = {"S14", "S15", "S16", "S28", "X3"},
              .measure = [=] { return cpu_ns_per_call(kCalls, indexed); },
              .baselines = {{"series found in a pool of strings",
                             [=] { return cpu_ns_per_call(kSlowCalls, pooled); }},
                            {"prometheus-cpp, series looked up",
                             [=] { return cpu_ns_per_call(kSlowCalls, looked_up); }}},
              .allocations = [=] { return allocations_of(indexed); },
              .targets = {at_most(4), better_than("series found in a pool of strings", 2),
                          allocations_at_most(0)}});
  add_by_threads(report, "counter", 3, ours, theirs);
}

// How many of the counts of so many threads were lost, over all these numbers of threads.
double counts_lost() {
  static Instruments& all = instruments();
  constexpr std::uint64_t kCounts = 1'000'000;
  std::uint64_t lost = 0;
  for (const std::size_t threads :
       {std::size_t{1}, std::size_t{2}, std::size_t{8}, std::size_t{32}}) {
    const std::uint64_t before = all.counter.value();
    by_threads(threads, kCounts / threads, [] { all.counter.add(); });
    // Each thread counts once before it is measured.
    lost += (kCounts / threads + 1) * threads - (all.counter.value() - before);
  }
  return static_cast<double>(lost);
}

void add_batches(Report& report) {
  static Instruments& all = instruments();
  constexpr std::uint64_t kBatch = 64;
  const auto each = [] {
    for (std::uint64_t i = 0; i < kBatch; ++i) {
      all.counter.add();
      keep(i);
    }
  };
  const auto at_once = [] {
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < kBatch; ++i) {
      ++sum;
      keep(sum);
    }
    all.counter.add(sum);
  };
  report.add({.name = "counts lost by 1, 2, 8 and 32 threads, of 4 million",
              .unit = "counts",
              .items = {"S17"},
              .measure = counts_lost,
              .baselines = {},
              .allocations = {},
              .targets = {at_most(0)}});
  report.add({.name = "counter, 64 times in a loop",
              .unit = "ns",
              .items = {"S17", "S50"},
              .measure = [=] { return cpu_ns_per_call(kSlowCalls, each); },
              .baselines = {{"summed by hand first",
                             [=] { return cpu_ns_per_call(kSlowCalls, at_once); }}},
              .allocations = [=] { return allocations_of(each); },
              .targets = {allocations_at_most(0)}});
}

}  // namespace

void add_instrument_cases(Report& report) {
  static Instruments& all = instruments();
  add_counters(report);
  add_batches(report);
  static std::int64_t level = 0;
  const auto set = [] { all.gauge.set(++level); };
  const auto their_set = [] { all.their_gauge.Set(static_cast<double>(++level)); };
  report.add(
      {.name = "gauge, set",
       .unit = "ns",
       .items = {"S10"},
       .measure = [=] { return cpu_ns_per_call(kCalls, set); },
       .baselines = {{"prometheus-cpp", [=] { return cpu_ns_per_call(kSlowCalls, their_set); }}},
       .allocations = [=] { return allocations_of(set); },
       .targets = {at_most(1.5), allocations_at_most(0)}});
  // Up to two seconds, in no order.
  static const auto values = [] {
    std::array<std::uint64_t, 1024> all{};
    std::uint64_t value = 1;
    for (std::uint64_t& each : all)
      each = value = value * 16'807 % 2'147'483'647;
    return all;
  }();
  static std::size_t at = 0;
  const auto next = [] { return values[++at % values.size()]; };
  const auto observe = [=] { all.histogram.observe(next()); };
  const auto their_observe = [=] {
    all.their_histogram.Observe(static_cast<double>(next()) / 1e9);
  };
  report.add(
      {.name = "histogram",
       .unit = "ns",
       .items = {"S5", "S38", "S48"},
       .measure = [=] { return cpu_ns_per_call(kCalls, observe); },
       .baselines = {{"prometheus-cpp", [=] { return cpu_ns_per_call(kSlowCalls, their_observe); }},
                     {"the values alone",
                      [=] { return cpu_ns_per_call(kCalls, [=] { keep(next()); }); }}},
       .allocations = [=] { return allocations_of(observe); },
       .targets = {at_most(5), allocations_at_most(0)}});
  add_by_threads(
      report, "histogram", 7, [] { all.histogram.observe(std::uint64_t{1'000'000}); },
      [] { all.their_histogram.Observe(0.001); });
}

}  // namespace blixard::perf
