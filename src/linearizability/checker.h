#pragma once

// Is a history linearizable with respect to a model? The library's entry.
//
// A model is a sequential object: where it begins, and what an operation does to it. check()
// divides the history into parts that can be judged alone (Herlihy and Wing, "Linearizability: a
// correctness condition for concurrent objects" (1990): it is a local property), numbers states and
// operations, and searches each part for an order (search.h). Parts share the budget, the small
// ones first; all are judged, so that the verdict does not depend on which is looked at first.

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>

#include "linearizability/history.h"
#include "linearizability/search.h"

namespace blixard::linearizability {

// step() gives the state after the operation, or nothing if the model could not have answered
// that; without an output it answers what it likes. is_read_only() may say true only if the state
// after the operation is the state before it, in every state that accepts it; without an output it
// says whether the operation is one that never changes anything. bytes() is what a state occupies.
//
// A model may have three more, which cut a search short. is_overwrite(input, output) may say true
// only if every state accepts the operation and the state after it is the same for all.
// is_never_refused(input, output) may say true only if every state accepts the operation.
// leads_to(state, input, output) may say false only if no operations but overwriting ones lead from
// the state to one that accepts the operation.
template <class M>
concept Model =
    std::equality_comparable<typename M::State> && std::totally_ordered<typename M::Input> &&
    std::totally_ordered<typename M::Output> &&
    requires(const M& model, const typename M::State& state, const typename M::Input& input,
             const std::optional<typename M::Output>& output, const History<M>& history) {
      { model.initial() } -> std::same_as<typename M::State>;
      { model.step(state, input, output) } -> std::same_as<std::optional<typename M::State>>;
      { model.is_read_only(input, output) } -> std::same_as<bool>;
      { model.hash(state) } -> std::same_as<std::uint64_t>;
      { model.bytes(state) } -> std::same_as<std::size_t>;
      { model.partition(history) } -> std::same_as<std::vector<Part>>;
    };

namespace detail {

template <Model M>
bool is_overwrite(const M& model, const typename M::Input& input,
                  const std::optional<typename M::Output>& output) {
  if constexpr (requires { model.is_overwrite(input, output); }) {
    return model.is_overwrite(input, output);
  } else {
    return false;
  }
}

template <Model M>
bool is_never_refused(const M& model, const typename M::Input& input,
                      const std::optional<typename M::Output>& output) {
  if constexpr (requires { model.is_never_refused(input, output); }) {
    return model.is_never_refused(input, output);
  } else {
    return is_overwrite(model, input, output);
  }
}

// Each state of the model once, and each step taken once.
template <Model M>
class Numbered final : public Transitions {
 public:
  using Asked = std::pair<const typename M::Input*, const std::optional<typename M::Output>*>;

  Numbered(const M& model, std::vector<Asked> kinds)
      : model_(model), kinds_(std::move(kinds)), numbers_(0, Hash{this}, Equal{this}) {
    number(model_.initial());
  }

  std::uint32_t step(std::uint32_t state, std::uint32_t kind) override {
    const auto [known, is_new] = steps_.try_emplace((std::uint64_t{state} << 32) | kind, kRefused);
    if (!is_new) return known->second;
    auto next = model_.step(states_[state], *kinds_[kind].first, *kinds_[kind].second);
    if (next) known->second = number(std::move(*next));
    return known->second;
  }

  bool leads_to(std::uint32_t state, std::uint32_t kind) override {
    const auto& [input, output] = kinds_[kind];
    if constexpr (requires { model_.leads_to(states_[state], *input, *output); }) {
      return model_.leads_to(states_[state], *input, *output);
    } else {
      return true;
    }
  }

  [[nodiscard]] bool knows_where_it_leads() const override {
    return requires { model_.leads_to(states_[0], *kinds_[0].first, *kinds_[0].second); };
  }

  [[nodiscard]] std::size_t bytes() const override {
    return bytes_ + 17 * steps_.bucket_count() + 5 * numbers_.bucket_count();
  }

