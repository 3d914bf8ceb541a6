#include "node/api/convert.h"

#include <chrono>

#include <fmt/format.h>

#include "core/image/digest.h"

namespace blixard::api {
namespace {

// The model's enums have the numbers of the schema's.
static_assert(static_cast<int>(cluster::VmState::kPending) == v1::VM_STATE_PENDING);
static_assert(static_cast<int>(cluster::VmState::kMigrating) == v1::VM_STATE_MIGRATING);
static_assert(static_cast<int>(cluster::VmDesired::kDeleted) == v1::VM_DESIRED_DELETED);
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
  return message;
}

v1::Node to_message(const cluster::Node& node, const cluster::State& state) {
  v1::Node message;
  message.set_id(node.id.value);
  message.set_name(node.name.text());
  message.set_vcpus(node.vcpus);
  message.set_memory_mib(node.memory_mib);
  const resources::Amounts free = state.room_on(node).amounts();
  message.set_free_vcpus(cluster::whole_vcpus(free.cpu_milli));
  message.set_free_memory_mib(free.memory_mib);
  message.set_accelerator(node.accelerator);
  message.set_version(node.version);
  message.set_vms(static_cast<std::uint32_t>(state.vms_on(node.id).size()));
  message.set_registered(time_text(node.registered));
  message.set_role(static_cast<v1::NodeRole>(node.role));
  message.set_membership(static_cast<v1::Membership>(state.membership(node.id)));
  message.set_leaving(node.leaving);
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
