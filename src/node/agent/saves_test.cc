// Guests that are suspended and woken, and what may come in between.

#include <string>

#include <gtest/gtest.h>

#include "env/rare.h"
#include "node/agent/test_saves.h"
#include "sim/test_rare.h"

namespace blixard::agent {
namespace {

using cluster::VmStartKind;
using cluster::VmState;
using env::Task;

TEST_F(SavesTest, ASuspendedGuestIsOnTheDiskAlone) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_suspended());
    EXPECT_EQ(t.find("web")->node, NodeId());
    EXPECT_EQ(t.find("web")->pid, 0);
    EXPECT_TRUE(t.nothing_is_left());
    const cluster::SavedGuest saved = *t.saves().resume_from;
    EXPECT_EQ(saved.holder, kSelf);
    const auto durable = t.machine.durable_content(t.saved_path(saved.digest));
    CO_ASSERT(durable);
    EXPECT_EQ(image::digest_of(*durable), saved.digest);
    EXPECT_EQ(durable->size(), saved.size.value);
    EXPECT_EQ(co_await t.saved_files(), 1u);
    EXPECT_TRUE(co_await t.until([&] { return t.idle(); }));
    using enum v1::VmState;
    EXPECT_EQ(t.states_of_web(), (std::vector{VM_STATE_STARTING, VM_STATE_RUNNING, VM_STATE_PAUSED,
                                              VM_STATE_SUSPENDED}));
  }(*this));
}

TEST_F(SavesTest, AWokenGuestGoesOnFromItsFile) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_suspended());
    EXPECT_TRUE(co_await t.env().clock.sleep(1h));
    const image::Digest digest = t.saves().resume_from->digest;
    co_await t.wake();
    const cluster::Vm web = *t.find("web");
    EXPECT_EQ(web.start->kind, VmStartKind::kResumed);
    EXPECT_EQ(web.start->why, "");
    EXPECT_LT(web.start->took_ms, 300u);
    EXPECT_EQ(web.generation, Generation(2));
    EXPECT_EQ(web.restarts, 0u);
    EXPECT_FALSE(web.saves->resume_from);
    EXPECT_FALSE(web.saves->used_by);
    EXPECT_EQ(t.boot_id(), t.first_boot_id);
    EXPECT_EQ(t.guest()->soul.late_ms, 0);
    EXPECT_TRUE(t.guest()->identified);
    EXPECT_EQ(t.went_on.size(), 1u);
    EXPECT_TRUE(co_await t.until([&] { return !t.lies_there(digest); }));
    EXPECT_EQ(co_await t.saved_files(), 0u);
    // It is watched, and is a guest as any other.
    t.machine.kill_process(t.spawned.back());
    EXPECT_TRUE(co_await t.until_state("web", VmState::kFailed));
  }(*this));
}

TEST_F(SavesTest, AGuestIsSuspendedAgainAndAgain) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_suspended());
    for (std::size_t round = 1; round <= 3; ++round) {
      co_await t.wake();
      EXPECT_EQ(t.went_on.size(), round);
      EXPECT_EQ(t.find("web")->start->kind, VmStartKind::kResumed);
      co_await t.suspend();
      EXPECT_TRUE(co_await t.until_saved_files(1));
    }
    co_await t.wake();
    EXPECT_EQ(t.boot_id(), t.first_boot_id);
  }(*this));
}

TEST_F(SavesTest, APausedGuestIsSuspendedAndGoesOn) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.first_boot_id = t.boot_id();
    co_await t.pause();
    co_await t.suspend();
    co_await t.wake();
    EXPECT_FALSE(t.is_frozen());
    EXPECT_EQ(t.boot_id(), t.first_boot_id);
    EXPECT_EQ(t.guest()->soul.late_ms, 0);
  }(*this));
}

TEST_F(SavesTest, ASaveThatFailsLeavesTheGuestRunningAndSaysWhy) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.hypervisor.fail_saves = true;
    co_await t.desire("web", v1::VM_DESIRED_SUSPENDED);
    EXPECT_TRUE(co_await t.until_reason("it could not be suspended: save_failed"));
    EXPECT_EQ(t.find("web")->state, VmState::kRunning);
    EXPECT_TRUE(co_await t.until([&] { return !t.is_frozen(); }));
    EXPECT_TRUE(co_await t.until_saved_files(0)) << "nothing half written stays";
    EXPECT_TRUE(co_await t.env().clock.sleep(1s));
    EXPECT_FALSE(t.is_frozen());
    // It is tried again, unless nobody wants it any more.
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    EXPECT_TRUE(co_await t.until([&] { return t.find("web")->reason.empty(); }));
    co_await t.desire("web", v1::VM_DESIRED_SUSPENDED);
    EXPECT_TRUE(co_await t.until_reason("save_failed"));
    t.hypervisor.fail_saves = false;
    EXPECT_TRUE(co_await t.until_state("web", VmState::kSuspended));
    EXPECT_EQ(t.spawned.size(), 1u);
  }(*this));
}

