// Processes that stand by for a guest to be loaded: the part of QemuDriver that keeps them, and has
// a start take one. Such a process has a folder and a group of its own. With the folder it moves
// into that of the VM; the group stays, since moving a process between groups stops the whole host
// for a moment.

#include <algorithm>
#include <set>
#include <utility>

#include <boost/json.hpp>
#include <fmt/format.h>

#include "node/vm/label.h"
#include "node/vm/qemu/arguments.h"
#include "node/vm/qemu/qemu_driver.h"
#include "observe/allocations.h"

namespace blixard::qemu {
namespace {

namespace json = boost::json;

constexpr Duration kCommandPatience = 2s;
constexpr Duration kEndPatience = 1s;
constexpr std::uint64_t kTurn = vm::standby_vm(vm::kStandbysMost - 1).value;

// Errors: kInternal "port_unusable" with QEMU's words.
env::Task<Result<void>> publish(RunningVm& vm, std::vector<vm::Publish> published) {
  for (const vm::Publish& port : published) {
    const std::string line = fmt::format("hostfwd_add {} {}", kNetwork, forwarding(port));
    BLX_CO_TRY(
        const json::value answer,
        co_await vm.execute("human-monitor-command", kCommandPatience, {{"command-line", line}}));
    const json::string* text = answer.if_string();
    if (text == nullptr) co_return fail(Code::kDataLoss, "qmp_malformed");
    if (!text->empty()) co_return fail(Code::kInternal, "port_unusable", std::string(*text));
  }
  co_return Result<void>();
}

}  // namespace

std::size_t QemuDriver::count_standbys(std::string_view key) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      standbys_, [key](const auto& each) { return each.second.clones.key == key; }));
}

env::Task<Result<std::size_t>> QemuDriver::keep_standbys(vm::GuestSpec spec, std::size_t count,
                                                         Instant deadline) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  BLX_CO_TRY(vm::check_guest_spec(spec));
  if (!spec.clone_of) co_return fail(Code::kInvalidArgument, "spec_invalid", "no template");
  const vm::Template made = *spec.clone_of;
  BLX_CO_TRY(const vm::Turns::Held turn, co_await turns_.take(kTurn));
  const auto is_useless = [&](const Standby& standby) {
    const bool is_of_it = standby.clones.key == made.key;
    return standby.vm->exited() || (is_of_it && standby.clones.files != made.files);
  };
  std::vector<VmId> useless;
  for (const auto& [id, standby] : standbys_)
    if (!standby.is_taken && is_useless(standby)) useless.push_back(id);
  for (const VmId id : useless)
    if (standbys_.contains(id) && !standbys_.at(id).is_taken) co_await end_standby(id);
  while (count_standbys(made.key) > count) {
    const auto one = std::ranges::find_if(standbys_, [&](const auto& each) {
      return each.second.clones.key == made.key && !each.second.is_taken;
    });
    if (one == standbys_.end()) break;
    co_await end_standby(one->first);
  }
  while (count_standbys(made.key) < count)
    BLX_CO_TRY(co_await start_standby(spec, deadline));
  co_return count_standbys(made.key);
}

// A number whose group and folder nobody has: also those of VMs that took one.
env::Task<Result<VmId>> QemuDriver::free_standby() {
  std::set<VmId> used;
  BLX_CO_TRY(const std::vector<VmId> with_directory, co_await directories_.list());
  used.insert(with_directory.begin(), with_directory.end());
  BLX_CO_TRY(const std::vector<std::string> groups, co_await env_.process.groups());
  for (const std::string& group : groups)
    if (const auto id = vm::parse_group_name(group)) used.insert(*id);
  for (const auto& [id, vm] : vms_)
    if (const auto group = vm::parse_group_name(vm->record().group)) used.insert(*group);
  for (std::uint64_t number = 0; number + 1 < vm::kStandbysMost; ++number) {
    const VmId id = vm::standby_vm(number);
    if (!used.contains(id) && !standbys_.contains(id)) co_return id;
  }
  co_return fail(Code::kResourceExhausted, "too_many_standbys");
}

