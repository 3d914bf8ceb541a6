#include "vopr/guide_reach.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace blixard::vopr {
namespace {

constexpr std::uint64_t kPlansDrawn = 64;  // of a scenario
constexpr Duration kDrawnUntil = 2min;     // more of it has nothing else in it
constexpr std::size_t kNamesInLine = 8;

using Actions = std::bitset<kActions>;

std::size_t place(Action action) { return static_cast<std::size_t>(action); }
std::size_t place(Event event) { return static_cast<std::size_t>(event); }

struct Drawn {
  Actions actions;
  bool several_machines = false;
  bool rare_points = false;

  void take(const Plan& plan) {
    for (const Step& step : plan.steps)
      actions.set(place(step.action));
    several_machines |= plan.settings.nodes + plan.settings.spares > 1;
    rare_points |= plan.settings.rare_percent > 0;
  }
  [[nodiscard]] bool has(Action action) const { return actions.test(place(action)); }
  template <class Which>
  [[nodiscard]] bool has_any(Which which) const {
    return std::ranges::any_of(vopr::actions(), [&](const ActionFacts& facts) {
      return has(facts.action) && which(facts);
    });
  }
  [[nodiscard]] bool has_any_of(Group group) const {
    return has_any([&](const ActionFacts& facts) { return facts.group == group; });
  }
};

Drawn drawn_of(Scenario scenario) {
  scenario.until = std::min(scenario.until, kDrawnUntil);
  Drawn drawn;
  for (std::uint64_t seed = 1; seed <= kPlansDrawn; ++seed)
    drawn.take(draw(scenario, seed));
  return drawn;
}

// A disk that is wrong or gone: its node is replaced.
bool loses_disk(const Drawn& drawn) {
  return drawn.has(Action::kReplaceDisk) || drawn.has(Action::kBitRot) ||
         drawn.has(Action::kMisdirected);
}

// See the atlas in docs/simulation.md.
bool is_skipped_sometimes(const Drawn& drawn) {
  return loses_disk(drawn) || drawn.has_any([](const ActionFacts& facts) {
    const bool on_guest = facts.group == Group::kGuest && !facts.uses.length;
    const bool on_file = facts.action == Action::kTemplateDamaged ||
                         facts.action == Action::kSavedDamage || facts.action == Action::kSavedLoss;
    return facts.group == Group::kMachine || facts.group == Group::kOperator || on_guest ||
           on_file || facts.uses.other;
  });
}

bool ends_daemons(const Drawn& drawn) {
  return loses_disk(drawn) || drawn.has(Action::kRemove) || drawn.has(Action::kSpawnFails) ||
         drawn.has_any_of(Group::kDisk);
}

bool is_possible(Event event, const Drawn& drawn) {
  switch (event) {
    case Event::kStep:
      return drawn.actions.any();
    case Event::kHealed:
      return drawn.has_any([](const ActionFacts& facts) {
        return is_fault(facts.action) && facts.uses.length && facts.action != Action::kRestart;
      });
    case Event::kSkipped:
      return is_skipped_sometimes(drawn);
    case Event::kEnded:
      return ends_daemons(drawn);
    case Event::kFollows:
    case Event::kSnapshotInstalled:
    case Event::kNodeJoined:
      return drawn.several_machines;
    case Event::kGuestStarts:
    case Event::kGuestEnds:
    case Event::kVmPending:
    case Event::kVmPlaced:
    case Event::kVmStarting:
    case Event::kVmRunning:
    case Event::kVmStopping:
    case Event::kVmStopped:
    case Event::kVmFailed:
    case Event::kVmGone:
      return drawn.has(Action::kCreate) || drawn.has(Action::kCreateWithWishes);
    case Event::kVmPaused:
    case Event::kVmSuspended:
    case Event::kGuestSaved:
      return drawn.has(Action::kSuspend);
    case Event::kVmEvicted:
      return drawn.has(Action::kCreateWithWishes) ||
             (drawn.has(Action::kCreate) && drawn.has(Action::kDrain));
    case Event::kDrainBegins:
    case Event::kDrainEnds:
      return drawn.has(Action::kDrain);
    case Event::kNodeLeaving:
    case Event::kNodeGone:
      return drawn.has(Action::kRemove) || loses_disk(drawn);
    case Event::kAsked:
    case Event::kAnswered:
    case Event::kRefused:
    case Event::kUncertain:
      return drawn.has_any_of(Group::kClient);
    case Event::kRare:
      return drawn.rare_points;
    case Event::kFrameRefused:
      return drawn.has_any_of(Group::kIntruder);
    case Event::kVmLost:     // the product never says so yet
    case Event::kViolation:  // is not wished for
      return false;
    default:
      return true;
  }
}

// Not only while the cluster forms, or when nothing goes wrong any more.
bool is_in_trouble(Event event, const Drawn& drawn) {
  switch (event) {
    case Event::kMembers:
    case Event::kNodeJoined:
      return drawn.has(Action::kJoin) || drawn.has(Action::kRemove) || loses_disk(drawn);
    case Event::kSettled:
      return false;
    default:
      return true;
  }
}

// What is there for a while; what clients ask is not.
bool is_circumstance(Action action) { return facts_of(action).group != Group::kClient; }

std::string line_of(std::size_t event, const Actions& missing) {
  std::string line(event_name(static_cast<Event>(event)));
  line += " with ";
  std::size_t named = 0;
  for (const ActionFacts& facts : actions()) {
    if (!missing.test(place(facts.action)) || named == kNamesInLine) continue;
    if (named++ > 0) line += ", ";
    line += facts.name;
  }
  if (missing.count() > named) line += " and " + std::to_string(missing.count() - named) + " more";
  return line;
}

}  // namespace

