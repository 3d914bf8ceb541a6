// Drains: who is told to leave, how many at once, and that a drain always ends.

#include "core/sched/drain.h"

#include <gtest/gtest.h>

#include "core/cluster/scenario.h"
#include "core/sched/place.h"

namespace blixard::sched {
namespace {

using cluster::Scenario;

// Nodes of 1 GiB, numbered from 1, and VMs of 256 MiB on node 1, which is drained.
class Drain : public testing::Test {
 protected:
  static constexpr std::int64_t kDeadlineMs = 600'000;

  void begin(int nodes, int vms, int parallel, const std::string& placement = "") {
    ASSERT_TRUE(cluster.add_image("alpine"));
    for (int id = 1; id <= nodes; ++id)
      ASSERT_TRUE(cluster.add_node(static_cast<std::uint64_t>(id), 4, 1024));
    for (int at = 0; at < vms; ++at) {
      auto create = Scenario::create_command("vm-" + std::to_string(at), 1, 256);
      if (!placement.empty()) {
        const auto with =
            Scenario::command("create_vm { spec { placement { " + placement + " } } }");
        *create.mutable_create_vm()->mutable_spec()->mutable_placement() =
            with.create_vm().spec().placement();
      }
      ASSERT_TRUE(cluster.apply(create));
      ASSERT_TRUE(cluster.place("vm-" + std::to_string(at), 1));
    }
    const auto drained = cluster.apply(
        "drain_node { node_id: 1 deadline_ms: 600000 parallel: " + std::to_string(parallel) + " }");
    ASSERT_TRUE(drained) << drained.error().message();
    since = cluster.state.find_node(NodeId(1))->drain.since;
  }

  [[nodiscard]] DrainPlan plan_at(std::int64_t ms_since) const {
    Planner planner;
    planner.follow(cluster.state);
    return plan_drains(cluster.state, planner, WallTime{since.unix_ms + ms_since});
  }
  void carry_out(const DrainPlan& plan) {
    for (const Eviction& eviction : plan.evictions) {
      v1::Command command;
      command.set_version(cluster::kModelVersion);
      command.mutable_evict_vm()->set_vm_id(eviction.vm.value);
      command.mutable_evict_vm()->set_generation(eviction.generation.value);
      command.mutable_evict_vm()->set_cause(v1::EVICT_CAUSE_DRAIN);
      command.mutable_evict_vm()->set_explanation(eviction.explanation);
      const auto evicted = cluster.apply(command);
      ASSERT_TRUE(evicted) << evicted.error().message();
    }
  }
  // What its agent says once the guest has gone.
  void give_back(const std::string& name) {
    const cluster::Vm& vm = *cluster.state.find_vm(name);
    const auto given =
        cluster.apply("report_vms { node_id: 1 reports { vm_id: " + std::to_string(vm.id.value) +
                      " generation: " + std::to_string(vm.generation.value) +
                      " state: VM_STATE_PENDING released: true } }");
    ASSERT_TRUE(given) << given.error().message();
  }

  Scenario cluster;
  WallTime since;
};

TEST_F(Drain, TellsSoManyAtOnceAsWasSaid) {
  begin(3, 4, 2);
  EXPECT_TRUE(is_any_draining(cluster.state));
  const DrainPlan first = plan_at(0);
  ASSERT_EQ(first.evictions.size(), 2u);
  EXPECT_EQ(first.evictions[0].vm, cluster.state.find_vm("vm-0")->id);
  EXPECT_EQ(first.evictions[0].explanation, "node n1 is drained");
  EXPECT_TRUE(first.ends.empty());
  carry_out(first);
  EXPECT_TRUE(cluster.state.find_vm("vm-0")->evicting);
  EXPECT_EQ(plan_at(1), DrainPlan{}) << "two are on their way";
  give_back("vm-0");
  EXPECT_EQ(plan_at(2), DrainPlan{}) << "it waits for a node, which counts";
  ASSERT_TRUE(cluster.place("vm-0", 2));
  EXPECT_EQ(plan_at(3).evictions.size(), 1u);
}

TEST_F(Drain, EndsWhenNothingIsLeft) {
  begin(2, 1, 1);
  carry_out(plan_at(0));
  give_back("vm-0");
  const DrainPlan plan = plan_at(1);
  ASSERT_EQ(plan.ends.size(), 1u);
  EXPECT_EQ(plan.ends[0].outcome, "drained");
  EXPECT_EQ(plan.ends[0].since, since);
  // Nothing new comes meanwhile, and nothing is placed on it.
  EXPECT_EQ(plan_pending(cluster.state).placements.at(0).node, NodeId(2));
}

TEST_F(Drain, AnEmptyNodeIsDrainedAtOnce) {
  begin(1, 0, 1);
  EXPECT_EQ(plan_at(0).ends.size(), 1u);
}

TEST_F(Drain, WhatFitsNowhereStaysUntilTheDeadline) {
  begin(1, 2, 2);
  EXPECT_EQ(plan_at(kDeadlineMs - 1), DrainPlan{});
  const DrainPlan late = plan_at(kDeadlineMs);
  ASSERT_EQ(late.evictions.size(), 2u);
  EXPECT_EQ(late.evictions[0].explanation, "node n1 is drained, and its deadline has passed");
}

TEST_F(Drain, AtTheDeadlineAllAreToldWhateverWasSaid) {
  begin(2, 4, 1);
  EXPECT_EQ(plan_at(kDeadlineMs).evictions.size(), 4u);
}

TEST_F(Drain, EndsWithoutAnAnswerOfTheNode) {
  begin(2, 2, 2);
  carry_out(plan_at(0));
  // A minute to say so, beside their grace, which is none here.
  EXPECT_EQ(plan_at(kDeadlineMs + 59'999), DrainPlan{});
  const DrainPlan over = plan_at(kDeadlineMs + 60'000);
  ASSERT_EQ(over.ends.size(), 1u);
  EXPECT_EQ(over.ends[0].outcome, "over: the node did not say that 2 VMs have stopped: vm-0, vm-1");
}

TEST_F(Drain, OneThatIsOnlyToStopStaysStopped) {
  begin(2, 1, 1, "on_evict: ON_EVICT_STOP");
  carry_out(plan_at(0));
  const cluster::Vm& vm = *cluster.state.find_vm("vm-0");
  EXPECT_EQ(vm.desired, cluster::VmDesired::kStopped);
  EXPECT_FALSE(vm.evicting);
  EXPECT_EQ(plan_at(1), DrainPlan{}) << "it has not stopped yet";
  ASSERT_TRUE(cluster.report("vm-0", v1::VM_STATE_STOPPED));
  EXPECT_EQ(plan_at(2).ends.at(0).outcome, "drained; 1 VMs stay there, stopped");
}

TEST_F(Drain, OnlyTheDrainThatIsMeantEnds) {
  begin(1, 0, 1);
  const DrainEnd end = plan_at(0).ends.at(0);
  ASSERT_TRUE(cluster.apply("drain_node { node_id: 1 cancel: true }"));
  EXPECT_FALSE(is_any_draining(cluster.state));
  ASSERT_TRUE(cluster.apply("drain_node { node_id: 1 deadline_ms: 1000 parallel: 1 }"));
  const auto stale =
      cluster.apply("end_drain { node_id: 1 since_unix_ms: " + std::to_string(end.since.unix_ms) +
                    " outcome: \"drained\" }");
  ASSERT_FALSE(stale);
  EXPECT_EQ(stale.error().reason(), "drain_not_found");
}

}  // namespace
}  // namespace blixard::sched
