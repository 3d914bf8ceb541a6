// The grammar, which passages fire, and what arming refuses.

#ifndef BLX_FAILPOINTS
#define BLX_FAILPOINTS
#endif

#include "observe/failpoint.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace blixard::observe {
namespace {

Result<int> read_value() {
  BLX_FAILPOINT("test::read", kUnavailable, "io_error");
  return 7;
}
bool forges() { return BLX_FAILPOINT_FIRES("test::forge"); }
std::optional<Error> full() {
  return BLX_FAILPOINT_ERROR("test::full", kResourceExhausted, "full");
}

class FailpointTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!failpoints_built()) GTEST_SKIP() << "built without failpoints";
  }
  void TearDown() override { disarm_failpoints(); }
};

// Of so many passages, which fired: "..x.x".
std::string passages(std::size_t count) {
  std::string seen;
  for (std::size_t i = 0; i < count; ++i)
    seen += read_value() ? '.' : 'x';
  return seen;
}

std::string detail_of(std::string_view actions) {
  const auto parsed = FailpointActions::parse(actions);
  return parsed ? "ok" : std::string(parsed.error().detail());
}

TEST(FailpointActions, WhatIsReadIsWrittenTheSame) {
  for (const char* text : {
           "off",
           "return",
           "error",
           "pause",
           "panic",
           "trigger",
           "error(unavailable)",
           "error(resource_exhausted,disk_full)",
           "delay(100ms)",
           "delay(2s)",
           "delay(10m)",
           "delay(7us)",
           "5%error",
           "0.5%error",
           "99.0625%error",
           "3*error->off",
           "10*off->error",
           "5%3*delay(1ms)->1*pause->error(internal,why_not)->panic",
       }) {
    const auto parsed = FailpointActions::parse(text);
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().message();
    EXPECT_EQ(parsed->text(), text);
  }
}

TEST(FailpointActions, SpacesAndOtherSpellingsAreTaken) {
  const auto written = [](std::string_view text) {
    const auto parsed = FailpointActions::parse(text);
    return parsed ? parsed->text() : parsed.error().message();
  };
  EXPECT_EQ(written(" 5 % 3 * error ( unavailable , io_error ) -> off "),
            "5%3*error(unavailable,io_error)->off");
  EXPECT_EQ(written("return(not_found)"), "error(not_found)");
  EXPECT_EQ(written("100%error"), "error");
  EXPECT_EQ(written("delay(60000ms)"), "delay(1m)");
  EXPECT_EQ(written("5.50%error"), "5.5%error");
}

TEST(FailpointActions, WhatIsWrongIsRefusedWithItsPlace) {
  const std::pair<std::string, std::string_view> cases[] = {
      {"", "at character 1: expected off,"},
      {"fault", "at character 6: expected off,"},
      {"error->", "at character 8: expected off,"},
      {"error error", "expected -> or the end"},
      {"101%error", "at most 100"},
      {"99999999999999999999%error", "expected a percentage"},
      {"5.%error", "expected a percentage"},
      {"1000000001*error", "expected a percentage"},
      {"-1*error", "expected off,"},
      {"error(", "expected an error code"},
      {"error(unavailable", "expected )"},
      {"error(wrong)", "expected an error code"},
      {"error(unavailable,Bad)", "a reason is a word"},
      {"error(unavailable," + std::string(64, 'a') + ")", "a reason is a word"},
      {"delay", "a delay needs a time"},
      {"delay(100)", "expected a time"},
      {"delay(11m)", "at most ten minutes"},
      {"delay(18446744073709551615s)", "at most ten minutes"},
      {"pause(1)", "no arguments"},
      {std::string(kFailpointTextBytes + 1, ' '), "too long"},
  };
  for (const auto& [text, part] : cases)
    EXPECT_NE(detail_of(text).find(part), std::string::npos) << text << " -> " << detail_of(text);
  std::string many = "off";
  for (std::size_t i = 1; i < kFailpointStepsMax; ++i)
    many += "->off";
  EXPECT_EQ(detail_of(many), "ok");
  EXPECT_NE(detail_of(many + "->off").find("too many steps"), std::string::npos);
}

TEST_F(FailpointTest, DoesNothingUnlessArmed) {
  EXPECT_EQ(passages(3), "...");
  EXPECT_FALSE(forges());
  EXPECT_FALSE(full());
  EXPECT_EQ(failpoint("test::read")->passed, 0);
}

TEST_F(FailpointTest, GivesTheErrorOfTheSiteOrTheOneAskedFor) {
  ScopedFailpoint site("test::read", "return");
  auto result = read_value();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kUnavailable);
  EXPECT_EQ(result.error().reason(), "io_error");
  EXPECT_EQ(site.fired(), 1);

  site.rearm("error(data_loss,rotten)");
  result = read_value();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kDataLoss);
  EXPECT_EQ(result.error().reason(), "rotten");

  site.rearm("error(not_found)");
  result = read_value();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kNotFound);
  EXPECT_EQ(result.error().reason(), "io_error");

  site.disarm();
  EXPECT_TRUE(read_value());
  const ScopedFailpoint other("test::full", "error");
  ASSERT_TRUE(full());
  EXPECT_EQ(full()->reason(), "full");
}

