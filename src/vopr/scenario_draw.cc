#include <algorithm>
#include <string>
#include <utility>

#include "base/assert.h"
#include "sim/random.h"
#include "vopr/scenario.h"
#include "vopr/scenario_steps.h"
#include "vopr/scenario_workloads.h"

namespace blixard::vopr {
namespace {

constexpr Duration kBurst = 100ms;

std::uint64_t draw_setting(const sim::SeededRandom& root, std::string_view name,
                           NumberRange range) {
  sim::SeededRandom random(root.seed_for(name));
  return range.least + random.below(range.most - range.least + 1);
}

Duration draw_setting(const sim::SeededRandom& root, std::string_view name, TimeRange range) {
  sim::SeededRandom random(root.seed_for(name));
  const Duration drawn = random.between(range.least, range.most);
  return std::max(range.least, Duration(drawn / 1ms * 1ms));
}

Settings draw_settings(const Scenario& scenario, const sim::SeededRandom& root) {
  const auto number = [&](std::string_view name, NumberRange range) {
    return draw_setting(root, name, range);
  };
  Settings settings;
  settings.nodes = number("nodes", scenario.nodes);
  settings.spares = number("spares", scenario.spares);
  settings.clients = number("clients", scenario.clients);
  settings.vms = number("vms", scenario.vms);
  settings.tick = draw_setting(root, "tick", scenario.tick);
  settings.election_ticks =
      static_cast<std::uint32_t>(number("election_ticks", scenario.election_ticks));
  settings.snapshot_entries = number("snapshot_entries", scenario.snapshot_entries);
  settings.trailing_entries = number("trailing_entries", scenario.trailing_entries);
  settings.rare_percent = static_cast<std::uint32_t>(number("rare_percent", scenario.rare_percent));
  settings.boot = draw_setting(root, "boot", scenario.boot);
  settings.version = static_cast<std::uint32_t>(number("version", scenario.version));
  settings.templates_mib = number("templates_mib", scenario.templates_mib);
  return settings;
}

// The faults of one run, each as often as its weight says.
class FaultMix {
 public:
  FaultMix(const Faults& faults, const Settings& settings, sim::SeededRandom& random) {
    std::vector<Action> possible;
    possible.reserve(kActions);
    for (const ActionFacts& facts : actions()) {
      const bool wanted = faults.of.empty()
                              ? is_fault(facts.action)
                              : std::ranges::find(faults.of, facts.action) != faults.of.end();
      if (wanted && is_possible(facts.action, settings)) possible.push_back(facts.action);
    }
    if (possible.empty()) return;
    weighted_.reserve(possible.size());
    for (const Action action : possible)
      if (!faults.of.empty() || random.one_in(2)) add(action, 1 + random.below(4));
    while (weighted_.size() < std::min<std::size_t>(2, possible.size())) {
      const Action action = possible[random.below(possible.size())];
      if (std::ranges::find(weighted_, action, &Weighted::first) == weighted_.end()) add(action, 1);
    }
  }

  [[nodiscard]] bool is_empty() const { return weighted_.empty(); }

  Action pick(sim::SeededRandom& random) const {
    std::uint64_t place = random.below(sum_);
    for (const auto& [action, weight] : weighted_) {
      if (place < weight) return action;
      place -= weight;
    }
    BLX_ASSERT(false);
    return Action::kNone;
  }

  void keep_one(sim::SeededRandom& random) {
    const Action one = pick(random);
    weighted_.assign(1, {one, 1});
    sum_ = 1;
  }

 private:
  using Weighted = std::pair<Action, std::uint64_t>;
  void add(Action action, std::uint64_t weight) {
    weighted_.emplace_back(action, weight);
    sum_ += weight;
  }

  std::vector<Weighted> weighted_;
  std::uint64_t sum_ = 0;
};

// Appends them.
void draw_faults(const Faults& faults, const Settings& settings, Duration until,
                 const sim::SeededRandom& root, std::vector<Step>& steps) {
  if (faults.gap.most == Duration(0)) return;
  sim::SeededRandom choice(root.seed_for("choice"));
  FaultMix mix(faults, settings, choice);
  if (mix.is_empty()) return;

  // How hard this run is hit: the gap's upper end is drawn too. Some have bursts, some one kind of
  // fault only and more of it.
  TimeRange gap{faults.gap.least, draw_by_size(choice, faults.gap)};
  const std::uint64_t mood = choice.below(10);
  const bool bursts = mood < 2;
  const bool one_kind = mood == 2;
  if (one_kind) {
    mix.keep_one(choice);
    gap.most = gap.least + (gap.most - gap.least) / 4;
  }
  sim::SeededRandom random(root.seed_for("steps"));
  const std::size_t before = steps.size();
  for (Duration at = draw_time(random, gap); at <= until; at += draw_time(random, gap)) {
    const bool burst = random.one_in(bursts ? 2 : 20);
    const std::uint64_t count = burst ? 2 + random.below(4) : 1;
    for (std::uint64_t i = 0; i < count; ++i) {
      const Duration after = i == 0 ? Duration(0) : draw_time(random, {Duration(0), kBurst});
      steps.push_back(draw_fault(random, mix.pick(random), std::min(until, at + after),
                                 faults.length, settings));
    }
    if (steps.size() - before >= kStepsMost) break;
  }
}

std::vector<Step> draw_steps(const Scenario& scenario, const Settings& settings,
                             const sim::SeededRandom& root) {
  std::vector<Step> steps;
  std::size_t expected = expected_steps(scenario.faults.gap, scenario.until);
  for (const Workload& workload : scenario.workloads)
    expected += expected_steps(workload, settings, scenario.until);
  // Some of them are busy, which is known when they are drawn.
  steps.reserve(std::min(2 * expected, kStepsMost));
  for (auto workload = scenario.workloads.begin(); workload != scenario.workloads.end();
       ++workload) {
    // Named after its kind and which of the kind: others beside it do not count.
    const auto nth = 1 + std::count_if(scenario.workloads.begin(), workload,
                                       [&](const Workload& w) { return w.kind == workload->kind; });
    const sim::SeededRandom own(root.seed_for(workload->kind + " " + std::to_string(nth)));
    draw_workload(*workload, settings, scenario.until, own, steps);
  }
  draw_faults(scenario.faults, settings, scenario.until, sim::SeededRandom(root.seed_for("faults")),
              steps);
  return steps;
}

}  // namespace

Plan draw(const Scenario& scenario, std::uint64_t seed) {
  if (scenario.seed != 0) seed = scenario.seed;
  if (seed == 0) seed = 1;
  const sim::SeededRandom root(sim::SeededRandom(seed).seed_for("plan"));
  Plan plan{.scenario = scenario.name, .seed = seed, .until = scenario.until};
  plan.settings = draw_settings(scenario, root);
  plan.steps = scenario.steps.empty() ? draw_steps(scenario, plan.settings, root) : scenario.steps;
  sort_steps(plan.steps);
  if (plan.steps.size() > kStepsMost) plan.steps.resize(kStepsMost);
  return plan;
}

}  // namespace blixard::vopr
