#include "node/vm/sim/sim_driver.h"

#include "node/vm/driver_suite.h"
#include "node/vm/sim/pretended_host.h"
#include "sim/world.h"

namespace blixard::vm_sim {
namespace {

using vm::HypervisorFault;

class SimHost final : public vm::SuiteHost {
 public:
  explicit SimHost(sim::Machine& machine) : machine_(machine) { install(); }

  env::Env env() override { return machine_.env(); }
  vm::Driver& driver() override { return *driver_; }

  env::Task<Result<void>> prepare() {
    for (const char* path : {"/image/vmlinux", "/image/initrd"}) {
      BLX_CO_TRY(co_await env().disk.make_directory("/image"));
      BLX_CO_TRY(co_await env().disk.replace_file(path, "bytes"));
    }
    make_driver();
    co_return Result<void>();
  }

  env::Task<Result<void>> restart_driver(HypervisorFault fault) override {
    co_await driver_->close();
    hypervisor_.fail_next_starts = fault == HypervisorFault::kExitsAtStart;
    hypervisor_.hang_next_starts = fault == HypervisorFault::kHangsAtStart;
    missing_ = fault == HypervisorFault::kMissing;
    make_driver();
    co_return Result<void>();
  }

  vm::GuestSpec guest(std::string cmdline) override {
    vm::GuestSpec spec;
    spec.id = VmId(next_id_++);
    spec.generation = Generation(1);
    spec.uuid = env().random.uuid();
    spec.name = "test-" + std::to_string(spec.id.value);
    spec.kernel_path = "/image/vmlinux";
    spec.initrd_path = "/image/initrd";
    spec.cmdline = std::move(cmdline);
    return spec;
  }

  env::Task<Result<void>> power_off_inside(vm::Record record) override {
    SimGuest* guest = hypervisor_.find(record.process);
    if (guest == nullptr) co_return fail(Code::kNotFound, "process_gone");
    guest->shutdown_wanted = true;
    guest->asked.notify_all();
    co_return Result<void>();
  }

 private:
  void install() {
    machine_.install_program(
        std::string(kSimHypervisorPath), [this](sim::ProcessContext process) -> env::Task<void> {
          const int code =
              co_await hypervisor_.run_guest(process.env(), process.spec(), process.id());
          process.exit(code);
        });
  }
  void make_driver() {
    driver_ = std::make_unique<SimDriver>(machine_.env(), hypervisor_, "/var/lib/blixard/vms",
                                          missing_ ? "/missing" : std::string(kSimHypervisorPath));
  }

  sim::Machine& machine_;
  SimHypervisor hypervisor_;
  std::unique_ptr<SimDriver> driver_;
  bool missing_ = false;
  std::uint64_t next_id_ = 1;
};

// The same over processes that are pretended, as in a daemon with --hypervisor simulated.
class PretendedSuiteHost final : public vm::SuiteHost {
 public:
  explicit PretendedSuiteHost(sim::Machine& machine)
      : outside_(machine.env()), processes_(outside_, hypervisor_) {}

  env::Env env() override {
    return {.executor = outside_.executor,
            .clock = outside_.clock,
            .random = outside_.random,
            .network = outside_.network,
            .security = outside_.security,
            .disk = outside_.disk,
            .process = processes_,
            .machine = outside_.machine,
            .rare = outside_.rare,
            .log = outside_.log};
  }
  vm::Driver& driver() override { return *driver_; }

  env::Task<Result<void>> prepare() {
    for (const char* path : {"/image/vmlinux", "/image/initrd"}) {
      BLX_CO_TRY(co_await env().disk.make_directory("/image"));
      BLX_CO_TRY(co_await env().disk.replace_file(path, "bytes"));
    }
    make_driver(std::string(kSimHypervisorPath));
    co_return Result<void>();
  }

  env::Task<Result<void>> restart_driver(HypervisorFault fault) override {
    co_await driver_->close();
    hypervisor_.fail_next_starts = fault == HypervisorFault::kExitsAtStart;
    hypervisor_.hang_next_starts = fault == HypervisorFault::kHangsAtStart;
    make_driver(fault == HypervisorFault::kMissing ? "/missing" : std::string(kSimHypervisorPath));
    co_return Result<void>();
  }

  vm::GuestSpec guest(std::string cmdline) override {
    vm::GuestSpec spec;
    spec.id = VmId(next_id_++);
    spec.generation = Generation(1);
    spec.uuid = outside_.random.uuid();
    spec.name = "test-" + std::to_string(spec.id.value);
    spec.kernel_path = "/image/vmlinux";
    spec.initrd_path = "/image/initrd";
    spec.cmdline = std::move(cmdline);
    return spec;
  }

  env::Task<Result<void>> power_off_inside(vm::Record record) override {
    SimGuest* guest = hypervisor_.find(record.process);
    if (guest == nullptr) co_return fail(Code::kNotFound, "process_gone");
    guest->shutdown_wanted = true;
    guest->asked.notify_all();
    co_return Result<void>();
  }

  PretendedProcesses& processes() { return processes_; }

 private:
  void make_driver(std::string program) {
    driver_ =
        std::make_unique<SimDriver>(env(), hypervisor_, "/var/lib/blixard/vms", std::move(program));
  }

  env::Env outside_;
  SimHypervisor hypervisor_;
  PretendedProcesses processes_;
  std::unique_ptr<SimDriver> driver_;
  std::uint64_t next_id_ = 1;
};

class PretendedSuite : public testing::TestWithParam<vm::SuiteCase> {};

TEST_P(PretendedSuite, Holds) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    sim::World world(seed);
    sim::Machine& machine = world.add_machine("a");
    PretendedSuiteHost host(machine);
    Result<void> result;
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
