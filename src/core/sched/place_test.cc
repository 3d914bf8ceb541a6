#include "core/sched/place.h"

#include <rapidcheck.h>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/limits.h"
#include "core/sched/test_placing.h"

namespace blixard::sched {
namespace {

using cluster::Scenario;

TEST(PlanPending, NothingWaitsNothingPlanned) {
  EXPECT_TRUE(plan_pending(cluster_of({1024}).state).empty());
}

TEST(PlanPending, TakesTheEmptiestNodeThenTheLowestId) {
  Scenario cluster = cluster_of({1024, 1024, 1024});
  ASSERT_TRUE(cluster.create("there"));
  ASSERT_TRUE(cluster.place("there", 1));
  ASSERT_TRUE(cluster.create("web"));
  EXPECT_EQ(nodes_of(plan_pending(cluster.state)), std::vector<std::uint64_t>{2});
}

// Among nodes that run guests one that pretends would take all, and none would run.
TEST(PlanPending, LeavesOutNodesThatPretendUnlessAllDo) {
  Scenario cluster = cluster_of({1024});
  ASSERT_TRUE(cluster.add_node(2, 4096, 1 << 20, "simulated"));
  ASSERT_TRUE(cluster.create("web"));
  EXPECT_EQ(nodes_of(plan_pending(cluster.state)), std::vector<std::uint64_t>{1});
  ASSERT_TRUE(cluster.create("large", 1, 4096));
  EXPECT_EQ(plan_pending(cluster.state).unplaced.size(), 1U);

  Scenario pretended = cluster_of({});
  ASSERT_TRUE(pretended.add_node(1, 4, 1024, "simulated"));
  ASSERT_TRUE(pretended.add_node(2, 4, 2048, "simulated"));
  ASSERT_TRUE(pretended.add_node(3, 0, 0));  // has entered and told nothing of itself
  ASSERT_TRUE(pretended.create("web"));
  EXPECT_EQ(nodes_of(plan_pending(pretended.state)), std::vector<std::uint64_t>{1});
}

TEST(PlanPending, CountsWhatItPlannedItself) {
  Scenario cluster = cluster_of({1024, 1024});
  ASSERT_TRUE(cluster.apply("set_policy { policy { strategy: STRATEGY_MOST_AVAILABLE } }"));
  for (const char* name : {"a", "b", "c", "d", "e"})
    ASSERT_TRUE(cluster.create(name, 1, 512));
  const Plan plan = plan_pending(cluster.state);
  EXPECT_EQ(nodes_of(plan), (std::vector<std::uint64_t>{1, 2, 1, 2}));
  ASSERT_EQ(plan.unplaced.size(), 1u);
  EXPECT_EQ(plan.unplaced[0].vm, cluster.state.find_vm("e")->id);
}

TEST(PlanPending, CountsWhatIsPlacedAlready) {
  Scenario cluster = cluster_of({1024, 800});
  ASSERT_TRUE(cluster.create("a", 1, 512));
  ASSERT_TRUE(cluster.place("a", 1));
  ASSERT_TRUE(cluster.create("b", 1, 600));
  EXPECT_EQ(nodes_of(plan_pending(cluster.state)), std::vector<std::uint64_t>{2});
}

TEST(PlanPending, SmallVmsPassBigOnesThatWait) {
  Scenario cluster = cluster_of({1024});
  ASSERT_TRUE(cluster.create("big", 1, 4096));
  ASSERT_TRUE(cluster.create("small", 1, 128));
  const Plan plan = plan_pending(cluster.state);
  ASSERT_EQ(plan.placements.size(), 1u);
  EXPECT_EQ(plan.placements[0].vm, cluster.state.find_vm("small")->id);
  // After the small one took its share, so that the sentence is still true once both are applied.
  ASSERT_EQ(plan.unplaced.size(), 1u);
  EXPECT_EQ(plan.unplaced[0].reason,
            "none of 1 node can take it: 1 without 4096 MiB of memory free (most free 896 MiB of "
            "memory)");
}

TEST(PlanPending, SaysWhyForEachCause) {
  Scenario empty = cluster_of({});
  ASSERT_TRUE(empty.create("web"));
  EXPECT_EQ(plan_pending(empty.state).unplaced.at(0).reason, "no node has joined yet");

  Scenario small = cluster_of({1024});
  ASSERT_TRUE(small.create("web", 1, 4096));
  EXPECT_EQ(plan_pending(small.state).unplaced.at(0).reason,
            "none of 1 node can take it: 1 without 4096 MiB of memory free (most free 1024 MiB of "
            "memory)");

  Scenario mixed = cluster_of({1024, 4096, 2048});
  ASSERT_TRUE(mixed.create("cpu", 16, 128));
  ASSERT_TRUE(mixed.place("cpu", 2));
  ASSERT_TRUE(mixed.create("port", 1, 128, 8080));
  ASSERT_TRUE(mixed.place("port", 3));
  ASSERT_TRUE(mixed.create("web", 1, 1500, 8080));
  EXPECT_EQ(
      plan_pending(mixed.state).unplaced.at(0).reason,
      "none of 3 nodes can take it: 1 with host port 8080 taken; 1 without 1 vCPUs free (most "
      "free 0 vCPUs); 1 without 1500 MiB of memory free (most free 1024 MiB of memory)");
}

TEST(PlanPending, VcpusArePromisedFourTimes) {
  Scenario cluster = cluster_of({65536});
  ASSERT_TRUE(cluster.create("a", 16));
  ASSERT_TRUE(cluster.create("b", 1));
  const Plan plan = plan_pending(cluster.state);
  EXPECT_EQ(plan.placements.size(), 1u);
  EXPECT_EQ(plan.unplaced.at(0).reason,
            "none of 1 node can take it: 1 without 1 vCPUs free (most free 0 vCPUs)");
}

TEST(PlanPending, OnePublishedPortGoesToDifferentNodes) {
  Scenario cluster = cluster_of({1024, 1024});
  for (const char* name : {"a", "b", "c"})
    ASSERT_TRUE(cluster.create(name, 1, 128, 8080));
  const Plan plan = plan_pending(cluster.state);
  EXPECT_EQ(nodes_of(plan), (std::vector<std::uint64_t>{1, 2}));
  EXPECT_EQ(plan.unplaced.at(0).reason, "none of 2 nodes can take it: 2 with host port 8080 taken");
}

TEST(PlanPending, DoesNotRepeatAReasonThatStands) {
  Scenario cluster = cluster_of({1024});
  ASSERT_TRUE(cluster.create("web", 1, 4096));
  carry_out(plan_pending(cluster.state), cluster);
  EXPECT_TRUE(plan_pending(cluster.state).empty());
  ASSERT_TRUE(cluster.add_node(2, 4, 2048));
  EXPECT_EQ(plan_pending(cluster.state).unplaced.at(0).reason,
            "none of 2 nodes can take it: 2 without 4096 MiB of memory free (most free 2048 MiB of "
            "memory)");
}

TEST(PlanPending, LinesAreLimitedAndTheRestComesNext) {
  Scenario cluster = cluster_of({1u << 20});
  ASSERT_TRUE(cluster.add_node(2, 4096, 1u << 20));
  const std::size_t wanted = limits::kPlacementsPerPlan + 10;
  for (std::size_t at = 0; at < wanted; ++at) {
    ASSERT_TRUE(cluster.create("vm-" + std::to_string(at)));
  }
  const Plan first = plan_pending(cluster.state);
  EXPECT_EQ(first.placements.size(), limits::kPlacementsPerPlan);
  EXPECT_TRUE(first.unplaced.empty());
  carry_out(first, cluster);
  EXPECT_EQ(plan_pending(cluster.state).placements.size(), 10u);
}

TEST(PlanPending, UnplacedLinesAreLimitedToo) {
  Scenario cluster = cluster_of({100});
  for (std::size_t at = 0; at < limits::kPlacementsPerPlan + 10; ++at) {
    ASSERT_TRUE(cluster.create("vm-" + std::to_string(at)));
  }
  const Plan first = plan_pending(cluster.state);
  EXPECT_EQ(first.unplaced.size(), limits::kPlacementsPerPlan);
  carry_out(first, cluster);
  EXPECT_EQ(plan_pending(cluster.state).unplaced.size(), 10u);
}

// Whatever the cluster looks like: the whole plan can be applied, and then nothing is left to plan.
// Who is left waiting fits on no node.
RC_GTEST_PROP(PlanPending, IsAppliedWholeAndIsComplete, ()) {
  const auto memories = *rc::gen::resize(
      6, rc::gen::container<std::vector<std::uint32_t>>(rc::gen::inRange<std::uint32_t>(0, 2000)));
  Scenario cluster = cluster_of(memories);
  const int vms = *rc::gen::inRange(0, 30);
  for (int at = 0; at < vms; ++at) {
    const auto port = *rc::gen::element<std::uint32_t>(0, 0, 80, 81);
    RC_ASSERT(cluster
                  .create("vm-" + std::to_string(at), *rc::gen::inRange<std::uint32_t>(1, 9),
                          *rc::gen::inRange<std::uint32_t>(80, 900), port)
                  .has_value());
  }
  const Plan plan = plan_pending(cluster.state);
  carry_out(plan, cluster);
  RC_ASSERT(!testing::Test::HasFatalFailure());
  RC_ASSERT(plan_pending(cluster.state).empty());
  for (const auto& [id, vm] : cluster.state.vms()) {
    if (vm.state != cluster::VmState::kPending) continue;
    for (const auto& [node_id, node] : cluster.state.nodes()) {
      const auto free = cluster.state.room_on(node).amounts();
      RC_ASSERT(free.memory_mib < vm.spec.memory_mib ||
                free.cpu_milli < vm.spec.vcpus * resources::kMilliPerCore ||
                cluster.state.taken_port(node_id, vm.spec) != 0);
    }
  }
}

}  // namespace
}  // namespace blixard::sched