env::Task<Result<void>> QemuDriver::start_standby(vm::GuestSpec spec, Instant deadline) {
  BLX_CO_TRY(const std::string key, co_await template_key(spec));
  if (key != spec.clone_of->key) co_return fail(Code::kDataLoss, "template_of_another");
  BLX_CO_TRY(const VmId id, co_await free_standby());
  BLX_CO_TRY(directories_.check_paths(id));
  spec.id = id;
  spec.generation = Generation(1);
  spec.uuid = env_.random.uuid();
  spec.name = vm::label(id);
  spec.published.clear();
  const auto started = co_await start_waiting(spec, deadline);
  if (!started) {
    if (started.error().code() != Code::kCancelled) {
      ignore(co_await release_leftover_held(id), "the next daemon finds it");
    }
    co_return std::unexpected(started.error());
  }
  standbys_[id] = {.clones = *spec.clone_of, .vm = vms_.at(id), .is_taken = false};
  vms_.erase(id);
  co_return Result<void>();
}

env::Task<Result<void>> QemuDriver::start_waiting(vm::GuestSpec spec, Instant deadline) {
  BLX_CO_TRY(co_await lay_out(spec));
  BLX_CO_TRY(const GuestMemory memory, co_await memory_of(spec.id, *spec.clone_of));
  BLX_CO_TRY(co_await start_process(spec, record_of(spec), memory, deadline));
  co_return Result<void>();
}

env::Task<void> QemuDriver::end_standby(VmId id) {
  const Vm vm = standbys_.at(id).vm;
  standbys_.at(id).is_taken = true;
  ignore(vm->child().kill(env::Kill::kNow), "it may have ended by itself");
  ignore(co_await vm->wait(env_.clock.monotonic() + kEndPatience,
                           [](const RunningVm& running) { return running.exited(); }),
         "its group is emptied next");
  co_await vm->close();
  standbys_.erase(id);
  ignore(co_await release_leftover_held(id), "the next daemon finds it");
}

env::Task<bool> QemuDriver::take_standby(const vm::GuestSpec& spec, vm::Record& record) {
  while (true) {
    const auto found = std::ranges::find_if(standbys_, [&](const auto& each) {
      const Standby& standby = each.second;
      return !standby.is_taken && standby.clones.key == spec.clone_of->key &&
             standby.clones.files == spec.clone_of->files && !standby.vm->exited();
    });
    if (found == standbys_.end()) co_return false;
    const VmId from = found->first;
    const Vm vm = found->second.vm;
    found->second.is_taken = true;
    vm::Record taken = record;
    taken.accelerator = vm->record().accelerator;
    taken.group = vm->record().group;
    taken.process = vm->record().process;
    taken.standby = vm->record().uuid;
    const auto handed = co_await hand_standby(from, taken);
    if (handed) {
      standbys_.erase(from);
      record = std::move(taken);
      co_return true;
    }
    BLX_LOG(env_.log, kWarn, "{} is of no use: {}", vm::label(from), handed.error().message());
    if (handed.error().code() == Code::kCancelled) {
      standbys_.at(from).is_taken = false;  // it is dead, and the next look removes it
      ignore(vm->child().kill(env::Kill::kNow), "it may have ended by itself");
      co_return false;
    }
    co_await end_standby(from);
  }
}

env::Task<Result<void>> QemuDriver::hand_standby(VmId from, vm::Record record) {
  const Vm vm = standbys_.at(from).vm;
  BLX_CO_TRY(co_await vm->refresh(kCommandPatience));
  if (!vm->is_incoming()) co_return fail(Code::kInternal, "standby_lost", vm->run_state());
  BLX_CO_TRY(co_await publish(*vm, record.published));
  BLX_CO_TRY(co_await directories_.move_in(from, record));
  const std::string output = directories_.output(record.id);
  vms_[record.id] = vm;
  co_await vm->become(std::move(record), output);
  BLX_LOG(env_.log, kInfo, "vm {}: takes {}, pid {}", vm->record().id.value, vm::label(from),
          vm->record().process.pid);
  co_return Result<void>();
}

}  // namespace blixard::qemu
