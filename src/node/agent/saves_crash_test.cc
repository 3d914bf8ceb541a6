// A daemon that dies in the middle of a suspension or a wake: the next one brings the VM to what is
// desired, with one guest at most, and what was saved runs at most once.

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "node/agent/test_saves.h"

namespace blixard::agent {
namespace {

using cluster::VmStartKind;
using cluster::VmState;
using env::Task;

class SavesCrashTest : public SavesTest {
 public:
  // A moment of a suspension or a wake: how to hold it there, and how to know that it is.
  struct Moment {
    const char* name;
    std::function<void()> hold;
    std::function<bool()> is_there;
  };

  void hold_back(std::function<bool(const v1::VmReport&)> which) {
    replica_faults.held_back.reset();
    replica_faults.holds_back = std::move(which);
  }
  void let_go() {
    replica_faults.holds_back = {};
    driver_faults.release.reset();
    driver_faults.before_resume = {};
    hypervisor.times = {};
  }
  void come_back() {
    crash_daemon();
    let_go();
    start_daemon();
  }
  // Dies at that moment of what is wanted; the next daemon goes on.
  Task<bool> die_at(Moment moment, v1::VmDesired wanted) {
    moment.hold();
    co_await desire("web", wanted);
    if (!co_await until(moment.is_there)) co_return false;
    come_back();
    co_return co_await until_up();
  }

  std::vector<Moment> moments_of_suspension() {
    return {
        {"it is being saved", [this] { hypervisor.times.save = 1h; },
         [this] { return is_frozen(); }},
        {"saved and not told",
         [this] { hold_back([](const v1::VmReport& report) { return report.has_saved(); }); },
         [this] { return replica_faults.held_back && daemon.saved->count() == 1; }},
        {"told and not put away",
         [this] { driver_faults.release = Error(Code::kUnavailable, "io_error"); },
         [this] { return saves().resume_from && is_frozen(); }},
        {"put away and not released",
         [this] { hold_back([](const v1::VmReport& report) { return report.released(); }); },
         [this] { return replica_faults.held_back && nothing_is_left(); }},
    };
  }
  // All but the one at which the next start cannot know whether it ran.
  std::vector<Moment> moments_of_a_wake() {
    return {
        {"it is being loaded", [this] { hypervisor.times.load = 1h; },
         [this] { return guest() != nullptr && guest()->load_wanted; }},
        {"loaded and not claimed",
         [this] { hold_back([](const v1::VmReport& report) { return report.uses_saved(); }); },
         [this] { return replica_faults.held_back && guest() != nullptr && guest()->loaded; }},
        {"run, and it has not answered", [this] { hypervisor.times.answer = 8s; },
         [this] { return guest() != nullptr && guest()->run_wanted; }},
        {"ready and not told",
         [this] {
           hold_back(
               [](const v1::VmReport& report) { return report.state() == v1::VM_STATE_RUNNING; });
         },
         [this] { return replica_faults.held_back.has_value(); }},
    };
  }
};

TEST_F(SavesCrashTest, AtEachStepOfASuspension) {
  run([](SavesCrashTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.first_boot_id = t.boot_id();
    std::size_t round = 0;
    for (const Moment& moment : t.moments_of_suspension()) {
      CO_ASSERT(co_await t.die_at(moment, v1::VM_DESIRED_SUSPENDED), << moment.name);
      CO_ASSERT(co_await t.until_state("web", VmState::kSuspended), << moment.name);
      EXPECT_TRUE(co_await t.until([&] { return t.nothing_is_left(); })) << moment.name;
      EXPECT_TRUE(co_await t.until_saved_files(1)) << moment.name;
      CO_ASSERT(t.saves().resume_from, << moment.name);
      EXPECT_TRUE(t.lies_there(t.saves().resume_from->digest)) << moment.name;
      EXPECT_FALSE(t.saves().used_by) << moment.name;
      co_await t.wake();
      EXPECT_EQ(t.find("web")->start->kind, VmStartKind::kResumed) << moment.name;
      EXPECT_EQ(t.boot_id(), t.first_boot_id) << moment.name;
      EXPECT_EQ(t.went_on.size(), ++round) << moment.name;
    }
    EXPECT_EQ(t.find("web")->restarts, 0u);
  }(*this));
}

// The user changes their mind while there is no daemon.
TEST_F(SavesCrashTest, AtEachStepOfASuspensionThatIsNotWantedAnyMore) {
  run([](SavesCrashTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    for (const auto wanted :
         {v1::VM_DESIRED_RUNNING, v1::VM_DESIRED_PAUSED, v1::VM_DESIRED_STOPPED}) {
      for (const Moment& moment : t.moments_of_suspension()) {
        t.first_boot_id = t.boot_id();
        moment.hold();
        co_await t.desire("web", v1::VM_DESIRED_SUSPENDED);
        CO_ASSERT(co_await t.until(moment.is_there), << moment.name);
        // Who is to be paused again is wanted running first.
        co_await t.desire("web", wanted == v1::VM_DESIRED_PAUSED ? v1::VM_DESIRED_RUNNING : wanted);
        if (wanted == v1::VM_DESIRED_PAUSED) co_await t.desire("web", wanted);
        t.come_back();
        CO_ASSERT(co_await t.until_up());
        const auto state = wanted == v1::VM_DESIRED_STOPPED  ? VmState::kStopped
                           : wanted == v1::VM_DESIRED_PAUSED ? VmState::kPaused
                                                             : VmState::kRunning;
        CO_ASSERT(co_await t.until([&] {
          return t.find("web")->state == state && !t.saves().resume_from && t.idle();
        }),
                  << moment.name << " " << state_name(t.find("web")->state));
        EXPECT_EQ(t.machine.processes(), state == VmState::kStopped ? 0u : 1u) << moment.name;
        EXPECT_TRUE(co_await t.until_saved_files(0)) << moment.name;
        if (state != VmState::kStopped) EXPECT_EQ(t.boot_id(), t.first_boot_id) << moment.name;
        co_await t.wake();
      }
    }
  }(*this));
}

TEST_F(SavesCrashTest, AtEachStepOfAWake) {
  run([](SavesCrashTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_suspended());
    std::size_t round = 0;
    for (const Moment& moment : t.moments_of_a_wake()) {
      CO_ASSERT(co_await t.die_at(moment, v1::VM_DESIRED_RUNNING), << moment.name);
      CO_ASSERT(co_await t.until_state("web", VmState::kRunning), << moment.name);
      EXPECT_EQ(t.boot_id(), t.first_boot_id) << moment.name;
      EXPECT_EQ(t.went_on.size(), ++round) << moment.name;
      EXPECT_TRUE(t.guest()->identified) << moment.name;
      EXPECT_EQ(t.machine.processes(), 1u) << moment.name;
      EXPECT_EQ(t.find("web")->restarts, 0u) << moment.name;
      EXPECT_FALSE(t.saves().resume_from) << moment.name;
      EXPECT_TRUE(co_await t.until_saved_files(0)) << moment.name;
      co_await t.suspend();
    }
  }(*this));
}

// Nobody can tell that it did not run.
TEST_F(SavesCrashTest, WhatWasClaimedAndDidNotRunIsABoot) {
  run([](SavesCrashTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_suspended());
    t.driver_faults.before_resume = [&t] { return t.machine.env().clock.sleep(1h); };
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    CO_ASSERT(co_await t.until([&] { return static_cast<bool>(t.saves().used_by); }));
    EXPECT_TRUE(t.went_on.empty());
    t.come_back();
    CO_ASSERT(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.find("web")->start->kind, VmStartKind::kCold);
    EXPECT_EQ(t.find("web")->start->why, "its saved guest was used by a start that did not finish");
    EXPECT_NE(t.boot_id(), t.first_boot_id);
    EXPECT_TRUE(t.went_on.empty());
    EXPECT_EQ(t.machine.processes(), 1u);
    EXPECT_FALSE(t.saves().resume_from);
    EXPECT_TRUE(co_await t.until_saved_files(0));
  }(*this));
}