TEST_F(FailpointTest, CountsAndStepsFollowEachOther) {
  ScopedFailpoint site("test::read", "3*error->off");
  EXPECT_EQ(passages(6), "xxx...");
  EXPECT_EQ(site.fired(), 3);
  EXPECT_EQ(site.passed(), 6);
  site.rearm("3*off->error");
  EXPECT_EQ(passages(6), "...xxx");
  site.rearm("1*off->2*error->1*off->1*error");
  EXPECT_EQ(passages(7), ".xx.x..");
}

TEST_F(FailpointTest, ChanceIsThatOfTheSeed) {
  const auto run = [](std::string_view actions, std::uint64_t seed) {
    const ScopedFailpoint site("test::read", actions, seed);
    return passages(2000);
  };
  const std::string once = run("5%error", 7);
  EXPECT_EQ(run("5%error", 7), once);
  EXPECT_NE(run("5%error", 8), once);
  const auto fired = std::ranges::count(once, 'x');
  EXPECT_GT(fired, 60);
  EXPECT_LT(fired, 140);
  EXPECT_EQ(std::ranges::count(run("0%error", 7), 'x'), 0);
  // What the chance of one step leaves goes to the next one, and a count is of what fired.
  EXPECT_EQ(std::ranges::count(run("50%5*off->error", 7), 'x'), 1995);
}

TEST_F(FailpointTest, TriggersFire) {
  ScopedFailpoint site("test::forge", "1*trigger->off");
  EXPECT_TRUE(forges());
  EXPECT_FALSE(forges());
  EXPECT_EQ(site.fired(), 1);
  site.rearm("return");
  EXPECT_TRUE(forges());
}

TEST_F(FailpointTest, PanicEndsTheProgramWithItsName) {
  const ScopedFailpoint site("test::read", "panic");
  EXPECT_DEATH(ignore(read_value(), "it does not return"), "failpoint test::read says panic");
}

TEST_F(FailpointTest, ArmingRefusesWhatTheSiteCannotDo) {
  const auto refusal = [](std::string_view name, std::string_view actions) {
    const auto armed = arm_failpoint(name, actions);
    return armed ? "ok" : armed.error().message();
  };
  EXPECT_EQ(refusal("test::read", "pause"),
            "failpoint_invalid: test::read cannot pause: nothing can wait there");
  EXPECT_EQ(refusal("test::forge", "off->delay(1s)"),
            "failpoint_invalid: test::forge cannot delay: nothing can wait there");
  EXPECT_EQ(refusal("test::forge", "error"),
            "failpoint_invalid: test::forge cannot error: it has no error, use trigger");
  EXPECT_EQ(refusal("test::read", "trigger"),
            "failpoint_invalid: test::read cannot trigger: it has an error, use error");
  EXPECT_EQ(refusal("test::reed", "error"),
            "failpoint_unknown: there is no failpoint test::reed; near it: test::read");
  EXPECT_EQ(refusal("forge", "trigger"),
            "failpoint_unknown: there is no failpoint forge; near it: test::forge");
  EXPECT_EQ(refusal("nothing::like::it", "error"),
            "failpoint_unknown: there is no failpoint nothing::like::it");
  EXPECT_EQ(passages(2), "..");
}

TEST_F(FailpointTest, AListIsArmedAsAWholeOrNotAtAll) {
  ASSERT_TRUE(arm_failpoints("seed=9; test::read=50%error ;test::forge=trigger;"));
  EXPECT_EQ(failpoint("test::read")->seed, 9);
  EXPECT_EQ(failpoint("test::read")->actions, "50%error");
  EXPECT_TRUE(forges());
  disarm_failpoints();
  for (const char* list :
       {"test::read=error;test::nothing=error", "test::read=error;test::forge=error",
        "test::read=error;test::forge", "test::read=error;seed=x;test::forge=trigger"}) {
    EXPECT_FALSE(arm_failpoints(list)) << list;
    EXPECT_TRUE(read_value()) << list;
  }
  EXPECT_FALSE(arm_failpoints(std::string(kFailpointListBytes + 1, ';')));
  EXPECT_TRUE(arm_failpoints(""));
}

TEST_F(FailpointTest, AllSitesAreKnownWithoutHavingRun) {
  std::vector<std::string_view> names;
  for (const FailpointStatus& status : failpoints())
    names.push_back(status.name);
  EXPECT_EQ(names, (std::vector<std::string_view>{"test::forge", "test::full", "test::read"}));
  const ScopedFailpoint site("test::read", "4*error");
  EXPECT_FALSE(read_value());
  EXPECT_EQ(failpoint("test::read")->actions, "3*error");
  ASSERT_TRUE(arm_failpoint("test::read", "off"));
  EXPECT_EQ(failpoint("test::read")->actions, "");
}

}  // namespace
}  // namespace blixard::observe
