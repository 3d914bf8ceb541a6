#include "node/vm/sim/sim_driver.h"

#include "node/vm/driver_suite.h"
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
