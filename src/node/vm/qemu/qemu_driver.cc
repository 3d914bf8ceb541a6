#include "node/vm/qemu/qemu_driver.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/bug.h"
#include "base/limits.h"
#include "node/vm/groups.h"
#include "node/vm/label.h"
#include "node/vm/qemu/accelerator.h"
#include "node/vm/qemu/agent_client.h"
#include "node/vm/qemu/arguments.h"
#include "node/vm/qemu/process_identity.h"
#include "node/vm/qemu/readiness.h"
#include "node/vm/qemu/stop_ladder.h"
#include "node/vm/qemu/template_key.h"
#include "observe/allocations.h"

namespace blixard::qemu {
namespace {

using vm::Accelerator;
using vm::Phase;
using Note = RunDirectories::Note;

constexpr std::uint64_t kProbeTurn = 0;
constexpr Duration kProbePatience = 5s;
constexpr Duration kTakeOverPatience = 5s;
constexpr Duration kAdoptPingPatience = 1s;
constexpr Duration kCommandPatience = 2s;
constexpr Duration kReleasePatience = 1s;
constexpr std::size_t kProbeOutputMax = 4096;
constexpr std::size_t kSeedBytes = 32;
constexpr std::string_view kAgentErrorPrefix = "agent_";

std::unexpected<Error> not_ours(std::string detail) {
  return fail(Code::kFailedPrecondition, "not_ours", std::move(detail));
}

// Who the guest becomes that was loaded: this VM, with secrets of its own. A saved one is it
// already, and keeps the machine id that it has.
Identity identity_for(const vm::Record& record, env::Random& random) {
  std::string machine;
  if (!record.is_resumed) machine = record.uuid.text();
  std::erase(machine, '-');
  const bool draws = !BLX_BUG(kSkipsReseed);
  return {.was = record.is_resumed ? record.name : template_name(record.template_key),
          .name = record.name,
          .mac = mac_address(record.uuid),
          .machine = std::move(machine),
          .time = {},
          .seed = draws ? random.hex(kSeedBytes) : std::string(2 * kSeedBytes, '0')};
}

bool was_loaded(const vm::Record& record) {
  return record.is_resumed || !record.template_key.empty();
}

// The same VM in a process that stood by under another name, which a reboot brings back.
Identity identity_after_reboot(const vm::Record& record) {
  return {.was = record.group.substr(vm::kGroupPrefix.size()),
          .name = record.name,
          .mac = mac_address(record.uuid),
          .machine = {},
          .time = {},
          .seed = {}};
}

std::unexpected<Error> hypervisor_missing() {
  return fail(Code::kNotFound, "hypervisor_missing",
              "QEMU is not installed: apt install qemu-system-x86");
}

}  // namespace

QemuDriver::QemuDriver(env::Env env, Options options)
    : env_(env),
      options_(std::move(options)),
      directories_(env, options_.directory),
      ports_(env.network),
      turns_(env.executor) {}

QemuDriver::~QemuDriver() { BLX_ASSERT(vms_.empty()); }

env::Task<void> QemuDriver::close() {
  while (!standbys_.empty())
    co_await end_standby(standbys_.begin()->first);
  const std::map<VmId, Vm> vms = std::exchange(vms_, {});
  for (const auto& [id, vm] : vms)
    co_await vm->close();
}

env::Task<Result<vm::Capabilities>> QemuDriver::probe() {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  BLX_CO_TRY(const vm::Turns::Held turn, co_await turns_.take(kProbeTurn));
  if (!capabilities_) {
    BLX_CO_TRY(capabilities_, co_await probe_now());
    BLX_LOG(env_.log, kInfo, "QEMU {}, {}", capabilities_->version,
            capabilities_->accelerator_reason);
  }
  co_return *capabilities_;
}

env::Task<Result<std::string>> QemuDriver::binary() {
  if (!options_.binary.empty()) co_return options_.binary;
  auto found = co_await env_.process.find_program("qemu-system-x86_64");
  if (!found && found.error().code() == Code::kNotFound) co_return hypervisor_missing();
  co_return found;
}

env::Task<Result<std::string>> QemuDriver::ask_binary(std::string path,
                                                      std::vector<std::string> arguments) {
  env::SpawnSpec spec{.executable = std::move(path), .arguments = std::move(arguments)};
  const Instant deadline = env_.clock.monotonic() + kProbePatience;
  auto result = co_await env_.process.run(std::move(spec), deadline, kProbeOutputMax);
  if (!result && result.error().code() == Code::kNotFound) co_return hypervisor_missing();
  if (!result) co_return std::unexpected(std::move(result).error());
  if (result->status.exit_code != 0) {
    co_return fail(
        Code::kInternal, "hypervisor_broken",
        result->status.text() + ": " + last_lines(result->output, limits::kOutputTailBytes));
  }
  co_return std::move(result->output);
}

env::Task<Result<vm::Capabilities>> QemuDriver::probe_now() {
  BLX_CO_TRY(const std::string path, co_await binary());
  BLX_CO_TRY(const std::string version, co_await ask_binary(path, {"--version"}));
  version_ = version;
  BLX_CO_TRY(const std::string accelerators, co_await ask_binary(path, {"-accel", "help"}));
  env::KvmReport kvm;
  if (options_.accelerator != Accelerator::kTcg) {
    const auto report = co_await env_.machine.probe_kvm();
    if (report) {
      kvm = *report;
    } else {
      kvm.explanation = report.error().message();
    }
  }
  built_in_ = parse_accelerators(accelerators);
  BLX_CO_TRY(Choice choice, choose_accelerator(kvm, built_in_, options_.accelerator));
  if (choice.accelerator == Accelerator::kKvm) {
    kvm_key_ = {env_.machine.facts().boot_id, parse_version(version), one_line(kvm.module)};
    BLX_CO_TRY(choice, co_await recall_verdict(std::move(choice)));
  }
  const auto tsc_khz = co_await env_.machine.measure_tsc_khz();
  if (!tsc_khz && tsc_khz.error().code() == Code::kCancelled) {
    co_return std::unexpected(tsc_khz.error());
  }
  co_return vm::Capabilities{
      .accelerator = choice.accelerator,
      .accelerator_reason = choice.reason,
      .hypervisor = "qemu",
      .version = parse_version(version),
      .tsc_khz = tsc_khz ? *tsc_khz : 0,
      .pause = true,
      .templates = true,
      .snapshot = true,
      .power_button = true,
      .end_reason_survives_daemon = true,
  };
}

vm::Record QemuDriver::record_of(const vm::GuestSpec& spec) const {
  return {.id = spec.id,
          .generation = spec.generation,
          .uuid = spec.uuid,
          .name = spec.name,
          .directory = directories_.directory(spec.id),
          .group = vm::group_name(spec.id),
          .published = {},
          .accelerator = capabilities_->accelerator,
          .process = {},
          .template_key = {},
          .is_resumed = false,
          .standby = {}};
}

env::Task<void> QemuDriver::abandon(VmId id) {
  const auto known = vms_.find(id);
  if (known == vms_.end()) co_return;
  const Vm vm = known->second;
  vms_.erase(known);
  ignore(vm->child().kill(env::Kill::kNow), "it may have ended by itself");
  co_await vm->close();
}

env::Task<Result<vm::Record>> QemuDriver::prepare(vm::GuestSpec spec) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  BLX_CO_TRY(vm::check_guest_spec(spec));
  BLX_CO_TRY(directories_.check_paths(spec.id));
  BLX_CO_TRY(co_await probe());
  BLX_CO_TRY(const vm::Turns::Held turn, co_await turns_.take(spec.id.value));

