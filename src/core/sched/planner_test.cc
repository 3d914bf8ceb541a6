// Who comes first, who comes together, and who has to go.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/cluster/test_apply.h"
#include "core/sched/queue.h"
#include "core/sched/test_placing.h"

namespace blixard::sched {
namespace {

using cluster::Scenario;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// Nodes 1 and 2 of 4 vCPUs (16 are promised) and 1 GiB.
class Planning : public cluster::Apply {
 protected:
  std::vector<std::string> order() {
    std::vector<std::string> names;
    for (const cluster::Vm* vm : in_turn(cluster_.state, {.cpu_milli = 32'000, .memory_mib = 2048}))
      names.push_back(vm->name.text());
    return names;
  }
  Plan plan(WallTime now = {}) { return plan_pending(cluster_.state, now); }
  std::string name_of(VmId id) { return cluster_.state.find_vm(id)->name.text(); }
  std::vector<std::string> placed_by(const Plan& plan) {
    std::vector<std::string> names;
    for (const Placement& placement : plan.placements)
      names.push_back(name_of(placement.vm));
    return names;
  }
  std::vector<std::string> victims_of(const Plan& plan) {
    std::vector<std::string> names;
    for (const Preemption& preemption : plan.preemptions)
      names.push_back(name_of(preemption.victim));
    return names;
  }
  void must_place(const std::string& name, std::uint64_t node) {
    const auto placed = cluster_.place(name, node);
    ASSERT_TRUE(placed) << placed.error().message();
  }
  // As when the guest has stopped and its node let it go.
  void leave(const std::string& name) {
    const auto left = cluster_.report(name, v1::VM_STATE_PENDING, true);
    ASSERT_TRUE(left) << left.error().message();
  }
  std::string reason_of(const Plan& plan, const std::string& name) {
    for (const Unplaced& unplaced : plan.unplaced)
      if (name_of(unplaced.vm) == name) return unplaced.reason;
    return "";
  }
};

// The queue.

TEST_F(Planning, HigherPriorityComesFirst) {
  must_create("low", "priority: 1");
  must_create("none", "");
  must_create("high", "priority: 1000");
  EXPECT_THAT(order(), ElementsAre("high", "none", "low"));
}

TEST_F(Planning, OfOneTenantTheLargestComesFirstThenTheOldest) {
  must_create("small", "", 1, 128);
  must_create("vcpus", "", 8, 128);
  must_create("large", "", 1, 1024);
  must_create("small-too", "", 1, 128);
  EXPECT_THAT(order(), ElementsAre("large", "vcpus", "small", "small-too"));
}

// A tenth of the cluster for each VM of red, a twentieth for each of blue: blue has two for one.
TEST_F(Planning, TenantsTakeTurnsByTheirLargestShare) {
  must("set_tenant { tenant { name: 'red' } }");
  must("set_tenant { tenant { name: 'blue' } }");
  for (const char* name : {"r1", "r2", "r3"})
    must_create(name, "tenant: 'red'", 1, 204);
  for (const char* name : {"b1", "b2", "b3", "b4"})
    must_create(name, "tenant: 'blue'", 1, 102);
  EXPECT_THAT(order(), ElementsAre("b1", "r1", "b2", "b3", "r2", "b4", "r3"));
}

TEST_F(Planning, AWeightIsWorthThatMuchMore) {
  must("set_tenant { tenant { name: 'red' weight: 200 } }");
  must("set_tenant { tenant { name: 'blue' weight: 100 } }");
  for (const char* name : {"r1", "r2", "r3", "r4"})
    must_create(name, "tenant: 'red'", 1, 200);
  for (const char* name : {"b1", "b2"})
    must_create(name, "tenant: 'blue'", 1, 200);
  EXPECT_THAT(order(), ElementsAre("b1", "r1", "r2", "b2", "r3", "r4"));
}

TEST_F(Planning, WhatATenantHasCountsForItsTurn) {
  must("set_tenant { tenant { name: 'red' } }");
  must("set_tenant { tenant { name: 'blue' } }");
  must_create("b0", "tenant: 'blue'", 1, 500);
  must_place("b0", 1);
  must_create("b1", "tenant: 'blue'", 1, 200);
  for (const char* name : {"r1", "r2", "r3"})
    must_create(name, "tenant: 'red'", 1, 200);
  EXPECT_THAT(order(), ElementsAre("r1", "r2", "r3", "b1"));
}

// In the order of creation 600, 600 and 400, 400 would leave one of 600 without a node.
TEST_F(Planning, ManyAtOnceFitBetterThanOneByOne) {
  for (const char* name : {"s1", "s2"})
    must_create(name, "", 1, 400);
  for (const char* name : {"l1", "l2"})
    must_create(name, "", 1, 600);
  EXPECT_THAT(plan().placements, SizeIs(4));
}

// Gangs.

class Gangs : public Planning {
 protected:
  void SetUp() override {
    Planning::SetUp();
    must("set_group { group { name: 'g' gang: 3 } }");
  }
};

TEST_F(Gangs, WaitForAllOfThem) {
  must_create("g1", "groups: 'g'");
  must_create("g2", "groups: 'g'");
  const Plan waiting = plan();
  EXPECT_THAT(waiting.gangs, IsEmpty());
  EXPECT_THAT(waiting.placements, IsEmpty());
  EXPECT_EQ(reason_of(waiting, "g1"), "group g is placed 3 at once: 2 are there so far");
  must_create("g3", "groups: 'g'");
  const Plan whole = plan();
  ASSERT_THAT(whole.gangs, SizeIs(1));
  EXPECT_THAT(whole.gangs[0].placements, SizeIs(3));
  carry_out(whole, cluster_);
  EXPECT_TRUE(cluster_.state.pending().empty());
}

TEST_F(Gangs, AllOrNoneAndOthersGetTheRoom) {
  for (const char* name : {"g1", "g2", "g3"})
    must_create(name, "groups: 'g' priority: 900", 1, 1000);
  must_create("other", "", 1, 900);
  const Plan first = plan();
  EXPECT_THAT(first.gangs, IsEmpty());
  EXPECT_THAT(placed_by(first), ElementsAre("other"));
  EXPECT_THAT(reason_of(first, "g1"),
              HasSubstr("group g is placed 3 at once, 2 of 3 find a node: none of 2 nodes"));
  carry_out(first, cluster_);
  ASSERT_TRUE(cluster_.add_node(3, 4, 1024));
  ASSERT_TRUE(cluster_.add_node(4, 4, 1024));
  carry_out(plan(), cluster_);
  EXPECT_TRUE(cluster_.state.pending().empty());
}

TEST_F(Gangs, AnotherMemberComesByItself) {
  for (const char* name : {"g1", "g2", "g3"})
    must_create(name, "groups: 'g'");
  carry_out(plan(), cluster_);
  must_create("g4", "groups: 'g'");
  EXPECT_THAT(placed_by(plan()), ElementsAre("g4"));
}

TEST_F(Gangs, OfTwoGroupsWaitForBoth) {
  must("set_group { group { name: 'h' gang: 2 } }");
  must_create("both", "groups: 'g' groups: 'h'");
  must_create("g2", "groups: 'g'");
  must_create("g3", "groups: 'g'");
  EXPECT_THAT(plan().gangs, IsEmpty());
  must_create("h2", "groups: 'h'");
  const Plan whole = plan();
  ASSERT_THAT(whole.gangs, SizeIs(1));
  EXPECT_THAT(whole.gangs[0].placements, SizeIs(4));
  carry_out(whole, cluster_);
}

TEST_F(Gangs, WhoMakesItWholeWaitsForNoOtherGang) {
  for (const char* name : {"g1", "g2", "g3"})
    must_create(name, "groups: 'g'");
  carry_out(plan(), cluster_);
  must("set_group { group { name: 'g' gang: 4 } }");
  must("set_group { group { name: 'h' gang: 2 } }");
  must_create("both", "groups: 'g' groups: 'h' priority: 900");
  must_create("last", "groups: 'g'");
  const Plan made = plan();
  EXPECT_THAT(placed_by(made), ElementsAre("last"));
  EXPECT_THAT(made.gangs, IsEmpty());
  EXPECT_THAT(reason_of(made, "both"), HasSubstr("group h is placed 2 at once"));
  carry_out(made, cluster_);
}

// Preemption.

TEST_F(Planning, TheFewestOfLowerPriorityMakeRoom) {
  // Node 1: two of 450; node 2: one of 900.
  for (const char* name : {"a", "b"}) {
    must_create(name, "priority: 1 preemptible: true", 1, 450);
    must_place(name, 1);
  }
  must_create("c", "priority: 1 preemptible: true", 1, 900);
  must_place("c", 2);
  must_create("high", "priority: 900", 1, 800);
  const Plan first = plan();
  EXPECT_THAT(victims_of(first), ElementsAre("c"));
  EXPECT_EQ(first.preemptions[0].explanation, "VM high of priority 900 needs its room on node n2");
  EXPECT_EQ(reason_of(first, "high"), "waits for 1 VMs of lower priority to leave node n2");
  carry_out(first, cluster_);
  EXPECT_EQ(vm("c").eviction->by, "high");
  // While it leaves nobody else is told to, and nothing is repeated.
  EXPECT_TRUE(plan().empty());
  leave("c");
  const Plan second = plan();
  EXPECT_THAT(placed_by(second), ElementsAre("high"));
  EXPECT_EQ(second.placements[0].node, NodeId(2));
  EXPECT_THAT(reason_of(second, "c"), HasSubstr("none of 2 nodes can take it"));
  carry_out(second, cluster_);
}

TEST_F(Planning, RoomThatIsMadeIsKeptForWhomItIsMade) {
  for (const char* name : {"a", "b"}) {
    must_create(name, "priority: 1 preemptible: true", 1, 500);
    must_place(name, 1);
  }
  must_create("n2", "priority: 950", 1, 1000);
  must_place("n2", 2);
  must_create("high", "priority: 900", 1, 1000);
  carry_out(plan(), cluster_);
  leave("a");
  must_create("middle", "priority: 800", 1, 400);
  const Plan between = plan();
  EXPECT_THAT(between.placements, IsEmpty());
  EXPECT_THAT(between.preemptions, IsEmpty());
  leave("b");
  EXPECT_THAT(placed_by(plan()), ElementsAre("high"));
}

TEST_F(Planning, NobodyGoesWhoMayStay) {
  must_create("protected", "priority: 1", 1, 900);
  must_place("protected", 1);
  must_create("equal", "priority: 900 preemptible: true", 1, 900);
  must_place("equal", 2);
  must_create("high", "priority: 900", 1, 800);
  EXPECT_THAT(plan().preemptions, IsEmpty());
  // One that stays where it stops makes no room.
  must_create("high-too", "priority: 950", 1, 800);
  EXPECT_THAT(victims_of(plan()), ElementsAre("equal"));
  must("set_policy { policy { preemption: PREEMPTION_POLICY_NEVER } }");
  EXPECT_THAT(plan().preemptions, IsEmpty());
}

// Two small ones of priority 1 lose less than a large one of priority 300.
TEST_F(Planning, CostAwareLosesLeast) {
  for (const char* name : {"a", "b"}) {
    must_create(name, "priority: 1 preemptible: true", 1, 450);
    must_place(name, 1);
  }
  must_create("c", "priority: 300 preemptible: true", 1, 900);
  must_place("c", 2);
  must_create("high", "priority: 900", 1, 800);
  EXPECT_THAT(victims_of(plan()), ElementsAre("c"));
  must("set_policy { policy { preemption: PREEMPTION_POLICY_COST_AWARE } }");
  EXPECT_THAT(victims_of(plan()), ElementsAre("a", "b"));
}

TEST_F(Planning, ATenantHasABudgetOfPreemptions) {
  must("set_tenant { tenant { name: 'red' preemptions_per_hour: 1 } }");
  for (const char* name : {"a", "b"}) {
    must_create(name, "priority: 1 preemptible: true", 1, 500);
    must_place(name, 1);
  }
  must_create("full", "priority: 950", 1, 1000);
  must_place("full", 2);
  must_create("high", "priority: 900 tenant: 'red'", 1, 1000);
  const Plan refused = plan(WallTime{60'000});
  EXPECT_THAT(refused.preemptions, IsEmpty());
  EXPECT_TRUE(refused.waits_for_budget);
  EXPECT_EQ(reason_of(refused, "high"),
            "no node has room unless 2 VMs of lower priority leave, and tenant red has used up its "
            "1 preemptions an hour");
  must_create("less", "priority: 900 tenant: 'red'", 1, 400);
  EXPECT_THAT(victims_of(plan(WallTime{60'000})), SizeIs(1));
}

// Evictions that have a target.

TEST_F(Planning, WhoIsMovedGoesWhereItWasMeantTo) {
  ASSERT_TRUE(cluster_.add_node(3, 4, 1024));
  must_create("web", "", 1, 100);
  must_place("web", 1);
  v1::Command evict = cluster_.evict_command("web", v1::EVICT_CAUSE_REBALANCE);
  evict.mutable_evict_vm()->set_target_node_id(3);
  ASSERT_TRUE(cluster_.apply(evict));
  leave("web");
  EXPECT_EQ(plan().placements.at(0).node, NodeId(3));
  must("update_node { node_id: 3 cordoned: true }");
  EXPECT_EQ(plan().placements.at(0).node, NodeId(1));
}

}  // namespace
}  // namespace blixard::sched
