#include "vopr/shrink.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vopr/scenario.h"

namespace blixard::vopr {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Fails = std::function<std::optional<Violation>(const Plan&)>;

// What a fuzzer would have found: some 200 steps of all sorts.
Plan large_plan(std::uint64_t seed) {
  Scenario scenario{.name = "large", .until = 60s, .nodes = {5, 5}, .spares = {2, 2}};
  scenario.clients = {4, 4};
  scenario.vms = {5, 5};
  scenario.rare_percent = {20, 20};
  scenario.workloads = {{.kind = "vms", .gap = {500ms, 3s}, .noisy_percent = 40},
                        {.kind = "membership", .gap = {1s, 5s}}};
  // The tests add what is not of these.
  scenario.faults = {.gap = {500ms, 2s}, .length = {10ms, 20s}};
  scenario.faults.of = {Action::kCrash,    Action::kCut,           Action::kSlowLink,
                        Action::kDrift,    Action::kIsolateOneWay, Action::kSlowDisk,
                        Action::kKillGuest};
  return draw(scenario, seed);
}

Fails when(std::function<bool(const Plan&)> condition) {
  return [condition = std::move(condition)](const Plan& plan) -> std::optional<Violation> {
    if (!condition(plan)) return std::nullopt;
    return Violation{.checker = "one-copy", .text = std::to_string(plan.steps.size())};
  };
}

// What every answer has to be: failing still, sorted, sayable in a scenario.
Shrunk shrunk_by(Plan plan, const Fails& fails, std::size_t runs_max) {
  std::size_t runs = 0;
  const Fails counted = [&](const Plan& candidate) {
    ++runs;
    EXPECT_TRUE(std::ranges::is_sorted(candidate.steps, {}, &Step::at));
    EXPECT_TRUE(candidate.steps.empty() || candidate.steps.back().at <= candidate.until);
    return fails(candidate);
  };
  Shrunk shrunk = shrink(std::move(plan), Violation{.checker = "one-copy"}, counted, runs_max, {});
  EXPECT_EQ(shrunk.runs, runs);
  EXPECT_LE(runs, runs_max);
  EXPECT_TRUE(fails(shrunk.plan));
  const auto again = parse_scenario(scenario_text(shrunk.plan));
  EXPECT_TRUE(again) << again.error().message();
  if (again) EXPECT_EQ(draw(*again, 1), shrunk.plan);
  return shrunk;
}

bool has(const Plan& plan, const std::function<bool(const Step&)>& what) {
  return std::ranges::any_of(plan.steps, what);
}

TEST(Shrink, WhatAlwaysFailsNeedsNothing) {
  const Shrunk shrunk = shrunk_by(large_plan(1), when([](const Plan&) { return true; }), 1000);
  EXPECT_THAT(shrunk.plan.steps, IsEmpty());
  EXPECT_EQ(shrunk.plan.until, 0s);
  const Settings& settings = shrunk.plan.settings;
  EXPECT_EQ(settings.nodes, 1U);
  EXPECT_EQ(settings.spares, 0U);
  EXPECT_EQ(settings.clients, 0U);
  EXPECT_EQ(settings.vms, 0U);
  EXPECT_EQ(settings.rare_percent, 0U);
  EXPECT_LE(shrunk.runs, 13U);
}

Settings with_sizes_of(const Settings& settings) {
  return {.nodes = settings.nodes,
          .spares = settings.spares,
          .clients = settings.clients,
          .vms = settings.vms};
}

TEST(Shrink, TakesTheUsualSettingsWhereAnyWillDo) {
  const Plan plan = large_plan(8);
  ASSERT_NE(plan.settings, with_sizes_of(plan.settings));
  const Shrunk all = shrunk_by(plan, when([](const Plan&) { return true; }), 1000);
  EXPECT_EQ(all.plan.settings, with_sizes_of(all.plan.settings));

  // Each alone, where one has to stay.
  const auto needs = [&](auto Settings::* setting) {
    Plan drawn = plan;
    ++(drawn.settings.*setting);  // surely not the usual one
    const auto value = drawn.settings.*setting;
    const Shrunk shrunk =
        shrunk_by(drawn, when([=](const Plan& p) { return p.settings.*setting == value; }), 1000);
    Settings expected = with_sizes_of(shrunk.plan.settings);
    expected.*setting = value;
    EXPECT_EQ(shrunk.plan.settings, expected);
  };
  needs(&Settings::tick);
  needs(&Settings::election_ticks);
  needs(&Settings::snapshot_entries);
  needs(&Settings::trailing_entries);
  needs(&Settings::rare_percent);
  needs(&Settings::boot);
  needs(&Settings::version);
  needs(&Settings::templates_mib);
}

TEST(Shrink, TakesTheFirstNames) {
  Plan plan = large_plan(9);
  plan.steps[30] = {.at = plan.steps[30].at, .action = Action::kImport, .node = 1, .client = 4};
  plan.steps[40] = {
      .at = plan.steps[40].at, .action = Action::kStop, .node = 1, .client = 3, .vm = 5};
  plan.steps[60] = {
      .at = plan.steps[60].at, .action = Action::kStart, .node = 1, .client = 4, .vm = 2};
  // Two VMs, whichever, and as many clients as there are now.
  const Shrunk shrunk = shrunk_by(
      plan, when([&](const Plan& p) {
        const auto stop = std::ranges::find(p.steps, Action::kStop, &Step::action);
        return stop != p.steps.end() &&
               has(p,
                   [&](const Step& step) {
                     return step.action == Action::kStart && step.vm != stop->vm;
                   }) &&
               p.settings.clients == plan.settings.clients && p.settings.vms == plan.settings.vms;
      }),
      2000);
  ASSERT_THAT(shrunk.plan.steps, SizeIs(2));
  for (const Step& step : shrunk.plan.steps)
    EXPECT_EQ(step.client, 1U);
  EXPECT_EQ(shrunk.plan.steps[0].vm + shrunk.plan.steps[1].vm, 3U);
}

TEST(Shrink, TwoStepsThatAreFarApart) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Plan plan = large_plan(seed);
    ASSERT_GT(plan.steps.size(), 100U);
    plan.steps[10] = {.at = plan.steps[10].at, .action = Action::kBitRot, .node = 2, .amount = 77};
    plan.steps[90] = {.at = plan.steps[90].at, .action = Action::kSplit, .length = 9s, .amount = 5};
    const Shrunk shrunk = shrunk_by(
        plan, when([](const Plan& p) {
          return has(p, [](const Step& s) { return s.action == Action::kBitRot && s.node == 2; }) &&
                 has(p, [](const Step& s) { return s.action == Action::kSplit && s.amount >= 5; });
        }),
        2000);
    EXPECT_THAT(shrunk.plan.steps, ElementsAre(Step{.action = Action::kBitRot, .node = 2},
                                               Step{.action = Action::kSplit, .amount = 5}))
        << seed;
    EXPECT_EQ(shrunk.plan.until, 0s);
    EXPECT_EQ(shrunk.plan.settings.nodes, 2U);
    EXPECT_LE(shrunk.runs, 120U) << seed;
  }
}

