#include "node/api/convert.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "core/cluster/wishes_codec.h"
#include "core/image/digest.h"
#include "core/sched/attributes.h"

namespace blixard::api {
namespace {

// The model's enums have the numbers of the schema's.
static_assert(static_cast<int>(cluster::VmState::kPending) == v1::VM_STATE_PENDING);
static_assert(static_cast<int>(cluster::VmState::kSuspended) == v1::VM_STATE_SUSPENDED);
static_assert(static_cast<int>(cluster::VmDesired::kSuspended) == v1::VM_DESIRED_SUSPENDED);
static_assert(static_cast<int>(cluster::NodeRole::kWorker) == v1::NODE_ROLE_WORKER);
static_assert(static_cast<int>(cluster::Membership::kNone) == v1::MEMBERSHIP_JOINING);
static_assert(static_cast<int>(cluster::Membership::kVoter) == v1::MEMBERSHIP_VOTER);
static_assert(static_cast<int>(cluster::RestartPolicy::kAlways) == v1::RESTART_POLICY_ALWAYS);

void add_ports(const std::vector<cluster::PublishedPort>& ports, v1::Vm& message) {
  for (const auto& port : ports) {
    auto* added = message.add_published_ports();
    added->set_host_port(port.host_port);
    added->set_guest_port(port.guest_port);
  }
}

void add_eviction(const cluster::Eviction& eviction, const cluster::State& state,
                  v1::Eviction* out) {
  out->set_cause(static_cast<v1::EvictCause>(eviction.cause));
  out->set_by(eviction.by.text());
  out->set_explanation(eviction.explanation);
  out->set_since(time_text(eviction.since));
  if (const auto* from = state.find_node(eviction.from)) out->set_from(from->name.text());
  if (const auto* target = state.find_node(eviction.target)) out->set_target(target->name.text());
}

void add_saved(const cluster::SavedGuest& saved, const cluster::State& state,
               v1::VmSavedGuest* out) {
  out->set_digest(image::digest_text(saved.digest));
  out->set_bytes(saved.size.value);
  if (const auto* holder = state.find_node(saved.holder)) out->set_node(holder->name.text());
  out->set_saved(time_text(saved.saved));
  out->set_accelerator(saved.accelerator);
  out->set_hypervisor_version(saved.hypervisor_version);
}

void add_saves(const cluster::Saves& saves, const cluster::State& state, v1::Vm& message) {
  if (saves.resume_from) {
    add_saved(*saves.resume_from, state, message.mutable_saved());
    message.mutable_saved()->set_used_by(saves.used_by.value);
  }
  if (!saves.snapshot && !saves.is_snapshot_asked() && saves.snapshot_error.empty()) return;
  v1::VmSnapshot& snapshot = *message.mutable_snapshot();
  if (saves.snapshot) add_saved(*saves.snapshot, state, snapshot.mutable_guest());
  snapshot.set_under_way(saves.is_snapshot_asked());
  snapshot.set_error(saves.snapshot_error);
}

void add_counters(const std::vector<resources::Counter>& counters,
                  google::protobuf::RepeatedPtrField<v1::Counter>* out) {
  for (const resources::Counter& counter : counters) {
    auto* added = out->Add();
    added->set_name(counter.name.text());
    added->set_amount(counter.amount);
  }
}

// What it has for VMs beside vCPUs and memory.
void add_offer(const cluster::Node& node, const resources::Room& room, v1::Node& message) {
  message.set_disk_mib(node.disk_mib);
  message.set_network_mbit(node.network_mbit);
  message.set_free_disk_mib(room.amounts().disk_mib);
  message.set_free_network_mbit(room.amounts().network_mbit);
  std::uint32_t number = 0;
  for (const resources::Device& device : room.devices()) {
    auto* added = message.add_devices();
    added->set_number(number++);
    added->set_kind(device.kind.text());
    added->set_model(device.model.text());
    added->set_free_milli(device.free_milli);
  }
  add_counters(node.counters, message.mutable_counters());
  add_counters(room.counters(), message.mutable_free_counters());
  message.set_architecture(node.architecture);
  message.set_kernel_version(node.kernel_version);
  for (const std::string& hypervisor : node.hypervisors)
    message.add_hypervisors(hypervisor);
  message.mutable_topology()->set_datacenter(node.topology.datacenter.text());
  message.mutable_topology()->set_zone(node.topology.zone.text());
  message.mutable_topology()->set_rack(node.topology.rack.text());
  message.set_cost_per_hour_micro(node.cost_per_hour_micro);
}

void add_label(const cluster::Label& label, v1::Node& message) {
  auto* added = message.add_labels();
  added->set_key(label.key);
  added->set_value(label.value);
}

// What operators say of it.
void add_operators_word(const cluster::Node& node, const cluster::State& state, v1::Node& message) {
  for (const cluster::Label& label : node.set_labels)
    add_label(label, message);
  for (const cluster::Label& label : node.told_labels) {
    const bool is_hidden = std::ranges::find(node.set_labels, label.key, &cluster::Label::key) !=
                           node.set_labels.end();
    if (!is_hidden) add_label(label, message);
  }
  for (const cluster::Taint& taint : node.taints) {
    auto* added = message.add_taints();
    added->set_key(taint.key);
    added->set_value(taint.value);
    added->set_effect(static_cast<v1::TaintEffect>(taint.effect));
  }
  message.set_cordoned(node.cordoned);
  if (!node.drain.is_set()) return;
  auto& drain = *message.mutable_drain();
  drain.set_since(time_text(node.drain.since));
  drain.set_deadline(time_text(node.drain.deadline));
  drain.set_parallel(node.drain.parallel);
  drain.set_ended(time_text(node.drain.ended));
  drain.set_outcome(node.drain.outcome);
  std::uint32_t leaving = 0;
  for (const VmId id : state.vms_on(node.id))
    leaving += state.find_vm(id)->evicting ? 1 : 0;
  drain.set_vms_left(static_cast<std::uint32_t>(state.vms_on(node.id).size()));
  drain.set_vms_leaving(leaving);
}

std::uint64_t mixed(std::uint64_t x) {  // splitmix64's finalizer
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// The guest's identity follows from the request, so that a repeated request is the same command.
Uuid guest_uuid(const Uuid& request_id, std::string_view name) {
  std::uint64_t high = 1;
  std::uint64_t low = 2;
  const auto take = [&](std::uint8_t byte) {
    high = mixed(high ^ byte);
    low = mixed(low + byte);
  };
  for (const std::uint8_t byte : request_id.bytes)
    take(byte);
  for (const char c : name)
    take(static_cast<std::uint8_t>(c));
  return Uuid::from_random(high, low);
}

}  // namespace

std::string time_text(WallTime time) {
  if (time.unix_ms == 0) return "";
  const std::chrono::sys_time<std::chrono::milliseconds> point{
      std::chrono::milliseconds(time.unix_ms)};
  const auto day = std::chrono::floor<std::chrono::days>(point);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(point - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count());
}

v1::Vm to_message(const cluster::Vm& vm, const cluster::State& state) {
  v1::Vm message;
  message.set_id(vm.id.value);
  message.set_name(vm.name.text());
  message.set_uuid(vm.uuid.text());
  message.set_image(vm.spec.image.text());
  message.set_vcpus(vm.spec.vcpus);
  message.set_memory_mib(vm.spec.memory_mib);
  message.set_restart(static_cast<v1::RestartPolicy>(vm.spec.restart));
  message.set_stop_grace_seconds(vm.spec.stop_grace_seconds);
  message.set_desired(static_cast<v1::VmDesired>(vm.desired));
  message.set_state(static_cast<v1::VmState>(vm.state));
  message.set_reason(vm.reason);
  if (const cluster::Node* node = state.find_node(vm.node)) message.set_node(node->name.text());
  add_ports(vm.published_ports.empty() ? vm.spec.published_ports : vm.published_ports, message);
  message.set_pid(vm.pid);
  message.set_accelerator(vm.accelerator);
  message.set_restarts(vm.restarts);
  message.set_generation(vm.generation.value);
  message.set_created(time_text(vm.created));
  message.set_changed(time_text(vm.changed));
  if (!vm.spec.wishes.is_default()) {
    cluster::write_wishes(*vm.spec.wishes, message.mutable_placement());
  }
  for (const std::uint16_t number : vm.devices)
    message.add_devices(number);
  message.set_evicting(vm.evicting);
  if (!vm.start.is_default()) {
    message.mutable_start()->set_kind(static_cast<v1::VmStartKind>(vm.start->kind));
    message.mutable_start()->set_took_ms(vm.start->took_ms);
    message.mutable_start()->set_why(vm.start->why);
  }
  if (!vm.saves.is_default()) add_saves(*vm.saves, state, message);
  if (!vm.eviction.is_default()) add_eviction(*vm.eviction, state, message.mutable_eviction());
  return message;
}

v1::Node to_message(const cluster::Node& node, const cluster::State& state) {
  v1::Node message;
  message.set_id(node.id.value);
  message.set_name(node.name.text());
  message.set_vcpus(node.vcpus);
  message.set_memory_mib(node.memory_mib);
  const resources::Room room = state.room_on(node);
  message.set_free_vcpus(room.amounts().cpu_milli / resources::kMilliPerCore);
  message.set_free_memory_mib(room.amounts().memory_mib);
  message.set_accelerator(node.accelerator);
  message.set_version(node.version);
  message.set_hypervisor_version(node.hypervisor_version);
  message.set_vms(static_cast<std::uint32_t>(state.vms_on(node.id).size()));
  message.set_registered(time_text(node.registered));
  message.set_role(static_cast<v1::NodeRole>(node.role));
  message.set_membership(static_cast<v1::Membership>(state.membership(node.id)));
  message.set_leaving(node.leaving);
  add_offer(node, room, message);
  add_operators_word(node, state, message);
  return message;
}

v1::Image to_message(const cluster::Image& image) {
  v1::Image message;
  message.set_id(image.id.value);
  message.set_name(image.name.text());
  message.set_architecture(image.architecture);
  message.set_kernel_version(image.kernel_version);
  message.set_cmdline(image.cmdline);
  for (const auto& file : image.files) {
    auto* added = message.add_files();
    added->set_name(file.name);
    added->set_bytes(file.size.value);
    added->set_digest(image::digest_text(file.digest));
  }
  message.set_added(time_text(image.added));
  return message;
}

Result<v1::CreateVm> to_command(const v1::CreateVmRequest& request, const Uuid& request_id) {
  v1::CreateVm create;
  create.set_name(request.name());
  const Uuid uuid = guest_uuid(request_id, request.name());
  create.set_uuid(uuid.bytes.data(), uuid.bytes.size());
  const bool start = !request.has_start() || request.start();
  create.set_desired(start ? v1::VM_DESIRED_RUNNING : v1::VM_DESIRED_STOPPED);
  const cluster::VmSpec defaults;
  auto& spec = *create.mutable_spec();
  spec.set_image(request.image());
  spec.set_vcpus(request.has_vcpus() ? request.vcpus() : defaults.vcpus);
  spec.set_memory_mib(request.has_memory_mib() ? request.memory_mib() : defaults.memory_mib);
  spec.set_restart(request.has_restart() ? request.restart()
                                         : static_cast<v1::RestartPolicy>(defaults.restart));
  spec.set_stop_grace_seconds(request.has_stop_grace_seconds() ? request.stop_grace_seconds()
                                                               : defaults.stop_grace_seconds);
  for (const auto& port : request.publish()) {
    auto* added = spec.add_published_ports();
    added->set_host_port(port.host_port());
    added->set_guest_port(port.guest_port());
  }
  if (!request.has_placement()) return create;
  BLX_TRY(const cluster::Wishes wishes, cluster::read_wishes(request.placement()));
  BLX_TRY(sched::check_attributes(wishes));
  *spec.mutable_placement() = request.placement();
  return create;
}

v1::AddImage to_command(const cluster::Image& image) {
  v1::AddImage command;
  command.set_name(image.name.text());
  command.set_architecture(image.architecture);
  command.set_kernel_version(image.kernel_version);
  command.set_cmdline(image.cmdline);
  for (const auto& file : image.files) {
    auto* added = command.add_files();
    added->set_name(file.name);
    added->set_bytes(file.size.value);
    added->set_digest(file.digest.data(), file.digest.size());
  }
  return command;
}

}  // namespace blixard::api
