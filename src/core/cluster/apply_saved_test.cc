// Pause, suspend, wake, snapshot, restore: what each does, and every reason to refuse it.

#include <gtest/gtest.h>

#include "base/limits.h"
#include "core/cluster/reasons.h"
#include "core/cluster/test_saved.h"

namespace blixard::cluster {
namespace {

using enum v1::VmState;

// Pause.

TEST_F(Saved, PauseAndGoOn) {
  make_running();
  desire("PAUSED");
  EXPECT_EQ(vm("web").desired, VmDesired::kPaused);
  ASSERT_TRUE(cluster_.report("web", VM_STATE_PAUSED));
  EXPECT_EQ(vm("web").node, NodeId(1));
  desire("RUNNING");
  ASSERT_TRUE(cluster_.report("web", VM_STATE_RUNNING));
  EXPECT_EQ(vm("web").generation, Generation(1));
  EXPECT_TRUE(vm("web").saves.is_default());
}

TEST_F(Saved, OnlyWhatIsToRunIsPaused) {
  make("web", {});
  desire("PAUSED");  // once it runs
  desire("STOPPED");
  expect_no("PAUSED", "vm_not_running");
  desire("RUNNING");
  ASSERT_TRUE(cluster_.report("web", VM_STATE_STARTING));
  ASSERT_TRUE(cluster_.report("web", VM_STATE_FAILED));
  expect_no("PAUSED", "vm_not_running");
  expect_detail(Scenario::command(desired_command("PAUSED")),
                "VM web is failed, wanted running: start it first");
  desire("DELETED");
  expect_no("PAUSED", "vm_being_deleted");
}

// To go on is no start: a tenant without any left may.
TEST_F(Saved, GoingOnIsNotCharged) {
  must("set_tenant { tenant { name: 'default' starts { per_hour: 1 burst: 1 } } }");
  make_running();
  for (const std::string left : {"PAUSED", "SUSPENDED"}) {
    desire(left);
    desire("RUNNING");
  }
  desire("STOPPED");
  desire("RUNNING");
  desire("SUSPENDED");
  report_saved();
  expect_refused(desired_command("RUNNING"), Code::kResourceExhausted, "rate_exceeded");
}

// Suspend.

TEST_F(Saved, SuspendFreesTheNode) {
  make_running();
  const WallTime before = vm("web").changed;
  desire("SUSPENDED");
  EXPECT_EQ(vm("web").state, VmState::kRunning);
  report_saved();
  const Vm& web = vm("web");
  EXPECT_EQ(web.state, VmState::kSuspended);
  EXPECT_EQ(web.node, NodeId());
  EXPECT_GT(web.changed, before);
  EXPECT_EQ(web.reason, "");
  EXPECT_EQ(room(1).memory_mib, 1024);
  EXPECT_TRUE(cluster_.state.pending().empty());
  EXPECT_EQ(cluster_.state.vms_in(VmState::kSuspended), 1u);
  ASSERT_TRUE(web.saves->resume_from);
  const SavedGuest& saved = *web.saves->resume_from;
  EXPECT_EQ(saved.holder, NodeId(1));
  EXPECT_EQ(saved.generation, Generation(1));
  EXPECT_EQ(saved.size, Bytes(4096));
  EXPECT_EQ(saved.digest[1], '1');
  EXPECT_EQ(host_text(saved), "kvm, hypervisor 7.2.22, 2000000 kHz");
  EXPECT_EQ(saved.saved.unix_ms, 77);
  EXPECT_FALSE(web.saves->used_by);
  EXPECT_TRUE(State::decode(cluster_.state.encode()));
}

TEST_F(Saved, OnlyAGuestThatIsThereIsSuspended) {
  make("web", {VM_STATE_STARTING});
  expect_no("SUSPENDED", "vm_not_running");
  ASSERT_TRUE(cluster_.report("web", VM_STATE_RUNNING));
  desire("STOPPED");
  expect_no("SUSPENDED", "vm_not_running");
  desire("RUNNING");
  ASSERT_TRUE(cluster_.apply(cluster_.evict_command("web", v1::EVICT_CAUSE_REBALANCE)).has_value());
  expect_no("SUSPENDED", "vm_not_running");
}

TEST_F(Saved, ReportOfASuspendedVmIsWhole) {
  make_running();
  desire("SUSPENDED");
  const auto bad = Code::kInvalidArgument;
  const auto refused = [&](const std::string& rest) {
    expect_refused(report_command(rest), bad, "report_invalid");
  };
  const std::string suspended = "state: VM_STATE_SUSPENDED released: true ";
  refused("state: VM_STATE_SUSPENDED released: true");
  refused("state: VM_STATE_RUNNING " + guest());
  refused(suspended + guest("digest", "'short'"));
  refused(suspended + guest("bytes", "0"));
  refused(suspended + guest("bytes", "9000000000000"));
  refused(suspended + guest("accelerator", "''"));
  refused(suspended + guest("accelerator", "'\\033[1m'"));
  refused(suspended + guest("hypervisor_version", "''"));
  refused(suspended + guest("saved_unix_ms", "-1"));
  refused("state: VM_STATE_RUNNING uses_saved: true");
  // Without `released` something of it may still run.
  expect_refused(report_command("state: VM_STATE_SUSPENDED " + guest()), Code::kFailedPrecondition,
                 "transition_refused");
  report_saved();
}

// It is not wanted so any more.
TEST_F(Saved, SavedTooLate) {
  make_running();
  desire("SUSPENDED");
  desire("RUNNING");
  report_saved();
  EXPECT_EQ(vm("web").state, VmState::kPending);
  EXPECT_EQ(vm("web").reason, "waiting for placement");
  EXPECT_TRUE(resumes_from(vm("web")));

  ASSERT_TRUE(cluster_.place("web", 1));
  ASSERT_TRUE(cluster_.report("web", VM_STATE_STARTING));
  ASSERT_TRUE(cluster_.report("web", VM_STATE_RUNNING));
  desire("SUSPENDED");
  desire("STOPPED");
  report_saved();
  EXPECT_EQ(vm("web").state, VmState::kPending);
  EXPECT_FALSE(resumes_from(vm("web")));

  ASSERT_TRUE(cluster_.place("web", 1));
  desire("RUNNING");
  ASSERT_TRUE(cluster_.report("web", VM_STATE_STARTING));
  ASSERT_TRUE(cluster_.report("web", VM_STATE_RUNNING));
  desire("SUSPENDED");
  desire("DELETED");
  report_saved();
  EXPECT_EQ(cluster_.state.find_vm("web"), nullptr);
}

TEST_F(Saved, GuestThatEndedInsteadIsStartedWhereItIs) {
  make_running();
  desire("SUSPENDED");
  ASSERT_TRUE(cluster_.report("web", VM_STATE_STOPPED));
  desire("RUNNING");
  EXPECT_EQ(vm("web").state, VmState::kPlaced);
  EXPECT_EQ(vm("web").generation, Generation(2));
}

TEST_F(Saved, SuspendedVmIsDeletedAtOnce) {
  make_suspended();
  desire("DELETED");
  EXPECT_EQ(cluster_.state.find_vm("web"), nullptr);
  EXPECT_EQ(cluster_.changes.back().kind, Change::Kind::kVmRemoved);
}

TEST_F(Saved, StopOfASuspendedVmGivesItsGuestUp) {
  make_suspended();
  desire("STOPPED");
  EXPECT_EQ(vm("web").state, VmState::kPending);
  EXPECT_TRUE(vm("web").saves.is_default());
  EXPECT_EQ(cluster_.state.pending().size(), 1u);
}

TEST_F(Saved, SuspendedVmIsNotPausedPlacedOrEvicted) {
  make_suspended();
  expect_no("PAUSED", "vm_not_running");
  expect_refused(cluster_.place_command("web", 1), Code::kFailedPrecondition, "vm_not_pending");
  expect_refused(cluster_.evict_command("web", v1::EVICT_CAUSE_REBALANCE),
                 Code::kFailedPrecondition, "vm_not_placed");
}

TEST_F(Saved, GroupOfASuspendedVmIsInUse) {
  must("set_group { group { name: 'db' } }");
  must_create("web", "groups: 'db'");
  ASSERT_TRUE(cluster_.place("web", 1));
  ASSERT_TRUE(cluster_.report("web", VM_STATE_STARTING));
  ASSERT_TRUE(cluster_.report("web", VM_STATE_RUNNING));
  desire("SUSPENDED");
  report_saved();
  const GroupMembers& members = *cluster_.state.members_of(Name("db"));
  EXPECT_EQ(members.suspended, 1u);
  EXPECT_EQ(members.pending + members.placed, 0u);
  expect_refused("remove_group { name: 'db' }", Code::kFailedPrecondition, "group_in_use");
  desire("RUNNING");
  EXPECT_EQ(members.pending, 1u);
  desire("DELETED");
  must("remove_group { name: 'db' }");
}

// Wake.

TEST_F(Saved, WakesOnAHostThatFits) {
  make_suspended();
  desire("RUNNING");
  EXPECT_EQ(vm("web").state, VmState::kPending);
  EXPECT_EQ(cluster_.state.pending().size(), 1u);
  expect_refused(cluster_.place_command("web", 3), Code::kFailedPrecondition, "saved_unfit");
  expect_detail(cluster_.place_command("web", 3),
                "node n3 is not like the host that the guest of VM web was saved on: kvm, "
                "hypervisor 7.2.22, 2000000 kHz");
  add_host(2, "7.2.22", 2'000'201);
  expect_refused(cluster_.place_command("web", 2), Code::kFailedPrecondition, "saved_unfit");
  add_host(2, "7.2.22", 1'999'799);
  expect_refused(cluster_.place_command("web", 2), Code::kFailedPrecondition, "saved_unfit");
  add_host(2, "7.2.22", 1'999'800);
  ASSERT_TRUE(cluster_.place("web", 2));
  EXPECT_EQ(vm("web").generation, Generation(2));
  EXPECT_EQ(resumes_from(vm("web"))->holder, NodeId(1));
}

TEST(Fits, IsOfAcceleratorHypervisorAndClock) {
  const SavedGuest saved{.accelerator = "kvm", .hypervisor_version = "7.2", .tsc_khz = 2'000'000};
  const auto node = [](const char* accelerator, const char* version, std::uint64_t tsc_khz) {
    Node made;
    made.accelerator = accelerator;
    made.hypervisor_version = version;
    made.tsc_khz = tsc_khz;
    return made;
  };
  EXPECT_TRUE(fits(saved, node("kvm", "7.2", 2'000'000)));
  EXPECT_TRUE(fits(saved, node("kvm", "7.2", 2'000'200)));
  EXPECT_FALSE(fits(saved, node("kvm", "7.2", 2'000'201)));
  EXPECT_FALSE(fits(saved, node("kvm", "7.2", 0)));
  EXPECT_FALSE(fits(saved, node("tcg", "7.2", 2'000'000)));
  EXPECT_FALSE(fits(saved, node("kvm", "7.3", 2'000'000)));
  EXPECT_FALSE(fits(saved, Node()));
}

TEST_F(Saved, SavedGuestIsUsedOnce) {
  make_suspended();
  desire("RUNNING");
  ASSERT_TRUE(cluster_.place("web", 2));
  report("state: VM_STATE_STARTING uses_saved: true");
  EXPECT_EQ(vm("web").saves->used_by, Generation(2));
  EXPECT_FALSE(resumes_from(vm("web")));
  const std::string hash = cluster_.state.hash();
  report("state: VM_STATE_STARTING uses_saved: true");
  EXPECT_EQ(cluster_.state.hash(), hash);
  ASSERT_TRUE(cluster_.report("web", VM_STATE_RUNNING));
  EXPECT_TRUE(vm("web").saves.is_default());
  EXPECT_EQ(vm("web").state, VmState::kRunning);
}

TEST_F(Saved, AnotherGenerationDoesNotUseItAgain) {
  make_suspended();
  desire("RUNNING");
  ASSERT_TRUE(cluster_.place("web", 2));
  report("state: VM_STATE_STARTING uses_saved: true");
  ASSERT_TRUE(cluster_.report("web", VM_STATE_FAILED));
  desire("RUNNING");
  ASSERT_EQ(vm("web").generation, Generation(3));
  expect_refused(report_command("state: VM_STATE_STARTING uses_saved: true"),
                 Code::kFailedPrecondition, "saved_guest_used");
  // It boots, wherever that is, and what was left of the other one is nobody's.
  ASSERT_TRUE(cluster_.report("web", VM_STATE_STARTING));
  EXPECT_EQ(vm("web").saves->used_by, Generation(2));
  ASSERT_TRUE(cluster_.report("web", VM_STATE_RUNNING));
  EXPECT_TRUE(vm("web").saves.is_default());
}

TEST_F(Saved, UnusedOneIsKeptForTheNextStart) {
  make_suspended();
  desire("RUNNING");
  ASSERT_TRUE(cluster_.place("web", 2));
  ASSERT_TRUE(cluster_.report("web", VM_STATE_STARTING));
  ASSERT_TRUE(cluster_.report("web", VM_STATE_FAILED));
  ASSERT_TRUE(cluster_.report("web", VM_STATE_PENDING, true));
  EXPECT_TRUE(resumes_from(vm("web")));
  ASSERT_TRUE(cluster_.place("web", 1));
  report("state: VM_STATE_STARTING uses_saved: true");
  EXPECT_EQ(vm("web").saves->used_by, Generation(3));
}

TEST_F(Saved, NobodyUsesWhatIsNotThere) {
  make("web", {});
  expect_refused(report_command("state: VM_STATE_STARTING uses_saved: true"),
                 Code::kFailedPrecondition, "saved_guest_used");
}

TEST_F(Saved, StopGivesUpWhatWasNotUsed) {
  make_suspended();
  desire("RUNNING");
  ASSERT_TRUE(cluster_.place("web", 2));
  desire("STOPPED");
  EXPECT_TRUE(vm("web").saves.is_default());
  expect_refused(report_command("state: VM_STATE_STARTING uses_saved: true"),
                 Code::kFailedPrecondition, "saved_guest_used");
}

// Snapshot.

TEST_F(Saved, SnapshotIsMadeOfAGuestThatRunsOn) {
  make_running();
  must("take_snapshot { name: 'web' }");
  EXPECT_TRUE(vm("web").saves->is_snapshot_asked());
  const std::string hash = cluster_.state.hash();
  must("take_snapshot { name: 'web' }");  // one is under way
  EXPECT_EQ(cluster_.state.hash(), hash);
  // Not the one that was asked for.
  report("state: VM_STATE_RUNNING snapshot { number: 2 error: 'no' }");
  EXPECT_EQ(cluster_.state.hash(), hash);
  report("state: VM_STATE_RUNNING snapshot { number: 1 " + guest() + " }");
  EXPECT_FALSE(vm("web").saves->is_snapshot_asked());
  ASSERT_TRUE(vm("web").saves->snapshot);
  EXPECT_EQ(vm("web").saves->snapshot->holder, NodeId(1));
  EXPECT_EQ(vm("web").saves->snapshot_error, "");
  EXPECT_FALSE(vm("web").saves->resume_from);
  EXPECT_EQ(vm("web").state, VmState::kRunning);
}

TEST_F(Saved, FailedSnapshotLeavesTheOneBefore) {
  make_snapshot();
  ASSERT_TRUE(cluster_.report("web", VM_STATE_PAUSED));
  must("take_snapshot { name: 'web' }");
  report("state: VM_STATE_PAUSED snapshot { number: 2 error: 'disk \\033 full' }");
  EXPECT_EQ(vm("web").saves->snapshot_error, "disk ? full");
  EXPECT_TRUE(vm("web").saves->snapshot);
  // The next says nothing of it.
  must("take_snapshot { name: 'web' }");
  EXPECT_EQ(vm("web").saves->snapshot_error, "");
}

TEST_F(Saved, SnapshotIsRefused) {
  const std::string take = "take_snapshot { name: 'web' }";
  expect_refused(take, Code::kNotFound, "vm_not_found");
  make("web", {VM_STATE_STARTING});
  expect_refused(take, Code::kFailedPrecondition, "vm_not_running");
  expect_refused("take_snapshot { name: 'web' vm_id: 999 }", Code::kAborted, "vm_replaced");
  desire("DELETED");
  expect_refused(take, Code::kFailedPrecondition, "vm_being_deleted");
}

TEST_F(Saved, SnapshotReportIsWhole) {
  make_running();
  must("take_snapshot { name: 'web' }");
  for (const std::string& wrong : {std::string("number: 1"), "number: 1 error: 'x' " + guest(),
                                   "number: 1 " + guest("bytes", "0")}) {
    expect_refused(report_command("state: VM_STATE_RUNNING snapshot { " + wrong + " }"),
                   Code::kInvalidArgument, "report_invalid");
  }
}

TEST_F(Saved, SnapshotEndsWithItsGuest) {
  make_running();
  const auto ask = [&] { must("take_snapshot { name: 'web' }"); };
  const auto expect_ended = [&](std::string_view error) {
    EXPECT_FALSE(vm("web").saves->is_snapshot_asked());
    EXPECT_EQ(vm("web").saves->snapshot_error, error);
  };
  ask();
  ASSERT_TRUE(cluster_.report("web", VM_STATE_STOPPED));
  expect_ended("its guest ended");
  desire("RUNNING");
  ASSERT_TRUE(cluster_.report("web", VM_STATE_STARTING));
  ASSERT_TRUE(cluster_.report("web", VM_STATE_RUNNING));
  ask();
  desire("SUSPENDED");
  report_saved();
  expect_ended("the VM left its node");
  EXPECT_TRUE(State::decode(cluster_.state.encode()));
}

TEST_F(Saved, DeletedSnapshotIsGone) {
  const std::string remove = "delete_snapshot { name: 'web' }";
  make_snapshot();
  must("restore_snapshot { name: 'web' }");
  expect_refused(remove, Code::kFailedPrecondition, "snapshot_in_use");
  report("state: VM_STATE_STARTING uses_saved: true");
  must(remove);
  EXPECT_FALSE(vm("web").saves->snapshot);
  EXPECT_TRUE(vm("web").saves->resume_from);
  expect_refused(remove, Code::kFailedPrecondition, "no_snapshot");
}

// Restore.

TEST_F(Saved, RestoreStartsAgainFromTheSnapshot) {
  make_snapshot();
  must("take_snapshot { name: 'web' }");
  desire("PAUSED");
  must("restore_snapshot { name: 'web' }");
  const Vm& web = vm("web");
  EXPECT_EQ(web.desired, VmDesired::kRunning);
  EXPECT_EQ(web.state, VmState::kPlaced);
  EXPECT_EQ(web.node, NodeId(1));
  EXPECT_EQ(web.generation, Generation(2));
  EXPECT_EQ(web.saves->snapshot_error, "the VM was started anew");
  ASSERT_TRUE(resumes_from(web));
  EXPECT_EQ(*resumes_from(web), *web.saves->snapshot);
  // Each restore may use it anew.
  for (const std::uint64_t generation : {2, 3}) {
    report("state: VM_STATE_STARTING uses_saved: true");
    EXPECT_EQ(vm("web").saves->used_by, Generation(generation));
    ASSERT_TRUE(cluster_.report("web", VM_STATE_RUNNING));
    EXPECT_FALSE(vm("web").saves->resume_from);
    EXPECT_TRUE(vm("web").saves->snapshot);
    must("restore_snapshot { name: 'web' }");
  }
}

TEST_F(Saved, RestoreOfASuspendedVmTakesTheSnapshot) {
  make_snapshot();
  desire("SUSPENDED");
  report("state: VM_STATE_SUSPENDED released: true " +
         guest("digest", "'later678901234567890123456789012'"));
  EXPECT_NE(*resumes_from(vm("web")), *vm("web").saves->snapshot);
  must("restore_snapshot { name: 'web' }");
  EXPECT_EQ(vm("web").state, VmState::kPending);
  EXPECT_EQ(*resumes_from(vm("web")), *vm("web").saves->snapshot);
  // The same again, as it waits.
  must("restore_snapshot { name: 'web' }");
  EXPECT_EQ(vm("web").state, VmState::kPending);
}

TEST_F(Saved, RestoreIsRefused) {
  const std::string restore = "restore_snapshot { name: 'web' }";
  const auto no = Code::kFailedPrecondition;
  expect_refused(restore, Code::kNotFound, "vm_not_found");
  make_running();
  expect_refused(restore, no, "no_snapshot");
  must("take_snapshot { name: 'web' }");
  report("state: VM_STATE_RUNNING snapshot { number: 1 " + guest() + " }");
  add_host(1, "8.0", 2'000'000);
  expect_refused(restore, no, "saved_unfit");
  add_host(1, "7.2.22", 2'000'000);
  ASSERT_TRUE(cluster_.report("web", VM_STATE_LOST));
  expect_refused(restore, no, "vm_lost");
  ASSERT_TRUE(cluster_.report("web", VM_STATE_RUNNING));
  ASSERT_TRUE(cluster_.report("web", VM_STATE_STOPPING));
  expect_refused(restore, no, "vm_busy");
  ASSERT_TRUE(cluster_.report("web", VM_STATE_STOPPED));
  must(restore);
  ASSERT_TRUE(cluster_.apply(cluster_.evict_command("web", v1::EVICT_CAUSE_REBALANCE)).has_value());
  expect_refused(restore, no, "vm_evicting");
  desire("DELETED");
  expect_refused(restore, no, "vm_being_deleted");
}

TEST_F(Saved, RestoreIsAStart) {
  must("set_tenant { tenant { name: 'default' starts { per_hour: 1 burst: 1 } } }");
  make_snapshot();
  must("restore_snapshot { name: 'web' }");
  expect_refused("restore_snapshot { name: 'web' }", Code::kResourceExhausted, "rate_exceeded");
}

// A node that was removed by force takes the guest with it, and what only it had.
TEST(SavedMember, SnapshotGoesWithItsNode) {
  Scenario cluster = Scenario::founded();
  ASSERT_TRUE(cluster.add_image("alpine"));
  ASSERT_TRUE(cluster.apply(Scenario::token_command(21, 1'000'000)));
  ASSERT_TRUE(cluster.enrol(21, "n2"));
  ASSERT_TRUE(cluster.add_node(2, 4, 1024));
  ASSERT_TRUE(cluster.create("web"));
  ASSERT_TRUE(cluster.place("web", 2));
  for (const v1::VmState state : {VM_STATE_STARTING, VM_STATE_RUNNING})
    ASSERT_TRUE(cluster.report("web", state));
  const std::string id = std::to_string(cluster.state.find_vm("web")->id.value);
  ASSERT_TRUE(cluster.apply("take_snapshot { name: 'web' }"));
  ASSERT_TRUE(cluster.apply("report_vms { node_id: 2 reports { generation: 1 vm_id: " + id +
                            " state: VM_STATE_RUNNING snapshot { number: 1 " + guest() + " } } }"));
  ASSERT_TRUE(cluster.apply("take_snapshot { name: 'web' }"));
  ASSERT_TRUE(cluster.apply("remove_node { node_id: 2 force: true }"));
  ASSERT_TRUE(cluster.apply("drop_node { node_id: 2 }"));
  const Vm& web = *cluster.state.find_vm("web");
  EXPECT_EQ(web.state, VmState::kPending);
  EXPECT_EQ(web.saves->snapshot_error, "node n2, which had it, was removed");
  EXPECT_FALSE(web.saves->is_snapshot_asked());
  EXPECT_FALSE(web.saves->snapshot);
  const auto restored = State::decode(cluster.state.encode());
  ASSERT_TRUE(restored) << restored.error().message();
  EXPECT_TRUE(*restored == cluster.state);
}

// Versions.

TEST_F(Saved, OlderCommandsSayNothingOfIt) {
  make_running();
  const std::string texts[] = {
      desired_command("PAUSED"),
      desired_command("SUSPENDED"),
      "take_snapshot { name: 'web' }",
      "restore_snapshot { name: 'web' }",
      "delete_snapshot { name: 'web' }",
      report_command("state: VM_STATE_SUSPENDED"),
      report_command("state: VM_STATE_STARTING uses_saved: true"),
      report_command("state: VM_STATE_RUNNING snapshot { number: 1 error: 'x' }"),
      "register_node { node_id: 1 name: 'n1' hypervisor_version: '7.2' }",
  };
  for (const std::string& text : texts) {
    v1::Command command = Scenario::command("version: 4 " + text);
    EXPECT_EQ(required_version(command), kStartVersion) << text;
    expect_refused(command, Code::kDataLoss, "command_invalid");
  }
  v1::Command command = Scenario::command("version: 4 " + texts[8]);
  fit_to_version(command);
  EXPECT_LT(required_version(command), kStartVersion);
  ASSERT_TRUE(cluster_.apply(command));
  EXPECT_EQ(node(1).hypervisor_version, "");
}

// Whoever hands it over may not see that it was stopped in between.
TEST_F(Saved, StopOfOneThatIsSavedAwayIsAnotherAssignment) {
  make_running();
  desire("SUSPENDED");
  report("state: VM_STATE_PAUSED " + guest());
  desire("STOPPED");
  EXPECT_EQ(vm("web").generation, Generation(2));
  EXPECT_EQ(vm("web").state, VmState::kPlaced);
  EXPECT_TRUE(vm("web").node);
  EXPECT_FALSE(vm("web").saves->resume_from);
  desire("RUNNING");
  EXPECT_FALSE(is_saved_away(vm("web")));
}

TEST_F(Saved, AndSoIsOneThatWasStoppedBeforeItWasSaidToBeSaved) {
  make_running();
  desire("SUSPENDED");
  desire("STOPPED");
  report("state: VM_STATE_PAUSED " + guest());
  EXPECT_EQ(vm("web").generation, Generation(2));
  EXPECT_EQ(vm("web").state, VmState::kPlaced);
  EXPECT_FALSE(vm("web").saves->resume_from);
}

// Whatever it is wanted by now: a guest that ended behind the word is not the one that was saved.
TEST_F(Saved, WhatEndsWhereItWasSavedMakesThatVoid) {
  make_running();
  desire("SUSPENDED");
  report("state: VM_STATE_PAUSED " + guest());
  desire("RUNNING");
  ASSERT_TRUE(is_saved_away(vm("web")));
  report("state: VM_STATE_STOPPED");
  EXPECT_FALSE(vm("web").saves->resume_from);
}

}  // namespace
}  // namespace blixard::cluster