  const std::optional<vm::Record> stored = co_await directories_.load(spec.id);
  const bool looks = !BLX_BUG(kStartsWithoutAdopting);
  if (looks && stored && stored->uuid == spec.uuid && stored->process.pid != 0) {
    const auto alive = co_await env_.process.adopt(stored->process);
    if (alive) {  // its ports are taken by itself
      ports_.keep(spec.id, stored->published);
      co_return *stored;
    }
  }
  if (looks && stored && vm::is_group_of(*stored)) {
    BLX_CO_TRY(co_await vm::give_up_standby_group(env_.process, *stored));
  }
  BLX_CO_TRY(co_await lay_out(spec));
  vm::Record record = record_of(spec);
  BLX_CO_TRY(record.published, co_await ports_.choose(spec.id, spec.published));
  BLX_CO_TRY(co_await directories_.store(record));
  co_return record;
}

env::Task<Result<void>> QemuDriver::lay_out(vm::GuestSpec spec) {
  BLX_CO_TRY(co_await directories_.make(spec.id));
  BLX_CO_TRY(co_await directories_.expose(spec.kernel_path));
  co_return co_await directories_.expose(spec.initrd_path);
}

env::Task<Result<QemuDriver::Vm>> QemuDriver::find(const vm::Record& record) {
  BLX_CO_TRY(check_record(record));
  BLX_CO_TRY(const vm::Turns::Held turn, co_await turns_.take(record.id.value));
  co_return co_await take_over(record);
}

