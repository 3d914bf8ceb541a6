#include "node/vm/sim/sim_driver.h"

#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "node/vm/groups.h"
#include "node/vm/label.h"
#include "observe/allocations.h"

namespace blixard::vm_sim {
namespace {

using vm::EndReason;
using vm::Phase;

std::unexpected<Error> not_ours() { return fail(Code::kFailedPrecondition, "not_ours"); }

}  // namespace

SimDriver::SimDriver(env::Env env, SimHypervisor& hypervisor, std::string directory,
                     std::string program)
    : env_(env),
      hypervisor_(hypervisor),
      root_(std::move(directory)),
      program_(std::move(program)),
      turns_(env.executor) {
  hypervisor_.attach(*this);
}

SimDriver::~SimDriver() { hypervisor_.detach(*this); }

env::Task<void> SimDriver::close() {
  while (!standbys_.empty())
    co_await end_standby(standbys_.begin()->first);
  closed_ = true;
  for (const auto& [process, vm] : by_process_) {
    if (const Vm known = vm.lock()) known->changed.notify_all();
  }
  vms_.clear();
}

void SimDriver::guest_changed(env::ProcessId id) {
  const auto found = by_process_.find(id.pid);
  if (found == by_process_.end()) return;
  if (const Vm vm = found->second.lock()) vm->changed.notify_all();
  if (hypervisor_.find(id) == nullptr) by_process_.erase(found);
}

void SimDriver::follow(const Vm& vm) {
  vms_[vm->record.id] = vm;
  by_process_[vm->record.process.pid] = vm;
}

std::string SimDriver::directory(VmId id) const { return env::join_path(root_, vm::label(id)); }

Result<void> SimDriver::check_record(const vm::Record& record) const {
  if (record.id && vm::is_group_of(record) && record.directory == directory(record.id)) return {};
  return fail(Code::kInvalidArgument, "record_invalid");
}

env::Task<std::optional<vm::Record>> SimDriver::load(VmId id) {
  const auto bytes = co_await env_.disk.read_file(env::join_path(directory(id), "record.json"),
                                                  limits::kVmRecordBytes);
  if (!bytes) co_return std::nullopt;
  auto record = vm::Record::decode(*bytes);
  if (!record) co_return std::nullopt;
  co_return *std::move(record);
}

env::Task<Result<void>> SimDriver::store(const vm::Record& record) {
  co_return co_await env_.disk.replace_file(env::join_path(record.directory, "record.json"),
                                            record.encode());
}

env::Task<Result<vm::Capabilities>> SimDriver::probe() {
  const auto found = co_await env_.process.find_program(std::string(env::last_part(program_)));
  if (!found) co_return fail(Code::kNotFound, "hypervisor_missing");
  if (!tsc_khz_) {
    const auto measured = co_await env_.machine.measure_tsc_khz();
    tsc_khz_ = measured ? *measured : 0;
  }
  co_return vm::Capabilities{
      .accelerator = accelerator_,
      .accelerator_reason = std::string(vm::accelerator_name(accelerator_)) + ": simulated",
      .hypervisor = "simulated",
      .version = "simulated",
      .tsc_khz = *tsc_khz_,
      .pause = true,
      .templates = true,
      .snapshot = true,
      .power_button = true,
      .end_reason_survives_daemon = true,
  };
}

env::Task<Result<SimDriver::Vm>> SimDriver::find(vm::Record record) {
  BLX_CO_TRY(check_record(record));
  if (const auto known = vms_.find(record.id); known != vms_.end()) {
    const Vm vm = known->second;
    const bool is_other = record.process.pid != 0 && vm->record.process != record.process;
    if (vm->record.uuid != record.uuid || is_other) co_return not_ours();
    co_return vm;
  }
  if (record.process.pid == 0) co_return fail(Code::kNotFound, "process_gone");
  const Vm vm = std::make_shared<Known>(env_.executor);
  BLX_CO_TRY(vm->child, co_await env_.process.adopt(record.process));
  const SimGuest* guest = hypervisor_.find(record.process);
  if (guest == nullptr || guest->uuid != record.uuid) co_return not_ours();
  vm->record = record;
  follow(vm);
  for (const vm::Publish& publish : record.published)
    ports_[record.id].insert(publish.host_port);
  co_return vm;
}

vm::Status SimDriver::status_of(const Known& vm) {
  const SimGuest* guest = hypervisor_.find(vm.record.process);
  if (guest == nullptr) {
    const bool by_quit = vm.rung == EndReason::kStoppedByQuit;
    const bool by_us = by_quit || vm.rung == EndReason::kStoppedByKill;
    return {by_quit ? Phase::kEnded : Phase::kGone, by_us ? vm.rung : EndReason::kProcessDied,
            "signal 9"};
  }
  if (guest->end == Phase::kPanicked) {
    return {Phase::kPanicked, EndReason::kGuestPanic, guest->console};
  }
  if (guest->end == Phase::kEnded) {
    const bool on_ladder = vm.rung != EndReason::kNone;
    return {Phase::kEnded, on_ladder ? vm.rung : EndReason::kGuestShutdown, guest->console};
  }
  if (guest->paused) return {Phase::kPaused, EndReason::kNone, {}};
  return {vm.ready ? Phase::kRunning : Phase::kStarting, EndReason::kNone, {}};
}

env::Task<Result<void>> SimDriver::wait_ready(vm::Record record, Instant deadline) {
  BLX_CO_TRY(const Vm vm, co_await find(record));
  const auto answers = [&] {
    const SimGuest* guest = hypervisor_.find(vm->record.process);
    return guest != nullptr && guest->agent_answers && !guest->paused;
  };
  const auto settled = [&] { return answers() || vm::has_ended(status_of(*vm).phase); };
  const auto waited = co_await wait(vm, deadline, settled);
  if (!waited && waited.error().code() == Code::kDeadlineExceeded) {
    const SimGuest* guest = hypervisor_.find(vm->record.process);
    co_return fail(Code::kDeadlineExceeded, "guest_not_ready",
                   guest != nullptr ? guest->console : std::string());
  }
  BLX_CO_TRY(waited);
  if (!answers()) co_return fail(Code::kFailedPrecondition, "guest_ended");
  BLX_CO_TRY(identify(*vm));
  vm->ready = true;
  co_return Result<void>();
}

env::Task<Result<vm::Status>> SimDriver::adopt(vm::Record record) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  BLX_CO_TRY(const Vm vm, co_await find(record));
  const SimGuest* guest = hypervisor_.find(record.process);
  if (guest == nullptr) co_return fail(Code::kNotFound, "process_gone");
  if (guest->never_ran()) {
    co_return fail(Code::kAborted, "start_unfinished", "the guest was never let run");
  }
  const bool is_itself = !guest->is_loaded_one() || guest->identified;
  vm->ready = vm->ready || (guest->agent_answers && is_itself);
  const vm::Status status = status_of(*vm);
  vm->reported = status.phase;
  co_return status;
}

