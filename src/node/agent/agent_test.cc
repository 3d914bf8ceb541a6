// The agent on a simulated machine: what it starts, restarts, stops and reports, while the replica
// and the driver fail under it.

#include "node/agent/agent.h"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/limits.h"
#include "env/rare.h"
#include "env/scope.h"
#include "node/agent/reports.h"
#include "node/agent/test_agent.h"
#include "sim/test_rare.h"

namespace blixard::agent {
namespace {

using cluster::VmState;

TEST_F(AgentTest, ReportsEachStateOfANewVm) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    EXPECT_TRUE(co_await t.until([&] { return t.idle(); }));
    EXPECT_EQ(t.states_of_web(), (std::vector{v1::VM_STATE_STARTING, v1::VM_STATE_RUNNING}));
    EXPECT_TRUE(t.machine.is_alive(t.spawned.at(0)));
    EXPECT_EQ(t.spawned.at(0).pid, t.find("web")->pid);
  }(*this));
}

// Restarts.

TEST_F(AgentTest, RestartDelayDoublesUpToItsCap) {
  run([](AgentTest& t) -> env::Task<void> {
    t.hypervisor.fail_next_starts = true;
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.create("web", kOnFailure);
    CO_ASSERT(co_await t.until([&] { return t.find("web")->restarts == 9; }, 1h));
    std::vector<std::int64_t> delays;
    std::optional<Instant> failed;
    for (const Proposed& proposed : t.replica_faults.proposed) {
      if (proposed.report.state() == v1::VM_STATE_FAILED) failed = proposed.at;
      if (proposed.report.state() == v1::VM_STATE_STARTING && failed) {
        delays.push_back((proposed.at - *failed + 500ms) / 1s);
      }
    }
    EXPECT_EQ(delays, (std::vector<std::int64_t>{1, 2, 4, 8, 16, 32, 60, 60, 60}));
    // A stop ends it, and nothing is started any more.
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kStopped));
    const std::size_t count = t.spawned.size();
    EXPECT_TRUE(co_await t.env().clock.sleep(10min));
    EXPECT_EQ(t.spawned.size(), count);
  }(*this));
}

TEST_F(AgentTest, GuestThatRanWellIsForgiven) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    for (std::uint32_t round = 1; round <= 4; ++round) {
      EXPECT_TRUE(co_await t.env().clock.sleep(limits::kRestartForgiven + 1s));
      t.machine.kill_process(t.spawned.back());
      const auto again = [&] {
        return t.find("web")->restarts == round && t.find("web")->state == VmState::kRunning;
      };
      EXPECT_TRUE(co_await t.until(again, 5s)) << round;
    }
  }(*this));
}

TEST_F(AgentTest, BootThatCannotBePreparedFailsWithItsReason) {
  run([](AgentTest& t) -> env::Task<void> {
    t.driver_faults.prepare = Error(Code::kAlreadyExists, "port_in_use", "port 8080");
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.create("web", kNever);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kFailed));
    EXPECT_EQ(t.find("web")->reason, "start_failed: port_in_use: port 8080");
    EXPECT_TRUE(co_await t.env().clock.sleep(2min));
    EXPECT_EQ(t.driver_faults.prepare_calls, 1u);
    EXPECT_TRUE(t.nothing_is_left());
    t.driver_faults.prepare.reset();
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
  }(*this));
}

TEST_F(AgentTest, CleanShutdownIsNoFailure) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    vm_sim::SimGuest* guest = t.hypervisor.find(t.spawned.at(0));
    CO_ASSERT(guest != nullptr);
    guest->shutdown_wanted = true;
    guest->asked.notify_all();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kStopped));
    EXPECT_EQ(t.find("web")->reason.substr(0, 14), "guest_shutdown");
    EXPECT_TRUE(co_await t.env().clock.sleep(2min));
    EXPECT_EQ(t.spawned.size(), 1u);
    // Nor does a new daemon start it.
    t.crash_daemon();
    t.start_daemon();
    EXPECT_TRUE(co_await t.until_up());
    EXPECT_TRUE(co_await t.env().clock.sleep(2min));
    EXPECT_EQ(t.find("web")->state, VmState::kStopped);
    EXPECT_EQ(t.spawned.size(), 1u);
    // An explicit start does.
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
  }(*this));
}

// Stopping.