// The same without a crash: it does not go on, or not as itself.
TEST_F(SavesCrashTest, WhatWasClaimedAndFailedIsABoot) {
  run([](SavesCrashTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_suspended(kOnFailure));
    const auto fail_once = [&t](std::function<void(bool)> set) -> Task<void> {
      set(true);
      co_await t.desire("web", v1::VM_DESIRED_RUNNING);
      CO_ASSERT(co_await t.until_state("web", VmState::kFailed));
      set(false);
      CO_ASSERT(co_await t.until_state("web", VmState::kRunning));
      EXPECT_EQ(t.find("web")->start->kind, VmStartKind::kCold);
      EXPECT_EQ(t.find("web")->start->why,
                "its saved guest was used by a start that did not finish");
      EXPECT_EQ(t.machine.processes(), 1u);
      EXPECT_FALSE(t.saves().resume_from);
    };
    co_await fail_once([&t](bool fails) {
      t.driver_faults.before_resume = {};
      if (fails)
        t.driver_faults.before_resume = []() -> Task<Result<void>> {
          co_return fail(Code::kUnavailable, "monitor_lost");
        };
    });
    EXPECT_TRUE(t.went_on.empty());
    co_await t.suspend();
    co_await fail_once([&t](bool fails) { t.hypervisor.stale_clones = fails; });
    EXPECT_EQ(t.went_on.size(), 1u);
  }(*this));
}

