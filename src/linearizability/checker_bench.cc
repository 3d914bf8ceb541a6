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
#include "linearizability/test_histories.h"

namespace blixard::linearizability {
namespace {

using Input = RegisterModel::Input;
using Output = RegisterModel::Output;

Input ask_register(Dice& dice, std::uint64_t /*process*/) {
  const auto value = [&] { return fmt::format("{}", dice.below(5)); };
  switch (dice.below(3)) {
    case 0:
      return {};
    case 1:
      return {.action = RegisterModel::Action::kWrite, .key = {}, .value = value()};
    default: {
      auto expected = value();
      return {.action = RegisterModel::Action::kCompareAndSet,
              .key = {},
              .value = value(),
              .expected = std::move(expected)};
    }
  }
}

Output act_register(std::string& state, const Input& input) {
  if (input.action == RegisterModel::Action::kRead) return {.value = state};
  const bool matches = input.action == RegisterModel::Action::kWrite || state == input.expected;
  if (matches) state = input.value;
  return {.value = {}, .matched = matches};
}

History<RegisterModel> registers(std::uint64_t seed, const Schedule& schedule) {
  return real_history<RegisterModel>(seed, schedule, std::string(kNil), ask_register, act_register);
}

// Late in the history an answer becomes one of a value that was never there.
void spoil(History<RegisterModel>& history) {
  for (std::size_t i = history.size() * 9 / 10; i < history.size(); ++i) {
    if (history[i].input.action != RegisterModel::Action::kRead || !history[i].output) continue;
    history[i].output->value = "9";
    return;
  }
}

History<KeyValueModel> key_values(std::uint64_t seed, const Schedule& schedule,
                                  std::uint64_t keys) {
  std::uint64_t count = 0;
  return real_history<KeyValueModel>(
      seed, schedule, std::map<std::string, std::string>(),
      [&](Dice& dice, std::uint64_t process) {
        KeyValueModel::Input input{.action = static_cast<KeyValueModel::Action>(dice.below(3)),
                                   .key = fmt::format("{}", dice.below(keys)),
                                   .value = {}};
        if (input.action == KeyValueModel::Action::kPut && !dice.one_in(8))
          input.action = KeyValueModel::Action::kAppend;
        if (input.action != KeyValueModel::Action::kGet)
          input.value = fmt::format("x {} {} y", process, count++);
        return input;
      },
      [](std::map<std::string, std::string>& state, const KeyValueModel::Input& input) {
        std::string& value = state[input.key];
        if (input.action == KeyValueModel::Action::kGet) return KeyValueModel::Output{value};
        value = input.action == KeyValueModel::Action::kPut ? input.value : value + input.value;
        return KeyValueModel::Output{};
      });
}

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

void BM_KeyValue10000By50(benchmark::State& state) {
  const auto history = key_values(1, {.operations = 10'000, .processes = 50},
                                  static_cast<std::uint64_t>(state.range(0)));
  judge_all(state, KeyValueModel(), history, Verdict::kOk);
}
BENCHMARK(BM_KeyValue10000By50)->Arg(50)->Arg(25)->Unit(benchmark::kMillisecond);

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