 private:
  using State = M::State;
  struct Hash {
    using is_transparent = void;
    const Numbered* owner;
    std::size_t operator()(std::uint32_t number) const { return (*this)(owner->states_[number]); }
    std::size_t operator()(const State& state) const { return owner->model_.hash(state); }
  };
  struct Equal {
    using is_transparent = void;
    const Numbered* owner;
    bool operator()(std::uint32_t a, std::uint32_t b) const { return a == b; }
    bool operator()(const State& a, std::uint32_t b) const { return a == owner->states_[b]; }
    bool operator()(std::uint32_t a, const State& b) const { return owner->states_[a] == b; }
  };

  std::uint32_t number(State state) {
    const auto known = numbers_.find(state);
    if (known != numbers_.end()) return *known;
    bytes_ += model_.bytes(state);
    states_.push_back(std::move(state));
    const auto given = static_cast<std::uint32_t>(states_.size() - 1);
    numbers_.insert(given);
    return given;
  }

  const M& model_;
  std::vector<Asked> kinds_;
  std::vector<State> states_;
  std::size_t bytes_ = 0;
  boost::unordered_flat_set<std::uint32_t, Hash, Equal> numbers_;
  boost::unordered_flat_map<std::uint64_t, std::uint32_t> steps_;
};

template <Model M>
PartOutcome check_part(const M& model, const History<M>& history, Part part, const Budget& budget,
                       std::uint64_t& steps) {
  // What has no end and would change nothing says nothing.
  std::vector<std::size_t> sorted;
  for (const std::size_t i : part.operations) {
    if (history[i].output || !model.is_read_only(history[i].input, {})) sorted.push_back(i);
  }
  const auto places = sorted;
  const auto before = [&](std::size_t a, std::size_t b) {
    return std::tie(history[a].input, history[a].output) <
           std::tie(history[b].input, history[b].output);
  };
  std::ranges::sort(sorted, before);
  std::vector<typename Numbered<M>::Asked> kinds;
  boost::unordered_flat_map<std::size_t, std::uint32_t> kind_of;
  for (std::size_t at = 0; at < sorted.size(); ++at) {
    const auto& operation = history[sorted[at]];
    if (at == 0 || before(sorted[at - 1], sorted[at]))
      kinds.emplace_back(&operation.input, &operation.output);
    kind_of[sorted[at]] = static_cast<std::uint32_t>(kinds.size() - 1);
  }
  std::vector<Event> events;
  events.reserve(places.size());
  for (const std::size_t i : places) {
    events.push_back({.kind = kind_of[i],
                      .read_only = model.is_read_only(history[i].input, history[i].output),
                      .overwrites = is_overwrite(model, history[i].input, history[i].output),
                      .never_refused = is_never_refused(model, history[i].input, history[i].output),
                      .invoked = history[i].invoked,
                      .returned = history[i].returned});
  }
  Numbered<M> transitions(model, std::move(kinds));
  Budget rest = budget;
  rest.steps_max = budget.steps_max - std::min(budget.steps_max, steps);
  const Found found = find_order(events, transitions, rest);
  steps += found.steps;
  PartOutcome outcome{.part = std::move(part), .verdict = found.verdict, .order = {}, .stuck = {}};
  for (const std::uint32_t placed : found.order)
    outcome.order.push_back(places[placed]);
  if (found.stuck) outcome.stuck = places[*found.stuck];
  return outcome;
}

}  // namespace detail

// A violation in any part is a violation, whatever else is unknown. Precondition: an operation has
// an output exactly if it has an end, not before its beginning.
template <Model M>
Outcome check(const M& model, const History<M>& history, const Budget& budget = {}) {
  std::vector<Part> parts = model.partition(history);
  std::ranges::sort(parts, {}, [](const Part& part) {
    return std::pair(part.operations.size(), std::string_view(part.key));
  });
  Outcome outcome;
  outcome.verdict = Verdict::kOk;
  for (Part& part : parts) {
    outcome.parts.push_back(
        detail::check_part(model, history, std::move(part), budget, outcome.steps));
    const Verdict verdict = outcome.parts.back().verdict;
    if (verdict == Verdict::kViolation) outcome.verdict = verdict;
    if (verdict == Verdict::kUnknown && outcome.verdict == Verdict::kOk) outcome.verdict = verdict;
  }
  std::ranges::sort(outcome.parts, {},
                    [](const PartOutcome& part) { return std::string_view(part.part.key); });
  return outcome;
}

}  // namespace blixard::linearizability
