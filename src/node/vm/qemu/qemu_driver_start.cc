// How QEMU is started for a VM: with a guest that boots, or with one that is loaded.

#include <algorithm>
#include <optional>
#include <utility>

#include "base/bug.h"
#include "base/limits.h"
#include "node/vm/groups.h"
#include "node/vm/label.h"
#include "node/vm/qemu/arguments.h"
#include "node/vm/qemu/qemu_driver.h"
#include "node/vm/qemu/state_file.h"
#include "node/vm/qemu/stop_ladder.h"
#include "node/vm/template_files.h"
#include "observe/allocations.h"

namespace blixard::qemu {
namespace {

constexpr Duration kCommandPatience = 2s;
constexpr Duration kReleasePatience = 1s;
constexpr Duration kLoadPatience = 5s;

std::unexpected<Error> unusable(const Error& error) {
  return fail(Code::kDataLoss, "template_unusable", error.message());
}

}  // namespace

env::Task<Result<vm::Record>> QemuDriver::start(vm::GuestSpec spec, vm::Record prepared,
                                                Instant deadline) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  BLX_CO_TRY(vm::check_guest_spec(spec));
  BLX_CO_TRY(check_record(prepared));
  if (spec.id != prepared.id || spec.uuid != prepared.uuid) {
    co_return fail(Code::kInvalidArgument, "spec_invalid", "the record is of another VM");
  }
  BLX_CO_TRY(co_await probe());
  BLX_CO_TRY(const vm::Turns::Held turn, co_await turns_.take(spec.id.value));

  const std::optional<vm::Record> stored = co_await directories_.load(spec.id);
  for (const vm::Record* known : {&std::as_const(prepared), stored ? &*stored : nullptr}) {
    if (known == nullptr || known->uuid != spec.uuid) continue;
    const auto vm = co_await take_over(*known);
    if (vm && !(*vm)->exited()) {
      if (!co_await never_ran(**vm)) co_return (*vm)->record();
      BLX_CO_TRY(co_await end_process(env_, **vm, kReleasePatience));
    }
    const bool is_unclear = !vm && vm.error().code() != Code::kNotFound &&
                            vm.error().code() != Code::kFailedPrecondition;
    if (is_unclear) co_return std::unexpected(vm.error());
  }
  if (const auto ended = vms_.find(spec.id); ended != vms_.end()) {
    const Vm vm = ended->second;
    vms_.erase(ended);
    co_await vm->close();
  }
  BLX_CO_TRY(co_await end_strays(prepared));
  BLX_CO_TRY(co_await settle_accelerator(spec, deadline));
  BLX_CO_TRY(co_await vm::give_up_standby_group(env_.process, prepared));
  prepared.group = vm::group_name(spec.id);
  prepared.template_key.clear();
  prepared.is_resumed = false;
  prepared.standby = {};
  if (spec.resumes) co_return co_await start_resumed(spec, std::move(prepared), deadline);
  if (spec.clone_of) co_return co_await start_clone(spec, std::move(prepared), deadline);
  co_return co_await start_process(spec, std::move(prepared), {}, deadline);
}

// A start that was given up leaves its process to whoever finds the record; any other that fails
// leaves none.
env::Task<Result<vm::Record>> QemuDriver::start_clone(const vm::GuestSpec& spec, vm::Record record,
                                                      Instant deadline) {
  const auto key = co_await template_key(spec);
  if (!key) co_return unusable(key.error());
  if (*key != spec.clone_of->key) {
    co_return unusable(Error(Code::kDataLoss, "template_of_another", "it is of other guests"));
  }
  if (const auto there = co_await vm::check_template_sizes(env_.disk, *spec.clone_of); !there) {
    if (there.error().code() == Code::kCancelled) co_return std::unexpected(there.error());
    co_return unusable(there.error());
  }
  const auto state_file =
      std::ranges::find(spec.clone_of->files, kStateFile, &vm::TemplateFile::name);
  if (state_file == spec.clone_of->files.end()) {
    co_return unusable(Error(Code::kDataLoss, "files_missing", "it names no state"));
  }
  const std::string state_path = env::join_path(spec.clone_of->directory, kStateFile);
  const auto state = co_await env_.disk.open(state_path, env::OpenMode::kRead);
  if (!state) co_return unusable(state.error());

  record.template_key = spec.clone_of->key;
  Result<vm::Record> started = record;
  if (co_await take_standby(spec, record)) {
    started = record;
  } else {
    const auto memory = co_await memory_of(spec.id, *spec.clone_of);
    if (!memory) co_return unusable(memory.error());
    started = co_await start_process(spec, std::move(record), *memory, deadline);
  }
  const bool is_given_up = !started && started.error().code() == Code::kCancelled;
  if (is_given_up) co_return started;
  if (!started) co_return unusable(started.error());
  FileSource source(**state, state_file->digest);
  const bool has_memory =
      std::ranges::count(spec.clone_of->files, kMemoryFile, &vm::TemplateFile::name) > 0;
  const Instant patience =
      has_memory ? std::min(deadline, env_.clock.monotonic() + kLoadPatience) : deadline;
  const StateOf of = has_memory ? StateOf::kDevices : StateOf::kWholeGuest;
  const auto runs = co_await load_guest(spec.id, source, of, true, patience);
  if (runs) co_return started;
  if (runs.error().code() == Code::kCancelled) co_return std::unexpected(runs.error());
  co_return unusable(runs.error());
}