env::Task<Result<QemuDriver::Vm>> QemuDriver::take_over(const vm::Record& record) {
  if (const auto known = vms_.find(record.id); known != vms_.end()) {
    const Vm vm = known->second;
    if (vm->record().uuid != record.uuid) co_return not_ours("the uuid is another VM's");
    const bool is_other = record.process.pid != 0 && vm->record().process != record.process;
    if (is_other) co_return not_ours("the VM runs in another process");
    co_return vm;
  }
  if (record.process.pid == 0) co_return fail(Code::kNotFound, "process_gone");
  BLX_CO_TRY(std::unique_ptr<env::Child> child, co_await env_.process.adopt(record.process));
  const Vm vm =
      std::make_shared<RunningVm>(env_, record, std::move(child), directories_.output(record.id));
  const auto connected = co_await vm->connect(env_.clock.monotonic() + kTakeOverPatience);
  if (!connected) {
    const bool is_stranger =
        connected.error().code() == Code::kDeadlineExceeded && !vm->was_connected() &&
        !co_await was_started_with(env_.disk, record.process, process_uuid(record));
    co_await vm->close();
    if (is_stranger) co_return not_ours("the process does not serve this VM's monitor");
    co_return std::unexpected(connected.error());
  }
  vm->set_reported();
  vms_[record.id] = vm;
  ports_.keep(record.id, record.published);
  co_return vm;
}

env::Task<Result<vm::Status>> QemuDriver::adopt(vm::Record record) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  BLX_CO_TRY(const Vm vm, co_await find(record));
  if (vm->exited()) co_return fail(Code::kNotFound, "process_gone");
  if (co_await never_ran(*vm)) {
    co_return fail(Code::kAborted, "start_unfinished", "the guest was loaded and never ran");
  }
  // Who was told its name has answered, however it is now.
  const bool is_nobody_yet = co_await is_unidentified(record);
  const bool stood_by = !record.standby.is_nil();
  if (was_loaded(record) && !is_nobody_yet && !stood_by) vm->set_ready();
  bool may_have_rebooted = false;
  if (vm->phase() == Phase::kStarting && !is_nobody_yet) {
    AgentClient agent(env_, directories_.socket(record.id, kAgentSocket));
    const Instant patience = env_.clock.monotonic() + kAdoptPingPatience;
    const auto answered = stood_by
                              ? co_await agent.identify(identity_after_reboot(record), patience)
                              : co_await agent.ping(patience);
    if (answered) vm->set_ready();
    if (!answered && answered.error().code() == Code::kCancelled) {
      co_return std::unexpected(answered.error());
    }
    may_have_rebooted = !answered && stood_by;
  }
  vm->set_reported();
  if (may_have_rebooted) vm->set_rebooted();
  co_return co_await vm->status();
}

// A guest that was loaded, and that nobody has told yet who it is.
env::Task<bool> QemuDriver::is_unidentified(vm::Record record) {
  if (!was_loaded(record)) co_return false;
  co_return !co_await directories_.is_noted(record.id, Note::kIdentified);
}

