// Whole runs in which guests are cloned.

#include <string>

#include <gtest/gtest.h>

#include "vopr/run.h"
#include "vopr/scenario.h"

namespace blixard::vopr {
namespace {

// VMs of one kind after each other: when the second one is made, there is a template.
std::string scenario_with(const std::string& fault) {
  return R"(
name = "of a kind"
seed = 3
until = "20s"
nodes = 1
spares = 0
clients = 1
vms = 3
rare_percent = 0
boot = "500ms"
templates_mib = 128
step = [
  { at = "1s", do = "create", vm = 1, node = 1, amount = 13 },
  { at = "8s", do = "create", vm = 2, node = 1, amount = 13 },
  )" + fault +
         R"(
  { at = "14s", do = "create", vm = 3, node = 1, amount = 13 },
]
)";
}

void expect_guests(const std::string& fault, std::uint64_t guests, std::uint64_t clones) {
  SCOPED_TRACE(fault);
  const auto scenario = parse_scenario(scenario_with(fault));
  ASSERT_TRUE(scenario) << scenario.error().message();
  const Report report = run(draw(*scenario, 1), {});
  EXPECT_EQ(report.violation ? report.violation->text : "", "");
  EXPECT_EQ(report.counts.skipped, 0U);
  EXPECT_EQ(report.counts.guests, guests);
  EXPECT_EQ(report.counts.clones, clones);
}

TEST(Warm, AllButTheFirstAreClones) { expect_guests("", 3, 2); }

TEST(Warm, WhereNothingCanBeLoadedGuestsBoot) {
  expect_guests(R"({ at = "12s", do = "load-fails", node = 1, for = "8s" },)", 3, 1);
  expect_guests(R"({ at = "12s", do = "load-stalls", node = 1, for = "8s" },)", 3, 1);
}

TEST(Warm, ACloneThatCannotBeToldWhoItIsIsReplaced) {
  expect_guests(R"({ at = "12s", do = "refuses-identity", node = 1, for = "8s" },)", 4, 2);
}

// The memory, with the end of the daemon, and the saved state, without.
TEST(Warm, WhatIsDamagedIsNotLoaded) {
  for (const char* amount : {"1", "2", "4", "5", "6"}) {
    expect_guests(std::string(R"({ at = "13.9s", do = "template-damaged", node = 1, amount = )") +
                      amount + " },",
                  3, 1);
  }
}

TEST(Warm, ClonesAreToldTheTime) {
  expect_guests(R"({ at = "12s", do = "clock-behind", node = 1, for = "8s", amount = 60000 },)", 3,
                2);
}

TEST(Warm, WithoutAMakerThereIsNoTemplate) {
  expect_guests(R"({ at = "0s", do = "maker-dies", node = 1, for = "20s" },)", 3, 0);
}

}  // namespace
}  // namespace blixard::vopr