// Three in this order, with something of each.
bool three_in_order(const Plan& plan) {
  const auto first = std::ranges::find_if(
      plan.steps, [](const Step& s) { return s.action == Action::kCreate && s.vm == 3; });
  if (first == plan.steps.end()) return false;
  const auto second = std::find_if(first, plan.steps.end(),
                                   [](const Step& s) { return s.action == Action::kPowerLoss; });
  if (second == plan.steps.end()) return false;
  return std::any_of(second, plan.steps.end(),
                     [](const Step& s) { return s.action == Action::kDelete && s.client == 2; });
}

TEST(Shrink, ThreeInOrder) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Plan plan = large_plan(seed);
    const auto put = [&](std::size_t place, Step step) {
      step.at = plan.steps[place].at;
      plan.steps[place] = step;
    };
    put(20, {.action = Action::kCreate,
             .node = 1,
             .amount = 9,
             .client = 4,
             .vm = 3,
             .manner = Manner::kNoisy});
    put(50, {.action = Action::kPowerLoss, .node = 3, .length = 700ms});
    put(80, {.action = Action::kDelete, .node = 2, .client = 2, .vm = 5});
    const Shrunk shrunk = shrunk_by(plan, when(three_in_order), 2000);
    ASSERT_THAT(shrunk.plan.steps, SizeIs(3)) << seed;
    for (const Step& step : shrunk.plan.steps) {
      EXPECT_EQ(step.at, 0s);
      EXPECT_EQ(step.length, 0s);
      EXPECT_EQ(step.amount, 0U);
      EXPECT_EQ(step.manner, Manner::kPatient);
    }
    EXPECT_EQ(shrunk.plan.settings.clients, 2U);
    EXPECT_EQ(shrunk.plan.settings.vms, 3U);
    EXPECT_LE(shrunk.runs, 250U) << seed;
  }
}

TEST(Shrink, ALengthThatHasToBeOverASecondStaysNearIt) {
  Plan plan = large_plan(3);
  plan.steps[30] = {.at = plan.steps[30].at, .action = Action::kIsolate, .node = 4, .length = 17s};
  const Shrunk shrunk = shrunk_by(
      plan, when([](const Plan& p) {
        return has(p, [](const Step& s) { return s.action == Action::kIsolate && s.length > 1s; });
      }),
      2000);
  ASSERT_THAT(shrunk.plan.steps, SizeIs(1));
  EXPECT_GT(shrunk.plan.steps[0].length, 1s);
  EXPECT_LE(shrunk.plan.steps[0].length, 2100ms);
}

