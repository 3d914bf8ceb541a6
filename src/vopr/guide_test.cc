#include "vopr/guide.h"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace blixard::vopr {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

std::vector<Scenario> scenarios() {
  Scenario hard{.name = "hard", .until = 20s, .nodes = {1, 5}, .spares = {0, 2}};
  hard.clients = {0, 3};
  hard.vms = {0, 4};
  hard.workloads = {{.kind = "vms", .gap = {100ms, 1s}, .noisy_percent = 20},
                    {.kind = "reads", .gap = {100ms, 2s}},
                    {.kind = "membership", .gap = {1s, 5s}},
                    {.kind = "images", .gap = {1s, 5s}}};
  hard.faults = {.gap = {100ms, 2s}, .length = {10ms, 5s}};
  Scenario calm{.name = "calm", .until = 5s, .nodes = {1, 1}, .spares = {0, 0}};
  calm.workloads = {{.kind = "vms", .gap = {100ms, 1s}}};
  return {hard, calm};
}

Coverage one_bit(std::size_t number) {
  Coverage coverage;
  coverage.see(static_cast<Role>(number % kRoles), static_cast<Event>(number / kRoles % kEvents),
               static_cast<Action>(number / kRoles / kEvents % kActions));
  return coverage;
}

bool is_varied(const Plan& plan) { return plan.scenario.ends_with(", varied"); }

TEST(Guide, UnguidedTheSeedAloneSaysWhatIsRun) {
  Guide guide(scenarios());
  Guide fresh(scenarios());
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const Plan plan = guide.next(seed, false);
    EXPECT_EQ(plan, fresh.next(seed, false));
    EXPECT_EQ(plan, draw(scenarios()[seed % 2], seed));
    guide.learn(plan, one_bit(seed));
  }
  EXPECT_EQ(guide.kept(), 50U);
}

TEST(Guide, KeepsOnlyWhatShowedSomethingNew) {
  Guide guide(scenarios());
  const Plan plan = guide.next(1, true);
  guide.learn(plan, Coverage{});
  EXPECT_EQ(guide.kept(), 0U);
  guide.learn(plan, one_bit(1));
  guide.learn(plan, one_bit(1));
  EXPECT_EQ(guide.kept(), 1U);
  Coverage both = one_bit(1);
  both.add(one_bit(2));
  guide.learn(plan, both);
  EXPECT_EQ(guide.kept(), 2U);
  EXPECT_EQ(guide.seen(), both);
}

TEST(Guide, ForgetsTheOldest) {
  Guide guide(scenarios());
  Plan plan = guide.next(1, true);
  plan.scenario = "first";
  guide.learn(plan, one_bit(0));
  plan.scenario = "later";
  for (std::size_t i = 1; i <= 600; ++i)
    guide.learn(plan, one_bit(i));
  EXPECT_EQ(guide.kept(), 512U);
  for (std::uint64_t seed = 1; seed <= 2000; ++seed)
    ASSERT_THAT(guide.next(seed, true).scenario, Not(HasSubstr("first")));
}

TEST(Guide, TheSameReportsGiveTheSamePlans) {
  Guide one(scenarios());
  Guide two(scenarios());
  Guide other(scenarios());
  std::size_t differ = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const Plan plan = one.next(seed, true);
    ASSERT_EQ(plan, two.next(seed, true));
    differ += plan == other.next(seed, true) ? 0 : 1;
    one.learn(plan, one_bit(seed));
    two.learn(plan, one_bit(seed));
    if (seed % 2 == 0) other.learn(plan, one_bit(seed));
  }
  EXPECT_GT(differ, 50U) << "what was learned makes no difference";
}