TEST_F(AgentTest, StopCancelsABoot) {
  for (const auto desired : {v1::VM_DESIRED_STOPPED, v1::VM_DESIRED_DELETED}) {
    run([](AgentTest& t, v1::VmDesired wanted) -> env::Task<void> {
      t.hypervisor.hang_next_starts = true;
      t.start_daemon();
      CO_ASSERT(co_await t.until_up());
      co_await t.create("web", kNever);
      EXPECT_TRUE(co_await t.until_state("web", VmState::kStarting));
      EXPECT_TRUE(co_await t.until([&] { return t.machine.processes() == 1; }));
      co_await t.desire("web", wanted);
      // Long before the monitor's patience is over.
      EXPECT_TRUE(co_await t.until([&] { return t.machine.processes() == 0; }, 2s));
      EXPECT_TRUE(co_await t.until(
          [&] { return t.find("web") == nullptr || t.find("web")->state == VmState::kStopped; }));
      EXPECT_TRUE(t.nothing_is_left());
      if (t.find("web") != nullptr) co_await t.desire("web", v1::VM_DESIRED_DELETED);
      EXPECT_TRUE(co_await t.until([&] { return t.find("web") == nullptr; }));
    }(*this, desired));
  }
}

// The guest is told to shut down, which takes it a while; the user changes their mind.
TEST_F(AgentTest, StartWhileItStopsStartsItAgain) {
  run([](AgentTest& t) -> env::Task<void> {
    t.cmdline = "blx.test=ignore-shutdown";
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kStopping));
    EXPECT_TRUE(co_await t.env().clock.sleep(1s));
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    EXPECT_TRUE(co_await t.until(
        [&] { return t.find("web")->state == VmState::kRunning && t.spawned.size() == 2; }));
    EXPECT_EQ(t.machine.processes(), 1u);
    EXPECT_EQ(t.find("web")->restarts, 0u);
  }(*this));
}

// The same, and the daemon dies before it can do either.
TEST_F(AgentTest, StartWhileItStopsSurvivesACrash) {
  run([](AgentTest& t) -> env::Task<void> {
    t.cmdline = "blx.test=ignore-shutdown";
    CO_ASSERT(co_await t.up_with_web(kNever));
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kStopping));
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    t.crash_daemon();
    t.start_daemon();
    EXPECT_TRUE(co_await t.until([&] {
      return t.find("web") != nullptr && t.find("web")->state == VmState::kRunning &&
             t.spawned.size() == 2;
    }));
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

TEST_F(AgentTest, ReleaseThatFailsIsRetriedAtEase) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    t.driver_faults.release = Error(Code::kFailedPrecondition, "not_ours");
    t.driver_faults.release_calls = 0;
    co_await t.desire("web", v1::VM_DESIRED_DELETED);
    EXPECT_TRUE(co_await t.env().clock.sleep(10min));
    EXPECT_GE(t.driver_faults.release_calls, 5u);
    EXPECT_LE(t.driver_faults.release_calls, 20u);
    CO_ASSERT(t.find("web") != nullptr, << "gone, though it was never released");
    EXPECT_NE(t.find("web")->reason.find("not_ours"), std::string::npos);
    t.driver_faults.release.reset();
    EXPECT_TRUE(co_await t.until([&] { return t.find("web") == nullptr; }));
    EXPECT_TRUE(t.nothing_is_left());
  }(*this));
}

TEST_F(AgentTest, CrashWhilePuttingAwayIsFinishedByTheNext) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    t.machine.disk_faults().slowdown = 1000;  // each step takes long enough to die in
    co_await t.desire("web", v1::VM_DESIRED_DELETED);
    for (int round = 0; round < 20 && t.find("web") != nullptr; ++round) {
      EXPECT_TRUE(co_await t.env().clock.sleep(400ms));
      t.crash_daemon();
      t.start_daemon();
      EXPECT_TRUE(co_await t.until_up());
    }
    t.machine.disk_faults().slowdown = 1;
    EXPECT_TRUE(co_await t.until([&] { return t.find("web") == nullptr; }));
    EXPECT_TRUE(co_await t.until([&] { return t.nothing_is_left(); }));
  }(*this));
}

// Leaving.

