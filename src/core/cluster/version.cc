// What a command says that older programs do not know.

#include <algorithm>

#include "blixard/v1/cluster.pb.h"
#include "core/cluster/state.h"

namespace blixard::cluster {

namespace {

constexpr std::uint32_t kFirstVersion = 1;

bool says_more(const v1::RegisterNode& node) {
  const v1::NodeCapacity& capacity = node.capacity();
  return capacity.disk_mib() != 0 || capacity.network_mbit() != 0 ||
         capacity.counters_size() != 0 || capacity.devices_size() != 0 ||
         !node.architecture().empty() || !node.kernel_version().empty() ||
         node.hypervisors_size() != 0 || node.labels_size() != 0 || node.has_topology() ||
         node.cost_per_hour_micro() != 0 || node.images_size() != 0;
}

std::uint32_t required_version(const v1::ReportVms& command) {
  const bool tells_more = std::ranges::any_of(command.reports(), [](const v1::VmReport& report) {
    return report.has_start() || report.state() == v1::VM_STATE_SUSPENDED || report.has_saved() ||
           report.uses_saved() || report.has_snapshot();
  });
  return tells_more ? kStartVersion : kFirstVersion;
}

std::uint32_t version_if(bool says_more) { return says_more ? kPlacementVersion : kFirstVersion; }

}  // namespace

std::uint32_t required_version(const v1::Command& command) {
  switch (command.kind_case()) {
    case v1::Command::kRegisterNode:
      if (!command.register_node().hypervisor_version().empty()) return kStartVersion;
      return version_if(says_more(command.register_node()));
    case v1::Command::kCreateVm:
      return version_if(command.create_vm().spec().has_placement());
    case v1::Command::kReportVms:
      return required_version(command.report_vms());
    case v1::Command::kPlaceVm:
      return version_if(command.place_vm().devices_size() != 0 ||
                        command.place_vm().node_revision() != 0);
    case v1::Command::kSetDesired:
      return command.set_desired().desired() > v1::VM_DESIRED_DELETED ? kStartVersion
                                                                      : kFirstVersion;
    case v1::Command::kExplainPending:
    case v1::Command::kAddImage:
    case v1::Command::kRemoveImage:
    case v1::Command::kCreateToken:
    case v1::Command::kRevokeToken:
    case v1::Command::kEnrolNode:
    case v1::Command::kRemoveNode:
    case v1::Command::kDropNode:
    case v1::Command::kUpdateNodeAddress:
    case v1::Command::KIND_NOT_SET:
      return kFirstVersion;
    case v1::Command::kPlaceGang:
    case v1::Command::kEvictVm:
    case v1::Command::kUpdateNode:
    case v1::Command::kDrainNode:
    case v1::Command::kEndDrain:
    case v1::Command::kSetPolicy:
    case v1::Command::kSetGroup:
    case v1::Command::kRemoveGroup:
    case v1::Command::kSetTenant:
    case v1::Command::kRemoveTenant:
    case v1::Command::kSetReservation:
    case v1::Command::kRemoveReservation:
      return kPlacementVersion;
    case v1::Command::kTakeSnapshot:
    case v1::Command::kRestoreSnapshot:
    case v1::Command::kDeleteSnapshot:
      return kStartVersion;
  }
  return kModelVersion;
}

void fit_to_version(v1::Command& command) {
  if (command.version() < kStartVersion && command.has_report_vms()) {
    for (v1::VmReport& report : *command.mutable_report_vms()->mutable_reports())
      report.clear_start();
  }
  if (command.version() < kStartVersion && command.has_register_node()) {
    command.mutable_register_node()->clear_hypervisor_version();
  }
  if (command.version() >= kPlacementVersion) return;
  if (command.has_register_node()) {
    v1::RegisterNode& node = *command.mutable_register_node();
    v1::NodeCapacity& capacity = *node.mutable_capacity();
    capacity.clear_disk_mib();
    capacity.clear_network_mbit();
    capacity.clear_counters();
    capacity.clear_devices();
    node.clear_architecture();
    node.clear_kernel_version();
    node.clear_hypervisors();
    node.clear_labels();
    node.clear_topology();
    node.clear_cost_per_hour_micro();
    node.clear_images();
  } else if (command.has_place_vm()) {
    // Whatever constraints were looked at: no VM can have any yet.
    command.mutable_place_vm()->clear_node_revision();
  }
}

}  // namespace blixard::cluster