// Without a file of its memory that is in the state.
env::Task<Result<GuestMemory>> QemuDriver::memory_of(VmId id, const vm::Template& made) {
  GuestMemory loaded{.file = {}, .is_shared = false, .is_incoming = true};
  const auto file = std::ranges::find(made.files, kMemoryFile, &vm::TemplateFile::name);
  if (file == made.files.end()) co_return loaded;
  const std::string path = env::join_path(made.directory, kMemoryFile);
  BLX_CO_TRY(co_await directories_.lend(path));
  loaded.file = directories_.seen_from(id, path);
  co_return loaded;
}

env::Task<Result<vm::Record>> QemuDriver::start_resumed(const vm::GuestSpec& spec,
                                                        vm::Record record, Instant deadline) {
  const std::shared_ptr<vm::StateSource> source = spec.resumes;
  record.is_resumed = true;
  const GuestMemory loaded{.file = {}, .is_shared = false, .is_incoming = true};
  BLX_CO_TRY(record, co_await start_process(spec, std::move(record), loaded, deadline));
  const auto done = co_await load_guest(spec.id, *source, StateOf::kWholeGuest, false, deadline);
  if (done) co_return record;
  const Error& error = done.error();
  const bool is_of_the_state = error.code() == Code::kDataLoss || error.reason() == kLoadFailed;
  if (!is_of_the_state) co_return std::unexpected(error);
  co_return fail(Code::kDataLoss, "saved_state_unusable", error.message());
}

env::Task<Result<void>> QemuDriver::load_guest(VmId id, vm::StateSource& source, StateOf of,
                                               bool runs, Instant deadline) {
  const Vm vm = vms_.at(id);
  auto done = co_await load_state(env_, *vm, source, of, deadline);
  if (done && runs) done = co_await let_run(*vm);
  if (done) {
    vm->set_reported();
    co_return done;
  }
  if (done.error().code() == Code::kCancelled) co_return done;
  const Error failure = co_await start_failure(*vm, done.error());
  vms_.erase(id);
  co_await vm->close();
  if (done.error().code() == Code::kDeadlineExceeded) co_return std::unexpected(failure);
  if (done.error().reason() != kLoadFailed) co_return done;
  co_return fail(Code::kInternal, kLoadFailed, std::string(failure.detail()));
}

// One that a daemon before us started to load, or had loaded.
env::Task<bool> QemuDriver::never_ran(const RunningVm& vm) {
  const vm::Record& record = vm.record();
  if (!co_await is_unidentified(record)) co_return false;
  if (vm.is_incoming() || vm.phase() != vm::Phase::kPaused) co_return vm.is_incoming();
  // A clone that was paused so early is soon made again, a saved guest is not.
  co_return !record.is_resumed ||
      !co_await directories_.is_noted(record.id, RunDirectories::Note::kLetRun);
}

env::Task<Result<void>> QemuDriver::let_run(RunningVm& vm) {
  BLX_CO_TRY(co_await vm.execute("cont", kCommandPatience));
  BLX_CO_TRY(co_await vm.refresh(kCommandPatience));
  if (vm.phase() == vm::Phase::kStarting) co_return Result<void>();
  co_return fail(Code::kInternal, kLoadFailed, "the guest does not run after it was loaded");
}

