// Starts from templates: when a VM is a clone, and what it is otherwise.

#include <fmt/format.h>

#include "node/agent/test_agent.h"

namespace blixard::agent {
namespace {

using cluster::VmStartKind;
using cluster::VmState;
using env::Task;

class TemplateTest : public AgentTest {
 public:
  TemplateTest() { templates = mib(1024); }

  Task<const cluster::Vm*> running(std::string name) {
    co_await create(name, kOnFailure);
    EXPECT_TRUE(co_await until_state(name, VmState::kRunning));
    co_return find(name);
  }
  // Up, with "first" running and its template made.
  Task<bool> up_with_a_template() {
    start_daemon();
    if (!co_await until_up()) co_return false;
    const cluster::Vm* first = co_await running("first");
    EXPECT_EQ(first->start->kind, VmStartKind::kCold);
    EXPECT_EQ(first->start->why, "no template yet");
    co_return co_await until_made();
  }
  Task<bool> until_made() {
    co_return co_await until([this] { return made() == 1; });
  }
  std::size_t made() { return daemon.templates == nullptr ? 0 : daemon.templates->list().size(); }
};

TEST_F(TemplateTest, TheSecondVmIsAClone) {
  run([](TemplateTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_a_template());
    const cluster::Vm* web = co_await t.running("web");
    EXPECT_EQ(web->start->kind, VmStartKind::kWarm);
    EXPECT_EQ(web->start->why, "");
    EXPECT_LT(web->start->took_ms, 200u);
    EXPECT_GT(t.find("first")->start->took_ms, 1000u);
    EXPECT_EQ(t.machine.processes(), 2u) << "who made the template is gone";
  }(*this));
}

TEST_F(TemplateTest, ACloneThatCannotBeLoadedBootsInTheSameStart) {
  run([](TemplateTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_a_template());
    for (bool* fault : {&t.hypervisor.fail_next_loads, &t.hypervisor.stale_clones,
                        &t.hypervisor.agent_refuses_identity}) {
      CO_ASSERT(co_await t.until_made());
      *fault = true;
      t.replica_faults.proposed.clear();
      const std::string name = fmt::format("vm-{}", t.spawned.size());
      const cluster::Vm* web = co_await t.running(name);
      *fault = false;
      EXPECT_EQ(web->start->kind, VmStartKind::kCold);
      EXPECT_NE(web->start->why.find("template_unusable"), std::string::npos) << web->start->why;
      EXPECT_EQ(web->restarts, 0u);
      EXPECT_EQ(t.states_of_web(), (std::vector{v1::VM_STATE_STARTING, v1::VM_STATE_RUNNING}));
    }
    // It was thrown away each time, and is made anew.
    CO_ASSERT(co_await t.until_made());
    EXPECT_EQ((co_await t.running("last"))->start->kind, VmStartKind::kWarm);
  }(*this));
}

// Whoever killed it, the template may be as good as it was.
TEST_F(TemplateTest, ACloneThatIsKilledBeforeItIsReadyCostsNoTemplate) {
  run([](TemplateTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_a_template());
    const WallTime made = t.daemon.templates->list().front().manifest.made;
    t.hypervisor.times.answer = 500ms;
    const std::size_t before = t.spawned.size();
    co_await t.create("web", kOnFailure);
    CO_ASSERT(co_await t.until([&] { return t.spawned.size() > before; }));
    EXPECT_TRUE(co_await t.env().clock.sleep(200ms));  // it was loaded, and answers in 300 ms
    t.machine.kill_process(t.spawned.back());
    CO_ASSERT(co_await t.until_state("web", VmState::kRunning));
    const cluster::Vm* web = t.find("web");
    EXPECT_EQ(web->start->kind, VmStartKind::kCold);
    EXPECT_NE(web->start->why.find("guest_ended"), std::string::npos) << web->start->why;
    EXPECT_EQ(web->restarts, 0u);
    EXPECT_EQ((co_await t.running("next"))->start->kind, VmStartKind::kWarm);
    CO_ASSERT(t.made() == 1);
    EXPECT_EQ(t.daemon.templates->list().front().manifest.made, made);
  }(*this));
}

TEST_F(TemplateTest, AGuestThatEndedIsACloneTheNextTime) {
  run([](TemplateTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_a_template());
    const auto process = t.spawned.front();
    t.machine.kill_process(process);
    CO_ASSERT(co_await t.until([&] {
      const cluster::Vm* first = t.find("first");
      return first->state == VmState::kRunning && first->restarts == 1;
    }));
    EXPECT_EQ(t.find("first")->start->kind, VmStartKind::kWarm);
  }(*this));
}

// Wherever the daemon dies, the next one has one guest run, and nothing else.
TEST_F(TemplateTest, ADaemonMayDieAnywhereInACloneStart) {
  run([](TemplateTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_a_template());
    for (int ms = 1; ms <= 90; ms += 3) {
      const std::string name = fmt::format("vm-{}", ms);
      co_await t.create(name, kOnFailure);
      EXPECT_TRUE(co_await t.env().clock.sleep(std::chrono::milliseconds(ms)));
      t.crash_daemon();
      t.start_daemon();
      CO_ASSERT(co_await t.until_up());
      CO_ASSERT(co_await t.until_state(name, VmState::kRunning));
      EXPECT_EQ(t.find(name)->restarts, 0u) << ms;
      EXPECT_TRUE(co_await t.until([&] { return t.machine.processes() == 2; })) << ms;
      co_await t.desire(name, v1::VM_DESIRED_DELETED);
      EXPECT_TRUE(co_await t.until([&] { return t.find(name) == nullptr; })) << ms;
    }
  }(*this));
}

TEST_F(TemplateTest, ADaemonMayDieAnywhereInAMaking) {
  run([](TemplateTest& t) -> Task<void> {
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    EXPECT_NE(co_await t.running("first"), nullptr);
    for (int ms = 20; ms <= 1600; ms += 79) {
      EXPECT_TRUE(co_await t.env().clock.sleep(std::chrono::milliseconds(ms)));
      t.crash_daemon();
      t.start_daemon();
      CO_ASSERT(co_await t.until_up());
      // A boot makes the daemon want the template again.
      co_await t.desire("first", v1::VM_DESIRED_STOPPED);
      CO_ASSERT(co_await t.until_state("first", VmState::kStopped));
      co_await t.desire("first", v1::VM_DESIRED_RUNNING);
      CO_ASSERT(co_await t.until_state("first", VmState::kRunning));
      if (t.made() == 1) break;
    }
    CO_ASSERT(co_await t.until_made());
    EXPECT_TRUE(co_await t.until([&] { return t.machine.processes() == 1; }));
  }(*this));
}

}  // namespace
}  // namespace blixard::agent
