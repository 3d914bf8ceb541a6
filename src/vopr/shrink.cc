#include "vopr/shrink.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include "vopr/scenario.h"

namespace blixard::vopr {
namespace {

constexpr std::size_t kSubsetsUntil = 8;  // beyond so many parts, one alone seldom fails
constexpr Duration kFine = 1ms;           // no time is made shorter by less

void mix(std::uint64_t& hash, std::uint64_t word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15;
  hash ^= hash >> 29;
}

std::uint64_t hash_of(const Plan& plan) {
  std::uint64_t hash = plan.seed;
  const Settings& settings = plan.settings;
  for (const std::uint64_t word :
       {static_cast<std::uint64_t>(plan.until.count()), std::uint64_t{settings.nodes},
        std::uint64_t{settings.spares}, std::uint64_t{settings.clients},
        std::uint64_t{settings.vms}, std::uint64_t{settings.rare_percent},
        static_cast<std::uint64_t>(settings.tick.count()), std::uint64_t{settings.election_ticks},
        settings.snapshot_entries, settings.trailing_entries,
        static_cast<std::uint64_t>(settings.boot.count()), std::uint64_t{settings.version},
        settings.templates_mib})
    mix(hash, word);
  for (const Step& step : plan.steps)
    for (const std::uint64_t word :
         {static_cast<std::uint64_t>(step.at.count()), static_cast<std::uint64_t>(step.action),
          std::uint64_t{step.node}, std::uint64_t{step.other},
          static_cast<std::uint64_t>(step.length.count()), step.amount, std::uint64_t{step.client},
          std::uint64_t{step.vm}, static_cast<std::uint64_t>(step.manner)})
      mix(hash, word);
  return hash;
}

Duration half_of(Duration time) {
  const Duration half = time / 2;
  return half > 2 * kFine ? Duration(half / kFine * kFine) : half;
}

// Machines above `nodes` leave the cluster; spares keep being spares under their new numbers.
// False: the step is of a machine that is no more.
bool move_machine(std::uint32_t& machine, const Settings& from, const Settings& to) {
  if (machine > from.nodes)
    machine = static_cast<std::uint32_t>(machine - from.nodes + to.nodes);
  else if (machine > to.nodes)
    return false;
  return machine <= to.nodes + to.spares;
}

class Shrinker {
 public:
  Shrinker(Plan plan, Violation violation,
           const std::function<std::optional<Violation>(const Plan&)>& fails, std::size_t runs_max,
           const std::function<void(const ShrinkProgress&)>& on_progress)
      : best_(std::move(plan)),
        violation_(std::move(violation)),
        fails_(fails),
        runs_max_(runs_max),
        on_progress_(on_progress) {
    tried_.insert(hash_of(best_));
  }

  Shrunk finish() {
    // Until nothing can be left out any more: what could not at first, can when other things are
    // gone. Plans that were tried already are not run again.
    for (bool smaller = true; smaller && !is_over();) {
      smaller = false;
      smaller |= cut_time();
      smaller |= drop_steps();
      smaller |= reduce_settings();
      smaller |= use_defaults();
      smaller |= use_first_names();
      smaller |= soften_steps();
      smaller |= close_gaps();
    }
    return {.plan = std::move(best_), .violation = std::move(violation_), .runs = runs_};
  }

 private:
  [[nodiscard]] bool is_over() const { return runs_ >= runs_max_; }

  // Takes the candidate if it still fails the same checker.
  bool attempt(Plan candidate) {
    if (is_over() || !tried_.insert(hash_of(candidate)).second) return false;
    ++runs_;
    std::optional<Violation> found = fails_(candidate);
    const bool same = found && found->checker == violation_.checker;
    if (same) {
      best_ = std::move(candidate);
      violation_ = *std::move(found);
    }
    if (on_progress_) on_progress_({.runs = runs_, .steps = best_.steps.size()});
    return same;
  }

  bool attempt_until(Duration until) {
    Plan candidate = best_;
    candidate.until = until;
    std::erase_if(candidate.steps, [&](const Step& step) { return step.at > until; });
    return attempt(std::move(candidate));
  }

  bool cut_time() {
    bool smaller = attempt_until(Duration(0));
    if (smaller) return true;
    // What has to stay is between these two.
    Duration least{};
    while (best_.until - least > std::max(kFine, best_.until / 16) && !is_over()) {
      const Duration middle = least + half_of(best_.until - least);
      if (attempt_until(middle))
        smaller = true;
      else
        least = middle;
    }
    const Duration last = best_.steps.empty() ? Duration(0) : best_.steps.back().at;
    if (last < best_.until) smaller |= attempt_until(last);
    return smaller;
  }