TEST_F(SavesTest, AGuestThatDoesNotFitOnTheDiskRunsOn) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.machine.set_disk_capacity(mib(256));
    co_await t.desire("web", v1::VM_DESIRED_SUSPENDED);
    EXPECT_TRUE(co_await t.until_reason("disk_full"));
    EXPECT_EQ(t.find("web")->state, VmState::kRunning);
    EXPECT_TRUE(co_await t.until([&] { return !t.is_frozen(); }));
    t.machine.set_disk_capacity(mib(1024));
    EXPECT_TRUE(co_await t.until_state("web", VmState::kSuspended));
  }(*this));
}

// What a daemon stopped to save it must not stand still because the next one cannot.
TEST_F(SavesTest, AGuestWhoseSaveWasCutShortRunsOnWhenTheNextFails) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.hypervisor.times.save = 1h;
    co_await t.desire("web", v1::VM_DESIRED_SUSPENDED);
    CO_ASSERT(co_await t.until([&] { return t.is_frozen(); }));
    t.crash_daemon();
    t.hypervisor.times.save = 10ms;
    t.hypervisor.fail_saves = true;
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    EXPECT_TRUE(co_await t.until_reason("save_failed"));
    EXPECT_TRUE(co_await t.until([&] { return !t.is_frozen(); }));
    EXPECT_EQ(t.find("web")->state, VmState::kRunning);
  }(*this));
}

TEST_F(SavesTest, AGuestThatEndsWhileItIsSavedHasEndedAndIsNotStarted) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    t.hypervisor.times.save = 10s;
    co_await t.desire("web", v1::VM_DESIRED_SUSPENDED);
    CO_ASSERT(co_await t.until([&] { return t.is_frozen(); }));
    t.machine.kill_process(t.spawned.back());
    EXPECT_TRUE(co_await t.until_state("web", VmState::kFailed));
    EXPECT_NE(t.find("web")->reason.find("process_died"), std::string::npos);
    EXPECT_TRUE(co_await t.env().clock.sleep(5min));
    EXPECT_EQ(t.find("web")->state, VmState::kFailed);
    EXPECT_EQ(t.spawned.size(), 1u);
    EXPECT_TRUE(t.nothing_is_left());
    EXPECT_EQ(co_await t.saved_files(), 0u);
    co_await t.wake();
    EXPECT_EQ(t.find("web")->start->kind, VmStartKind::kCold);
  }(*this));
}

TEST_F(SavesTest, AGuestThatEndedBeforeItWasToBeSuspendedHasEnded) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    t.replica_faults.reports_fail = Error(Code::kUnavailable, "no_leader");
    t.machine.kill_process(t.spawned.back());
    EXPECT_TRUE(co_await t.until([&] { return t.daemon.agent->reports_waiting() == 1; }));
    co_await t.desire("web", v1::VM_DESIRED_SUSPENDED);
    t.replica_faults.reports_fail.reset();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kFailed));
    EXPECT_NE(t.find("web")->reason.find("process_died"), std::string::npos);
    EXPECT_EQ(co_await t.saved_files(), 0u);
  }(*this));
}

TEST_F(SavesTest, WhoIsWantedAgainWhileItIsSavedIsWoken) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.first_boot_id = t.boot_id();
    t.hypervisor.times.save = 5s;
    co_await t.desire("web", v1::VM_DESIRED_SUSPENDED);
    CO_ASSERT(co_await t.until([&] { return t.is_frozen(); }));
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    EXPECT_TRUE(co_await t.until(
        [&] { return t.find("web")->state == VmState::kRunning && !t.went_on.empty(); }));
    EXPECT_EQ(t.boot_id(), t.first_boot_id);
    EXPECT_TRUE(co_await t.until_saved_files(0));
  }(*this));
}

TEST_F(SavesTest, WhoIsStoppedWhileItIsSavedLeavesNoFile) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.hypervisor.times.save = 5s;
    co_await t.desire("web", v1::VM_DESIRED_SUSPENDED);
    CO_ASSERT(co_await t.until([&] { return t.is_frozen(); }));
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kStopped));
    EXPECT_FALSE(t.saves().resume_from);
    EXPECT_TRUE(co_await t.until_saved_files(0));
    t.hypervisor.times.save = 10ms;
    co_await t.wake();
    EXPECT_EQ(t.find("web")->start->kind, VmStartKind::kCold);
    co_await t.suspend();
    EXPECT_EQ(co_await t.saved_files(), 1u);
  }(*this));
}