env::Task<Result<vm::Status>> SimDriver::inspect(vm::Record record) {
  const auto vm = co_await find(record);
  if (vm) co_return status_of(**vm);
  if (vm.error().code() != Code::kNotFound) co_return std::unexpected(vm.error());
  const bool had_run = record.process.pid != 0;
  co_return vm::Status{Phase::kGone, had_run ? EndReason::kProcessDied : EndReason::kNone, {}};
}

env::Task<Result<vm::Status>> SimDriver::next_change(vm::Record record) {
  BLX_CO_TRY(const Vm vm, co_await find(record));
  const auto has_news = [&] {
    const Phase phase = status_of(*vm).phase;
    return vm::has_ended(phase) ||
           vm::without_readiness(phase) != vm::without_readiness(vm->reported);
  };
  BLX_CO_TRY(co_await wait(vm, Instant::never(), has_news));
  const vm::Status status = status_of(*vm);
  vm->reported = status.phase;
  co_return status;
}

env::Task<Result<EndReason>> SimDriver::stop(vm::Record record, vm::StopLadder ladder) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  const auto found = co_await find(record);
  if (!found) {
    if (found.error().code() != Code::kNotFound) co_return std::unexpected(found.error());
    co_return EndReason::kProcessDied;
  }
  const Vm& vm = *found;
  if (SimGuest* guest = hypervisor_.find(record.process)) guest->paused = false;
  struct Rung {
    EndReason reason;
    Duration patience;
  };
  const Rung rungs[] = {{EndReason::kStoppedByAgent, ladder.agent},
                        {EndReason::kStoppedByButton, ladder.button}};
  const auto ended = [&] { return vm::has_ended(status_of(*vm).phase); };
  for (const Rung& rung : rungs) {
    if (ended() || rung.patience <= Duration{}) continue;
    vm->rung = rung.reason;
    SimGuest* guest = hypervisor_.find(record.process);
    const bool by_agent = rung.reason == EndReason::kStoppedByAgent;
    if (by_agent ? guest->agent_answers : guest->booted) guest->shutdown_wanted = true;
    guest->asked.notify_all();
    const auto waited = co_await wait(vm, env_.clock.monotonic() + rung.patience, ended);
    if (!waited && waited.error().code() != Code::kDeadlineExceeded) {
      co_return std::unexpected(waited.error());
    }
  }
  const EndReason before = ended() ? status_of(*vm).end : EndReason::kNone;
  const auto gone = [&] { return hypervisor_.find(record.process) == nullptr; };
  if (SimGuest* guest = hypervisor_.find(record.process);
      guest != nullptr && (ended() || ladder.quit > Duration{})) {
    vm->rung = EndReason::kStoppedByQuit;
    guest->quit_wanted = true;
    guest->asked.notify_all();
    ignore(co_await wait(vm, env_.clock.monotonic() + std::max(ladder.quit, Duration(2s)), gone),
           "the next rung ends it");
  }
  if (!gone()) vm->rung = EndReason::kStoppedByKill;
  BLX_CO_TRY(co_await env_.process.kill_group(record.group));
  co_return before != EndReason::kNone ? before : vm->rung;
}

