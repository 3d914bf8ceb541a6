// Whole runs in which guests are paused, saved, woken and restored.

#include <string>

#include <gtest/gtest.h>

#include "vopr/run.h"
#include "vopr/scenario.h"

namespace blixard::vopr {
namespace {

// One VM, on node 1 at first, and what is done to it.
std::string scenario_with(const std::string& steps) {
  return R"(
name = "one that is saved"
seed = 3
until = "60s"
nodes = 2
spares = 0
clients = 1
vms = 1
version = 2
rare_percent = 0
boot = "500ms"
step = [
  { at = "1s", do = "create", node = 1, amount = 13 },
  )" + steps +
         "]\n";
}

struct Expected {
  std::uint64_t guests = 0;
  std::uint64_t woken = 0;
  std::uint64_t saved = 0;
};

Counts counts_of(const std::string& steps) {
  const auto scenario = parse_scenario(scenario_with(steps));
  EXPECT_TRUE(scenario) << scenario.error().message();
  if (!scenario) return {};
  const Report report = run(draw(*scenario, 1), {});
  EXPECT_EQ(report.violation ? report.violation->text : "", "");
  EXPECT_EQ(report.counts.skipped, 0U);
  return report.counts;
}

void expect_counts(const std::string& steps, Expected expected) {
  SCOPED_TRACE(steps);
  const Counts counts = counts_of(steps);
  EXPECT_EQ(counts.guests, expected.guests);
  EXPECT_EQ(counts.woken, expected.woken);
  EXPECT_EQ(counts.saved, expected.saved);
}

constexpr const char* kSuspendAndWake =
    R"({ at = "5s", do = "suspend" }, { at = "10s", do = "resume" },)";

TEST(Saves, APausedGuestIsTheSameOne) {
  expect_counts(R"({ at = "5s", do = "pause" }, { at = "40s", do = "resume" },)",
                {.guests = 1, .woken = 0, .saved = 0});
  expect_counts(R"({ at = "5s", do = "pause" },)", {.guests = 1, .woken = 0, .saved = 0});
}

TEST(Saves, ASuspendedGuestIsWoken) {
  expect_counts(kSuspendAndWake, {.guests = 2, .woken = 1, .saved = 1});
  expect_counts(R"({ at = "5s", do = "suspend" },)", {.guests = 1, .woken = 0, .saved = 1});
  expect_counts(R"({ at = "5s", do = "pause" }, { at = "9s", do = "suspend" },
                   { at = "15s", do = "start" },)",
                {.guests = 2, .woken = 1, .saved = 1});
}

TEST(Saves, ASnapshotIsGoneBackToAgainAndAgain) {
  expect_counts(R"({ at = "5s", do = "snapshot" }, { at = "10s", do = "restore" },
                   { at = "20s", do = "restore" }, { at = "30s", do = "delete-snapshot" },
                   { at = "40s", do = "restore" },)",
                {.guests = 3, .woken = 2, .saved = 1});
}

TEST(Saves, WhereSavingFailsTheGuestRunsOn) {
  expect_counts(R"({ at = "4s", do = "save-fails", node = 1, for = "4s" },
                   { at = "4s", do = "save-fails", node = 2, for = "4s" },
                   { at = "5s", do = "snapshot" },)",
                {.guests = 1, .woken = 0, .saved = 0});
  // Until it succeeds.
  expect_counts(R"({ at = "4s", do = "save-fails", node = 1, for = "20s" },
                   { at = "4s", do = "save-fails", node = 2, for = "20s" },
                   { at = "5s", do = "suspend" }, { at = "50s", do = "resume" },)",
                {.guests = 2, .woken = 1, .saved = 1});
}

TEST(Saves, WhatIsDamagedOrLostIsABoot) {
  for (const char* harm : {"saved-damage", "saved-loss"}) {
    for (const char* amount : {"0", "1", "2", "3"}) {
      expect_counts(std::string(R"({ at = "5s", do = "suspend" }, { at = "8s", do = ")") + harm +
                        R"(", node = 1, amount = )" + amount +
                        R"( }, { at = "10s", do = "resume" },)",
                    {.guests = 2, .woken = 0, .saved = 1});
    }
  }
}

// Who was about to wake a guest when its daemon died boots it instead; in any case there are two.
TEST(Saves, DaemonsMayDieMeanwhile) {
  for (const char* at : {"5.004s", "5.009s", "5.014s", "5.02s", "5.028s", "10.004s", "10.02s",
                         "10.04s", "10.049s", "10.051s", "10.06s", "10.09s"}) {
    SCOPED_TRACE(at);
    const Counts counts = counts_of(std::string(kSuspendAndWake) + R"({ at = ")" + at +
                                    R"(", do = "crash", node = 1, for = "1s" },)");
    EXPECT_EQ(counts.guests, 2U);
    EXPECT_GE(counts.saved, 1U);
  }
}

}  // namespace
}  // namespace blixard::vopr
