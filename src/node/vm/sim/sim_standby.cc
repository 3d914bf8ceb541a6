// Processes that stand by for a clone.

#include <algorithm>
#include <utility>

#include "node/vm/label.h"
#include "node/vm/sim/sim_driver.h"
#include "observe/allocations.h"

namespace blixard::vm_sim {

std::size_t SimDriver::count_standbys(const vm::Template& made) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      standbys_, [&](const auto& each) { return each.second.clones.key == made.key; }));
}

env::Task<Result<std::size_t>> SimDriver::keep_standbys(vm::GuestSpec spec, std::size_t count,
                                                        Instant deadline) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  if (!spec.clone_of) co_return fail(Code::kInvalidArgument, "spec_invalid", "no template");
  const vm::Template made = *spec.clone_of;
  BLX_CO_TRY(const vm::Turns::Held turn, co_await turns_.take(vm::standby_vm(0).value));
  std::vector<VmId> useless;
  for (const auto& [id, standby] : standbys_) {
    const bool is_other = standby.clones.key == made.key && standby.clones.files != made.files;
    const bool is_gone = hypervisor_.find(standby.vm->record.process) == nullptr;
    if (is_other || is_gone) useless.push_back(id);
  }
  for (const VmId id : useless)
    co_await end_standby(id);
  while (count_standbys(made) > count) {
    const auto one = std::ranges::find_if(
        standbys_, [&](const auto& each) { return each.second.clones.key == made.key; });
    co_await end_standby(one->first);
  }
  if (count > 0) BLX_CO_TRY(co_await check_clone(spec));
  while (count_standbys(made) < count)
    BLX_CO_TRY(co_await start_standby(spec, deadline));
  co_return count_standbys(made);
}

env::Task<Result<void>> SimDriver::start_standby(vm::GuestSpec spec, Instant deadline) {
  BLX_CO_TRY(const std::vector<std::string> groups, co_await env_.process.groups());
  std::uint64_t number = 0;
  while (standbys_.contains(vm::standby_vm(number)) ||
         std::ranges::find(groups, vm::group_name(vm::standby_vm(number))) != groups.end()) {
    ++number;
  }
  spec.id = vm::standby_vm(number);
  spec.generation = Generation(1);
  spec.uuid = env_.random.uuid();
  spec.name = vm::label(spec.id);
  spec.published.clear();
  const std::string folder = spec.clone_of->directory;
  const vm::Template made = *std::exchange(spec.clone_of, std::nullopt);
  BLX_CO_TRY(vm::Record record, co_await prepare(spec));
  BLX_CO_TRY(co_await env_.process.make_group(record.group, {.memory = spec.memory}));
  const GuestArguments arguments{
      .uuid = spec.uuid, .cmdline = spec.cmdline, .name = spec.name, .clone_of = folder};
  const auto vm = std::make_shared<Known>(env_.executor);
  auto child = co_await env_.process.spawn(
      {.executable = program_, .arguments = arguments.encode(), .group = record.group});
  Result<void> waits;
  if (child) {
    vm->child = *std::move(child);
    record.process = vm->child->id();
    vm->record = record;
    standbys_[spec.id] = {.clones = made, .vm = vm};
    by_process_[record.process.pid] = vm;
    waits = co_await store(record);
    if (waits) waits = co_await wait_for_monitor(record, deadline);
  } else {
    waits = std::unexpected(child.error());
  }
  if (waits) co_return waits;
  standbys_.erase(spec.id);
  if (waits.error().code() != Code::kCancelled) {
    ignore(co_await release_leftover(spec.id), "the next daemon finds it");
  }
  co_return waits;
}

env::Task<void> SimDriver::end_standby(VmId id) {
  standbys_.erase(id);
  ignore(co_await release_leftover(id), "the next daemon finds it");
}

// Errors: kNotFound "no_standby".
env::Task<Result<SimDriver::Vm>> SimDriver::take_standby(const vm::Template& made,
                                                         vm::Record record) {
  const auto found = std::ranges::find_if(standbys_, [&](const auto& each) {
    const SimGuest* guest = hypervisor_.find(each.second.vm->record.process);
    return each.second.clones.key == made.key && each.second.clones.files == made.files &&
           guest != nullptr && guest->monitor_answers;
  });
  if (found == standbys_.end()) co_return fail(Code::kNotFound, "no_standby");
  const VmId from = found->first;
  const Vm vm = found->second.vm;
  standbys_.erase(found);
  const vm::Record waited = vm->record;
  record.group = waited.group;
  record.process = waited.process;
  record.standby = waited.uuid;
  record.template_key = made.key;
  vm->record = record;
  hypervisor_.find(record.process)->uuid = record.uuid;
  vms_[record.id] = vm;
  // The record first: whatever interrupts the rest, it finds the process.
  BLX_CO_TRY(co_await store(record));
  BLX_CO_TRY(co_await env_.disk.remove_tree(directory(from)));
  co_return vm;
}

}  // namespace blixard::vm_sim