TEST(Shrink, TimeThatHasToPassStays) {
  Plan plan = large_plan(4);
  const auto apart = [](const Plan& p) {
    const auto cut = std::ranges::find(p.steps, Action::kCut, &Step::action);
    return cut != p.steps.end() && std::any_of(cut, p.steps.end(), [&](const Step& s) {
             return s.action == Action::kCrash && s.at >= cut->at + 3s;
           });
  };
  plan.steps[30] = {.at = 15s, .action = Action::kCut, .node = 1, .other = 2};
  plan.steps[31] = {.at = 31s, .action = Action::kCrash, .node = 1};
  std::ranges::sort(plan.steps, {}, &Step::at);
  const Shrunk shrunk = shrunk_by(plan, when(apart), 3000);
  ASSERT_THAT(shrunk.plan.steps, SizeIs(2));
  EXPECT_EQ(shrunk.plan.steps[0].at, 0s);
  EXPECT_LE(shrunk.plan.steps[1].at, 6s);
  EXPECT_LE(shrunk.plan.until, 6s);
}

TEST(Shrink, AnotherCheckerIsAnotherFailure) {
  // With few steps something else fails: that is not what was looked for.
  const Fails fails = [](const Plan& plan) -> std::optional<Violation> {
    return Violation{.checker = plan.steps.size() >= 40 ? "one-copy" : "settles"};
  };
  const Shrunk shrunk = shrink(large_plan(5), Violation{.checker = "one-copy"}, fails, 2000, {});
  EXPECT_THAT(shrunk.plan.steps, SizeIs(40));
  EXPECT_EQ(shrunk.violation.checker, "one-copy");
}

TEST(Shrink, SparesKeepBeingSpares) {
  Plan plan = large_plan(6);
  plan.steps[60] = {.at = plan.steps[60].at, .action = Action::kJoin, .node = 7};
  const Shrunk shrunk = shrunk_by(plan, when([](const Plan& p) {
                                    return has(p, [&](const Step& s) {
                                      return s.action == Action::kJoin &&
                                             s.node > p.settings.nodes && p.settings.nodes >= 2;
                                    });
                                  }),
                                  2000);
  EXPECT_EQ(shrunk.plan.settings.nodes, 2U);
  ASSERT_THAT(shrunk.plan.steps, SizeIs(1));
  EXPECT_GT(shrunk.plan.steps[0].node, 2U);
}

TEST(Shrink, StopsWhereItIsToldAndGivesTheSmallestSoFar) {
  const Plan plan = large_plan(7);
  const auto needs = when(
      [&](const Plan& p) { return has(p, [&](const Step& s) { return s == plan.steps[50]; }); });
  std::vector<std::size_t> sizes;
  const Shrunk shrunk =
      shrink(plan, Violation{.checker = "one-copy"}, needs, 5, [&](const ShrinkProgress& progress) {
        EXPECT_EQ(progress.runs, sizes.size() + 1);
        sizes.push_back(progress.steps);
      });
  EXPECT_EQ(shrunk.runs, 5U);
  EXPECT_THAT(sizes, SizeIs(5));
  EXPECT_TRUE(std::ranges::is_sorted(sizes, std::greater<>()));
  EXPECT_EQ(shrunk.plan.steps.size(), sizes.back());
  EXPECT_LT(shrunk.plan.steps.size(), plan.steps.size());
  EXPECT_TRUE(needs(shrunk.plan));
  EXPECT_EQ(shrunk.violation.text, std::to_string(shrunk.plan.steps.size()));
  EXPECT_EQ(shrink(plan, Violation{.checker = "one-copy"}, needs, 0, {}).plan, plan);
}

TEST(Shrink, IsDeterministic) {
  for (std::uint64_t seed = 20; seed < 24; ++seed) {
    const auto condition = when([](const Plan& p) {
      return std::ranges::count_if(p.steps, [](const Step& s) {
               return facts_of(s.action).group == Group::kClient;
             }) >= 7;
    });
    const Shrunk one = shrunk_by(large_plan(seed), condition, 3000);
    const Shrunk two = shrunk_by(large_plan(seed), condition, 3000);
    EXPECT_EQ(one.plan, two.plan);
    EXPECT_EQ(one.runs, two.runs);
    EXPECT_THAT(one.plan.steps, SizeIs(7));
  }
}

}  // namespace
}  // namespace blixard::vopr
