#include "node/vm/sim/sim_driver.h"

#include "node/vm/driver_suite.h"
#include "node/vm/sim/pretended_host.h"
#include "node/vm/sim/test_suite_host.h"
#include "sim/world.h"

namespace blixard::vm_sim {
namespace {

class PretendedSuite : public testing::TestWithParam<vm::SuiteCase> {};

TEST_P(PretendedSuite, Holds) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    sim::World world(seed);
    sim::Machine& machine = world.add_machine("a");
    PretendedSuiteHost host(machine);
    Result<void> result;
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
    const auto main = [&]() -> env::Task<void> {
      result = co_await host.prepare();
      if (result) result = co_await GetParam().run(host);
      ignore(co_await vm::clean_up(host), "what counts is the case");
      co_await host.driver().close();
      EXPECT_EQ(host.processes().running(), 0u);
      co_await host.processes().close();
    };
    EXPECT_TRUE(world.run(main())) << world.log_lines().back();
    EXPECT_TRUE(result) << "seed " << seed << ": " << result.error().message();
  }
}

INSTANTIATE_TEST_SUITE_P(Driver, PretendedSuite, testing::ValuesIn(vm::driver_suite()),
                         [](const auto& info) { return std::string(info.param.name); });

// A guest ends with its daemon; the next daemon takes nobody else's for it.
TEST(PretendedHost, WhatAnEarlierDaemonStartedIsGone) {
  sim::World world(1);
  sim::Machine& machine = world.add_machine("a");
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
  const auto main = [&]() -> env::Task<void> {
    const env::Env env = machine.env();
    EXPECT_TRUE(co_await env.disk.make_directory("/image"));
    EXPECT_TRUE(co_await env.disk.replace_file("/image/vmlinux", "bytes"));
    vm::GuestSpec spec{.id = VmId(7), .generation = Generation(1), .name = "web"};
    spec.uuid = env.random.uuid();
    spec.kernel_path = spec.initrd_path = "/image/vmlinux";
    vm::Record record;
    {
      PretendedHost host(env, "/vms", {.boot = 1ms});
      const auto capabilities = co_await host.driver().probe();
      EXPECT_EQ(vm::accelerator_name(capabilities->accelerator), "simulated");
      auto prepared = co_await host.driver().prepare(spec);
      auto started = co_await host.driver().start(spec, *prepared, env.clock.monotonic() + 5s);
      EXPECT_TRUE(started);
      record = *started;
      EXPECT_TRUE(co_await host.driver().wait_ready(record, env.clock.monotonic() + 5s));
      EXPECT_EQ(vm::Record::decode(record.encode())->accelerator, vm::Accelerator::kSimulated);
      co_await host.close();
    }
    EXPECT_TRUE(co_await env.clock.sleep(1s));
    PretendedHost host(env, "/vms", {});
    const auto adopted = co_await host.driver().adopt(record);
    EXPECT_FALSE(adopted);
    EXPECT_EQ(adopted.error().reason(), "process_gone");
    EXPECT_TRUE(co_await host.driver().release(record));
    co_await host.close();
  };
  EXPECT_TRUE(world.run(main()));
}

class SimSuite : public testing::TestWithParam<vm::SuiteCase> {};

TEST_P(SimSuite, Holds) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    sim::World world(seed);
    sim::Machine& machine = world.add_machine("a");
    SimHost host(machine);
    Result<void> result;
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
    const auto main = [&]() -> env::Task<void> {
      result = co_await host.prepare();
      if (result) result = co_await GetParam().run(host);
      ignore(co_await vm::clean_up(host), "what counts is the case");
      co_await host.driver().close();
    };
    EXPECT_TRUE(world.run(main())) << world.log_lines().back();
    EXPECT_TRUE(result) << "seed " << seed << ": " << result.error().message();
    EXPECT_EQ(machine.processes(), 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Driver, SimSuite, testing::ValuesIn(vm::driver_suite()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace blixard::vm_sim