env::Task<Result<void>> QemuDriver::wait_ready(vm::Record record, Instant deadline) {
  BLX_CO_TRY(const Vm vm, co_await find(record));
  const std::string agent = directories_.socket(record.id, kAgentSocket);
  if (!BLX_BUG(kIdentifiesLate) && co_await is_unidentified(record)) {
    auto identified =
        co_await wait_for_agent(env_, *vm, agent, deadline, identity_for(record, env_.random));
    const bool is_refused =
        !identified && identified.error().reason().starts_with(kAgentErrorPrefix);
    if (is_refused) {
      co_return fail(Code::kDataLoss,
                     record.is_resumed ? "saved_state_unusable" : "template_unusable",
                     identified.error().message());
    }
    if (identified) identified = co_await directories_.note(record.id, Note::kIdentified);
    co_return identified;
  }
  std::optional<Identity> identity;
  if (!record.standby.is_nil()) identity = identity_after_reboot(record);
  const auto ready = co_await wait_for_agent(env_, *vm, agent, deadline, std::move(identity));
  co_await settle_suspicion(record.id, ready);
  co_return ready;
}

env::Task<Result<vm::Status>> QemuDriver::inspect(vm::Record record) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  const auto found = co_await find(record);
  if (found) {
    const Vm& vm = *found;
    if (!vm->ended()) ignore(co_await vm->refresh(kCommandPatience), "the last known state stands");
    co_return co_await vm->status();
  }
  if (found.error().code() != Code::kNotFound) co_return std::unexpected(found.error());
  vm::Status status{Phase::kGone, vm::EndReason::kNone, {}};
  if (record.process.pid != 0) {
    status.end = vm::EndReason::kProcessDied;
    const auto output =
        co_await read_tail(env_.disk, directories_.output(record.id), limits::kOutputTailBytes);
    if (output) status.detail = last_lines(*output, limits::kOutputTailBytes);
  }
  co_return status;
}

env::Task<Result<vm::Status>> QemuDriver::next_change(vm::Record record) {
  BLX_CO_TRY(const Vm vm, co_await find(record));
  const auto has_news = [](const RunningVm& running) { return running.has_news(); };
  BLX_CO_TRY(co_await vm->wait(Instant::never(), has_news));
  vm->set_reported();
  co_return co_await vm->status();
}

env::Task<Result<vm::EndReason>> QemuDriver::stop(vm::Record record, vm::StopLadder ladder) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  const auto found = co_await find(record);
  if (!found) {
    if (found.error().code() != Code::kNotFound) co_return std::unexpected(found.error());
    co_return vm::EndReason::kProcessDied;
  }
  const Vm& vm = *found;
  const auto reason =
      co_await climb_stop_ladder(env_, *vm, ladder, directories_.socket(record.id, kAgentSocket));
  if (!reason && reason.error().code() == Code::kCancelled) co_return reason;
  BLX_CO_TRY(co_await env_.process.kill_group(record.group));
  co_return reason;
}

env::Task<Result<void>> QemuDriver::execute_and_wait(vm::Record record, std::string command,
                                                     bool pauses) {
  BLX_CO_TRY(const Vm vm, co_await find(record));
  if (vm->ended()) co_return fail(Code::kFailedPrecondition, "guest_ended");
  BLX_CO_TRY(co_await vm->execute(std::move(command), kCommandPatience));
  BLX_CO_TRY(co_await vm->refresh(kCommandPatience));
  if (vm->ended()) co_return fail(Code::kFailedPrecondition, "guest_ended");
  if ((vm->phase() == Phase::kPaused) != pauses) co_return fail(Code::kAborted, "state_changed");
  co_return Result<void>();
}

env::Task<Result<void>> QemuDriver::pause(vm::Record record) {
  co_return co_await execute_and_wait(std::move(record), "stop", true);
}

env::Task<Result<std::string>> QemuDriver::console(vm::Record record, std::size_t size_max) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  const std::size_t bounded = std::min(size_max, 2 * limits::kConsoleFileBytes);
  const auto found = co_await find(record);
  if (found) {
    const Vm& vm = *found;
    co_return co_await vm->console_tail(bounded);
  }
  if (found.error().code() != Code::kNotFound) co_return std::unexpected(found.error());
  ConsoleFile file(env_.disk, directories_.directory(record.id));
  co_return co_await file.tail(bounded);
}

