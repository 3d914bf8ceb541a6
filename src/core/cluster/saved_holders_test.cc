// A node that leaves, and what only it has of saved guests.

#include <string>

#include <gtest/gtest.h>

#include "core/cluster/test_saved.h"

namespace blixard::cluster {
namespace {

using enum v1::VmState;

constexpr const char* kRemove = "remove_node { node_id: 1 }";
constexpr const char* kForce = "remove_node { node_id: 1 force: true }";

class SavedHolders : public Saved {
 protected:
  void expect_held() { expect_refused(kRemove, Code::kFailedPrecondition, "node_holds_saved"); }
  void run_on(std::uint64_t node) {
    ASSERT_TRUE(cluster_.place("web", node));
    report("state: VM_STATE_STARTING");
    report("state: VM_STATE_RUNNING");
  }
  // Its node fails to let it start, and gives it back.
  void fail_to_start() {
    report("state: VM_STATE_STARTING");
    report("state: VM_STATE_FAILED");
    report("state: VM_STATE_PENDING released: true");
  }
};

TEST_F(SavedHolders, ANodeStaysWhileASuspendedVmIsToGoOnFromIt) {
  make_suspended();
  EXPECT_TRUE(cluster_.state.vms_on(NodeId(1)).empty());
  expect_held();
  expect_detail(Scenario::command(kRemove),
                "node n1 has the only saved guests of 1 VMs (web): resume or stop them and delete "
                "their snapshots, or lose them by force");
  desire("RUNNING");
  expect_held();
  ASSERT_TRUE(cluster_.place("web", 2));
  expect_held();
  report("state: VM_STATE_STARTING");
  expect_held();
  // From here on it is with the other node, or nobody's.
  report("state: VM_STATE_STARTING uses_saved: true");
  must(kRemove);
  EXPECT_TRUE(vm("web").saves->used_by);
  EXPECT_TRUE(State::decode(cluster_.state.encode()));
  report("state: VM_STATE_RUNNING");
  EXPECT_TRUE(vm("web").saves.is_default());
}

TEST_F(SavedHolders, AStopOrADeleteFreesIt) {
  make_suspended();
  desire("STOPPED");
  must(kRemove);
}

TEST_F(SavedHolders, ANodeStaysWhileItHasASnapshot) {
  make_snapshot();
  desire("STOPPED");
  report("state: VM_STATE_STOPPING");
  report("state: VM_STATE_STOPPED");
  ASSERT_TRUE(cluster_.apply(cluster_.evict_command("web", v1::EVICT_CAUSE_REBALANCE)).has_value());
  report("state: VM_STATE_PENDING released: true");
  ASSERT_TRUE(cluster_.place("web", 2));
  expect_held();
  must("delete_snapshot { name: 'web' }");
  must(kRemove);
}

// Of a VM that is being deleted nobody needs anything.
TEST_F(SavedHolders, ASnapshotOfAVmThatIsBeingDeletedHoldsNobody) {
  make_snapshot();
  desire("SUSPENDED");
  report_saved();
  desire("RUNNING");
  run_on(2);
  expect_held();
  desire("DELETED");
  must(kRemove);
  EXPECT_FALSE(vm("web").saves->snapshot);
}

TEST_F(SavedHolders, OnlyAFewAreNamed) {
  make_suspended();
  for (const std::string name : {"a", "b", "c"}) {
    make(name, {VM_STATE_STARTING, VM_STATE_RUNNING});
    must(desired_command("SUSPENDED", name));
    must("report_vms { node_id: 1 reports { vm_id: " + std::to_string(vm(name).id.value) +
         " generation: 1 state: VM_STATE_SUSPENDED released: true " + guest() + " } }");
  }
  expect_detail(Scenario::command(kRemove), "of 4 VMs (web, a, b, ...)");
}

TEST_F(SavedHolders, ByForceASuspendedVmBootsAnew) {
  make_suspended();
  const std::size_t changes = cluster_.changes.size();
  must(kForce);
  EXPECT_EQ(vm("web").state, VmState::kSuspended);
  EXPECT_EQ(vm("web").reason, "node n1 was removed with its saved guest: it boots anew");
  EXPECT_TRUE(vm("web").saves.is_default());
  EXPECT_EQ(cluster_.changes.size(), changes + 2) << "the VM and the node";
  const auto restored = State::decode(cluster_.state.encode());
  ASSERT_TRUE(restored) << restored.error().message();
  EXPECT_EQ(restored->hash(), cluster_.state.hash());
  desire("RUNNING");
  EXPECT_EQ(vm("web").state, VmState::kPending);
  run_on(3);  // also on a host that did not fit
  must("drop_node { node_id: 1 }");
  EXPECT_TRUE(cluster_.state.vms_saved_at(NodeId(1)).empty());
}

TEST_F(SavedHolders, ByForceOneThatWaitsBootsAnew) {
  make_suspended();
  desire("RUNNING");
  ASSERT_TRUE(cluster_.place("web", 2));
  fail_to_start();
  ASSERT_TRUE(resumes_from(vm("web")));
  must(kForce);
  EXPECT_EQ(vm("web").state, VmState::kPending);
  EXPECT_EQ(vm("web").reason, "node n1 was removed with its saved guest: it boots anew");
  EXPECT_TRUE(vm("web").saves.is_default());
}

// What its node says of it stays.
TEST_F(SavedHolders, ByForceOneThatIsAboutToGoOnElsewhereBootsThere) {
  make_suspended();
  desire("RUNNING");
  ASSERT_TRUE(cluster_.place("web", 2));
  report("state: VM_STATE_STARTING reason: 'saved_guest_waits'");
  must(kForce);
  EXPECT_TRUE(vm("web").saves.is_default());
  EXPECT_EQ(vm("web").state, VmState::kStarting);
  EXPECT_EQ(vm("web").reason, "saved_guest_waits");
  EXPECT_EQ(vm("web").node, NodeId(2));
}

TEST_F(SavedHolders, ByForceOneThatWasSavedOnItAndNotReleasedBootsAnew) {
  make_running();
  desire("SUSPENDED");
  report("state: VM_STATE_PAUSED " + guest());
  ASSERT_TRUE(is_saved_away(vm("web")));
  expect_refused(kRemove, Code::kFailedPrecondition, "node_has_vms");
  must(kForce);
  EXPECT_EQ(vm("web").state, VmState::kPending);
  EXPECT_EQ(vm("web").reason, "node n1 was removed with its saved guest: it boots anew");
  EXPECT_TRUE(vm("web").saves.is_default());
}

TEST_F(SavedHolders, ByForceASnapshotIsLostAndSaysSo) {
  make_snapshot();
  desire("SUSPENDED");
  report_saved();
  desire("RUNNING");
  run_on(2);
  must(kForce);
  EXPECT_FALSE(vm("web").saves->snapshot);
  EXPECT_EQ(vm("web").saves->snapshot_error, "node n1, which had it, was removed");
  EXPECT_EQ(vm("web").state, VmState::kRunning);
  EXPECT_EQ(vm("web").reason, "");
  expect_refused("restore_snapshot { name: 'web' }", Code::kFailedPrecondition, "no_snapshot");
}

// A snapshot that another node made meanwhile is none of its business.
TEST_F(SavedHolders, WhatOthersHaveStays) {
  make_snapshot();
  desire("SUSPENDED");
  report_saved();
  desire("RUNNING");
  run_on(2);
  must("take_snapshot { name: 'web' }");
  report("state: VM_STATE_RUNNING snapshot { number: 2 " + guest() + " }");
  must(kRemove);
  EXPECT_EQ(vm("web").saves->snapshot->holder, NodeId(2));
}

}  // namespace
}  // namespace blixard::cluster
