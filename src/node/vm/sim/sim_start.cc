#include <algorithm>
#include <utility>

#include "node/vm/groups.h"
#include "node/vm/label.h"
#include "node/vm/sim/sim_driver.h"
#include "observe/allocations.h"

namespace blixard::vm_sim {
namespace {

std::unexpected<Error> start_failed(Code code, const std::string& why) {
  return fail(code, "start_failed", why);
}

}  // namespace

env::Task<Result<std::vector<vm::Publish>>> SimDriver::choose_ports(
    VmId id, std::vector<vm::Publish> wanted) {
  std::set<std::uint16_t> ports;
  for (vm::Publish& publish : wanted) {
    auto listener =
        co_await env_.network.listen(env::Endpoint::tcp("127.0.0.1", publish.host_port));
    const auto is_promised = [&](const auto& entry) {
      return entry.first != id && entry.second.contains(publish.host_port);
    };
    if (!listener || std::ranges::any_of(ports_, is_promised)) {
      co_return fail(Code::kAlreadyExists, "port_in_use",
                     "port " + std::to_string(publish.host_port));
    }
    publish.host_port = (*listener)->local().port;
    ports.insert(publish.host_port);
  }
  ports_[id] = std::move(ports);
  co_return wanted;
}

env::Task<Result<vm::Record>> SimDriver::prepare(vm::GuestSpec spec) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  BLX_CO_TRY(vm::check_guest_spec(spec));
  BLX_CO_TRY(const vm::Capabilities capabilities, co_await probe());
  const auto stored = co_await load(spec.id);
  if (stored && stored->uuid == spec.uuid && stored->process.pid != 0 &&
      co_await env_.process.adopt(stored->process)) {
    co_return *stored;
  }
  if (stored) BLX_CO_TRY(co_await vm::give_up_standby_group(env_.process, *stored));
  for (const std::string& path : {spec.kernel_path, spec.initrd_path}) {
    if (!co_await env_.disk.open(path, env::OpenMode::kRead)) {
      co_return fail(Code::kNotFound, "image_file_missing", path);
    }
  }
  vm::Record record{
      .id = spec.id,
      .generation = spec.generation,
      .uuid = spec.uuid,
      .name = spec.name,
      .directory = directory(spec.id),
      .group = vm::group_name(spec.id),
      .published = {},
      .accelerator = capabilities.accelerator,
      .process = {},
  };
  BLX_CO_TRY(record.published, co_await choose_ports(spec.id, spec.published));
  BLX_CO_TRY(co_await env_.disk.make_directory(record.directory));
  BLX_CO_TRY(co_await store(record));
  co_return record;
}

env::Task<Result<vm::Record>> SimDriver::start(vm::GuestSpec spec, vm::Record prepared,
                                               Instant deadline) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  BLX_CO_TRY(vm::check_guest_spec(spec));
  BLX_CO_TRY(check_record(prepared));
  const auto stored = co_await load(spec.id);
  for (const vm::Record& known : {prepared, stored.value_or(prepared)}) {
    const auto vm = co_await find(known);
    const SimGuest* guest = vm ? hypervisor_.find((*vm)->record.process) : nullptr;
    if (guest != nullptr && !guest->never_ran()) co_return (*vm)->record;
  }
  vms_.erase(spec.id);
  BLX_CO_TRY(co_await env_.process.kill_group(prepared.group));
  BLX_CO_TRY(co_await vm::give_up_standby_group(env_.process, prepared));
  prepared.group = vm::group_name(spec.id);
  prepared.standby = {};
  co_return co_await start_process(std::move(spec), std::move(prepared), deadline);
}

