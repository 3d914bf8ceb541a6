#include "vopr/scenario_steps.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <utility>

#include "base/assert.h"

namespace blixard::vopr {
namespace {

// Where `amount` chooses one of many, not how bad it is: none of them is small.
bool amount_picks(Action action) {
  const ActionFacts& facts = facts_of(action);
  return action == Action::kSplit || (facts.amount_min == 0 && action != Action::kFullDisk);
}

}  // namespace

std::uint64_t draw_by_size(sim::SeededRandom& random, NumberRange range) {
  BLX_ASSERT(range.least <= range.most);
  const auto low = static_cast<std::uint64_t>(std::bit_width(range.least));
  const auto high = static_cast<std::uint64_t>(std::bit_width(range.most));
  const std::uint64_t width = low + random.below(high - low + 1);
  // Of this width: 0, or from 2^(width-1) to the next power.
  const std::uint64_t floor = width == 0 ? 0 : std::uint64_t{1} << (width - 1);
  const std::uint64_t least = std::max(range.least, floor);
  const std::uint64_t most = std::min(range.most, width == 0 ? 0 : floor + (floor - 1));
  return least + random.below(most - least + 1);
}

Duration draw_by_size(sim::SeededRandom& random, TimeRange range) {
  constexpr auto kUnit = Duration(1ms);
  const std::uint64_t drawn =
      draw_by_size(random, NumberRange{static_cast<std::uint64_t>(range.least / kUnit),
                                       static_cast<std::uint64_t>(range.most / kUnit)});
  return std::clamp(Duration(drawn * kUnit), range.least, range.most);
}

Duration draw_time(sim::SeededRandom& random, TimeRange range) {
  const Duration drawn = random.between(range.least, range.most);
  return std::max(range.least, Duration(drawn / 1us * 1us));
}

std::size_t expected_steps(TimeRange gap, Duration until) {
  if (gap.most == Duration(0)) return 0;
  const Duration mean = std::max<Duration>(gap.least + (gap.most - gap.least) / 2, 1us);
  return std::min(static_cast<std::size_t>(until / mean), kStepsMost);
}

bool is_possible(Action action, const Settings& settings) {
  const ActionFacts& facts = facts_of(action);
  if (facts.group == Group::kLink) return machines(settings) > 1;
  const bool is_of_guests = facts.group == Group::kGuest || facts.group == Group::kSaved;
  if (is_of_guests || facts.uses.vm) return settings.vms > 0;
  if (facts.group == Group::kTemplate) return settings.vms > 0 && settings.templates_mib > 0;
  return true;
}

std::uint32_t draw_machine(sim::SeededRandom& random, const Settings& settings) {
  const bool spare = settings.spares > 0 && random.one_in(6);
  if (!spare) return static_cast<std::uint32_t>(1 + random.below(settings.nodes));
  return static_cast<std::uint32_t>(1 + settings.nodes + random.below(settings.spares));
}

std::uint32_t draw_target(sim::SeededRandom& random, const Settings& settings) {
  return random.one_in(3) ? 0 : draw_machine(random, settings);
}

std::uint64_t draw_amount(sim::SeededRandom& random, Action action) {
  const ActionFacts& facts = facts_of(action);
  if (!facts.uses.amount) return 0;
  if (amount_picks(action))
    return facts.amount_min + random.below(facts.amount_max - facts.amount_min + 1);
  return draw_by_size(random, NumberRange{facts.amount_min, facts.amount_max});
}

Step draw_fault(sim::SeededRandom& random, Action action, Duration at, TimeRange length,
                const Settings& settings) {
  BLX_ASSERT(is_possible(action, settings));
  const Uses& uses = facts_of(action).uses;
  Step step{.at = at, .action = action};
  if (uses.node) step.node = draw_target(random, settings);
  if (uses.other) {
    // Another one: that many machines further.
    step.other = draw_machine(random, settings);
    if (step.other == step.node)
      step.other = static_cast<std::uint32_t>(1 + step.other % machines(settings));
  }
  if (uses.length) step.length = draw_by_size(random, length);
  step.amount = draw_amount(random, action);
  return step;
}

void sort_steps(std::vector<Step>& steps) {
  if (std::ranges::is_sorted(steps, {}, &Step::at)) return;
  std::vector<std::pair<Duration, std::size_t>> order;
  order.reserve(steps.size());
  for (const Step& step : steps)
    order.emplace_back(step.at, order.size());
  std::ranges::sort(order);
  std::vector<Step> sorted;
  sorted.reserve(steps.size());
  for (const auto& [at, place] : order)
    sorted.push_back(steps[place]);
  steps = std::move(sorted);
}

}  // namespace blixard::vopr
