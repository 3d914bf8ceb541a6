#include "core/sched/whatif.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "core/cluster/test_apply.h"

namespace blixard::sched {
namespace {

using cluster::Scenario;
using cluster::Trial;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr WallTime kNow{1'000'000};

// Nodes 1 and 2 of 4 vCPUs (16 are promised) and 1 GiB.
class Asking : public cluster::Apply {
 protected:
  struct Asked {
    std::string name;
    std::string placement;
    std::uint32_t memory_mib = 128;
  };

  std::vector<WhatIf::Fate> ask(const std::vector<Asked>& all) {
    const std::string before = cluster_.state.encode();
    Trial trial(cluster_.state, kNow);
    std::vector<VmId> ids;
    for (const Asked& asked : all) {
      const v1::Command command =
          Scenario::create_command(asked.name, asked.placement, 1, asked.memory_mib);
      const auto id = trial.create(command.create_vm());
      EXPECT_TRUE(id) << id.error().message();
      if (id) ids.push_back(*id);
    }
    WhatIf whatif(trial, ids);
    while (whatif.step())
      ++steps_;
    EXPECT_FALSE(whatif.step());
    EXPECT_EQ(cluster_.state.encode(), before);
    return whatif.fates();
  }
  static std::vector<std::uint64_t> nodes_of(const std::vector<WhatIf::Fate>& fates) {
    std::vector<std::uint64_t> nodes;
    for (const WhatIf::Fate& fate : fates)
      nodes.push_back(fate.node.value);
    return nodes;
  }

