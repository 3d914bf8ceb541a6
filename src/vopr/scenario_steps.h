#pragma once

// Single steps, drawn: what draw() and the guide make plans of. Whatever is drawn here fits the
// settings and the action's row in action.h, so that scenario_text() can say it.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sim/random.h"
#include "vopr/plan.h"
#include "vopr/scenario.h"

namespace blixard::vopr {

// From `least` to `most`, every doubling as likely as any other: small values come as often as
// large ones. Whole numbers only, so that every machine draws the same.
[[nodiscard]] std::uint64_t draw_by_size(sim::SeededRandom& random, NumberRange range);
[[nodiscard]] Duration draw_by_size(sim::SeededRandom& random, TimeRange range);

// Uniform, in whole microseconds if that is within the range.
[[nodiscard]] Duration draw_time(sim::SeededRandom& random, TimeRange range);

// About as many as there are until then with such gaps between them; a gap of 0: none.
[[nodiscard]] std::size_t expected_steps(TimeRange gap, Duration until);

// Machines of a run: its nodes, then its spares.
[[nodiscard]] inline std::uint32_t machines(const Settings& settings) {
  return static_cast<std::uint32_t>(settings.nodes + settings.spares);
}

// Whether there is anything it can be done to: no link of a machine that is alone, no guest
// without a VM.
[[nodiscard]] bool is_possible(Action action, const Settings& settings);

// A machine: mostly one of the first nodes, sometimes a spare; never 0.
[[nodiscard]] std::uint32_t draw_machine(sim::SeededRandom& random, const Settings& settings);

// 0 with one in three.
[[nodiscard]] std::uint32_t draw_target(sim::SeededRandom& random, const Settings& settings);

// Where it strikes, how long and how much. Precondition: is_possible().
[[nodiscard]] Step draw_fault(sim::SeededRandom& random, Action action, Duration at,
                              TimeRange length, const Settings& settings);
[[nodiscard]] std::uint64_t draw_amount(sim::SeededRandom& random, Action action);

// By time; of the same time, in the order they came.
void sort_steps(std::vector<Step>& steps);

}  // namespace blixard::vopr
