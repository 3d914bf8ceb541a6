#include "vopr/placement_judge.h"

#include <initializer_list>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "core/cluster/scenario.h"

namespace blixard::vopr {
namespace {

// Apply never does what is judged here. So VMs are placed first and the rule is set afterwards;
// then the judge is told that the placement was last.
class PlacementJudgeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(cluster_.add_image("alpine"));
    ASSERT_TRUE(cluster_.add_node(1, 2, 1024));
    ASSERT_TRUE(cluster_.add_node(2, 2, 1024));
    for (const char* group : {"g", "other"})
      must(std::string("set_group { group { name: '") + group + "' } }");
  }

  void must(std::string_view text) {
    const auto outcome = cluster_.apply(text);
    ASSERT_TRUE(outcome) << outcome.error().message() << ": " << text;
  }
  void rules(const std::string& group, const std::string& text) {
    must("set_group { group { name: '" + group + "' " + text + " } }");
  }
  void make(const std::string& name, const std::string& placement, std::uint64_t node = 0) {
    ASSERT_TRUE(cluster_.apply(cluster::Scenario::create_command(name, placement, 1, 256)));
    if (node != 0) ASSERT_TRUE(cluster_.place(name, node));
  }

  using Vms = std::vector<const cluster::Vm*>;
  // The checker that has something to say; empty: none.
  std::string judged(const PlacementChanges& changes) {
    Recorder recorder([] { return Duration(1s); }, [](std::uint32_t) { return Standing{}; });
    PlacementJudge(recorder).look(cluster_.state, changes);
    return recorder.failed() ? recorder.report().violation->checker : "";
  }
  const cluster::Vm* vm(std::string_view name) { return cluster_.state.find_vm(name); }
  std::string placed(std::string_view name) {
    return judged({.created = {}, .placed = {vm(name)}, .evicted = {}});
  }
  std::string created(std::string_view name) {
    return judged({.created = {vm(name)}, .placed = {}, .evicted = {}});
  }
  std::string evicted(std::string_view name) {
    return judged({.created = {}, .placed = {}, .evicted = {vm(name)}});
  }

  cluster::Scenario cluster_;
};

TEST_F(PlacementJudgeTest, Nodes) {
  make("a", "", 1);
  make("b", "", 2);
  EXPECT_EQ(placed("a"), "");
  must("update_node { node_id: 1 cordoned: true }");
  EXPECT_EQ(placed("a"), "places");
  EXPECT_EQ(placed("b"), "");
  must("update_node { node_id: 1 cordoned: false }");
  must("drain_node { node_id: 1 deadline_ms: 1000 parallel: 1 }");
  EXPECT_EQ(placed("a"), "places");
  must("drain_node { node_id: 1 cancel: true }");
  must("update_node { node_id: 1 set_taints { key: 'k' effect: TAINT_EFFECT_AVOID } }");
  EXPECT_EQ(placed("a"), "");
  must("update_node { node_id: 1 set_taints { key: 'k' effect: TAINT_EFFECT_REFUSE } }");
  EXPECT_EQ(placed("a"), "places");
  make("c", "tolerations { key: 'k' }", 1);
  EXPECT_EQ(placed("c"), "");
}

TEST_F(PlacementJudgeTest, Capacity) {
  for (const char* name : {"a", "b", "c", "d"})
    make(name, "", 1);
  EXPECT_EQ(placed("d"), "");
  must(
      "set_policy { policy { overcommit { cpu_percent: 400 memory_percent: 100"
      " disk_percent: 100 reserve_percent: 10 } } }");
  EXPECT_EQ(placed("d"), "capacity");
  EXPECT_EQ(judged({}), "") << "who is there already stays";
}

