// What a daemon finds of the one before it: guests that it adopts or sees dead, records that it
// puts away, and what has no owner.

#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "node/agent/test_agent.h"

namespace blixard::agent {
namespace {

using cluster::VmState;

TEST_F(AgentTest, AdoptsTheSameProcess) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.crash_daemon();
    EXPECT_TRUE(co_await t.env().clock.sleep(5s));
    t.replica_faults.proposed.clear();
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    EXPECT_TRUE(co_await t.until([&] { return t.driver_faults.adopt_calls > 0 && t.idle(); }));
    EXPECT_TRUE(co_await t.env().clock.sleep(10s));
    EXPECT_EQ(t.find("web")->state, VmState::kRunning);
    EXPECT_EQ(t.find("web")->pid, t.web_pid);
    EXPECT_EQ(t.find("web")->restarts, 0u);
    EXPECT_EQ(t.spawned.size(), 1u);
    EXPECT_EQ(t.machine.processes(), 1u);
    // And it is watched again.
    t.machine.kill_process(t.spawned.at(0));
    EXPECT_TRUE(co_await t.until_state("web", VmState::kFailed));
  }(*this));
}

TEST_F(AgentTest, GuestThatDiedMeanwhileFails) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    t.crash_daemon();
    t.machine.kill_process(t.spawned.at(0));
    t.start_daemon();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kFailed));
    CO_ASSERT(t.find("web") != nullptr);
    EXPECT_NE(t.find("web")->reason.find("process_died"), std::string::npos)
        << t.find("web")->reason;
    EXPECT_TRUE(co_await t.until([&] { return t.nothing_is_left(); }));
    EXPECT_EQ(t.spawned.size(), 1u);
  }(*this));
}

TEST_F(AgentTest, GuestThatDiedMeanwhileIsRestartedByItsPolicy) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    t.crash_daemon();
    t.machine.kill_process(t.spawned.at(0));
    t.start_daemon();
    EXPECT_TRUE(co_await t.until([&] {
      const cluster::Vm* web = t.find("web");
      return web != nullptr && web->state == VmState::kRunning && web->restarts == 1;
    }));
    EXPECT_EQ(t.spawned.size(), 2u);
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

TEST_F(AgentTest, RecordWithoutProcessIsPutAway) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    const std::string path = t.record_path();
    t.crash_daemon();
    co_await t.change_record(path, [](vm::Record& record) { record.process = {}; });
    t.start_daemon();
    EXPECT_TRUE(co_await t.until([&] {
      const cluster::Vm* web = t.find("web");
      return web != nullptr && web->state == VmState::kRunning && web->pid != t.web_pid;
    }));
    EXPECT_EQ(t.machine.processes(), 1u);
    EXPECT_FALSE(t.machine.is_alive(t.spawned.at(0)));
  }(*this));
}

TEST_F(AgentTest, RecordOfAnotherGenerationIsPutAway) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    const std::string path = t.record_path();
    t.crash_daemon();
    co_await t.change_record(path, [](vm::Record& record) { record.generation = Generation(77); });
    t.start_daemon();
    EXPECT_TRUE(co_await t.until([&] {
      const cluster::Vm* web = t.find("web");
      return web != nullptr && web->state == VmState::kRunning && web->pid != t.web_pid;
    }));
    EXPECT_FALSE(t.machine.is_alive(t.spawned.at(0)));
    EXPECT_EQ(t.machine.processes(), 1u);
    EXPECT_EQ(t.driver_faults.adopt_calls, 0u);
  }(*this));
}

TEST_F(AgentTest, DamagedRecordLeavesOneProcess) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.machine.corrupt(t.record_path(), 0);
    t.crash_daemon();
    t.start_daemon();
    EXPECT_TRUE(co_await t.until([&] { return t.spawned.size() == 2; }));
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.machine.processes(), 1u);
    EXPECT_FALSE(t.machine.is_alive(t.spawned.at(0)));
  }(*this));
}

// The VM is deleted before anybody looked at what the damaged record pointed to.
TEST_F(AgentTest, DamagedRecordOfADeletedVmLeavesNothing) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.machine.corrupt(t.record_path(), 0);
    t.crash_daemon();
    t.replica_faults.barrier_closed = true;
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.desire("web", v1::VM_DESIRED_DELETED);
    t.replica_faults.barrier_closed = false;
    EXPECT_TRUE(co_await t.until([&] { return t.find("web") == nullptr; }));
    EXPECT_TRUE(t.nothing_is_left());
  }(*this));
}

// A driver that cannot tell is asked again; its guest is no worse off for that.
TEST_F(AgentTest, UnclearAdoptionKillsNobody) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    t.crash_daemon();
    t.driver_faults.adopt = Error(Code::kDeadlineExceeded, "monitor_silent");
    t.start_daemon();
    CO_ASSERT(co_await t.until([&] { return t.driver_faults.adopt_calls >= 5; }));
    EXPECT_TRUE(t.machine.is_alive(t.spawned.at(0)));
    EXPECT_EQ(t.find("web")->state, VmState::kRunning);
    EXPECT_NE(t.find("web")->reason.find("monitor_silent"), std::string::npos);
    t.driver_faults.adopt.reset();
    EXPECT_TRUE(co_await t.until([&] { return t.find("web")->reason.empty(); }));
    EXPECT_EQ(t.find("web")->pid, t.web_pid);
    EXPECT_EQ(t.spawned.size(), 1u);
  }(*this));
}