std::size_t Reach::count() const {
  std::size_t sum = actions.count() + events.count();
  for (const Actions& with : pairs)
    sum += with.count();
  return sum;
}

Reach reach_of(std::span<const Scenario> scenarios) {
  Reach reach;
  for (const Scenario& scenario : scenarios) {
    const Drawn drawn = drawn_of(scenario);
    reach.actions |= drawn.actions;
    for (std::size_t i = 0; i < kEvents; ++i) {
      const auto event = static_cast<Event>(i);
      if (!is_possible(event, drawn)) continue;
      reach.events.set(i);
      if (!is_in_trouble(event, drawn)) continue;
      for (const ActionFacts& facts : actions())
        if (drawn.has(facts.action) && is_circumstance(facts.action))
          reach.pairs.at(i).set(place(facts.action));
    }
  }
  return reach;
}

Reach reach_of(const Coverage& coverage) {
  Reach reach;
  for (std::size_t event = 0; event < kEvents; ++event)
    for (std::size_t action = 0; action < kActions; ++action)
      for (std::size_t role = 0; role < kRoles; ++role)
        if (coverage.saw(static_cast<Role>(role), static_cast<Event>(event),
                         static_cast<Action>(action)))
          reach.pairs.at(event).set(action);
  for (std::size_t event = 0; event < kEvents; ++event)
    if (reach.pairs.at(event).any()) reach.events.set(event);
  reach.actions = reach.pairs.at(place(Event::kStep));
  return reach;
}

Unreached unreached(const Reach& possible, const Reach& seen, std::size_t lines_max) {
  Unreached result{.possible = possible.count()};
  std::size_t more = 0;
  const auto say = [&](std::string line) {
    if (result.lines.size() < lines_max)
      result.lines.push_back(std::move(line));
    else
      ++more;
  };
  Reach both = seen;
  both.events &= possible.events;
  both.actions &= possible.actions;
  for (std::size_t i = 0; i < kEvents; ++i)
    both.pairs.at(i) &= possible.pairs.at(i);
  result.reached = both.count();
  for (std::size_t i = 0; i < kEvents; ++i)
    if (possible.events.test(i) && !seen.events.test(i))
      say("event " + std::string(event_name(static_cast<Event>(i))));
  for (const ActionFacts& facts : actions())
    if (possible.actions.test(place(facts.action)) && !seen.actions.test(place(facts.action)))
      say("action " + std::string(facts.name));
  for (std::size_t i = 0; i < kEvents; ++i) {
    if (!seen.events.test(i)) continue;
    const Actions missing = possible.pairs.at(i) & ~seen.pairs.at(i) & seen.actions;
    if (missing.any()) say(line_of(i, missing));
  }
  if (more > 0 && !result.lines.empty())
    result.lines.back() = "and " + std::to_string(more + 1) + " more lines";
  return result;
}

}  // namespace blixard::vopr
