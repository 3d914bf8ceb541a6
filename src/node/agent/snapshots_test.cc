// Snapshots of guests that run on, and what is restored from them.

#include <string>

#include <gtest/gtest.h>

#include "node/agent/test_saves.h"

namespace blixard::agent {
namespace {

using cluster::VmStartKind;
using cluster::VmState;
using env::Task;

TEST_F(SavesTest, AGuestRunsOnAfterItsSnapshot) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    co_await t.take_snapshot();
    CO_ASSERT(t.saves().snapshot);
    EXPECT_EQ(t.saves().snapshot_error, "");
    EXPECT_EQ(t.saves().snapshot->holder, kSelf);
    EXPECT_TRUE(t.lies_there(t.saves().snapshot->digest));
    EXPECT_EQ(t.find("web")->state, VmState::kRunning);
    EXPECT_FALSE(t.is_frozen());
    EXPECT_EQ(t.guest()->soul.late_ms, 0);
    EXPECT_EQ(t.find("web")->pid, t.web_pid);
    EXPECT_FALSE(t.saves().resume_from);
    t.machine.kill_process(t.spawned.back());
    EXPECT_TRUE(co_await t.until_state("web", VmState::kFailed)) << "it is watched";
  }(*this));
}

TEST_F(SavesTest, APausedGuestStaysPausedThroughASnapshot) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    co_await t.pause();
    co_await t.take_snapshot();
    EXPECT_TRUE(t.saves().snapshot);
    EXPECT_TRUE(co_await t.env().clock.sleep(1s));
    EXPECT_TRUE(t.is_frozen());
    EXPECT_EQ(t.find("web")->state, VmState::kPaused);
  }(*this));
}

TEST_F(SavesTest, ASnapshotThatFailsIsToldAndTheGuestRunsOn) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    co_await t.take_snapshot();
    const auto first = t.saves().snapshot;
    CO_ASSERT(first);
    t.hypervisor.fail_saves = true;
    co_await t.take_snapshot();
    EXPECT_NE(t.saves().snapshot_error.find("save_failed"), std::string::npos);
    EXPECT_EQ(t.saves().snapshot, first) << "the one before stays";
    EXPECT_FALSE(t.is_frozen());
    EXPECT_EQ(t.find("web")->state, VmState::kRunning);
    EXPECT_EQ(t.find("web")->reason, "");
    EXPECT_TRUE(co_await t.until_saved_files(1));
    EXPECT_TRUE(t.lies_there(first->digest));
    t.hypervisor.fail_saves = false;
    co_await t.take_snapshot();
    EXPECT_EQ(t.saves().snapshot_error, "");
    EXPECT_NE(t.saves().snapshot, first);
  }(*this));
}

TEST_F(SavesTest, OnlyTheNewestSnapshotIsKeptAndNoneThatWasDeleted) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    co_await t.take_snapshot();
    const image::Digest first = t.saves().snapshot->digest;
    co_await t.take_snapshot();
    const image::Digest second = t.saves().snapshot->digest;
    EXPECT_TRUE(co_await t.until([&] { return !t.lies_there(first); }));
    EXPECT_TRUE(t.lies_there(second));
    co_await t.delete_snapshot();
    EXPECT_TRUE(co_await t.until([&] { return !t.lies_there(second); }));
    EXPECT_EQ(co_await t.saved_files(), 0u);
  }(*this));
}

TEST_F(SavesTest, AGuestThatEndsInItsSnapshotEndsTheSnapshot) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    t.hypervisor.times.save = 10s;
    co_await t.ask_for_snapshot();
    CO_ASSERT(co_await t.until([&] { return t.is_frozen(); }));
    t.machine.kill_process(t.spawned.back());
    EXPECT_TRUE(co_await t.until(
        [&] { return t.find("web")->restarts == 1 && t.find("web")->state == VmState::kRunning; }));
    EXPECT_FALSE(t.saves().is_snapshot_asked());
    EXPECT_NE(t.saves().snapshot_error, "");
    EXPECT_FALSE(t.saves().snapshot);
    EXPECT_TRUE(co_await t.until_saved_files(0));
  }(*this));
}

// Restore.

TEST_F(SavesTest, ARestoreEndsWhatRanAndGoesOnFromTheSnapshot) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.first_boot_id = t.boot_id();
    co_await t.take_snapshot();
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    CO_ASSERT(co_await t.until_state("web", VmState::kStopped));
    co_await t.wake();
    EXPECT_NE(t.boot_id(), t.first_boot_id);
    const auto ran = t.spawned.back();
    co_await t.restore();
    EXPECT_EQ(t.find("web")->start->kind, VmStartKind::kResumed);
    EXPECT_FALSE(t.machine.is_alive(ran));
    EXPECT_EQ(t.boot_id(), t.first_boot_id);
    EXPECT_EQ(t.machine.processes(), 1u);
    EXPECT_FALSE(t.saves().resume_from);
    CO_ASSERT(t.saves().snapshot);
    EXPECT_TRUE(t.lies_there(t.saves().snapshot->digest));
  }(*this));
}

TEST_F(SavesTest, EachRestoreIsANewUseOfTheSameSnapshot) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.first_boot_id = t.boot_id();
    co_await t.take_snapshot();
    const auto snapshot = t.saves().snapshot;
    for (std::size_t round = 1; round <= 3; ++round) {
      const auto ran = t.spawned.back();
      co_await t.restore();
      EXPECT_FALSE(t.machine.is_alive(ran));
      EXPECT_EQ(t.find("web")->start->kind, VmStartKind::kResumed);
      EXPECT_EQ(t.boot_id(), t.first_boot_id);
      EXPECT_EQ(t.went_on.size(), round);
      EXPECT_EQ(t.saves().snapshot, snapshot);
    }
    // And one of a suspended VM, in whose place it goes on.
    co_await t.suspend();
    co_await t.restore();
    EXPECT_EQ(t.boot_id(), t.first_boot_id);
    EXPECT_EQ(t.went_on.size(), 4u);
    EXPECT_TRUE(co_await t.until_saved_files(1));
    EXPECT_TRUE(t.lies_there(snapshot->digest));
  }(*this));
}

TEST_F(SavesTest, ARestoreThatIsAskedForAgainBeginsAgain) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.first_boot_id = t.boot_id();
    co_await t.take_snapshot();
    t.hypervisor.times.answer = 5s;
    v1::Command command;
    command.mutable_restore_snapshot()->set_name("web");
    co_await t.propose(command);
    CO_ASSERT(co_await t.until([&] { return t.went_on.size() == 1; }));
    co_await t.restore();
    EXPECT_EQ(t.find("web")->generation, Generation(3));
    EXPECT_EQ(t.went_on.size(), 2u);
    EXPECT_EQ(t.boot_id(), t.first_boot_id);
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

}  // namespace
}  // namespace blixard::agent