TEST_F(AgentTest, UnclearAdoptionDoesNotKeepAnybodyFromStopping) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    t.crash_daemon();
    t.driver_faults.adopt = Error(Code::kDeadlineExceeded, "monitor_silent");
    t.start_daemon();
    CO_ASSERT(co_await t.until([&] { return t.driver_faults.adopt_calls >= 3; }));
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kStopped));
    EXPECT_TRUE(t.nothing_is_left());
  }(*this));
}

TEST_F(AgentTest, GuestThatCannotBeWatchedIsNotKilled) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    t.crash_daemon();
    t.driver_faults.next_change = Error(Code::kUnavailable, "monitor_lost");
    t.start_daemon();
    CO_ASSERT(co_await t.until([&] { return t.driver_faults.adopt_calls > 0; }));
    EXPECT_TRUE(co_await t.env().clock.sleep(30s));
    EXPECT_TRUE(t.machine.is_alive(t.spawned.at(0)));
    EXPECT_EQ(t.find("web")->state, VmState::kRunning);
    t.driver_faults.next_change.reset();
    t.machine.kill_process(t.spawned.at(0));
    EXPECT_TRUE(co_await t.until([&] { return t.find("web")->restarts == 1; }));
  }(*this));
}

// The daemon went while a guest was booting: it boots on, and is reported when it is ready.
TEST_F(AgentTest, BootUnderWayIsAdopted) {
  run([](AgentTest& t) -> env::Task<void> {
    t.hypervisor.times.boot = 20s;
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.create("web", kNever);
    EXPECT_TRUE(co_await t.until([&] { return t.files_in("records") == 1; }));
    EXPECT_TRUE(co_await t.env().clock.sleep(5s));
    t.crash_daemon();
    t.start_daemon();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.spawned.size(), 1u);
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

TEST_F(AgentTest, AdoptedBootIsCancelledByStop) {
  run([](AgentTest& t) -> env::Task<void> {
    t.cmdline = "blx.test=hang-agent";
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.create("web", kNever);
    EXPECT_TRUE(co_await t.env().clock.sleep(5s));
    t.crash_daemon();
    t.start_daemon();
    CO_ASSERT(co_await t.until([&] { return t.driver_faults.adopt_calls > 0; }));
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kStopped, 5s));
    EXPECT_TRUE(t.nothing_is_left());
  }(*this));
}

TEST_F(AgentTest, WantedAgainWhileItIsAdopted) {
  run([](AgentTest& t) -> env::Task<void> {
    t.hypervisor.times.boot = 20s;
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.create("web", kNever);
    EXPECT_TRUE(co_await t.env().clock.sleep(5s));
    t.driver_faults.release = Error(Code::kUnavailable, "monitor_lost");
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    EXPECT_TRUE(co_await t.until([&] { return t.driver_faults.release_calls > 0; }));
    t.crash_daemon();
    t.driver_faults.release.reset();
    t.driver_faults.during_adopt = [&t] { return t.desire("web", v1::VM_DESIRED_RUNNING); };
    t.start_daemon();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

// What has no owner.

TEST_F(AgentTest, NothingIsTouchedBeforeTheStateIsCurrent) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    const std::string path = t.record_path();
    t.crash_daemon();
    // Of a VM that this state does not know, and of another generation of one that it does.
    co_await t.change_record(path, [](vm::Record& record) { record.generation = Generation(9); });
    auto stray = vm::Record::decode(t.machine.content(path).value_or(""));
    CO_ASSERT(stray);
    stray->id = VmId(9);
    stray->group = "vm-9";
    stray->directory = "/var/lib/blixard/vms/9";
    const std::string bytes = stray->encode();
    EXPECT_TRUE(co_await t.machine.env().disk.make_directory("/var/lib/blixard/vms/9"));
    EXPECT_TRUE(
        co_await t.machine.env().disk.replace_file("/var/lib/blixard/vms/9/record.json", bytes));
    EXPECT_TRUE(
        co_await t.machine.env().disk.replace_file("/var/lib/blixard/records/vm-9.json", bytes));
    t.replica_faults.barrier_closed = true;
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    EXPECT_TRUE(co_await t.env().clock.sleep(5min));
    EXPECT_TRUE(t.machine.is_alive(t.spawned.at(0)));
    EXPECT_EQ(t.driver_faults.release_calls, 1u) << "only that of the first boot";
    EXPECT_TRUE(t.machine.content("/var/lib/blixard/vms/9/record.json"));
    t.replica_faults.barrier_closed = false;
    EXPECT_TRUE(co_await t.until(
        [&] { return !t.machine.content("/var/lib/blixard/vms/9/record.json").has_value(); }));
    EXPECT_TRUE(co_await t.until(
        [&] { return !t.machine.content("/var/lib/blixard/records/vm-9.json").has_value(); }));
    EXPECT_TRUE(co_await t.until([&] { return t.find("web")->pid > t.web_pid; }));
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

}  // namespace
}  // namespace blixard::agent
