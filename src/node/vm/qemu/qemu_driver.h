#pragma once

// The hypervisor driver for QEMU: vm::Driver over env::Process, one QEMU process a VM.
//
// What is decided lives in the pure parts beside (arguments, accelerator, qmp, agent_protocol);
// here is the order of things: directory, group and ports before the process; the record on disk
// right behind it; the process' uuid before it is believed, signalled or ended.

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "env/env.h"
#include "node/vm/driver.h"
#include "node/vm/qemu/accelerator.h"
#include "node/vm/qemu/arguments.h"
#include "node/vm/qemu/kvm_verdict.h"
#include "node/vm/qemu/ports.h"
#include "node/vm/qemu/run_directory.h"
#include "node/vm/qemu/running_vm.h"
#include "node/vm/qemu/state_transfer.h"
#include "node/vm/qemu/template_key.h"
#include "node/vm/waiting.h"

namespace blixard::qemu {

// Of a template, in its folder.
inline constexpr std::string_view kMemoryFile = "ram";
inline constexpr std::string_view kStateFile = "state";

struct Options {
  // Of the VMs' run directories, in the node's data directory: "/var/lib/blixard/vms". Short, since
  // sockets lie below it.
  std::string directory;
  std::string binary;                          // of QEMU; empty: found in PATH
  std::optional<vm::Accelerator> accelerator;  // forced; none: decided by probe()
  bool limits = true;                          // of memory, CPU and processes, by group
};

class QemuDriver final : public vm::Driver {
 public:
  QemuDriver(env::Env env, Options options);
  ~QemuDriver() override;

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
  using Vm = std::shared_ptr<RunningVm>;

  env::Task<Result<vm::Capabilities>> probe_now();
  env::Task<Result<std::string>> binary();
  env::Task<Result<std::string>> ask_binary(std::string path, std::vector<std::string> arguments);

  // The VM of this record, connected; taken over first if need be. Errors: kNotFound
  // "process_gone", kFailedPrecondition "not_ours".
  env::Task<Result<Vm>> find(const vm::Record& record);
  env::Task<Result<Vm>> take_over(const vm::Record& record);  // the VM's turn is held

  // Makes the folder of a guest's process, and opens to it the files that it boots from.
  env::Task<Result<void>> lay_out(vm::GuestSpec spec);
  // Of one for which that was done.
  env::Task<Result<vm::Record>> start_process(const vm::GuestSpec& spec, vm::Record record,
                                              const GuestMemory& memory, Instant deadline);
  env::Task<Result<env::SpawnSpec>> spawn_spec(const vm::GuestSpec& spec, const vm::Record& record,
                                               const GuestMemory& memory);
  env::Task<Result<vm::Record>> start_clone(const vm::GuestSpec& spec, vm::Record record,
                                            Instant deadline);
  // What a clone of it is started with.
  env::Task<Result<GuestMemory>> memory_of(VmId id, const vm::Template& made);
  env::Task<Result<vm::Record>> start_resumed(const vm::GuestSpec& spec, vm::Record record,
                                              Instant deadline);
  // Into a process that waits for it, and ends that if it fails. The guest then stands still, or
  // runs.
  env::Task<Result<void>> load_guest(VmId id, vm::StateSource& source, StateOf of, bool runs,
                                     Instant deadline);
  static env::Task<Result<void>> let_run(RunningVm& vm);
  env::Task<bool> is_unidentified(vm::Record record);
  env::Task<bool> never_ran(const RunningVm& vm);
  // Best effort.
  env::Task<void> tell_time(VmId id);
  [[nodiscard]] StateHost state_host() const;

  // What stands by (qemu_driver_standby.cc).
  struct Standby {
    vm::Template clones;  // that can be loaded into it
    Vm vm;
    bool is_taken = false;  // by a start() that is under way
  };
  [[nodiscard]] std::size_t count_standbys(std::string_view key) const;
  env::Task<Result<VmId>> free_standby();
  env::Task<Result<void>> start_standby(vm::GuestSpec spec, Instant deadline);
  env::Task<Result<void>> start_waiting(vm::GuestSpec spec, Instant deadline);
  env::Task<void> end_standby(VmId id);
  // The process of such a standby becomes the record's, if there is one.
  env::Task<bool> take_standby(const vm::GuestSpec& spec, vm::Record& record);
  env::Task<Result<void>> hand_standby(VmId from, vm::Record record);

  // Boots the guest that is to be saved, saves it, and tells it to quit.
  env::Task<Result<std::vector<std::string>>> boot_and_save(const vm::GuestSpec& guest,
                                                            std::string directory,
                                                            Instant deadline);
  // Of a guest that was not started yet.
  [[nodiscard]] vm::Record record_of(const vm::GuestSpec& spec) const;
  // Whoever gave such a guest up waits for no end of it: it is killed, and what it leaves is
  // cleared away before the next one or by the next daemon.
  env::Task<void> abandon(VmId id);
  // Ends it and removes what its process needed.
  env::Task<Result<void>> clear_maker(bool is_given_up);
  // What becomes of the choice of KVM by the verdict that is stored for its key, if one is.
  env::Task<Result<Choice>> recall_verdict(Choice choice);
  // Returns when it is known which accelerator to start with. Errors: kFailedPrecondition
  // "accelerator_unusable", kDeadlineExceeded; of the trial's own directory and files.
  env::Task<Result<void>> settle_accelerator(const vm::GuestSpec& spec, Instant deadline);
  // What kept the trial guest from booting with KVM; none: it booted. `is_clear` becomes false if
  // the trial says nothing about KVM.
  env::Task<Result<std::optional<std::string>>> hold_trial(vm::GuestSpec trial, Instant deadline,
                                                           bool& is_clear);
  env::Task<Result<void>> take_verdict(VmId id, std::optional<std::string> finding);
  env::Task<void> store_finding(std::optional<std::string> finding);
  // wait_ready() of this VM had this result.
  env::Task<void> settle_suspicion(VmId id, Result<void> ready);
  env::Task<void> clear_trial(bool is_given_up);

  // What a process that was started for this VM but is in no record might still be doing.
  env::Task<Result<void>> end_strays(const vm::Record& record);
  env::Task<Error> start_failure(RunningVm& vm, Error error);
  env::Task<Result<void>> execute_and_wait(vm::Record record, std::string command, bool pauses);

  [[nodiscard]] Result<void> check_record(const vm::Record& record) const;
  env::Task<Result<void>> end_recorded_process(const vm::Record& record);
  env::Task<Result<void>> release_held(const vm::Record& record);
  env::Task<Result<void>> release_leftover_held(VmId id);

  env::Env env_;
  Options options_;
  RunDirectories directories_;
  HostPorts ports_;
  vm::Turns turns_;  // one a VM for start, take-over and release; number 0 for probe()
  std::optional<vm::Capabilities> capabilities_;
  std::string version_;  // all that QEMU says of it
  BuiltIn built_in_;
  KvmKey kvm_key_;
  bool kvm_boots_ = false;             // a guest booted with it
  std::optional<Error> kvm_unusable_;  // what every start() is told
  struct Suspicion {
    VmId id;  // of the VM that boots the trial's image in software emulation
    std::string finding;
    vm::Capabilities before;
  };
  std::optional<Suspicion> suspicion_;
  std::map<VmId, Vm> vms_;
  std::map<VmId, Standby> standbys_;
};

}  // namespace blixard::qemu
