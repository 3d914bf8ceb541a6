// Where a VM goes that goes on from a saved guest, and what is said when it goes nowhere.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/sched/explain.h"
#include "core/sched/test_placing.h"

namespace blixard::sched {
namespace {

using cluster::Scenario;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kHost = "kvm, hypervisor 7.2.22, 2000000 kHz";

// Node 3 has another hypervisor; the guest of web was saved on node 2, which is fuller than 1.
class SavedPlans : public testing::Test {
 protected:
  void SetUp() override {
    cluster_ = Scenario::founded();
    ASSERT_TRUE(cluster_.add_image("alpine"));
    must("set_policy { policy { strategy: STRATEGY_MOST_AVAILABLE } }");
    for (const std::uint64_t token : {2, 3}) {
      must(Scenario::token_command(token, 1'000'000));
      must(Scenario::enrol_command(token, "n" + std::to_string(token), token == 2 ? 'k' : 'l'));
    }
    for (const std::uint64_t id : {1, 2, 3})
      must(Scenario::command("register_node { node_id: " + std::to_string(id) + " name: 'n" +
                             std::to_string(id) +
                             "' capacity { vcpus: 4 memory_mib: 1024 } accelerator: 'kvm' "
                             "hypervisor_version: '" +
                             (id == 3 ? "8.0" : "7.2.22") + "' tsc_khz: 2000000 }"));
    ASSERT_TRUE(cluster_.create("there", 1, 512));
    ASSERT_TRUE(cluster_.place("there", 2));
    ASSERT_TRUE(cluster_.create("web"));
    ASSERT_TRUE(cluster_.place("web", 2));
    for (const v1::VmState state : {v1::VM_STATE_STARTING, v1::VM_STATE_RUNNING})
      ASSERT_TRUE(cluster_.report("web", state));
    ASSERT_TRUE(cluster_.desire("web", v1::VM_DESIRED_SUSPENDED));
    must(Scenario::command(
        "report_vms { node_id: 2 reports { generation: 1 vm_id: " + std::to_string(web().id.value) +
        " state: VM_STATE_SUSPENDED released: true saved { bytes: 1 accelerator: 'kvm' "
        "hypervisor_version: '7.2.22' tsc_khz: 2000000 "
        "digest: '01234567890123456789012345678901' } } }"));
    ASSERT_EQ(web().state, cluster::VmState::kSuspended);
  }

  void must(const v1::Command& command) {
    const auto applied = cluster_.apply(command);
    ASSERT_TRUE(applied) << applied.error().message() << ": " << command.ShortDebugString();
  }
  void must(std::string_view text) { must(Scenario::command(text)); }
  void wake() { ASSERT_TRUE(cluster_.desire("web", v1::VM_DESIRED_RUNNING)); }
  const cluster::Vm& web() { return *cluster_.state.find_vm("web"); }
  Plan plan() { return plan_pending(cluster_.state); }
  Explanation explain() {
    Planner planner;
    planner.follow(cluster_.state);
    return sched::explain(cluster_.state, planner.fleet(), web());
  }

  Scenario cluster_;
};

TEST_F(SavedPlans, SuspendedVmWaitsForNothing) {
  EXPECT_TRUE(plan().empty());
  const Explanation said = explain();
  EXPECT_EQ(said.verdict,
            "VM web is suspended, and takes no room; resumed now, it would go to node n2");
  EXPECT_EQ(said.ahead, 0U);
}

TEST_F(SavedPlans, WakesWhereItsGuestLies) {
  wake();
  EXPECT_THAT(nodes_of(plan()), ElementsAre(2));
  EXPECT_EQ(explain().chosen->name, "n2");
  // One without is placed as ever.
  ASSERT_TRUE(cluster_.create("cold"));
  EXPECT_THAT(nodes_of(plan()), testing::UnorderedElementsAre(1, 2));
  carry_out(plan(), cluster_);
  EXPECT_EQ(web().node, NodeId(2));
}

TEST_F(SavedPlans, WakesOnAnotherThatFitsWhereThatHasNoRoom) {
  must("update_node { node_id: 2 cordoned: true }");
  wake();
  EXPECT_THAT(nodes_of(plan()), ElementsAre(1));
  const Explanation said = explain();
  EXPECT_EQ(said.chosen->name, "n1");
  EXPECT_TRUE(said.alternatives.empty());
  ASSERT_EQ(said.causes.size(), 2U);
}

TEST_F(SavedPlans, WaitsForAHostThatFits) {
  must("update_node { node_id: 2 cordoned: true }");
  must("update_node { node_id: 1 cordoned: true }");
  wake();
  const Plan waiting = plan();
  EXPECT_TRUE(waiting.placements.empty());
  ASSERT_EQ(waiting.unplaced.size(), 1U);
  EXPECT_EQ(waiting.unplaced[0].reason,
            std::string("none of 3 nodes can take it: 2 cordoned; 1 unlike the host that its guest "
                        "was saved on (") +
                kHost + ")");
  const Explanation said = explain();
  EXPECT_EQ(said.verdict, "VM web waits: " + waiting.unplaced[0].reason);
  ASSERT_EQ(said.misses.size(), 2U);
  EXPECT_EQ(said.misses[0].text, "2 nodes would take it if they were not cordoned");
  EXPECT_EQ(said.misses[1].text,
            std::string("node n3 would take it if it were like the host that its guest was saved "
                        "on (") +
                kHost + ")");
}

// What would not help is not said: room where it cannot go on.
TEST_F(SavedPlans, FullHostsThatDoNotFitAreNotCalledFull) {
  must("update_node { node_id: 2 cordoned: true }");
  must("update_node { node_id: 1 cordoned: true }");
  ASSERT_TRUE(cluster_.create("large", 1, 1024));
  ASSERT_TRUE(cluster_.place("large", 3));
  wake();
  ASSERT_EQ(plan().unplaced.size(), 1U);
  EXPECT_THAT(plan().unplaced[0].reason, HasSubstr("1 unlike the host"));
  EXPECT_THAT(explain().verdict, HasSubstr("1 unlike the host"));
}

TEST_F(SavedPlans, UsedOneGoesAnywhere) {
  wake();
  carry_out(plan(), cluster_);
  const std::string report =
      "report_vms { node_id: 2 reports { generation: 2 vm_id: " + std::to_string(web().id.value);
  must(report + " state: VM_STATE_STARTING uses_saved: true } }");
  must(report + " state: VM_STATE_FAILED } }");
  must(report + " state: VM_STATE_PENDING released: true } }");
  for (const char* node : {"1", "2"})
    must(std::string("update_node { cordoned: true node_id: ") + node + " }");
  EXPECT_THAT(nodes_of(plan()), ElementsAre(3));
}

// What its node held went with it, and the VM boots.
TEST_F(SavedPlans, GuestWhoseHolderWasRemovedGoesAnywhere) {
  ASSERT_TRUE(cluster_.configure({NodeId(1)}));
  must("remove_node { node_id: 2 force: true }");
  must("drop_node { node_id: 2 }");
  EXPECT_THAT(explain().verdict,
              HasSubstr("is suspended, and takes no room; resumed now, it would go to node n1"));
  wake();
  EXPECT_EQ(plan().placements.size(), 2U);  // another waits, too
}

}  // namespace
}  // namespace blixard::sched