  bool attempt_steps(std::size_t from, std::size_t to, bool keep) {
    Plan candidate = best_;
    auto& steps = candidate.steps;
    const auto begin = steps.begin() + static_cast<std::ptrdiff_t>(from);
    const auto end = steps.begin() + static_cast<std::ptrdiff_t>(to);
    if (keep)
      steps = std::vector<Step>(begin, end);
    else
      steps.erase(begin, end);
    return attempt(std::move(candidate));
  }

  // Zeller and Hildebrandt's: a part alone, all but a part, then smaller parts.
  bool drop_steps() {
    const std::size_t before = best_.steps.size();
    if (before == 0) return false;
    attempt_steps(0, 0, true);
    std::size_t chunk = (before + 1) / 2;
    while (!best_.steps.empty() && !is_over()) {
      if (best_.steps.size() <= kSubsetsUntil * chunk && keep_part(chunk)) {
        chunk = (best_.steps.size() + 1) / 2;
        continue;
      }
      const bool dropped = drop_parts(chunk);
      // Without some steps others may be superfluous: again, until each alone is needed.
      if (chunk == 1 && !dropped) break;
      chunk = (chunk + 1) / 2;
    }
    return best_.steps.size() < before;
  }

  bool keep_part(std::size_t chunk) {
    const std::size_t count = best_.steps.size();
    if (chunk >= count) return false;
    for (std::size_t from = 0; from < count; from += chunk)
      if (attempt_steps(from, std::min(count, from + chunk), true)) return true;
    return false;
  }

  // From the end: what comes last depends on what was before, not the other way round.
  bool drop_parts(std::size_t chunk) {
    bool dropped = false;
    std::size_t to = best_.steps.size();
    while (to > 0 && !is_over()) {
      const std::size_t from = to > chunk ? to - chunk : 0;
      dropped |= attempt_steps(from, to, false);
      to = from;
    }
    return dropped;
  }

  bool attempt_machines(std::size_t nodes, std::size_t spares) {
    Plan candidate = best_;
    candidate.settings.nodes = nodes;
    candidate.settings.spares = spares;
    candidate.steps.clear();
    for (Step step : best_.steps) {
      const bool stays = move_machine(step.node, best_.settings, candidate.settings) &&
                         move_machine(step.other, best_.settings, candidate.settings);
      if (stays) candidate.steps.push_back(step);
    }
    return attempt(std::move(candidate));
  }

  // The steps of clients or VMs beyond `count` are dropped, or given to those that are left.
  bool attempt_fewer(std::size_t Settings::* setting, std::uint32_t Step::* number,
                     std::size_t count) {
    Plan fewer = best_;
    fewer.settings.*setting = count;
    Plan folded = fewer;
    std::erase_if(fewer.steps, [&](const Step& step) { return step.*number > count; });
    if (attempt(std::move(fewer))) return true;
    if (count == 0) return false;
    for (Step& step : folded.steps)
      if (step.*number > count)
        step.*number = static_cast<std::uint32_t>((step.*number - 1) % count + 1);
    return attempt(std::move(folded));
  }

  bool reduce_settings() {
    bool smaller = false;
    const Settings& now = best_.settings;
    for (std::size_t spares = 0; spares < now.spares && !is_over(); ++spares)
      smaller |= attempt_machines(now.nodes, spares);
    for (std::size_t nodes = kNodesBounds.least; nodes < now.nodes && !is_over(); ++nodes)
      smaller |= attempt_machines(nodes, now.spares);
    for (std::size_t clients = 0; clients < now.clients && !is_over(); ++clients)
      smaller |= attempt_fewer(&Settings::clients, &Step::client, clients);
    for (std::size_t vms = 0; vms < now.vms && !is_over(); ++vms)
      smaller |= attempt_fewer(&Settings::vms, &Step::vm, vms);
    return smaller;
  }