TEST_F(PlacementJudgeTest, Rules) {
  make("a", "groups: 'g'", 1);
  make("b", "groups: 'g'", 1);
  make("far", "groups: 'g'", 2);
  EXPECT_EQ(placed("b"), "");
  const auto rule = [](const std::string& text) {
    return "rules { level: TOPOLOGY_LEVEL_NODE " + text + " }";
  };
  rules("g", rule("kind: GROUP_RULE_KIND_SPREAD max: 1"));
  EXPECT_EQ(placed("b"), "") << "a soft rule";
  rules("g", rule("kind: GROUP_RULE_KIND_SPREAD max: 1 hard: true"));
  EXPECT_EQ(placed("b"), "groups");
  EXPECT_EQ(placed("far"), "");
  rules("g", rule("kind: GROUP_RULE_KIND_SPREAD max: 2 hard: true"));
  EXPECT_EQ(placed("b"), "");
  rules("g", "rules { kind: GROUP_RULE_KIND_SPREAD level: TOPOLOGY_LEVEL_ZONE max: 2 hard: true }");
  EXPECT_EQ(placed("b"), "groups") << "both nodes are in no zone";
  rules("g", rule("kind: GROUP_RULE_KIND_TOGETHER hard: true"));
  EXPECT_EQ(placed("b"), "groups");
}

TEST_F(PlacementJudgeTest, RulesBetweenGroups) {
  make("a", "groups: 'g'", 1);
  make("b", "groups: 'other'", 1);
  make("c", "groups: 'other'", 2);
  make("both", "groups: 'g' groups: 'other'", 2);
  const std::string other = " level: TOPOLOGY_LEVEL_NODE other: 'other' hard: true }";
  rules("g", "rules { kind: GROUP_RULE_KIND_AWAY" + other);
  EXPECT_EQ(placed("a"), "groups");
  EXPECT_EQ(placed("b"), "groups") << "g keeps away from where it comes to";
  rules("g", "rules { kind: GROUP_RULE_KIND_NEAR" + other);
  EXPECT_EQ(placed("a"), "");
  EXPECT_EQ(placed("both"), "") << "it is a member itself";
  make("alone", "groups: 'g'");
  ASSERT_TRUE(cluster_.add_node(3, 2, 1024));
  rules("g", "");
  ASSERT_TRUE(cluster_.place("alone", 3));
  rules("g", "rules { kind: GROUP_RULE_KIND_NEAR" + other);
  EXPECT_EQ(placed("alone"), "groups");
}

TEST_F(PlacementJudgeTest, Gangs) {
  make("a", "groups: 'g'", 1);
  make("b", "groups: 'g'", 2);
  rules("g", "gang: 2");
  EXPECT_EQ(placed("b"), "");
  rules("g", "gang: 3");
  EXPECT_EQ(placed("b"), "gangs");
}

TEST_F(PlacementJudgeTest, Quotas) {
  make("a", "tenant: 'blue'", 1);
  make("b", "tenant: 'blue'", 1);
  make("c", "tenant: 'red'", 1);
  must(
      "set_tenant { tenant { name: 'blue' quota { vms: 2 vcpus: 2 memory_mib: 512"
      " vms_per_node: 2 } } }");
  EXPECT_EQ(created("b"), "");
  EXPECT_EQ(placed("b"), "");
  for (const char* quota : {"vms: 1", "vcpus: 1", "memory_mib: 511"}) {
    must(std::string("set_tenant { tenant { name: 'blue' quota { ") + quota + " } } }");
    EXPECT_EQ(created("b"), "quotas") << quota;
    EXPECT_EQ(created("c"), "") << quota;
  }
  must("set_tenant { tenant { name: 'blue' quota { vms_per_node: 1 } } }");
  EXPECT_EQ(placed("b"), "quotas");
}

TEST_F(PlacementJudgeTest, Preemption) {
  make("low", "priority: 100 preemptible: true", 1);
  make("high", "priority: 900");
  ASSERT_TRUE(cluster_.apply(cluster_.evict_command("low", v1::EVICT_CAUSE_PREEMPTION, "high")));
  EXPECT_EQ(evicted("low"), "");
  must("set_policy { policy { preemption: PREEMPTION_POLICY_NEVER } }");
  EXPECT_EQ(evicted("low"), "preemption");
  must("set_policy { policy { } }");
  ASSERT_TRUE(cluster_.place("high", 2));
  EXPECT_EQ(evicted("low"), "preemption") << "who has a node needs no room";
}

}  // namespace
}  // namespace blixard::vopr