TEST_F(SavesTest, WhoIsDeletedWhileItIsSavedLeavesNothing) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.hypervisor.times.save = 5s;
    co_await t.desire("web", v1::VM_DESIRED_SUSPENDED);
    CO_ASSERT(co_await t.until([&] { return t.is_frozen(); }));
    co_await t.desire("web", v1::VM_DESIRED_DELETED);
    EXPECT_TRUE(co_await t.until([&] { return t.find("web") == nullptr; }));
    EXPECT_TRUE(t.nothing_is_left());
    EXPECT_TRUE(co_await t.until_saved_files(0));
  }(*this));
}

// It was told that it is saved when nobody took reports; then it was stopped, and started.
TEST_F(SavesTest, StoppedAndStartedBeforeTheLogHeardThatItWasSaved) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.replica_faults.reports_fail = Error(Code::kUnavailable, "no_leader");
    co_await t.desire("web", v1::VM_DESIRED_SUSPENDED);
    CO_ASSERT(co_await t.until([&] { return t.daemon.agent->reports_waiting() == 1; }));
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    CO_ASSERT(co_await t.until([&] { return t.nothing_is_left(); }));
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    t.replica_faults.reports_fail.reset();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    EXPECT_TRUE(co_await t.until([&] { return t.idle(); }));
    EXPECT_TRUE(co_await t.env().clock.sleep(1min));
    EXPECT_EQ(t.find("web")->state, VmState::kRunning);
    EXPECT_EQ(t.machine.processes(), 1u);
    EXPECT_FALSE(t.saves().resume_from);
    EXPECT_TRUE(co_await t.until_saved_files(0));
  }(*this));
}

// The same, for long: what was said to be saved does not begin again before the log has heard of
// it.
TEST_F(SavesTest, WhatIsOnItsWayIsNotStartedAgainHere) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.replica_faults.reports_fail = Error(Code::kUnavailable, "no_leader");
    co_await t.desire("web", v1::VM_DESIRED_SUSPENDED);
    CO_ASSERT(co_await t.until([&] { return t.daemon.agent->reports_waiting() == 1; }));
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    CO_ASSERT(co_await t.until([&] { return t.nothing_is_left(); }));
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    EXPECT_TRUE(co_await t.env().clock.sleep(1min));
    EXPECT_EQ(t.machine.processes(), 0u);
    const sim::OnlyRare rare(t.world, env::RareSite::kReportsSplit);
    t.replica_faults.reports_fail.reset();
    EXPECT_TRUE(co_await t.until([&] { return t.find("web")->generation == Generation(2); }));
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.find("web")->start->kind, VmStartKind::kCold);
    EXPECT_FALSE(t.saves().resume_from);
    EXPECT_EQ(t.spawned.size(), 2u);
  }(*this));
}

// A daemon that leaves.

TEST_F(SavesTest, ADaemonThatLeavesFirstFinishesWhatItSuspends) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.first_boot_id = t.boot_id();
    t.hypervisor.times.save = 2s;
    co_await t.desire("web", v1::VM_DESIRED_SUSPENDED);
    CO_ASSERT(co_await t.until([&] { return t.is_frozen(); }));
    t.daemon.agent->leave();
    EXPECT_TRUE(co_await t.until([&] { return t.left; }));
    EXPECT_TRUE(t.nothing_is_left());
    co_await t.machine.stop_daemon();
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    EXPECT_TRUE(co_await t.until_state("web", VmState::kSuspended));
    co_await t.wake();
    EXPECT_EQ(t.boot_id(), t.first_boot_id);
  }(*this));
}

TEST_F(SavesTest, ADaemonThatLeavesDoesNotWaitForTheLogForEver) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.first_boot_id = t.boot_id();
    t.replica_faults.reports_fail = Error(Code::kUnavailable, "no_leader");
    co_await t.desire("web", v1::VM_DESIRED_SUSPENDED);
    CO_ASSERT(co_await t.until([&] { return t.daemon.agent->reports_waiting() == 1; }));
    t.daemon.agent->leave();
    EXPECT_TRUE(co_await t.until([&] { return t.left; }, 1min));
    EXPECT_TRUE(t.is_frozen()) << "nobody knows yet where it is saved";
    co_await t.machine.stop_daemon();
    t.replica_faults.reports_fail.reset();
    t.start_daemon();
    CO_ASSERT(co_await t.until_state("web", VmState::kSuspended));
    EXPECT_TRUE(co_await t.until_saved_files(1));
    co_await t.wake();
    EXPECT_EQ(t.boot_id(), t.first_boot_id);
  }(*this));
}

}  // namespace
}  // namespace blixard::agent