// Everywhere else.
TEST_F(SavesCrashTest, AnywhereInBoth) {
  run([](SavesCrashTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.first_boot_id = t.boot_id();
    std::size_t cold = 0;
    for (Duration after = 100us; after < 130ms; after += 1300us) {
      const std::size_t before = t.went_on.size();
      co_await t.desire("web", v1::VM_DESIRED_SUSPENDED);
      EXPECT_TRUE(co_await t.env().clock.sleep(after));
      t.come_back();
      CO_ASSERT(co_await t.until_up());
      CO_ASSERT(co_await t.until_state("web", VmState::kSuspended), << after / 1us);
      EXPECT_TRUE(co_await t.until_saved_files(1)) << after / 1us;
      EXPECT_TRUE(co_await t.until([&] { return t.nothing_is_left(); })) << after / 1us;
      co_await t.desire("web", v1::VM_DESIRED_RUNNING);
      EXPECT_TRUE(co_await t.env().clock.sleep(after));
      t.come_back();
      CO_ASSERT(co_await t.until_up());
      CO_ASSERT(co_await t.until_state("web", VmState::kRunning), << after / 1us);
      EXPECT_LE(t.went_on.size(), before + 1) << after / 1us;
      EXPECT_EQ(t.machine.processes(), 1u) << after / 1us;
      EXPECT_EQ(t.find("web")->restarts, 0u) << after / 1us;
      if (t.boot_id() == t.first_boot_id) continue;
      ++cold;
      EXPECT_EQ(t.find("web")->start->why,
                "its saved guest was used by a start that did not finish");
      t.first_boot_id = t.boot_id();
    }
    EXPECT_LE(cold, 10u) << "only between the word in the log and the first step";
  }(*this));
}

// The log takes what the dead daemon said only when the next one has thrown its file away.
TEST_F(SavesCrashTest, AWordOfTheDeadDaemonThatComesLateCostsNoGuest) {
  run([](SavesCrashTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.first_boot_id = t.boot_id();
    const Moment saved = t.moments_of_suspension().at(1);
    saved.hold();
    co_await t.desire("web", v1::VM_DESIRED_SUSPENDED);
    CO_ASSERT(co_await t.until(saved.is_there));
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    const v1::VmReport late = *t.replica_faults.held_back;
    t.come_back();
    CO_ASSERT(co_await t.until_up());
    CO_ASSERT(co_await t.until([&] { return t.idle() && !t.is_frozen(); }));
    CO_ASSERT(co_await t.until_saved_files(0));
    v1::Command command;
    command.mutable_report_vms()->set_node_id(kSelf.value);
    *command.mutable_report_vms()->add_reports() = late;
    co_await t.propose(std::move(command));
    EXPECT_TRUE(co_await t.until([&] { return t.went_on.size() == 1; }));
    CO_ASSERT(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.boot_id(), t.first_boot_id);
    EXPECT_EQ(t.machine.processes(), 1u);
    EXPECT_TRUE(co_await t.until_saved_files(0));
  }(*this));
}

TEST_F(SavesCrashTest, InTheMiddleOfASnapshot) {
  run([](SavesCrashTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.hypervisor.times.save = 1h;
    co_await t.ask_for_snapshot();
    CO_ASSERT(co_await t.until([&] { return t.is_frozen(); }));
    t.come_back();
    CO_ASSERT(co_await t.until_up());
    EXPECT_TRUE(co_await t.until([&] { return !t.saves().is_snapshot_asked(); }));
    EXPECT_EQ(t.saves().snapshot_error, "");
    EXPECT_TRUE(co_await t.until(
        [&] { return t.find("web")->state == VmState::kRunning && !t.is_frozen(); }));
    EXPECT_TRUE(co_await t.until_saved_files(1));
    EXPECT_EQ(t.find("web")->pid, t.web_pid);
    // Made, and the cluster does not know of it yet.
    t.hold_back([](const v1::VmReport& report) { return report.has_snapshot(); });
    co_await t.ask_for_snapshot();
    CO_ASSERT(co_await t.until([&] { return t.replica_faults.held_back.has_value(); }));
    t.come_back();
    CO_ASSERT(co_await t.until_up());
    EXPECT_TRUE(co_await t.until([&] { return !t.saves().is_snapshot_asked(); }));
    EXPECT_TRUE(co_await t.until_saved_files(1));
    EXPECT_TRUE(t.lies_there(t.saves().snapshot->digest));
    EXPECT_EQ(t.spawned.size(), 1u);
  }(*this));
}

// What ran before is put away whichever daemon does it.
TEST_F(SavesCrashTest, AnywhereInARestore) {
  run([](SavesCrashTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    co_await t.take_snapshot();
    v1::Command restore;
    restore.mutable_restore_snapshot()->set_name("web");
    for (Duration after = 100us; after < 130ms; after += 2900us) {
      const std::size_t before = t.went_on.size();
      const auto ran = t.spawned.back();
      co_await t.propose(restore);
      EXPECT_TRUE(co_await t.env().clock.sleep(after));
      t.come_back();
      CO_ASSERT(co_await t.until_up());
      CO_ASSERT(co_await t.until([&] {
        return t.find("web")->state == VmState::kRunning && !t.saves().resume_from;
      }),
                << after / 1us);
      EXPECT_FALSE(t.machine.is_alive(ran)) << after / 1us;
      EXPECT_EQ(t.machine.processes(), 1u) << after / 1us;
      EXPECT_LE(t.went_on.size(), before + 1) << after / 1us;
      EXPECT_TRUE(t.lies_there(t.saves().snapshot->digest)) << after / 1us;
    }
  }(*this));
}

}  // namespace
}  // namespace blixard::agent
