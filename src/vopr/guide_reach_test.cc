#include "vopr/guide_reach.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace blixard::vopr {
namespace {

using ::testing::Each;
using ::testing::Not;

Reach reach_of_one(const Scenario& scenario) { return reach_of(std::span(&scenario, 1)); }

bool has(const Reach& reach, Event event) {
  return reach.events.test(static_cast<std::size_t>(event));
}
bool has(const Reach& reach, Action action) {
  return reach.actions.test(static_cast<std::size_t>(action));
}
bool has(const Reach& reach, Event event, Action action) {
  return reach.pairs.at(static_cast<std::size_t>(event)).test(static_cast<std::size_t>(action));
}

Scenario quiet() {
  Scenario scenario{.name = "quiet", .until = 20s, .nodes = {1, 3}, .spares = {0, 0}};
  scenario.rare_percent = {0, 0};
  return scenario;
}

TEST(GuideReach, OfNothingOnlyWhatAClusterDoesByItself) {
  const Reach reach = reach_of_one(quiet());
  EXPECT_TRUE(reach.actions.none());
  for (const Event event : {Event::kStarted, Event::kReady, Event::kLeads, Event::kCampaigns,
                            Event::kFollows, Event::kMembers, Event::kNodeJoined, Event::kSettled})
    EXPECT_TRUE(has(reach, event)) << event_name(event);
  for (const Event event :
       {Event::kStep, Event::kHealed, Event::kSkipped, Event::kEnded, Event::kGuestStarts,
        Event::kVmRunning, Event::kNodeLeaving, Event::kAsked, Event::kUncertain, Event::kRare,
        Event::kFrameRefused, Event::kVmEvicted, Event::kDrainEnds, Event::kVmLost,
        Event::kViolation})
    EXPECT_FALSE(has(reach, event)) << event_name(event);
  for (const auto& with : reach.pairs)
    EXPECT_TRUE(with.none());

  Scenario alone = quiet();
  alone.nodes = {1, 1};
  EXPECT_FALSE(has(reach_of_one(alone), Event::kSnapshotInstalled));
}

TEST(GuideReach, OfWorkloadsWhatTheyAskFor) {
  Scenario scenario = quiet();
  scenario.workloads = {{.kind = "vms", .gap = {100ms, 1s}}};
  const Reach vms = reach_of_one(scenario);
  for (const Action action :
       {Action::kCreate, Action::kStart, Action::kStop, Action::kDelete, Action::kGet})
    EXPECT_TRUE(has(vms, action)) << facts_of(action).name;
  EXPECT_FALSE(has(vms, Action::kScrape));
  EXPECT_TRUE(has(vms, Event::kVmFailed));
  EXPECT_TRUE(has(vms, Event::kUncertain));
  // What clients ask is over at once and everywhere.
  EXPECT_FALSE(has(vms, Event::kVmFailed, Action::kCreate));

  EXPECT_FALSE(has(vms, Event::kVmEvicted));

  scenario.workloads.push_back({.kind = "drains", .gap = {100ms, 1s}});
  const Reach drains = reach_of_one(scenario);
  EXPECT_TRUE(has(drains, Event::kVmEvicted));
  EXPECT_TRUE(has(drains, Event::kDrainEnds, Action::kUndrain));

  scenario.vms = {0, 0};
  EXPECT_FALSE(has(reach_of_one(scenario), Event::kVmFailed));
  scenario.workloads = {{.kind = "membership", .gap = {100ms, 1s}}};
  scenario.nodes = {4, 4};
  const Reach members = reach_of_one(scenario);
  EXPECT_TRUE(has(members, Event::kNodeLeaving));
  EXPECT_TRUE(has(members, Event::kNodeJoined, Action::kRemove));
  EXPECT_FALSE(has(members, Event::kFrameRefused));
}

TEST(GuideReach, PairsOnlyOfWhatOneScenarioHasTogether) {
  Scenario rot = quiet();
  rot.faults = {.gap = {100ms, 1s}, .of = {Action::kBitRot}};
  Scenario cuts = quiet();
  cuts.nodes = {3, 3};
  cuts.workloads = {{.kind = "vms", .gap = {100ms, 1s}}};
  cuts.faults = {.gap = {100ms, 1s}, .length = {1s, 2s}, .of = {Action::kCut, Action::kReset}};
  const Scenario both[] = {rot, cuts};
  const Reach reach = reach_of(both);
  EXPECT_TRUE(has(reach, Event::kVmFailed, Action::kCut));
  EXPECT_TRUE(has(reach, Event::kVmFailed, Action::kReset));
  EXPECT_FALSE(has(reach, Event::kVmFailed, Action::kBitRot));
  EXPECT_TRUE(has(reach, Event::kEnded, Action::kBitRot));
  EXPECT_FALSE(has(reach, Event::kEnded, Action::kCut));
  EXPECT_TRUE(has(reach, Event::kHealed, Action::kReset)) << "a cut heals then";
  EXPECT_FALSE(has(reach, Event::kHealed, Action::kBitRot)) << "nothing there lasts";
  EXPECT_FALSE(has(reach, Event::kSettled, Action::kCut));
  // Without joins, nodes join while the cluster forms.
  EXPECT_FALSE(has(reach, Event::kNodeJoined, Action::kCut));
  EXPECT_TRUE(has(reach, Event::kNodeJoined, Action::kBitRot)) << "in place of the damaged one";
}

TEST(GuideReach, CountsWhatWasSeenOnlyIfItIsPossible) {
  const Reach possible = reach_of_one(quiet());
  Coverage coverage;
  coverage.see(Role::kLeader, Event::kLeads, Action::kNone);
  coverage.see(Role::kDown, Event::kStep, Action::kCrash);  // at the end of every run
  const Unreached result = unreached(possible, reach_of(coverage), 100);
  EXPECT_EQ(result.reached, 1U);
  EXPECT_EQ(result.possible, possible.count());
  EXPECT_EQ(result.lines.size(), result.possible - 1);
  EXPECT_THAT(result.lines, Each(Not("event leads")));
}

}  // namespace
}  // namespace blixard::vopr
