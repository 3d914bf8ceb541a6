#pragma once

// For tests: histories of real objects under random schedules, small random ones, and a judge that
// tries every order.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <optional>
#include <vector>

#include "linearizability/checker.h"
#include "linearizability/history.h"

namespace blixard::linearizability {

// The generator of the tests: splitmix64, so that a seed names a history everywhere.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t word = state_ += 0x9e3779b97f4a7c15;
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
    word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
    return word ^ (word >> 31);
  }
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }
  bool one_in(std::uint64_t chances) { return below(chances) == 0; }

 private:
  std::uint64_t state_;
};

struct Schedule {
  std::size_t operations = 0;
  std::size_t processes = 1;
  std::uint64_t lost_one_in = 0;  // an end that is never seen; 0: all are
  std::size_t slow = 0;           // so many of the processes take twenty times as long
};

// Processes begin, take effect on one real object in one instant, and end, each step when the dice
// say so: what comes out is linearizable. `ask(dice, process)` gives an input, `act(state, input)`
// changes the state and gives the output. What is lost takes effect at once, later, or never.
template <class M, class State, class Ask, class Act>
History<M> real_history(std::uint64_t seed, const Schedule& schedule, State state, Ask ask,
                        Act act) {
  enum class Phase : std::uint8_t { kIdle, kBegun, kDone };
  struct Process {
    Phase phase = Phase::kIdle;
    std::size_t operation = 0;
    std::uint64_t number = 0;
    std::optional<typename M::Output> output;
  };
  Dice dice(seed);
  History<M> history;
  std::vector<Process> processes(schedule.processes);
  for (std::size_t i = 0; i < processes.size(); ++i)
    processes[i].number = i;
  std::vector<std::size_t> late;  // lost, to take effect some time
  std::uint64_t position = 0;
  std::uint64_t next_number = processes.size();
  std::size_t under_way = 0;
  while (history.size() < schedule.operations || under_way != 0) {
    if (!late.empty() && dice.one_in(20)) {
      act(state, history[late.back()].input);
      late.pop_back();
    }
    const std::size_t turn = dice.below(processes.size());
    if (turn < schedule.slow && !dice.one_in(20)) continue;
    Process& process = processes[turn];
    switch (process.phase) {
      case Phase::kIdle:
        if (history.size() == schedule.operations) break;
        process.operation = history.size();
        process.phase = Phase::kBegun;
        ++under_way;
        history.push_back({.process = process.number,
                           .input = ask(dice, process.number),
                           .output = {},
                           .invoked = position++});
        break;
      case Phase::kBegun:
        if (schedule.lost_one_in != 0 && dice.one_in(schedule.lost_one_in)) {
          // Its end is not seen. It takes effect now, later, or never.
          if (dice.one_in(3))
            act(state, history[process.operation].input);
          else if (dice.one_in(2))
            late.push_back(process.operation);
          process.phase = Phase::kIdle;
          process.number = next_number++;
          --under_way;
          break;
        }
        process.output = act(state, history[process.operation].input);
        process.phase = Phase::kDone;
        break;
      case Phase::kDone:
        history[process.operation].output = process.output;
        history[process.operation].returned = position++;
        process.phase = Phase::kIdle;
        --under_way;
    }
  }
  return history;
}

// Tries every choice of what took effect, in every order. For a few operations.
template <Model M>
bool has_any_order(const M& model, const History<M>& history) {
  std::function<bool(const typename M::State&, std::uint32_t)> extend =
      [&](const typename M::State& state, std::uint32_t placed) {
        std::uint64_t first_end = kNever;
        for (std::size_t i = 0; i < history.size(); ++i) {
          if (((placed >> i) & 1) == 0) first_end = std::min(first_end, history[i].returned);
        }
        if (first_end == kNever) return true;
        for (std::size_t i = 0; i < history.size(); ++i) {
          if (((placed >> i) & 1) != 0 || history[i].invoked > first_end) continue;
          const auto next = model.step(state, history[i].input, history[i].output);
          if (next && extend(*next, placed | (1U << i))) return true;
        }
        return false;
      };
  return extend(model.initial(), 0);
}

// A few operations at random places with random answers: about as often wrong as right.
// `make(dice)` gives an input and an output.
template <class M, class Make>
History<M> random_history(std::uint64_t seed, std::size_t operations_max, Make make) {
  Dice dice(seed);
  const std::size_t count = 1 + dice.below(operations_max);
  std::vector<std::uint64_t> positions(2 * count);
  std::iota(positions.begin(), positions.end(), 0U);
  for (std::size_t i = positions.size() - 1; i > 0; --i)
    std::swap(positions[i], positions[dice.below(i + 1)]);
  History<M> history;
  for (std::size_t i = 0; i < count; ++i) {
    auto [input, output] = make(dice);
    const auto [begin, end] = std::minmax(positions[2 * i], positions[2 * i + 1]);
    const bool ends = !dice.one_in(6);
    history.push_back({.process = i,
                       .input = std::move(input),
                       .output = ends ? std::optional(std::move(output)) : std::nullopt,
                       .invoked = begin,
                       .returned = ends ? end : kNever});
  }
  std::ranges::sort(history, {}, [](const auto& operation) { return operation.invoked; });
  return history;
}

// Whether the orders of an outcome are what they claim to be: possible by the model and by time,
// and, for a violation, whole up to what is stuck.
template <Model M>
bool is_explained(const M& model, const History<M>& history, const PartOutcome& part) {
  auto state = std::optional(model.initial());
  std::uint64_t latest_begin = 0;
  std::vector<bool> placed(history.size());
  for (const std::size_t i : part.order) {
    latest_begin = std::max(latest_begin, history[i].invoked);
    if (history[i].returned < latest_begin || placed[i]) return false;
    placed[i] = true;
    state = model.step(*state, history[i].input, history[i].output);
    if (!state) return false;
  }
  const std::uint64_t until = part.stuck ? history[*part.stuck].returned : kNever;
  return std::ranges::all_of(part.part.operations, [&](std::size_t i) {
    return placed[i] || history[i].returned >= until;
  });
}

// The history up to a position: what was under way then need not take effect, and if it does gives
// the answer that it gave.
template <class M>
History<M> prefix_before(History<M> history, std::uint64_t position) {
  std::erase_if(history, [&](const auto& operation) { return operation.invoked >= position; });
  for (auto& operation : history) {
    if (operation.returned >= position) operation.returned = kNever;
  }
  return history;
}

}  // namespace blixard::linearizability
