// Guests that are paused and go on.

#include <string>

#include <gtest/gtest.h>

#include "node/agent/test_saves.h"

namespace blixard::agent {
namespace {

using cluster::VmState;
using env::Task;

TEST_F(SavesTest, PausesAndGoesOn) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    co_await t.pause();
    EXPECT_TRUE(t.is_frozen());
    EXPECT_EQ(t.find("web")->pid, t.web_pid);
    EXPECT_TRUE(co_await t.env().clock.sleep(1h));
    EXPECT_EQ(t.find("web")->state, VmState::kPaused);
    co_await t.wake();
    EXPECT_FALSE(t.is_frozen());
    EXPECT_EQ(t.guest()->soul.late_ms, 0);
    EXPECT_EQ(t.find("web")->pid, t.web_pid);
    EXPECT_EQ(t.find("web")->restarts, 0u);
  }(*this));
}

TEST_F(SavesTest, PausedWhileItBootsStandsStillOnceItRuns) {
  run([](SavesTest& t) -> Task<void> {
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.create("web", kNever);
    CO_ASSERT(co_await t.until_state("web", VmState::kStarting));
    co_await t.pause();
    EXPECT_TRUE(t.is_frozen());
    EXPECT_EQ(t.spawned.size(), 1u);
  }(*this));
}

TEST_F(SavesTest, AGuestThatEndsWhilePausedHasEnded) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    co_await t.pause();
    t.machine.kill_process(t.spawned.back());
    EXPECT_TRUE(co_await t.until_state("web", VmState::kFailed));
    EXPECT_NE(t.find("web")->reason.find("process_died"), std::string::npos);
    EXPECT_TRUE(t.nothing_is_left());
  }(*this));
}

TEST_F(SavesTest, AGuestThatEndsWhilePausedIsRestartedAndPausedAgain) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    co_await t.pause();
    t.machine.kill_process(t.spawned.back());
    EXPECT_TRUE(co_await t.until(
        [&] { return t.find("web")->restarts == 1 && t.find("web")->state == VmState::kPaused; }));
    EXPECT_TRUE(t.is_frozen());
  }(*this));
}

TEST_F(SavesTest, APausedGuestIsAdoptedAsThat) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    co_await t.pause();
    t.crash_daemon();
    t.start_daemon();
    CO_ASSERT(co_await t.until([&] { return t.driver_faults.adopt_calls > 0 && t.idle(); }));
    EXPECT_TRUE(co_await t.env().clock.sleep(10s));
    EXPECT_EQ(t.find("web")->state, VmState::kPaused);
    EXPECT_TRUE(t.is_frozen());
    co_await t.wake();
    EXPECT_FALSE(t.is_frozen());
    EXPECT_EQ(t.spawned.size(), 1u);
  }(*this));
}

// The daemon that comes back learns of both wishes only then.
TEST_F(SavesTest, PausedAndResumedWhileTheDaemonWasAway) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    for (const bool is_to_pause : {true, false}) {
      t.crash_daemon();
      t.replica_faults.barrier_closed = true;
      t.start_daemon();
      CO_ASSERT(co_await t.until_up());
      co_await t.desire("web", is_to_pause ? v1::VM_DESIRED_PAUSED : v1::VM_DESIRED_RUNNING);
      t.replica_faults.barrier_closed = false;
      EXPECT_TRUE(
          co_await t.until_state("web", is_to_pause ? VmState::kPaused : VmState::kRunning));
      EXPECT_EQ(t.is_frozen(), is_to_pause);
    }
    EXPECT_EQ(t.spawned.size(), 1u);
  }(*this));
}

TEST_F(SavesTest, APauseThatFailsIsToldAndTriedAgain) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.driver_faults.pause = Error(Code::kUnavailable, "monitor_lost");
    co_await t.desire("web", v1::VM_DESIRED_PAUSED);
    EXPECT_TRUE(co_await t.until_reason("monitor_lost"));
    EXPECT_EQ(t.find("web")->state, VmState::kRunning);
    t.driver_faults.pause.reset();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kPaused));
    EXPECT_EQ(t.find("web")->reason, "");
  }(*this));
}

// What went wrong is over when nobody wants it any more.
TEST_F(SavesTest, AReasonGoesWithTheWish) {
  run([](SavesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.driver_faults.pause = Error(Code::kUnavailable, "monitor_lost");
    co_await t.desire("web", v1::VM_DESIRED_PAUSED);
    EXPECT_TRUE(co_await t.until_reason("monitor_lost"));
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    EXPECT_TRUE(co_await t.until([&] { return t.find("web")->reason.empty(); }));
  }(*this));
}

}  // namespace
}  // namespace blixard::agent