TEST_F(AgentTest, LeaveStopsAllAndTheNextStartsThemAgain) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    co_await t.create("db", kNever);
    EXPECT_TRUE(co_await t.until_state("db", VmState::kRunning));
    co_await t.create("slow", kNever);
    EXPECT_TRUE(co_await t.until_state("slow", VmState::kStarting));
    t.daemon.agent->leave();
    EXPECT_TRUE(co_await t.until([&] { return t.left; }));
    EXPECT_TRUE(t.agent_result);
    EXPECT_TRUE(t.nothing_is_left());
    co_await t.machine.stop_daemon();
    t.start_daemon();
    for (const char* name : {"web", "db", "slow"})
      EXPECT_TRUE(co_await t.until_state(name, VmState::kRunning));
    EXPECT_EQ(t.machine.processes(), 3u);
    EXPECT_EQ(t.find("web")->restarts, 0u);
  }(*this));
}

TEST_F(AgentTest, LeaveEndsThoughNothingCanBeReleased) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    t.driver_faults.release = Error(Code::kUnavailable, "io_error");
    t.replica_faults.reports_fail = Error(Code::kResourceExhausted, "disk_full");
    t.daemon.agent->leave();
    EXPECT_TRUE(co_await t.until([&] { return t.left; }, 1min));
    t.driver_faults.release.reset();
    t.replica_faults.reports_fail.reset();
    co_await t.machine.stop_daemon();
    t.start_daemon();
    EXPECT_TRUE(co_await t.until([&] { return t.spawned.size() == 2; }));
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

// Reports.

TEST_F(AgentTest, ReportsWaitInOrderAndDoNotPileUp) {
  run([](AgentTest& t) -> env::Task<void> {
    t.hypervisor.fail_next_starts = true;
    t.replica_faults.reports_fail = Error(Code::kResourceExhausted, "disk_full");
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.create("web", kOnFailure);
    CO_ASSERT(co_await t.until([&] { return t.spawned.size() == 30; }, 1h));
    EXPECT_LE(t.daemon.agent->reports_waiting(), 10u);
    EXPECT_LE(t.replica_faults.report_tries, 400u);
    EXPECT_EQ(t.find("web")->state, VmState::kPlaced);
    t.hypervisor.fail_next_starts = false;
    CO_ASSERT(co_await t.until([&] { return t.machine.processes() == 1; }));
    EXPECT_TRUE(co_await t.env().clock.sleep(5s));
    t.replica_faults.reports_fail.reset();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    // Each follows the one before it.
    VmState last = VmState::kPlaced;
    for (const v1::VmState state : t.states_of_web()) {
      EXPECT_TRUE(cluster::may_follow(last, static_cast<VmState>(state)));
      last = static_cast<VmState>(state);
    }
  }(*this));
}

TEST_F(AgentTest, RefusedReportKeepsNobodyWaiting) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    Reports reports(t.machine.env(), *t.daemon.replica, kSelf);
    v1::VmReport report;
    report.set_vm_id(t.find("web")->id.value);
    report.set_generation(t.find("web")->generation.value);
    report.set_state(v1::VM_STATE_PLACED);  // never after Running
    reports.add(report);
    env::Scope scope(t.env().executor, nullptr);
    scope.spawn(reports.run());
    EXPECT_TRUE(co_await t.until([&] { return reports.waiting() == 0; }));
    report.set_state(v1::VM_STATE_PAUSED);
    reports.add(report);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kPaused));
    scope.cancel();
    co_await scope.join();
  }(*this));
}

// Console.

TEST_F(AgentTest, ConsoleOfAVm) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    const auto text = co_await t.daemon.agent->console(t.find("web")->id, 6);
    CO_ASSERT(text, << text.error().message());
    EXPECT_EQ(*text, "ready\n");
    const auto nobody = co_await t.daemon.agent->console(VmId(99), 100);
    CO_ASSERT(!nobody);
    EXPECT_EQ(nobody.error().reason(), "console_empty");
    // On another node.
    EXPECT_TRUE(co_await t.daemon.replica->propose(register_command(NodeId(2), "b")));
    v1::Command create;
    create.mutable_create_vm()->set_name("far");
    create.mutable_create_vm()->set_uuid(std::string(16, 'u'));
    create.mutable_create_vm()->set_desired(v1::VM_DESIRED_RUNNING);
    create.mutable_create_vm()->mutable_spec()->set_image("tiny");
    create.mutable_create_vm()->mutable_spec()->set_vcpus(1);
    create.mutable_create_vm()->mutable_spec()->set_memory_mib(128);
    create.mutable_create_vm()->mutable_spec()->set_restart(kNever);
    const auto created = co_await t.daemon.replica->propose(std::move(create));
    CO_ASSERT(created, << created.error().message());
    v1::Command place;
    place.mutable_place_vm()->set_vm_id(created->object_id);
    place.mutable_place_vm()->set_node_id(2);
    EXPECT_TRUE(co_await t.daemon.replica->propose(std::move(place)));
    const auto elsewhere = co_await t.daemon.agent->console(VmId(created->object_id), 100);
    CO_ASSERT(!elsewhere);
    EXPECT_EQ(elsewhere.error().reason(), "vm_not_here");
  }(*this));
}