  // What only makes runs differ from each other: all of it as usual, or each that may be.
  bool use_defaults() {
    Plan usual = best_;
    Settings& settings = usual.settings;
    settings = {.nodes = settings.nodes,
                .spares = settings.spares,
                .clients = settings.clients,
                .vms = settings.vms};
    if (usual.settings == best_.settings) return false;
    if (attempt(usual)) return true;
    bool smaller = false;
    const auto set = [&](auto Settings::* setting) {
      Plan candidate = best_;
      candidate.settings.*setting = usual.settings.*setting;
      smaller |= attempt(std::move(candidate));
    };
    set(&Settings::rare_percent);
    set(&Settings::tick);
    set(&Settings::election_ticks);
    set(&Settings::snapshot_entries);
    set(&Settings::trailing_entries);
    set(&Settings::boot);
    set(&Settings::version);
    set(&Settings::templates_mib);
    return smaller;
  }

  // One client and one VM do if any of them does; of several, the first ones.
  bool use_first_names() {
    bool smaller = false;
    for (std::uint32_t Step::* number : {&Step::client, &Step::vm}) {
      smaller |= soften([number](Step& step) {
        if (step.*number <= 1) return false;
        step.*number = 1;
        return true;
      });
      smaller |= close_ranks(number);
    }
    return smaller;
  }

  // 2, 5 and 7 become 1, 2 and 3.
  bool close_ranks(std::uint32_t Step::* number) {
    Plan candidate = best_;
    std::set<std::uint32_t> used;
    for (const Step& step : candidate.steps)
      if (step.*number > 0) used.insert(step.*number);
    for (Step& step : candidate.steps)
      if (step.*number > 0)
        step.*number =
            static_cast<std::uint32_t>(1 + std::distance(used.begin(), used.find(step.*number)));
    return attempt(std::move(candidate));
  }

  // `change` makes a step milder, or says that it cannot. All at once first, then each as often as
  // it helps.
  template <class Change>
  bool soften(Change change) {
    bool smaller = false;
    Plan all = best_;
    bool any = false;
    for (Step& step : all.steps)
      any |= change(step);
    if (any) smaller |= attempt(std::move(all));
    for (std::size_t i = 0; i < best_.steps.size() && !is_over(); ++i) {
      for (bool again = true; again && !is_over();) {
        Plan candidate = best_;
        again = change(candidate.steps[i]) && attempt(std::move(candidate));
        smaller |= again;
      }
    }
    return smaller;
  }

  bool soften_steps() {
    bool smaller = soften([](Step& step) {
      return std::exchange(step.manner, Manner::kPatient) != Manner::kPatient;
    });
    smaller |=
        soften([](Step& step) { return std::exchange(step.length, Duration(0)) != Duration(0); });
    smaller |= soften([](Step& step) {
      if (step.length < 2 * kFine) return false;
      step.length = half_of(step.length);
      return true;
    });
    smaller |= soften([](Step& step) {
      const std::uint64_t least = facts_of(step.action).amount_min;
      return std::exchange(step.amount, least) != least;
    });
    smaller |= soften([](Step& step) {
      const std::uint64_t least = facts_of(step.action).amount_min;
      if (step.amount <= least + 1) return false;
      step.amount = least + (step.amount - least) / 2;
      return true;
    });
    return smaller;
  }

  // Everything from step `i` on comes so much earlier.
  bool attempt_earlier(std::size_t i, Duration by) {
    Plan candidate = best_;
    for (std::size_t j = i; j < candidate.steps.size(); ++j)
      candidate.steps[j].at -= by;
    candidate.until -= by;
    return attempt(std::move(candidate));
  }

  bool close_gaps() {
    bool smaller = false;
    for (std::size_t i = 0; i < best_.steps.size() && !is_over(); ++i) {
      const Duration before = i == 0 ? Duration(0) : best_.steps[i - 1].at;
      Duration gap = best_.steps[i].at - before;
      if (gap > Duration(0) && attempt_earlier(i, gap)) {
        smaller = true;
        continue;
      }
      for (gap = half_of(gap); gap >= kFine && attempt_earlier(i, gap); gap = half_of(gap))
        smaller = true;
    }
    return smaller;
  }

  Plan best_;
  Violation violation_;
  const std::function<std::optional<Violation>(const Plan&)>& fails_;
  std::size_t runs_max_;
  const std::function<void(const ShrinkProgress&)>& on_progress_;
  std::size_t runs_ = 0;
  std::set<std::uint64_t> tried_;  // hashes of plans
};

}  // namespace

Shrunk shrink(Plan plan, Violation violation,
              const std::function<std::optional<Violation>(const Plan&)>& fails,
              std::size_t runs_max, const std::function<void(const ShrinkProgress&)>& on_progress) {
  return Shrinker(std::move(plan), std::move(violation), fails, runs_max, on_progress).finish();
}

}  // namespace blixard::vopr