Result<void> QemuDriver::check_record(const vm::Record& record) const {
  if (!record.id || record.uuid.is_nil() || !vm::is_group_of(record) ||
      record.directory != directories_.directory(record.id)) {
    return fail(Code::kInvalidArgument, "record_invalid", "the record is not one of this driver's");
  }
  return {};
}

env::Task<Result<void>> QemuDriver::release(vm::Record record) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  BLX_CO_TRY(check_record(record));
  BLX_CO_TRY(const vm::Turns::Held turn, co_await turns_.take(record.id.value));
  const std::optional<vm::Record> stored = co_await directories_.load(record.id);
  if (stored && stored->uuid != record.uuid) {
    co_return not_ours("the directory is of uuid " + stored->uuid.text());
  }
  const auto known = vms_.find(record.id);
  if (known != vms_.end() && known->second->record().uuid != record.uuid) {
    co_return not_ours("what runs is of uuid " + known->second->record().uuid.text());
  }
  co_return co_await release_held(stored && stored->process.pid != 0 ? *stored : record);
}

env::Task<Result<void>> QemuDriver::release_held(const vm::Record& record) {
  if (const auto known = vms_.find(record.id); known != vms_.end()) {
    const Vm vm = known->second;
    BLX_CO_TRY(co_await end_process(env_, *vm, kReleasePatience));
    vms_.erase(record.id);
    co_await vm->close();
  }
  BLX_CO_TRY(co_await end_strays(record));
  if (record.process.pid != 0) BLX_CO_TRY(co_await end_recorded_process(record));
  BLX_CO_TRY(co_await vm::remove_groups(env_.process, record));
  BLX_CO_TRY(co_await directories_.remove(record.id));
  ports_.forget(record.id);
  co_return Result<void>();
}

// What still has the recorded pid and start time is killed only when it says that it is this VM's;
// what is somebody else's is none of our business.
env::Task<Result<void>> QemuDriver::end_recorded_process(const vm::Record& record) {
  const auto child = co_await env_.process.adopt(record.process);
  if (!child && child.error().code() == Code::kNotFound) co_return Result<void>();
  if (!child) co_return std::unexpected(child.error());
  if (!co_await was_started_with(env_.disk, record.process, process_uuid(record))) {
    BLX_LOG(env_.log, kWarn, "vm {}: pid {} is not its process, it is left alone", record.id.value,
            record.process.pid);
    co_return Result<void>();
  }
  const auto killed = (*child)->kill(env::Kill::kNow);
  if (!killed && killed.error().code() == Code::kNotFound) co_return Result<void>();
  BLX_CO_TRY(killed);
  const Instant deadline = env_.clock.monotonic() + kCommandPatience;
  BLX_CO_TRY(co_await env::with_deadline(env_.executor, env_.clock, deadline, (*child)->wait()));
  co_return Result<void>();
}

env::Task<Result<std::vector<VmId>>> QemuDriver::leftovers() {
  BLX_CO_TRY(const std::vector<VmId> with_directory, co_await directories_.list());
  std::set<VmId> ids(with_directory.begin(), with_directory.end());
  std::set<std::string> taken;  // groups of processes that stood by
  for (const VmId id : with_directory)
    if (const auto stored = co_await directories_.load(id)) taken.insert(stored->group);
  BLX_CO_TRY(const std::vector<VmId> with_group,
             co_await vm::vms_with_groups(env_.process, std::move(taken)));
  ids.insert(with_group.begin(), with_group.end());
  for (const auto& [id, standby] : standbys_)
    ids.erase(id);
  co_return std::vector<VmId>(ids.begin(), ids.end());
}

env::Task<Result<void>> QemuDriver::release_leftover(VmId id) {
  BLX_CO_TRY(const vm::Turns::Held turn, co_await turns_.take(id.value));
  co_return co_await release_leftover_held(id);
}

env::Task<Result<void>> QemuDriver::release_leftover_held(VmId id) {
  vm::Record record;
  if (const auto stored = co_await directories_.load(id)) record = *stored;
  record.id = id;
  record.directory = directories_.directory(id);
  if (!vm::is_group_of(record)) record.group = vm::group_name(id);
  co_return co_await release_held(record);
}

}  // namespace blixard::qemu
