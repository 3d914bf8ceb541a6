// How long a verdict takes. The first is like the logs of etcd under faults that are passed around
// (five clients, 170 operations, some without an end); the others are long. Steps are exact.

#include "linearizability/checker.h"

#include <cstdint>
#include <string>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "linearizability/formats.h"
#include "linearizability/judgement.h"
#include "linearizability/key_value_model.h"
#include "linearizability/register_model.h"
#include "linearizability/test_long_histories.h"

namespace blixard::linearizability {
namespace {

template <Model M>
void judge_all(benchmark::State& state, const M& model, const History<M>& history,
               Verdict expected) {
  std::uint64_t steps = 0;
  for (auto _ : state) {
    const Outcome outcome = check(model, history);
    if (outcome.verdict != expected) state.SkipWithError("another verdict");
    steps = outcome.steps;
  }
  state.counters["steps"] = static_cast<double>(steps);
  state.counters["operations"] = static_cast<double>(history.size());
}

// Ten different histories at a time, so that one lucky one does not decide.
void BM_EtcdLike(benchmark::State& state) {
  std::vector<History<RegisterModel>> histories;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    histories.push_back(registers(seed, {.operations = 170, .processes = 5, .lost_one_in = 6}));
    if (state.range(0) != 0) spoil(histories.back());
  }
  std::uint64_t steps = 0;
  std::uint64_t violations = 0;
  for (auto _ : state) {
    for (const auto& history : histories) {
      const Outcome outcome = check(RegisterModel(), history);
      steps += outcome.steps;
      violations += outcome.verdict == Verdict::kViolation ? 1 : 0;
    }
  }
  const auto count = static_cast<double>(state.iterations()) * 10;
  state.counters["steps"] = static_cast<double>(steps) / count;
  state.counters["violations"] = static_cast<double>(violations) / count;
  state.counters["per_history"] =
      benchmark::Counter(count, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_EtcdLike)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);

void BM_Register10000By50(benchmark::State& state) {
  auto history = registers(1, {.operations = 10'000, .processes = 50, .lost_one_in = 0});
  if (state.range(0) != 0) spoil(history);
  judge_all(state, RegisterModel(), history,
            state.range(0) != 0 ? Verdict::kViolation : Verdict::kOk);
}
BENCHMARK(BM_Register10000By50)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

void BM_Register10000By50Lossy(benchmark::State& state) {
  auto history = registers(1, {.operations = 10'000, .processes = 50, .lost_one_in = 100});
  if (state.range(0) != 0) spoil(history);
  judge_all(state, RegisterModel(), history,
            state.range(0) != 0 ? Verdict::kViolation : Verdict::kOk);
}
BENCHMARK(BM_Register10000By50Lossy)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

// Arguments: keys, slow clients, whether it is spoiled.
void BM_KeyValue10000By50(benchmark::State& state) {
  auto history = key_values(
      1, {.operations = 10'000, .processes = 50, .slow = static_cast<std::size_t>(state.range(1))},
      static_cast<std::uint64_t>(state.range(0)));
  if (state.range(2) != 0) spoil(history);
  judge_all(state, KeyValueModel(), history,
            state.range(2) != 0 ? Verdict::kViolation : Verdict::kOk);
}
BENCHMARK(BM_KeyValue10000By50)
    ->ArgsProduct({{50, 25, 10, 1}, {0, 25}, {0, 1}})
    ->Unit(benchmark::kMillisecond);

// From the bytes of a file to the verdict.
void BM_FileOf170(benchmark::State& state) {
  const auto history = registers(3, {.operations = 170, .processes = 5, .lost_one_in = 6});
  std::map<std::uint64_t, std::string> events;
  for (const auto& operation : history) {
    using enum RegisterModel::Action;
    const auto& input = operation.input;
    const std::string function = input.action == kRead    ? ":read"
                                 : input.action == kWrite ? ":write"
                                                          : ":cas";
    const std::string pair = fmt::format("[{} {}]", input.expected, input.value);
    const std::string argument = input.action == kRead    ? "nil"
                                 : input.action == kWrite ? input.value
                                                          : pair;
    const std::string head = fmt::format("INFO  jepsen.util - {}\t", operation.process);
    events[operation.invoked] = head + ":invoke\t" + function + "\t" + argument + "\n";
    if (!operation.output) continue;
    const std::string answer = input.action == kRead ? operation.output->value : argument;
    events[operation.returned] =
        head + (operation.output->matched ? ":ok\t" : ":fail\t") + function + "\t" + answer + "\n";
  }
  std::string text;
  for (const auto& [position, event] : events)
    text += event;
  for (auto _ : state) {
    const auto recorded = read_porcupine_etcd(text);
    const auto judgement = judge(ModelName::kCasRegister, *recorded, {});
    if (judgement->verdict != Verdict::kOk) state.SkipWithError("another verdict");
  }
}
BENCHMARK(BM_FileOf170)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace blixard::linearizability
