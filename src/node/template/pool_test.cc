#include "node/template/pool.h"

#include <algorithm>

#include "env/scope.h"
#include "node/vm/driver_suite_steps.h"
#include "node/vm/label.h"
#include "node/vm/sim/test_suite_host.h"
#include "sim/world.h"

namespace blixard::templates {
namespace {

using env::Task;

// A pool on a simulated machine, and what stands by there.
class TemplatePool : public testing::Test {
 protected:
  // Runs the pool beside the story.
  void run(std::function<Task<void>(Pool&)> story, std::size_t most = 4) {
    const auto main = [&]() -> Task<void> {
      EXPECT_TRUE(co_await host_.prepare());
      Pool pool(host_.env(), host_.driver(), most);
      env::Scope scope(host_.env().executor, co_await env::this_cancellation());
      scope.spawn(pool.run([this] { return is_starting_; }));
      co_await story(pool);
      scope.cancel();
      co_await scope.join();
      co_await host_.driver().close();
      EXPECT_EQ(co_await standing_by(), 0u);
    };
    EXPECT_TRUE(world_.run(main(), 1h)) << world_.log_lines().back();
  }

  // Of which clones are started.
  Task<vm::GuestSpec> clone(std::uint32_t memory_mib = 128) {
    vm::GuestSpec spec = host_.guest("");
    spec.memory = mib(memory_mib);
    const auto made = co_await vm::suite::make_template(host_, spec);
    EXPECT_TRUE(made);
    if (made) spec.clone_of = *made;
    co_return spec;
  }

  Task<std::size_t> standing_by() {
    const auto groups = co_await host_.env().process.groups();
    EXPECT_TRUE(groups);
    const auto is_standby = [](const std::string& group) {
      const auto id = vm::parse_group_name(group);
      return id && vm::is_standby(*id);
    };
    co_return groups ? static_cast<std::size_t>(std::ranges::count_if(*groups, is_standby)) : 0;
  }

  Task<void> let_pass(Duration duration) {
    EXPECT_TRUE(co_await host_.env().clock.sleep(duration));
  }

  sim::World world_{1};
  sim::Machine& machine_ = world_.add_machine("a");
  vm_sim::SimHost host_{machine_};
  bool is_starting_ = false;
};

// run() keeps each story until it has ended.
// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)

TEST_F(TemplatePool, AsManyStandByAsWereStartedLately) {
  run([this](Pool& pool) -> Task<void> {
    const vm::GuestSpec spec = co_await clone();
    EXPECT_EQ(co_await standing_by(), 0u);
    pool.started(spec);
    co_await let_pass(1s);
    EXPECT_EQ(co_await standing_by(), 1u);
    EXPECT_EQ(pool.count(), 1u);
    for (int i = 0; i < 9; ++i)
      pool.started(spec);
    co_await let_pass(1s);
    EXPECT_EQ(co_await standing_by(), 4u);  // at most
    co_await let_pass(Pool::kWindow + 5s);
    EXPECT_EQ(co_await standing_by(), 1u);
    co_await let_pass(Pool::kIdle);
    EXPECT_EQ(co_await standing_by(), 0u);
    EXPECT_EQ(pool.count(), 0u);
  });
}

TEST_F(TemplatePool, NoneStandsByWhereNoneIsWanted) {
  run(
      [this](Pool& pool) -> Task<void> {
        pool.started(co_await clone());
        co_await let_pass(10s);
        EXPECT_EQ(co_await standing_by(), 0u);
      },
      0);
}

TEST_F(TemplatePool, AStartIsNotDisturbed) {
  run([this](Pool& pool) -> Task<void> {
    const vm::GuestSpec spec = co_await clone();
    is_starting_ = true;
    pool.started(spec);
    co_await let_pass(20s);
    EXPECT_EQ(co_await standing_by(), 0u);
    is_starting_ = false;
    co_await let_pass(1s);
    EXPECT_EQ(co_await standing_by(), 1u);
  });
}

TEST_F(TemplatePool, OneThatDiesIsReplaced) {
  run([this](Pool& pool) -> Task<void> {
    pool.started(co_await clone());
    co_await let_pass(1s);
    EXPECT_TRUE(co_await host_.env().process.kill_group(vm::group_name(vm::standby_vm(0))));
    co_await let_pass(10s);
    EXPECT_EQ(co_await standing_by(), 1u);
    const auto left = co_await host_.driver().leftovers();
    EXPECT_TRUE(left && left->empty());
    EXPECT_EQ(machine_.processes(), 1u);
  });
}

TEST_F(TemplatePool, TheTemplateThatGoesTakesThemAlong) {
  run([this](Pool& pool) -> Task<void> {
    const vm::GuestSpec spec = co_await clone();
    pool.started(spec);
    co_await let_pass(1s);
    pool.forget(spec.clone_of->key);
    co_await let_pass(1s);
    EXPECT_EQ(co_await standing_by(), 0u);
    pool.forget("never heard of");
  });
}

TEST_F(TemplatePool, TheOneUsedLastComesFirst) {
  run(
      [this](Pool& pool) -> Task<void> {
        const vm::GuestSpec first = co_await clone(128);
        const vm::GuestSpec second = co_await clone(256);
        pool.started(first);
        co_await let_pass(1s);
        pool.started(second);
        co_await let_pass(1s);
        EXPECT_EQ(co_await standing_by(), 1u);
        const auto kept =
            co_await host_.driver().keep_standbys(second, 1, host_.env().clock.monotonic() + 1s);
        EXPECT_TRUE(kept && *kept == 1u);
        EXPECT_EQ(co_await standing_by(), 1u);  // it was of the second already
      },
      1);
}

TEST_F(TemplatePool, AMachineThatIsShortOfMemoryHasNone) {
  machine_.set_memory_available(Pool::kSpareMemory);
  run([this](Pool& pool) -> Task<void> {
    pool.started(co_await clone());
    co_await let_pass(10s);
    EXPECT_EQ(co_await standing_by(), 0u);
    machine_.set_memory_available(Bytes(Pool::kSpareMemory.value + Pool::kStandbyMemory.value));
    co_await let_pass(10s);
    EXPECT_EQ(co_await standing_by(), 1u);
  });
}

TEST_F(TemplatePool, WhatFailsIsTriedAgainMuchLater) {
  run([this](Pool& pool) -> Task<void> {
    const vm::GuestSpec spec = co_await clone();
    host_.hypervisor().fail_next_starts = true;
    pool.started(spec);
    co_await let_pass(2s);
    host_.hypervisor().fail_next_starts = false;
    pool.started(spec);
    co_await let_pass(30s);
    EXPECT_EQ(co_await standing_by(), 0u);
    co_await let_pass(1min);
    EXPECT_EQ(co_await standing_by(), 1u);
  });
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

}  // namespace
}  // namespace blixard::templates
