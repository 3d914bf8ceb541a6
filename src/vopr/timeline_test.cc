#include "vopr/timeline.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vopr/timeline_picture.h"
#include "vopr/timeline_scale.h"
#include "vopr/timeline_tracks.h"

namespace blixard::vopr {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// A run that is told event by event.
struct Story {
  Plan plan{.scenario = "partitions", .seed = 7, .until = 20s};
  Report report{.elapsed = 30s, .trouble_from = 2s, .trouble_until = 22s};

  TraceEvent& add(Duration at, std::uint32_t node, Role role, Event event, std::string text = "") {
    report.events.push_back(
        {.at = at, .node = node, .role = role, .event = event, .text = std::move(text)});
    return report.events.back();
  }
  void step(Duration at, std::uint32_t node, Action action, Duration until = {},
            std::uint32_t other = 0) {
    TraceEvent& event = add(at, node, Role::kFollower, Event::kStep);
    event.action = action;
    event.until = until;
    event.other = other;
  }
  [[nodiscard]] Tracks tracks() const { return tracks_of(plan, report); }
};

TEST(Tracks, ANodesRolesFollowEachOther) {
  Story story;
  story.plan.settings = {.nodes = 1, .spares = 1};
  story.add(1s, 1, Role::kDown, Event::kStarted);
  story.add(2s, 1, Role::kCandidate, Event::kCampaigns);
  story.add(3s, 1, Role::kLeader, Event::kLeads).term = Term(4);
  story.add(4s, 1, Role::kLeader, Event::kSnapshotTaken).term = Term(4);
  story.step(5s, 1, Action::kCrash, 8s);
  // What is still said about a process that was killed.
  story.add(5s, 1, Role::kLeader, Event::kRare).term = Term(4);
  story.add(8s, 1, Role::kDown, Event::kStarted);
  const Tracks tracks = story.tracks();
  ASSERT_EQ(tracks.nodes.size(), 2U);
  std::vector<std::tuple<Role, Duration, Duration>> roles;
  for (const RoleSpan& role : tracks.nodes[0].roles)
    roles.emplace_back(role.role, role.span.from, role.span.until);
  EXPECT_THAT(roles,
              ElementsAre(std::tuple(Role::kDown, 0s, 1s), std::tuple(Role::kFollower, 1s, 2s),
                          std::tuple(Role::kCandidate, 2s, 3s), std::tuple(Role::kLeader, 3s, 5s),
                          std::tuple(Role::kDown, 5s, 8s), std::tuple(Role::kFollower, 8s, 30s)));
  EXPECT_EQ(tracks.nodes[0].roles[3].term, Term(4));
  EXPECT_EQ(tracks.nodes[0].stops.size(), 1U);
  ASSERT_EQ(tracks.nodes[1].roles.size(), 1U);
  EXPECT_EQ(tracks.nodes[1].roles[0].role, Role::kDown);
}

TEST(Tracks, CrashingAllStopsEveryNode) {
  Story story;
  story.add(1s, 1, Role::kDown, Event::kStarted);
  story.add(1s, 2, Role::kDown, Event::kStarted);
  story.step(5s, 0, Action::kCrashAll, 6s);
  const Tracks tracks = story.tracks();
  for (const NodeTrack& node : tracks.nodes)
    EXPECT_EQ(node.roles.back().role, Role::kDown) << node.node;
}

TEST(Tracks, GuestsEndWithTheirProcess) {
  Story story;
  story.add(1s, 2, Role::kFollower, Event::kGuestStarts, "web, pid 12");
  story.add(2s, 2, Role::kFollower, Event::kGuestStarts, "web, pid 13");
  story.add(3s, 2, Role::kFollower, Event::kGuestEnds, "web, pid 12");
  const Tracks tracks = story.tracks();
  const auto& guests = tracks.nodes[1].guests;
  ASSERT_EQ(guests.size(), 2U);
  EXPECT_EQ(guests[0].vm, "web");
  EXPECT_EQ(guests[0].span.until, 3s);
  EXPECT_EQ(guests[1].span.until, 30s);
  EXPECT_FALSE(guests[1].span.ends);
}

TEST(Tracks, FaultsEndWhenTheyHealAndCutBothNodesOff) {
  Story story;
  story.step(4s, 1, Action::kCut, 9s, 3);
  TraceEvent& healed = story.add(6s, 1, Role::kFollower, Event::kHealed);
  healed.action = Action::kCut;
  story.step(7s, 2, Action::kSlowDisk, 50s);
  story.step(8s, 0, Action::kGet);
  const Tracks tracks = story.tracks();
  ASSERT_EQ(tracks.faults.size(), 2U);
  EXPECT_EQ(tracks.faults[0].span.until, 6s);
  EXPECT_EQ(tracks.faults[1].span.until, 30s);
  for (const std::size_t node : {0, 2}) {
    ASSERT_EQ(tracks.nodes[node].cut_off.size(), 1U);
    EXPECT_EQ(tracks.nodes[node].cut_off[0].until, 6s);
  }
  EXPECT_TRUE(tracks.nodes[1].cut_off.empty());
}

TEST(Tracks, ADaemonStandsStillUntilItGoesOn) {
  Story story;
  story.step(4s, 2, Action::kFreeze, 9s);
  story.add(6s, 2, Role::kFollower, Event::kHealed).action = Action::kFreeze;
  const Tracks tracks = story.tracks();
  ASSERT_EQ(tracks.nodes[1].frozen.size(), 1U);
  EXPECT_EQ(tracks.nodes[1].frozen[0].until, 6s);
  EXPECT_TRUE(tracks.nodes[0].frozen.empty());
  EXPECT_THAT(timeline_page(story.plan, story.report), HasSubstr("stands still, 4.000 to 6.000 s"));
}

TEST(Tracks, OfTwoFaultsOfAKindEachEndsByItself) {
  Story story;
  const auto heal = [&](Duration at) {
    story.add(at, 1, Role::kFollower, Event::kHealed).action = Action::kSlowDisk;
  };
  story.step(4s, 1, Action::kSlowDisk, 9s);
  story.step(5s, 1, Action::kSlowDisk, 20s);
  story.step(6s, 1, Action::kSlowDisk, 25s);
  heal(9s);
  heal(12s);
  heal(12s);
  const Tracks tracks = story.tracks();
  ASSERT_EQ(tracks.faults.size(), 3U);
  EXPECT_EQ(tracks.faults[0].span.until, 9s);
  EXPECT_EQ(tracks.faults[1].span.until, 12s);
  EXPECT_EQ(tracks.faults[2].span.until, 12s);
}

TEST(Tracks, AnswersFindTheirQuestions) {
  Story story;
  story.add(1s, 0, Role::kDown, Event::kAsked, "client 2: create web");
  story.add(2s, 0, Role::kDown, Event::kAsked, "client 2: get db");
  story.add(3s, 0, Role::kDown, Event::kAsked, "client 2: list");
  story.add(4s, 0, Role::kDown, Event::kRefused, "client 2: get db -> 404");
  story.add(5s, 0, Role::kDown, Event::kAnswered, "client 2: create web -> 201");
  const Tracks tracks = story.tracks();
  ASSERT_EQ(tracks.clients.size(), 1U);
  EXPECT_EQ(tracks.clients[0].client, 2U);
  const auto& operations = tracks.clients[0].operations;
  ASSERT_EQ(operations.size(), 3U);
  EXPECT_EQ(operations[0].outcome, Event::kAnswered);
  EXPECT_EQ(operations[0].span.until, 5s);
  EXPECT_EQ(operations[1].outcome, Event::kRefused);
  EXPECT_EQ(operations[2].outcome, Event::kAsked);
  EXPECT_FALSE(operations[2].span.ends);
}

TEST(Tracks, VmStatesFollowEachOtherUntilTheVmIsGone) {
  Story story;
  story.add(1s, 1, Role::kLeader, Event::kVmPending, "web (id 1)");
  story.add(2s, 1, Role::kLeader, Event::kVmRunning, "web (id 1)");
  story.add(3s, 1, Role::kLeader, Event::kVmGone, "web");
  const Tracks tracks = story.tracks();
  ASSERT_EQ(tracks.vms.size(), 1U);
  ASSERT_EQ(tracks.vms[0].states.size(), 2U);
  EXPECT_EQ(tracks.vms[0].vm, "web");
  EXPECT_EQ(tracks.vms[0].states[1].span.until, 3s);
}

TEST(Tracks, OfTooMuchWhatIsNearTheViolationIsKept) {
  Story story;
  for (int i = 0; i < 10'000; ++i)
    story.add(1ms * i, 1, Role::kFollower, Event::kRare);
  story.report.violation = {.checker = "one-copy", .text = "twice", .at = 5s};
  const Tracks tracks = story.tracks();
  const auto& marks = tracks.nodes[0].marks;
  ASSERT_FALSE(marks.empty());
  EXPECT_LT(marks.size(), 1'000U);
  EXPECT_GT(marks.front().at, 4s);
  EXPECT_LT(marks.back().at, 6s);
  EXPECT_THAT(tracks.left_out, ElementsAre(fmt::format("{} marks", 10'000 - marks.size())));
}

TEST(TimeScale, IsEvenWithoutWindows) {
  const TimeScale scale(10s, {}, 100, 1000);
  EXPECT_EQ(scale.pieces().size(), 1U);
  EXPECT_DOUBLE_EQ(scale.x(0s), 100);
  EXPECT_DOUBLE_EQ(scale.x(5s), 600);
  EXPECT_DOUBLE_EQ(scale.x(1h), 1100);
  EXPECT_DOUBLE_EQ(TimeScale(0s, {}, 100, 1000).x(0s), 100);
}

TEST(TimeScale, GivesWindowsMostOfTheWidth) {
  const TimeScale scale(1000s, {{480s, 505s}, {490s, 520s}, {-5s, 0s}}, 0, 1000);
  ASSERT_EQ(scale.pieces().size(), 3U);
  EXPECT_TRUE(scale.is_pressed(100s));
  EXPECT_FALSE(scale.is_pressed(500s));
  EXPECT_NEAR(scale.x(520s) - scale.x(480s), 800, 0.01);
  EXPECT_NEAR(scale.x(1000s), 1000, 0.01);
  double last = -1;
  for (int at = 0; at <= 1000; ++at) {
    EXPECT_GT(scale.x(1s * at), last);
    last = scale.x(1s * at);
  }
}

TEST(TimeScale, TicksAreRoundAndApart) {
  const TimeScale scale(10s, {}, 0, 1000);
  EXPECT_THAT(ticks_of(scale.pieces()[0], 150), ElementsAre(0s, 2s, 4s, 6s, 8s, 10s));
  EXPECT_TRUE(ticks_of(scale.pieces()[0], 2000).empty());
}

TEST(Timeline, ForeignTextIsEscapedEverywhere) {
  const std::string evil = "<script>alert('\"&')</script>";
  Story story;
  story.plan.scenario = evil;
  story.add(1s, 1, Role::kFollower, Event::kGuestStarts, evil);
  story.add(1s, 1, Role::kFollower, Event::kVmRunning, evil);
  story.add(1s, 0, Role::kFollower, Event::kAsked, evil);
  story.add(2s, 1, Role::kFollower, Event::kEnded, evil);
  story.step(2s, 1, Action::kCut, 3s, 2);
  story.report.events.back().text = evil;
  story.report.violation = {.checker = evil, .text = evil, .at = 5s};
  const std::string page = timeline_page(story.plan, story.report);
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("alert('")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;"));
}

TEST(Timeline, SaysWhatFailedAndHowToRunItAgain) {
  Story story;
  story.add(1s, 1, Role::kLeader, Event::kLeads).term = Term(12);
  story.report.violation = {.checker = "one-copy", .text = "web runs twice", .at = 5s};
  const std::string page = timeline_page(story.plan, story.report);
  EXPECT_THAT(page, HasSubstr("one-copy is violated</span> at 5.000 s"));
  EXPECT_THAT(page, HasSubstr("web runs twice"));
  EXPECT_THAT(page, HasSubstr("leads term 12"));
  EXPECT_THAT(page, HasSubstr("blixard-vopr replay plan.toml"));
  EXPECT_THAT(page, HasSubstr("name = &quot;partitions&quot;\nseed = 7"));
  EXPECT_THAT(page, HasSubstr("class=\"wrong\""));
  EXPECT_THAT(page, Not(HasSubstr("http")));
  story.report.violation.reset();
  const std::string content = timeline_page(story.plan, story.report);
  EXPECT_THAT(content, HasSubstr("every checker is content"));
  EXPECT_THAT(content, Not(HasSubstr("class=\"wrong\"")));
}

TEST(Timeline, StaysSmallHoweverMuchHappened) {
  Story story;
  story.report.elapsed = 600s;
  for (int i = 0; i < 20'000; ++i) {
    const auto node = static_cast<std::uint32_t>(i % 40);
    story.add(25ms * i, node, i % 3 == 0 ? Role::kLeader : Role::kFollower,
              static_cast<Event>(i % static_cast<int>(kEvents)),
              fmt::format("client {}: vm{} pid {}", i % 50, i % 300, i % 70));
    story.step(25ms * i, node, static_cast<Action>(1 + i % (kActions - 1)), 25ms * i + 5s, 2);
    story.plan.steps.push_back({.at = 25ms * i, .action = Action::kCut});
  }
  story.report.violation = {.checker = "settles", .text = std::string(100'000, 'x'), .at = 500s};
  const std::string page = timeline_page(story.plan, story.report);
  EXPECT_LT(page.size(), 8'000'000U);
  EXPECT_THAT(page, HasSubstr("Not drawn"));
}

TEST(Timeline, AShortTroubleIsDrawnLarge) {
  Story story;
  story.report.elapsed = 6s;
  story.report.trouble_from = 5s;
  const auto is_pressed = [&](Duration at) {
    story.report.trouble_until = at;
    story.report.violation = Violation{.checker = "read", .text = "an old one", .at = at};
    return timeline_page(story.plan, story.report).contains("this stretch is pressed together");
  };
  EXPECT_TRUE(is_pressed(5100ms));
  story.report.trouble_from = 1s;
  EXPECT_FALSE(is_pressed(5100ms)) << "most of it is to be seen";
  story.report.elapsed = 320s;
  EXPECT_TRUE(is_pressed(310s));
}

}  // namespace
}  // namespace blixard::vopr