env::Task<Result<vm::Record>> SimDriver::start_process(vm::GuestSpec spec, vm::Record record,
                                                       Instant deadline) {
  for (const std::string& path : {spec.kernel_path, spec.initrd_path}) {
    if (!co_await env_.disk.open(path, env::OpenMode::kRead)) {
      co_return start_failed(Code::kInternal, "could not open " + path);
    }
  }
  if (spec.clone_of) {
    BLX_CO_TRY(co_await check_clone(spec));
    const auto taken = co_await take_standby(*spec.clone_of, record);
    if (taken) {
      BLX_CO_TRY(co_await load_started(std::move(spec), *taken, deadline));
      co_return (*taken)->record;
    }
    if (taken.error().code() != Code::kNotFound) co_return std::unexpected(taken.error());
  }
  const GuestArguments arguments{
      .uuid = spec.uuid,
      .cmdline = spec.cmdline,
      .name = spec.name,
      .clone_of = spec.clone_of ? spec.clone_of->directory : std::string(),
      .is_resumed = spec.resumes != nullptr,
  };
  BLX_CO_TRY(co_await env_.process.make_group(record.group, {.memory = spec.memory}));
  const auto vm = std::make_shared<Known>(env_.executor);
  BLX_CO_TRY(vm->child, co_await env_.process.spawn({
                            .executable = program_,
                            .arguments = arguments.encode(),
                            .group = record.group,
                        }));
  record.process = vm->child->id();
  record.template_key = spec.clone_of ? spec.clone_of->key : std::string();
  record.is_resumed = spec.resumes != nullptr;
  vm->record = record;
  follow(vm);
  BLX_CO_TRY(co_await store(record));
  BLX_CO_TRY(co_await wait_for_monitor(record, deadline));
  BLX_CO_TRY(co_await load_started(std::move(spec), vm, deadline));
  co_return record;
}

env::Task<Result<void>> SimDriver::load_started(vm::GuestSpec spec, Vm vm, Instant deadline) {
  if (spec.resumes) co_return co_await load_resumed(vm, std::move(spec.resumes), deadline);
  if (!spec.clone_of) co_return Result<void>();
  BLX_CO_TRY(co_await load_guest(vm, "template_unusable", deadline));
  if (SimGuest* guest = hypervisor_.find(vm->record.process)) {
    hypervisor_.go_on(*guest, env_.clock.wall());
  }
  co_return Result<void>();
}

env::Task<Result<void>> SimDriver::load_guest(Vm vm, const char* unusable, Instant deadline) {
  const env::ProcessId process = vm->record.process;
  if (SimGuest* guest = hypervisor_.find(process)) {
    guest->load_wanted = true;
    guest->asked.notify_all();
  }
  const auto is_settled = [&] {
    const SimGuest* guest = hypervisor_.find(process);
    return guest == nullptr || guest->loaded;
  };
  const auto waited = co_await wait(vm, deadline, is_settled);
  // Told to give up: the stored record finds the process again.
  if (!waited && waited.error().code() == Code::kCancelled) co_return waited;
  const bool is_there = hypervisor_.find(process) != nullptr;
  if (waited && is_there) co_return Result<void>();
  vms_.erase(vm->record.id);
  BLX_CO_TRY(co_await env_.process.kill_group(vm->record.group));
  co_return fail(Code::kDataLoss, unusable,
                 waited ? "exit code 1: load failed" : "it was not loaded in time");
}

env::Task<Result<void>> SimDriver::wait_for_monitor(vm::Record record, Instant deadline) {
  while (true) {
    const SimGuest* guest = hypervisor_.find(record.process);
    if (guest != nullptr && guest->monitor_answers) co_return Result<void>();
    if (!co_await env_.process.adopt(record.process)) {
      vms_.erase(record.id);
      co_return start_failed(Code::kInternal, "exit code 1: out of luck");
    }
    if (env_.clock.monotonic() >= deadline) {
      vms_.erase(record.id);
      BLX_CO_TRY(co_await env_.process.kill_group(record.group));
      co_return start_failed(Code::kDeadlineExceeded, "the monitor did not answer: feeling sleepy");
    }
    BLX_CO_TRY(co_await env_.clock.sleep(10ms));
  }
}

}  // namespace blixard::vm_sim
