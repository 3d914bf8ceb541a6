#pragma once

// vm::Driver for simulated machines: the same promises as the real driver's (driver_suite.h checks
// them), over a SimHypervisor instead of sockets. Processes, groups, files and ports are those of
// the simulated machine, by way of env.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "env/env.h"
#include "env/sync.h"
#include "node/vm/driver.h"
#include "node/vm/sim/sim_hypervisor.h"
#include "node/vm/waiting.h"

namespace blixard::vm_sim {

class SimDriver final : public vm::Driver, private SimHypervisor::Listener {
 public:
  // `directory`: of the VMs' records. `program`: whose behaviour is SimHypervisor::run_guest().
  SimDriver(env::Env env, SimHypervisor& hypervisor, std::string directory,
            std::string program = std::string(kSimHypervisorPath));
  ~SimDriver() override;
  SimDriver(const SimDriver&) = delete;
  SimDriver& operator=(const SimDriver&) = delete;

  // What guests are said to run by; unless told, as software emulation does.
  void present_as(vm::Accelerator accelerator) { accelerator_ = accelerator; }

  env::Task<Result<vm::Capabilities>> probe() override;
  env::Task<Result<vm::Record>> prepare(vm::GuestSpec spec) override;
  env::Task<Result<vm::Record>> start(vm::GuestSpec spec, vm::Record prepared,
                                      Instant deadline) override;
  env::Task<Result<void>> wait_ready(vm::Record record, Instant deadline) override;
  env::Task<Result<vm::Status>> adopt(vm::Record record) override;
  env::Task<Result<vm::Status>> inspect(vm::Record record) override;
  env::Task<Result<vm::Status>> next_change(vm::Record record) override;
  env::Task<Result<vm::EndReason>> stop(vm::Record record, vm::StopLadder ladder) override;
  env::Task<Result<void>> pause(vm::Record record) override;
  env::Task<Result<void>> resume(vm::Record record) override;
  env::Task<Result<void>> save(vm::Record record, std::shared_ptr<vm::StateSink> sink,
                               Instant deadline) override;
  env::Task<Result<std::string>> saved_key(vm::GuestSpec spec) override;
  env::Task<Result<std::string>> console(vm::Record record, std::size_t size_max) override;
  env::Task<Result<void>> release(vm::Record record) override;
  env::Task<Result<std::string>> template_key(vm::GuestSpec spec) override;
  env::Task<Result<std::vector<std::string>>> make_template(vm::GuestSpec spec,
                                                            std::string directory,
                                                            Instant deadline) override;
  env::Task<Result<std::size_t>> keep_standbys(vm::GuestSpec spec, std::size_t count,
                                               Instant deadline) override;
  env::Task<Result<std::vector<VmId>>> leftovers() override;
  env::Task<Result<void>> release_leftover(VmId id) override;
  env::Task<void> close() override;

 private:
  // What this driver knows of a VM it started or took over.
  struct Known {
    explicit Known(env::Executor& executor) : changed(executor) {}

    vm::Record record;
    std::unique_ptr<env::Child> child;
    vm::Phase reported = vm::Phase::kRunning;
    vm::EndReason rung = vm::EndReason::kNone;
    bool ready = false;
    env::Signal changed;  // the guest, or what is known of it
  };
  using Vm = std::shared_ptr<Known>;

  void guest_changed(env::ProcessId id) override;
  void follow(const Vm& vm);
  [[nodiscard]] std::string directory(VmId id) const;
  [[nodiscard]] Result<void> check_record(const vm::Record& record) const;
  env::Task<std::optional<vm::Record>> load(VmId id);
  env::Task<Result<void>> store(const vm::Record& record);
  env::Task<Result<std::vector<vm::Publish>>> choose_ports(VmId id,
                                                           std::vector<vm::Publish> wanted);
  env::Task<Result<Vm>> find(vm::Record record);
  env::Task<Result<vm::Record>> start_process(vm::GuestSpec spec, vm::Record record,
                                              Instant deadline);
  env::Task<Result<void>> wait_for_monitor(vm::Record record, Instant deadline);
  env::Task<Result<void>> check_clone(vm::GuestSpec spec);
  // Into a process that waits for it, and ends that if it fails, as its kind is called when it is
  // unusable. The guest then stands still.
  env::Task<Result<void>> load_guest(Vm vm, const char* unusable, Instant deadline);
  env::Task<Result<void>> load_resumed(Vm vm, std::shared_ptr<vm::StateSource> source,
                                       Instant deadline);
  env::Task<Result<void>> load_started(vm::GuestSpec spec, Vm vm, Instant deadline);
  env::Task<Result<std::string>> key_of(std::string_view of, vm::GuestSpec spec,
                                        const char* unsupported);
  Result<void> identify(const Known& vm);
  env::Task<Result<std::vector<std::string>>> boot_and_save(vm::GuestSpec spec,
                                                            std::string directory,
                                                            Instant deadline);
  env::Task<Result<void>> release_known(vm::Record record);
  // What stands by (sim_standby.cc).
  struct Standby {
    vm::Template clones;  // that can be loaded into it
    Vm vm;
  };
  [[nodiscard]] std::size_t count_standbys(const vm::Template& made) const;
  env::Task<Result<void>> start_standby(vm::GuestSpec spec, Instant deadline);
  env::Task<void> end_standby(VmId id);
  // The process of such a standby becomes the record's, if there is one.
  env::Task<Result<Vm>> take_standby(const vm::Template& made, vm::Record record);
  [[nodiscard]] vm::Status status_of(const Known& vm);

  // Waits until condition() holds, asked at each change of the VM's guest.
  template <class Condition>
  env::Task<Result<void>> wait(Vm vm, Instant deadline, Condition condition);

  env::Env env_;
  SimHypervisor& hypervisor_;
  std::string root_;
  std::string program_;
  vm::Accelerator accelerator_ = vm::Accelerator::kTcg;
  std::optional<std::uint64_t> tsc_khz_;
  std::map<VmId, Vm> vms_;
  std::map<VmId, Standby> standbys_;
  std::map<std::int64_t, std::weak_ptr<Known>> by_process_;  // while it runs
  std::map<VmId, std::set<std::uint16_t>> ports_;
  vm::Turns turns_;  // at making a template (kTemplateVm) and at keeping standbys (standby_vm(0))
  bool closed_ = false;
};

template <class Condition>
env::Task<Result<void>> SimDriver::wait(Vm vm, Instant deadline, Condition condition) {
  while (!condition()) {
    if (closed_) co_return fail(Code::kCancelled, "driver_closed");
    if (deadline == Instant::never()) {
      BLX_CO_TRY(co_await vm->changed.wait());
    } else {
      BLX_CO_TRY(
          co_await env::with_deadline(env_.executor, env_.clock, deadline, vm->changed.wait()));
    }
  }
  co_return Result<void>();
}

}  // namespace blixard::vm_sim