  std::size_t steps_ = 0;
};

TEST_F(Asking, SaysWhereEachWouldGoAndWhyNot) {
  const auto fates = ask({{"a", "", 800}, {"b", "", 700}, {"c", "", 600}});
  EXPECT_THAT(nodes_of(fates), ElementsAre(1, 2, 0));
  EXPECT_GT(fates[0].score, 0);
  EXPECT_EQ(fates[0].reason, "");
  EXPECT_EQ(fates[2].reason,
            "none of 2 nodes can take it: 2 without 600 MiB of memory free (most free 324 MiB of "
            "memory)");
}

TEST_F(Asking, NobodyIsAskedAbout) { EXPECT_THAT(ask({}), IsEmpty()); }

TEST_F(Asking, MoreThanOnePlanHolds) {
  ASSERT_TRUE(cluster_.add_node(3, 4096, 1U << 20));
  std::vector<Asked> all;
  for (std::size_t at = 0; at < 3 * limits::kPlacementsPerPlan; ++at)
    all.push_back({"vm-" + std::to_string(at), ""});
  const auto fates = ask(all);
  EXPECT_THAT(nodes_of(fates), testing::Each(testing::Ne(0U)));
  EXPECT_GE(steps_, 3U);
}

TEST_F(Asking, MoreThanOnePlanHasReasonsFor) {
  std::vector<Asked> all;
  for (std::size_t at = 0; at < 2 * limits::kPlacementsPerPlan; ++at)
    all.push_back({"vm-" + std::to_string(at), "", 2048});
  for (const WhatIf::Fate& fate : ask(all))
    EXPECT_THAT(fate.reason, HasSubstr("none of 2 nodes can take it"));
}

TEST_F(Asking, WhatWaitsAlreadyComesInItsTurn) {
  must_create("waits", "", 1, 1000);
  const auto fates = ask({{"a", "", 900}, {"b", "", 900}});
  EXPECT_THAT(nodes_of(fates), ElementsAre(2, 0));
}

TEST_F(Asking, GroupsAndGangsHoldAmongThem) {
  must("set_group { group { name: 'g' gang: 3 } }");
  must(
      "set_group { group { name: 's' rules { kind: GROUP_RULE_KIND_SPREAD level: "
      "TOPOLOGY_LEVEL_NODE max: 1 hard: true } } }");
  EXPECT_THAT(nodes_of(ask({{"a", "groups: 's'"}, {"b", "groups: 's'"}, {"c", "groups: 's'"}})),
              testing::UnorderedElementsAre(1, 2, 0));
  const auto two = ask({{"a", "groups: 'g'"}, {"b", "groups: 'g'"}});
  EXPECT_THAT(nodes_of(two), ElementsAre(0, 0));
  EXPECT_EQ(two[0].reason, "group g is placed 3 at once: 2 are there so far");
  const auto three = ask({{"a", "groups: 'g'"}, {"b", "groups: 'g'"}, {"c", "groups: 'g'"}});
  EXPECT_THAT(nodes_of(three), testing::Each(testing::Ne(0U)));
  EXPECT_GT(three[0].score, 0);
}

TEST_F(Asking, SaysWhoWouldHaveToLeave) {
  for (const std::uint64_t node : {1, 2}) {
    const std::string name = fmt::format("low-{}", node);
    must_create(name, fmt::format("priority: {} preemptible: true", node), 1, 800);
    ASSERT_TRUE(cluster_.place(name, node));
    ASSERT_TRUE(cluster_.report(name, v1::VM_STATE_STARTING));
    ASSERT_TRUE(cluster_.report(name, v1::VM_STATE_RUNNING));
  }
  const auto fates = ask({{"high", "priority: 900", 900}});
  EXPECT_THAT(nodes_of(fates), ElementsAre(1));
  EXPECT_THAT(fates[0].makes_leave, ElementsAre(Name("low-1")));
}

// A budget that is used up is one in the trial, too.
TEST_F(Asking, ABudgetOfPreemptionsHolds) {
  must("set_tenant { tenant { name: 'red' preemptions_per_hour: 1 } }");
  for (const std::uint64_t node : {1, 2}) {
    const std::string name = fmt::format("low-{}", node);
    must_create(name, "priority: 1 preemptible: true", 1, 800);
    ASSERT_TRUE(cluster_.place(name, node));
  }
  const auto fates = ask(
      {{"high", "priority: 900 tenant: 'red'", 900}, {"next", "priority: 900 tenant: 'red'", 900}});
  EXPECT_THAT(nodes_of(fates), ElementsAre(testing::Ne(0U), 0));
  EXPECT_THAT(fates[1].reason, HasSubstr("has used up its 1 preemptions an hour"));
}

TEST_F(Asking, DevicesAreTold) {
  must(
      "register_node { node_id: 2 name: 'n2' model_version: 4 capacity { vcpus: 4 memory_mib: "
      "1024 devices { kind: 'gpu' count: 2 } } }");
  const auto fates =
      ask({{"a", "devices { kind: 'gpu' count: 1 }"}, {"b", "devices { kind: 'gpu' count: 1 }"}});
  EXPECT_THAT(nodes_of(fates), ElementsAre(2, 2));
  EXPECT_THAT(fates[0].devices, ElementsAre(0));
  EXPECT_THAT(fates[1].devices, ElementsAre(1));
}

// Trial.

TEST_F(Asking, ATrialChecksAsTheClusterDoes) {
  must_create("there", "");
  must("set_tenant { tenant { name: 'red' quota { vms: 1 } } }");
  Trial trial(cluster_.state, kNow);
  const auto create = [&](const std::string& name, const std::string& placement) {
    const auto id = trial.create(Scenario::create_command(name, placement, 1, 128).create_vm());
    return id ? std::string_view("") : id.error().reason();
  };
  EXPECT_EQ(create("there", ""), "vm_exists");
  EXPECT_EQ(create("No", ""), "name_invalid");
  EXPECT_EQ(create("a", "groups: 'none'"), "group_not_found");
  EXPECT_EQ(create("b", "tenant: 'red'"), "");
  EXPECT_EQ(create("c", "tenant: 'red'"), "quota_exceeded");
  const auto placed = trial.place({.vm = VmId(999), .node = NodeId(1), .devices = {}});
  ASSERT_FALSE(placed);
  EXPECT_EQ(placed.error().reason(), "vm_not_found");
  EXPECT_EQ(cluster_.state.find_vm("b"), nullptr);
}

TEST(WhatIf, AClusterOfOlderProgramsDoesNotKnowPlacement) {
  Scenario cluster;
  cluster.version = 2;
  ASSERT_TRUE(cluster.add_image("alpine"));
  Trial trial(cluster.state, kNow);
  const auto plain = trial.create(Scenario::create_command("a", 1, 128).create_vm());
  EXPECT_TRUE(plain) << plain.error().message();
  const auto asks = trial.create(Scenario::create_command("b", "priority: 1", 1, 128).create_vm());
  ASSERT_FALSE(asks);
  EXPECT_EQ(asks.error().reason(), "model_too_old");
}

}  // namespace
}  // namespace blixard::sched