TEST(Guide, HalfOfTheGuidedPlansAreVariationsAndAllCanBeWritten) {
  Guide guide(scenarios());
  std::set<std::size_t> sizes;
  std::size_t varied = 0;
  std::size_t without_clients = 0;
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    const Plan plan = guide.next(seed, true);
    EXPECT_EQ(plan.seed, seed);
    ASSERT_TRUE(std::ranges::is_sorted(plan.steps, {}, &Step::at));
    ASSERT_LE(plan.steps.size(), 5000U);
    const auto again = parse_scenario(scenario_text(plan));
    ASSERT_TRUE(again) << again.error().message() << "\n" << scenario_text(plan);
    ASSERT_EQ(draw(*again, 1), plan);
    if (is_varied(plan)) {
      ++varied;
      sizes.insert(plan.steps.size());
      // The name is marked once, however often it is varied.
      ASSERT_THAT(plan.scenario.substr(0, plan.scenario.size() - 8), Not(HasSubstr("varied")));
      without_clients += plan.settings.clients == 0 ? 1 : 0;
    }
    // Some have shown something.
    if (seed % 7 == 1) guide.learn(plan, one_bit(seed));
  }
  EXPECT_GT(varied, 400U);
  EXPECT_LT(varied, 600U);
  EXPECT_GT(sizes.size(), 100U);
  EXPECT_GT(without_clients, 10U);
}

TEST(Guide, AVariationIsLikeWhatItCameFrom) {
  Guide guide(scenarios());
  const Plan kept = draw(scenarios()[0], 17);
  guide.learn(kept, one_bit(1));
  std::size_t same = 0;
  std::size_t varied = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const Plan plan = guide.next(seed, true);
    if (!is_varied(plan)) continue;
    ++varied;
    EXPECT_EQ(plan.settings, kept.settings);
    EXPECT_EQ(plan.until, kept.until);
    same += plan.steps == kept.steps ? 1 : 0;
  }
  // Some are the same decisions in another world, most are not.
  EXPECT_GT(same, 10U);
  EXPECT_LT(same * 2, varied);
}

TEST(Guide, SaysWhatWasNeverReached) {
  Guide guide(scenarios());
  const Unreached nothing = guide.never_reached(1000);
  EXPECT_EQ(nothing.reached, 0U);
  EXPECT_THAT(nothing.lines, Contains("event leads"));
  EXPECT_THAT(nothing.lines, Contains("action bit-rot"));
  EXPECT_THAT(nothing.lines, Each(Not(HasSubstr(" with "))));

  Coverage coverage;
  coverage.see(Role::kLeader, Event::kLeads, Action::kNone);
  coverage.see(Role::kFollower, Event::kStep, Action::kBitRot);
  coverage.see(Role::kFollower, Event::kStep, Action::kReset);
  coverage.see(Role::kFollower, Event::kReady, Action::kBitRot);
  guide.learn(draw(scenarios()[0], 1), coverage);
  const Unreached some = guide.never_reached(1000);
  EXPECT_EQ(some.possible, nothing.possible);
  // Three events, two actions, three pairs.
  EXPECT_EQ(some.reached, 8U);
  EXPECT_THAT(some.lines, Not(Contains("event leads")));
  EXPECT_THAT(some.lines, Not(Contains("action bit-rot")));
  EXPECT_THAT(some.lines, Contains("leads with reset, bit-rot"));
  EXPECT_THAT(some.lines, Contains("ready with reset"));
  EXPECT_THAT(some.lines, Each(Not(HasSubstr("step with"))));

  const Unreached few = guide.never_reached(3);
  ASSERT_THAT(few.lines, SizeIs(3));
  EXPECT_EQ(few.lines[0], some.lines[0]);
  EXPECT_EQ(few.lines[2], "and " + std::to_string(some.lines.size() - 2) + " more lines");
  EXPECT_EQ(few.reached, some.reached);
  EXPECT_THAT(guide.never_reached(0).lines, IsEmpty());
}

TEST(Guide, ALineNamesSomeAndCountsTheRest) {
  Guide guide(scenarios());
  Coverage coverage;
  for (const ActionFacts& facts : actions())
    coverage.see(Role::kFollower, Event::kStep, facts.action);
  coverage.see(Role::kLeader, Event::kLeads, Action::kNone);
  guide.learn(draw(scenarios()[0], 1), coverage);
  const Unreached unreached = guide.never_reached(1000);
  EXPECT_THAT(unreached.lines,
              Contains(AllOf(StartsWith("leads with crash, power-loss, "), EndsWith(" more"))));
}

}  // namespace
}  // namespace blixard::vopr