env::Task<Result<void>> SimDriver::pause(vm::Record record) {
  BLX_CO_TRY(const Vm vm, co_await find(record));
  if (vm::has_ended(status_of(*vm).phase)) co_return fail(Code::kFailedPrecondition, "guest_ended");
  hypervisor_.pause(*hypervisor_.find(record.process), env_.clock.wall());
  co_return Result<void>();
}

env::Task<Result<void>> SimDriver::resume(vm::Record record) {
  BLX_CO_TRY(const Vm vm, co_await find(record));
  if (vm::has_ended(status_of(*vm).phase)) co_return fail(Code::kFailedPrecondition, "guest_ended");
  hypervisor_.go_on(*hypervisor_.find(record.process), env_.clock.wall());
  co_return Result<void>();
}

env::Task<Result<std::string>> SimDriver::console(vm::Record record, std::size_t size_max) {
  BLX_CO_TRY(const Vm vm, co_await find(record));
  const SimGuest* guest = hypervisor_.find(record.process);
  if (guest == nullptr) co_return std::string();
  const std::size_t size = guest->console.size();
  co_return guest->console.substr(size - std::min(size, size_max));
}

env::Task<Result<void>> SimDriver::release(vm::Record record) {
  BLX_CO_TRY(check_record(record));
  const auto stored = co_await load(record.id);
  if (stored && stored->uuid != record.uuid) co_return not_ours();
  co_return co_await release_known(std::move(record));
}

env::Task<Result<void>> SimDriver::release_known(vm::Record record) {
  const auto known = vms_.find(record.id);
  if (known != vms_.end() && known->second->rung == EndReason::kNone) {
    known->second->rung = EndReason::kStoppedByKill;
  }
  BLX_CO_TRY(co_await env_.process.kill_group(record.group));
  BLX_CO_TRY(co_await vm::remove_groups(env_.process, record));
  BLX_CO_TRY(co_await env_.disk.remove_tree(record.directory));
  ports_.erase(record.id);
  if (const auto ended = vms_.extract(record.id)) ended.mapped()->changed.notify_all();
  co_return Result<void>();
}

env::Task<Result<std::vector<VmId>>> SimDriver::leftovers() {
  std::set<VmId> ids;
  const auto entries = co_await env_.disk.list(root_);
  if (!entries && entries.error().code() != Code::kNotFound) {
    co_return std::unexpected(entries.error());
  }
  std::set<std::string> taken;  // groups of processes that stood by
  for (const auto& entry : entries ? *entries : std::vector<env::DirectoryEntry>{}) {
    const auto id = vm::parse_label(entry.name);
    if (!id) continue;
    ids.insert(*id);
    if (const auto stored = co_await load(*id)) taken.insert(stored->group);
  }
  BLX_CO_TRY(const std::vector<VmId> with_group,
             co_await vm::vms_with_groups(env_.process, std::move(taken)));
  ids.insert(with_group.begin(), with_group.end());
  for (const auto& [id, standby] : standbys_)
    ids.erase(id);
  co_return std::vector<VmId>(ids.begin(), ids.end());
}

env::Task<Result<void>> SimDriver::release_leftover(VmId id) {
  vm::Record record;
  if (const auto stored = co_await load(id)) record = *stored;
  record.id = id;
  record.directory = directory(id);
  if (!vm::is_group_of(record)) record.group = vm::group_name(id);
  co_return co_await release_known(std::move(record));
}

}  // namespace blixard::vm_sim
