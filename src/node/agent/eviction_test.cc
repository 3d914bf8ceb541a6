// VMs that are told to leave this node: how they end here, what grace they have, and how they come
// back.

#include <cstdint>

#include <gtest/gtest.h>

#include "node/agent/test_agent.h"

namespace blixard::agent {
namespace {

using cluster::VmDesired;
using cluster::VmState;

TEST_F(AgentTest, AnEvictedVmIsGivenBackAndMayComeAgain) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    const Generation first = t.find("web")->generation;
    t.replica_faults.proposed.clear();
    co_await t.evict(v1::EVICT_CAUSE_REBALANCE);
    EXPECT_TRUE(t.find("web")->evicting);
    CO_ASSERT(co_await t.until_state("web", VmState::kPending));
    EXPECT_TRUE(co_await t.until([&] { return t.idle(); }));
    EXPECT_EQ(t.states_of_web(),
              (std::vector{v1::VM_STATE_STOPPING, v1::VM_STATE_STOPPED, v1::VM_STATE_PENDING}));
    const cluster::Vm web = *t.find("web");
    EXPECT_FALSE(web.node);
    EXPECT_FALSE(web.evicting);
    EXPECT_EQ(web.desired, VmDesired::kRunning);
    EXPECT_EQ(web.eviction->from, kSelf);
    EXPECT_EQ(web.generation, first);
    EXPECT_TRUE(t.nothing_is_left());
    EXPECT_EQ(t.spawned.size(), 1u);
    // Given to the same node once more, it is a new assignment.
    t.place_again();
    CO_ASSERT(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.find("web")->generation, first.next());
    EXPECT_EQ(t.find("web")->restarts, 0u);
    EXPECT_EQ(t.spawned.size(), 2u);
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

// The guest asked for 5 s; what it does not hear is followed by the power button, and its end.
TEST_F(AgentTest, APreemptedGuestHasTheSmallerGraceAndAnyOtherItsOwn) {
  run([](AgentTest& t) -> env::Task<void> {
    t.cmdline = "blx.test=ignore-shutdown";
    t.wishes.set_priority(100);
    t.wishes.set_preemptible(true);
    CO_ASSERT(co_await t.up_with_web(kNever));
    t.places = false;
    t.wishes.set_priority(900);
    co_await t.create("high", kNever);
    struct Row {
      std::uint32_t policy_seconds;
      v1::EvictCause cause;
      Duration grace;
    };
    for (const Row& row :
         {Row{1, v1::EVICT_CAUSE_PREEMPTION, 1s}, Row{60, v1::EVICT_CAUSE_PREEMPTION, 5s},
          Row{1, v1::EVICT_CAUSE_REBALANCE, 5s}}) {
      co_await t.set_grace(row.policy_seconds);
      t.replica_faults.proposed.clear();
      const bool is_preemption = row.cause == v1::EVICT_CAUSE_PREEMPTION;
      co_await t.evict(row.cause, is_preemption ? "high" : "");
      CO_ASSERT(co_await t.until_state("web", VmState::kPending));
      EXPECT_EQ(t.find("web")->eviction->by, is_preemption ? "high" : "");
      const Duration taken = t.from_to(v1::VM_STATE_STOPPING, v1::VM_STATE_PENDING);
      constexpr vm::StopLadder kLadder;
      EXPECT_GE(taken, row.grace + kLadder.button);
      EXPECT_LT(taken, row.grace + kLadder.button + kLadder.quit);
      co_await t.place_only("web");
      CO_ASSERT(co_await t.until_state("web", VmState::kRunning));
    }
  }(*this));
}

TEST_F(AgentTest, WhoStopsWhenEvictedStaysStoppedWhereItIs) {
  run([](AgentTest& t) -> env::Task<void> {
    t.wishes.set_on_evict(v1::ON_EVICT_STOP);
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    co_await t.evict(v1::EVICT_CAUSE_REBALANCE);
    CO_ASSERT(co_await t.until_state("web", VmState::kStopped));
    t.place_again();
    EXPECT_TRUE(co_await t.env().clock.sleep(10min));
    EXPECT_EQ(t.find("web")->state, VmState::kStopped);
    EXPECT_EQ(t.find("web")->desired, VmDesired::kStopped);
    EXPECT_EQ(t.find("web")->node, kSelf);
    EXPECT_FALSE(t.find("web")->evicting);
    EXPECT_TRUE(t.nothing_is_left());
    // Whoever wants it starts it.
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.spawned.size(), 2u);
  }(*this));
}

TEST_F(AgentTest, AnEvictionGoesOnAfterACrashInTheMiddle) {
  run([](AgentTest& t) -> env::Task<void> {
    t.cmdline = "blx.test=ignore-shutdown";
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    co_await t.evict(v1::EVICT_CAUSE_REBALANCE);
    CO_ASSERT(co_await t.until_state("web", VmState::kStopping));
    t.crash_daemon();
    EXPECT_TRUE(t.machine.is_alive(t.spawned.at(0)));
    t.start_daemon();
    CO_ASSERT(co_await t.until_state("web", VmState::kPending));
    EXPECT_EQ(t.driver_faults.adopt_calls, 1u);
    EXPECT_TRUE(t.nothing_is_left());
    EXPECT_EQ(t.spawned.size(), 1u) << "it was not started once more";
    t.place_again();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

TEST_F(AgentTest, EvictedWhileItsDaemonWasAway) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    t.crash_daemon();
    t.replica_faults.barrier_closed = true;
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.evict(v1::EVICT_CAUSE_REBALANCE);
    EXPECT_TRUE(t.machine.is_alive(t.spawned.at(0)));
    t.replica_faults.barrier_closed = false;
    CO_ASSERT(co_await t.until_state("web", VmState::kPending));
    EXPECT_TRUE(t.nothing_is_left());
    EXPECT_EQ(t.spawned.size(), 1u);
  }(*this));
}

TEST_F(AgentTest, AnEvictionEndsABoot) {
  run([](AgentTest& t) -> env::Task<void> {
    t.hypervisor.hang_next_starts = true;
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.create("web", kOnFailure);
    CO_ASSERT(co_await t.until([&] { return t.machine.processes() == 1; }));
    CO_ASSERT(co_await t.until_state("web", VmState::kStarting));
    co_await t.evict(v1::EVICT_CAUSE_REBALANCE);
    // Long before the monitor's patience is over.
    EXPECT_TRUE(co_await t.until_state("web", VmState::kPending, 2s));
    EXPECT_TRUE(t.nothing_is_left());
  }(*this));
}

TEST_F(AgentTest, WhoIsStoppedIsGivenBackAsItIs) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    CO_ASSERT(co_await t.until_state("web", VmState::kStopped));
    co_await t.evict(v1::EVICT_CAUSE_REBALANCE);
    CO_ASSERT(co_await t.until_state("web", VmState::kPending));
    EXPECT_EQ(t.find("web")->desired, VmDesired::kStopped);
    t.place_again();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kStopped));
    EXPECT_EQ(t.spawned.size(), 1u);
  }(*this));
}

TEST_F(AgentTest, ADeleteEndsAnEviction) {
  run([](AgentTest& t) -> env::Task<void> {
    t.cmdline = "blx.test=ignore-shutdown";
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    co_await t.evict(v1::EVICT_CAUSE_REBALANCE);
    CO_ASSERT(co_await t.until_state("web", VmState::kStopping));
    co_await t.desire("web", v1::VM_DESIRED_DELETED);
    EXPECT_TRUE(co_await t.until([&] { return t.find("web") == nullptr; }));
    EXPECT_TRUE(t.nothing_is_left());
    EXPECT_EQ(t.spawned.size(), 1u);
  }(*this));
}

}  // namespace
}  // namespace blixard::agent