// Rare events.

TEST_F(AgentTest, NewsAndStartsMayBeLate) {
  run([](AgentTest& t) -> env::Task<void> {
    for (const auto site : {env::RareSite::kAgentLate, env::RareSite::kGuestStartLate}) {
      const sim::OnlyRare rare(t.world, site);
      if (!t.find("web")) {
        CO_ASSERT(co_await t.up_with_web());
      } else {
        co_await t.desire("web", v1::VM_DESIRED_RUNNING);
        EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
      }
      co_await t.desire("web", v1::VM_DESIRED_STOPPED);
      EXPECT_TRUE(co_await t.until_state("web", VmState::kStopped));
      EXPECT_EQ(t.machine.processes(), 0u);
      EXPECT_GE(rare.taken(), 1u);
    }
  }(*this));
}

TEST_F(AgentTest, ADaemonMayEndBetweenPreparingAndStarting) {
  run([](AgentTest& t) -> env::Task<void> {
    {
      const sim::OnlyRare rare(t.world, env::RareSite::kGuestStartLate);
      t.start_daemon();
      CO_ASSERT(co_await t.until_up());
      co_await t.create("web", kNever);
      EXPECT_TRUE(co_await t.until([&] { return rare.taken() == 1; }));
      t.crash_daemon();
    }
    EXPECT_EQ(t.spawned.size(), 0u);
    t.start_daemon();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

TEST_F(AgentTest, ReportsMayGoInPartsAndTwice) {
  run([](AgentTest& t) -> env::Task<void> {
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    {
      // They wait, so that there are several to split.
      t.replica_faults.reports_fail = Error(Code::kUnavailable, "no_leader");
      co_await t.create("web", kNever);
      EXPECT_TRUE(co_await t.until([&] { return t.daemon.agent->reports_waiting() == 2; }));
      t.replica_faults.reports_fail.reset();
      EXPECT_TRUE(co_await t.until([&] { return t.idle(); }));
      const sim::OnlyRare rare(t.world, env::RareSite::kReportsSplit);
      co_await t.desire("web", v1::VM_DESIRED_STOPPED);
      EXPECT_TRUE(co_await t.until_state("web", VmState::kStopped));
      EXPECT_GE(rare.taken(), 1u);
    }
    {
      const sim::OnlyRare rare(t.world, env::RareSite::kReportAnswerLost);
      co_await t.desire("web", v1::VM_DESIRED_RUNNING);
      EXPECT_TRUE(co_await t.until([&] { return rare.taken() >= 3; }));
      EXPECT_FALSE(t.idle());
    }
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    EXPECT_TRUE(co_await t.until([&] { return t.idle(); }));
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

// The log stands at the end of a round whose answer was lost; the next one does not begin there.
TEST_F(AgentTest, ReportsWithoutAnAnswerAreNotLeftOut) {
  run([](AgentTest& t) -> env::Task<void> {
    t.cmdline = "blx.test=ignore-shutdown";
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    t.replica_faults.reports_fail = Error(Code::kUnavailable, "no_leader");
    co_await t.create("web", kNever);
    EXPECT_TRUE(co_await t.until([&] { return t.daemon.agent->reports_waiting() == 2; }));
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    EXPECT_TRUE(co_await t.until([&] { return t.daemon.agent->reports_waiting() == 3; }));
    // Starting is answered; Running and Stopping go together, and nobody hears what came of them.
    t.replica_faults.answers_lost_from = t.replica_faults.proposed.size() + 1;
    t.replica_faults.reports_fail.reset();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kStopping));
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    EXPECT_TRUE(co_await t.until([&] { return t.daemon.agent->reports_waiting() == 5; }));
    t.replica_faults.answers_lost_from = std::numeric_limits<std::uint64_t>::max();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    EXPECT_TRUE(co_await t.until([&] { return t.idle(); }));
  }(*this));
}

}  // namespace
}  // namespace blixard::agent
