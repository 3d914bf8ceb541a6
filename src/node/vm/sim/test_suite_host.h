#pragma once

// The driver suite's host over a SimHypervisor: on a simulated machine, and over processes that
// are pretended. For tests only.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "env/scope.h"
#include "node/vm/driver_suite.h"
#include "node/vm/sim/pretended_host.h"
#include "node/vm/sim/sim_driver.h"
#include "node/vm/sim/sim_hypervisor.h"
#include "sim/world.h"

namespace blixard::vm_sim {

class SuiteHostBase : public vm::SuiteHost {
 public:
  vm::Driver& driver() override { return *driver_; }
  SimHypervisor& hypervisor() { return hypervisor_; }

  env::Task<Result<void>> prepare() {
    BLX_CO_TRY(co_await env().disk.make_directory("/image"));
    for (const char* path : {"/image/vmlinux", "/image/initrd"})
      BLX_CO_TRY(co_await env().disk.replace_file(path, "bytes"));
    make_driver(std::string(kSimHypervisorPath));
    co_return Result<void>();
  }

  env::Task<Result<void>> restart_driver(vm::HypervisorFault fault) override {
    using enum vm::HypervisorFault;
    co_await driver_->close();
    hypervisor_.fail_next_starts = fault == kExitsAtStart;
    hypervisor_.hang_next_starts = fault == kHangsAtStart;
    hypervisor_.fail_next_loads = fault == kLoadFails;
    hypervisor_.stale_clones = fault == kStaleClones;
    hypervisor_.agent_refuses_identity = fault == kIdentityRefused;
    make_driver(fault == kMissing ? "/missing" : std::string(kSimHypervisorPath));
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
    spec.kernel_digest = spec.initrd_digest = image::digest_of("bytes");
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

  env::Task<Result<vm::GuestInside>> look_inside(vm::Record record) override {
    SimGuest* guest = hypervisor_.find(record.process);
    if (guest == nullptr || !guest->agent_answers || guest->paused)
      co_return fail(Code::kNotFound, "no_answer");
    Soul& soul = guest->soul;
    co_return vm::GuestInside{.name = soul.name,
                              .machine_id = soul.machine_id,
                              .boot = soul.boot_id,
                              .mac = soul.mac,
                              .random = soul.draw(),
                              .clock = {env().clock.wall().unix_ms - soul.late_ms}};
  }

  env::Task<Result<std::string>> empty_folder() override {
    std::string folder = "/var/lib/blixard/templates/" + std::to_string(next_id_++);
    BLX_CO_TRY(co_await env().disk.make_directory(folder));
    co_return folder;
  }

  env::Task<Result<vm::Record>> unfinished_clone(vm::GuestSpec spec) override {
    BLX_CO_TRY(vm::Record record, co_await driver_->prepare(spec));
    const Duration usual = std::exchange(hypervisor_.times.load, 1h);
    Result<vm::Record> started = record;
    env::Scope scope(env().executor, co_await env::this_cancellation());
    scope.spawn(keep(started, driver_->start(spec, record, env().clock.monotonic() + 2h)));
    const auto slept = co_await env().clock.sleep(1s);
    scope.cancel();
    co_await scope.join();
    hypervisor_.times.load = usual;
    BLX_CO_TRY(slept);
    if (started) co_return fail(Code::kInternal, "start_finished");
    const std::string path = env::join_path(record.directory, "record.json");
    BLX_CO_TRY(const std::string stored, co_await env().disk.read_file(path, 16384));
    BLX_CO_TRY(record, vm::Record::decode(stored));
    BLX_CO_TRY(co_await restart_driver(vm::HypervisorFault::kNone));
    co_return record;
  }

 protected:
  void make_driver(std::string program) {
    driver_ =
        std::make_unique<SimDriver>(env(), hypervisor_, "/var/lib/blixard/vms", std::move(program));
  }

  SimHypervisor hypervisor_;

 private:
  static env::Task<void> keep(Result<vm::Record>& result, env::Task<Result<vm::Record>> task) {
    result = co_await std::move(task);
  }

  std::unique_ptr<SimDriver> driver_;
  std::uint64_t next_id_ = 1;
};

class SimHost final : public SuiteHostBase {
 public:
  explicit SimHost(sim::Machine& machine) : machine_(machine) {
    machine_.install_program(std::string(kSimHypervisorPath), [this](sim::ProcessContext process) {
      return run_guest(hypervisor_, process);
    });
  }

  env::Env env() override { return machine_.env(); }

 private:
  static env::Task<void> run_guest(SimHypervisor& hypervisor, sim::ProcessContext process) {
    process.exit(co_await hypervisor.run_guest(process.env(), process.spec(), process.id()));
  }

  sim::Machine& machine_;
};

// As in a daemon with --hypervisor simulated.
class PretendedSuiteHost final : public SuiteHostBase {
 public:
  explicit PretendedSuiteHost(sim::Machine& machine) : processes_(machine.env(), hypervisor_) {}

  env::Env env() override { return processes_.env(); }

  PretendedProcesses& processes() { return processes_; }

 private:
  PretendedProcesses processes_;
};

}  // namespace blixard::vm_sim
