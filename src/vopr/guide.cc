#include "vopr/guide.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "sim/random.h"
#include "vopr/scenario_steps.h"

namespace blixard::vopr {
namespace {

constexpr std::size_t kKeptMost = 512;
constexpr std::size_t kStepsOfVaried = 5'000;  // variations of variations would grow for ever
constexpr std::string_view kVaried = ", varied";
constexpr TimeRange kLength{1ms, 20s};
constexpr Duration kBurst = 100ms;

// Numbers beyond what the settings have begin again at the first.
std::uint32_t folded(std::uint32_t number, std::size_t count) {
  if (number <= count) return number;
  return static_cast<std::uint32_t>((number - 1) % count + 1);
}

// A plan, and ways to make another of it.
class Variation {
 public:
  Variation(Plan plan, sim::SeededRandom& random) : plan_(std::move(plan)), random_(random) {}

  // `other` is a plan whose steps may be mixed in.
  void vary(const Plan& other) {
    switch (random_.below(8)) {
      case 0:
        return splice(other);
      case 1:
        return repeat_range();
      case 2:
        return move_times();
      case 3:
        return retarget();
      case 4:
        return change_amounts();
      case 5:
      case 6:
        return add_burst();
      default:
        return drop_range();
    }
  }

  Plan finish() && {
    std::vector<Step> steps;
    for (Step step : plan_.steps)
      if (fit(step)) steps.push_back(step);
    plan_.steps = std::move(steps);
    sort_steps(plan_.steps);
    if (plan_.steps.size() > kStepsOfVaried) plan_.steps.resize(kStepsOfVaried);
    return std::move(plan_);
  }

 private:
  // Makes a step one that this plan can have; false if there is nobody for it.
  bool fit(Step& step) const {
    const Settings& settings = plan_.settings;
    const ActionFacts& facts = facts_of(step.action);
    if (!is_possible(step.action, settings)) return false;
    if (facts.group == Group::kClient && settings.clients == 0) return false;
    step.at = std::clamp(step.at, Duration(0), plan_.until);
    step.node = folded(step.node, machines(settings));
    step.other = folded(step.other, machines(settings));
    if (facts.uses.other && step.node == step.other)
      step.other = static_cast<std::uint32_t>(1 + step.other % machines(settings));
    if (step.client > 0) step.client = folded(step.client, settings.clients);
    if (step.vm > 0) step.vm = folded(step.vm, settings.vms);
    return true;
  }

  [[nodiscard]] Duration any_time() { return draw_time(random_, {Duration(0), plan_.until}); }
  Step& any_step() { return plan_.steps[random_.below(plan_.steps.size())]; }

  // About one step in so many, at least one; the whole plan is changed seldom.
  template <class Change>
  void change_some(Change change) {
    if (plan_.steps.empty()) return;
    const std::uint64_t count = draw_by_size(random_, NumberRange{1, plan_.steps.size()});
    for (std::uint64_t i = 0; i < count; ++i)
      change(any_step());
  }

  // This one's steps before a moment and the other's after it, or both.
  void splice(const Plan& other) {
    const Duration cut = any_time();
    if (random_.one_in(2)) std::erase_if(plan_.steps, [&](const Step& s) { return s.at > cut; });
    for (Step step : other.steps)
      if (step.at > cut && step.at <= plan_.until && fit(step)) plan_.steps.push_back(step);
  }

  std::pair<std::size_t, std::size_t> any_range() {
    const std::size_t from = random_.below(plan_.steps.size());
    const std::uint64_t most = std::max<std::size_t>(1, (plan_.steps.size() - from) / 2);
    return {from, from + draw_by_size(random_, NumberRange{1, most})};
  }

  void repeat_range() {
    if (plan_.steps.empty()) return;
    const auto [from, to] = any_range();
    const Duration shift = any_time() - plan_.steps[from].at;
    for (std::size_t i = from; i < to; ++i) {
      Step step = plan_.steps[i];
      step.at += shift;
      if (step.at <= plan_.until) plan_.steps.push_back(step);
    }
  }

  void drop_range() {
    if (plan_.steps.empty()) return;
    const auto [from, to] = any_range();
    plan_.steps.erase(plan_.steps.begin() + static_cast<std::ptrdiff_t>(from),
                      plan_.steps.begin() + static_cast<std::ptrdiff_t>(to));
  }

  void move_times() {
    change_some([&](Step& step) {
      const Duration by =
          draw_by_size(random_, TimeRange{1ms, std::max<Duration>(1ms, plan_.until)});
      step.at += random_.one_in(2) ? by : -by;
    });
  }

  void retarget() {
    const Settings& settings = plan_.settings;
    change_some([&](Step& step) {
      const Uses& uses = facts_of(step.action).uses;
      if (uses.node) step.node = draw_target(random_, settings);
      if (uses.other) step.other = draw_machine(random_, settings);
      if (uses.vm) step.vm = static_cast<std::uint32_t>(1 + random_.below(settings.vms));
    });
  }

  void change_amounts() {
    change_some([&](Step& step) {
      const Uses& uses = facts_of(step.action).uses;
      if (uses.length) step.length = draw_by_size(random_, kLength);
      if (uses.amount) step.amount = draw_amount(random_, step.action);
    });
  }

  // Trouble where something happens already.
  void add_burst() {
    const Duration middle = plan_.steps.empty() ? any_time() : any_step().at;
    std::vector<Action> possible;
    for (const ActionFacts& facts : actions())
      if (is_fault(facts.action) && is_possible(facts.action, plan_.settings))
        possible.push_back(facts.action);
    const std::uint64_t count = 2 + random_.below(4);
    for (std::uint64_t i = 0; i < count; ++i) {
      const Duration at = middle + draw_time(random_, {Duration(0), 2 * kBurst}) - kBurst;
      const Action action = possible[random_.below(possible.size())];
      plan_.steps.push_back(draw_fault(random_, action, at, kLength, plan_.settings));
    }
  }

  Plan plan_;
  sim::SeededRandom& random_;
};

std::string varied_name(std::string name) {
  if (name.ends_with(kVaried)) return name;
  name.resize(std::min(name.size(), kScenarioNameBytes - kVaried.size()));
  return name.append(kVaried);
}

}  // namespace

Plan Guide::next(std::uint64_t seed, bool guided) {
  BLX_ASSERT(!scenarios_.empty());
  const auto fresh = [&] { return draw(scenarios_[seed % scenarios_.size()], seed); };
  if (!guided || kept_.empty()) return fresh();
  sim::SeededRandom random(sim::SeededRandom(seed).seed_for("guide"));
  if (random.one_in(2)) return fresh();

  // What was learned last is the least explored.
  const auto choose = [&]() -> const Plan& {
    const std::size_t newest = std::max<std::size_t>(1, kept_.size() / 4);
    const std::size_t among = random.one_in(2) ? newest : kept_.size();
    return kept_[kept_.size() - 1 - random.below(among)];
  };
  Variation variation(choose(), random);
  // None at all now and then: the same decisions in another world.
  const std::uint64_t changes = random.below(4);
  for (std::uint64_t i = 0; i < changes; ++i)
    variation.vary(choose());
  Plan plan = std::move(variation).finish();
  plan.seed = std::max<std::uint64_t>(1, seed);
  plan.scenario = varied_name(std::move(plan.scenario));
  return plan;
}

void Guide::learn(const Plan& plan, const Coverage& coverage) {
  if (coverage.beyond(seen_) == 0) return;
  seen_.add(coverage);
  if (kept_.size() == kKeptMost) kept_.erase(kept_.begin());
  kept_.push_back(plan);
}

}  // namespace blixard::vopr