env::Task<Result<env::SpawnSpec>> QemuDriver::spawn_spec(const vm::GuestSpec& spec,
                                                         const vm::Record& record,
                                                         const GuestMemory& memory) {
  vm::GuestSpec inside = spec;
  inside.published = record.published;
  BLX_CO_TRY(const std::string executable, co_await binary());
  // A file that vanished since lay_out() is QEMU's to report: the start fails with its words.
  inside.kernel_path = directories_.seen_from(spec.id, spec.kernel_path);
  inside.initrd_path = directories_.seen_from(spec.id, spec.initrd_path);
  const HostFacts host{record.accelerator, capabilities_->tsc_khz};
  BLX_CO_TRY(std::vector<std::string> arguments, build_arguments(inside, host, memory));
  const env::MachineFacts& facts = env_.machine.facts();
  co_return env::SpawnSpec{
      .executable = executable,
      .arguments = std::move(arguments),
      .working_directory = record.directory,
      .output_path = directories_.output(spec.id),
      .run_as = facts.is_root ? facts.guest_owner : std::nullopt,
      .group = record.group,
  };
}

env::Task<Result<vm::Record>> QemuDriver::start_process(const vm::GuestSpec& spec,
                                                        vm::Record record,
                                                        const GuestMemory& memory,
                                                        Instant deadline) {
  record.accelerator = capabilities_->accelerator;
  record.process = {};
  BLX_CO_TRY(co_await directories_.clear_for_start(spec.id));
  const auto limits = options_.limits ? group_limits(spec, record.accelerator) : env::GroupLimits{};
  BLX_CO_TRY(co_await env_.process.make_group(record.group, limits));
  BLX_CO_TRY(env::SpawnSpec how, co_await spawn_spec(spec, record, memory));

  BLX_CO_TRY(std::unique_ptr<env::Child> child, co_await env_.process.spawn(std::move(how)));
  record.process = child->id();
  const auto stored = co_await directories_.store(record);
  const Vm vm =
      std::make_shared<RunningVm>(env_, record, std::move(child), directories_.output(spec.id));
  Result<void> connected = stored;
  if (stored) connected = co_await vm->connect(deadline);
  if (connected) {
    vm->set_reported();
    vms_[spec.id] = vm;
    BLX_LOG(env_.log, kInfo, "vm {} ({}): QEMU runs, pid {}", vm::label(spec.id), spec.name,
            record.process.pid);
    co_return record;
  }
  // When we were told to give up, the process may go on: the stored record finds it again. A trial
  // guest is nobody's.
  if (connected.error().code() == Code::kCancelled) {
    if (spec.id == vm::kTrialVm || spec.id == vm::kTemplateVm)
      ignore(vm->child().kill(env::Kill::kNow), "it may have ended");
    co_await vm->close();
    co_return std::unexpected(connected.error());
  }
  Error failure = co_await start_failure(*vm, connected.error());
  co_await vm->close();
  co_return std::unexpected(std::move(failure));
}

// Ends what was started and says why it failed, with QEMU's last lines.
env::Task<Error> QemuDriver::start_failure(RunningVm& vm, Error error) {
  const bool exited = vm.exited();
  ignore(vm.child().kill(env::Kill::kNow), "it may have ended by itself");
  const Instant gone = env_.clock.monotonic() + kReleasePatience;
  ignore(co_await vm.wait(gone, [](const RunningVm& running) { return running.exited(); }),
         "the group is emptied next");
  ignore(co_await env_.process.kill_group(vm.record().group), "release() tries again");
  const std::string output = co_await vm.output_tail();
  const std::string ended = (co_await vm.status()).detail;
  if (exited) co_return Error(Code::kInternal, "start_failed", "QEMU ended: " + ended);
  const bool is_late = error.code() == Code::kDeadlineExceeded;
  const std::string what = is_late ? "QEMU's monitor did not answer in time" : error.message();
  co_return Error(is_late ? Code::kDeadlineExceeded : Code::kInternal, "start_failed",
                  output.empty() ? what : what + ": " + output);
}

env::Task<Result<void>> QemuDriver::end_strays(const vm::Record& record) {
  if (BLX_BUG(kStartsWithoutAdopting)) co_return Result<void>();
  if (env_.process.group_support() != env::Process::GroupSupport::kNone) {
    co_return co_await env_.process.kill_group(record.group);
  }
  // Without groups: whoever serves the monitor's socket in our directory was started by us.
  co_await quit_whoever_serves(env_, directories_.socket(record.id, kMonitorSocket));
  co_return Result<void>();
}

}  // namespace blixard::qemu
