#include "node/telemetry/telemetry.h"

#include "base/limits.h"

namespace blixard::telemetry {
namespace {

using observe::HistogramShape;

constexpr HistogramShape kCommandTimes = HistogramShape::seconds(64us, 64s);
constexpr HistogramShape kGuestTimes = HistogramShape::seconds(1ms, 64s, 2);

}  // namespace

Outcome outcome_of(const Error& error) {
  switch (error.code()) {
    case Code::kInvalidArgument:
    case Code::kNotFound:
    case Code::kAlreadyExists:
    case Code::kFailedPrecondition:
    case Code::kPermissionDenied:
    case Code::kUnimplemented:
      return Outcome::kRefused;
    default:
      return Outcome::kFailed;
  }
}

Telemetry::Telemetry(observe::Metrics& metrics)
    : log(metrics),
      replica(metrics),
      nodes_(&metrics.names("node", limits::kNodes)),
      placement_attempts_(metrics.counters<PlacementStrategy, PlacementOutcome>(
          "blixard_vm_placement_attempts_total",
          "VMs for which the leader looked for a node, by what came of it.",
          {"strategy", "outcome"})),
      placement_duration_(metrics.histograms<PlacementStrategy>(
          "blixard_vm_placement_duration_seconds",
          "Time from a plan until what it says of one VM was applied or refused.", kCommandTimes,
          {"strategy"})),
      vm_operations_(metrics.counters<VmOperation, Outcome>(
          "blixard_vm_operations_total",
          "What users asked for (create to delete_snapshot) and what this node did for it (boot, "
          "adopt, shutdown), by outcome.",
          {"operation", "outcome"})),
      vm_operation_duration_(metrics.histograms<VmOperation>(
          "blixard_vm_operation_duration_seconds",
          "Time until what users asked for was applied, or what this node did was done.",
          HistogramShape::seconds(64us, 64s, 2), {"operation"})),
      image_imports_(metrics.counters<ArtifactType, Outcome>(
          "blixard_image_imports_total", "Images that were to be kept on this node.",
          {"artifact_type", "outcome"})),
      image_import_bytes_(metrics.counters<ArtifactType>("blixard_image_import_bytes_total",
                                                         "Bytes of the images that were imported.",
                                                         {"artifact_type"})),
      image_import_duration_(metrics.histograms<ArtifactType>(
          "blixard_image_import_duration_seconds", "Time to copy and check one image.", kGuestTimes,
          {"artifact_type"})),
      scheduling_decisions_(metrics.named_counters<PlacementStrategy>(
          "blixard_vm_scheduling_decisions_total",
          "Times that this node, leading, chose a node for a VM.", *nodes_, {"strategy"})),
      scheduling_duration_(metrics.histograms<PlacementStrategy>(
          "blixard_vm_scheduling_duration_seconds", "Time to make the plan that chose a node.",
          kCommandTimes, {"strategy"})),
      scheduling_preempted_(metrics.histograms<PlacementStrategy>(
          "blixard_vm_scheduling_preempted", "VMs that had to make room for one that was placed.",
          HistogramShape::counts(1, 16), {"strategy"})),
      node_vcpus_(metrics.named_gauges("blixard_node_vcpus",
                                       "Virtual CPUs that a node offers, overcommitted.", *nodes_)),
      node_vcpus_used_(metrics.named_gauges(
          "blixard_node_used_vcpus", "Virtual CPUs promised to the VMs on a node.", *nodes_)),
      node_memory_(metrics.named_gauges("blixard_node_memory_bytes",
                                        "Memory that a node offers to VMs.", *nodes_)),
      node_memory_used_(metrics.named_gauges("blixard_node_used_memory_bytes",
                                             "Memory promised to the VMs on a node.", *nodes_)),
      guest_starts_(metrics.histograms<GuestStart>(
          "blixard_vm_start_duration_seconds",
          "Time from the beginning of a start on this node until the guest's agent answered; warm: "
          "a clone of a template; resumed: from a saved guest.",
          kGuestTimes, {"start"})),
      templates_refused_(metrics.counter(
          "blixard_template_refusals_total",
          "Clones that could not be loaded or were no good, so that the VM booted instead.")),
      template_makings_(metrics.counters<Outcome>("blixard_template_makings_total",
                                                  "Guests that were to be saved as templates.",
                                                  {"outcome"})),
      template_making_duration_(
          metrics.histogram("blixard_template_making_duration_seconds",
                            "Time to boot a guest, save it and read what was saved.", kGuestTimes)),
      vm_restarts_(metrics.counter("blixard_vm_restarts_total",
                                   "Guests that were started again after they had ended.")),
      guest_ends_(metrics.counters<GuestEnd>("blixard_vm_guest_ends_total",
                                             "Guests that ended by themselves.", {"how"})),
      health_checks_(metrics.counters<Outcome>(
          "blixard_vm_health_checks_total",
          "Checks whether a guest that was started answers, by outcome.", {"outcome"})),
      status_reports_(metrics.counter("blixard_vm_status_reports_total",
                                      "Changes of VMs that this node reported.")) {}

Telemetry& Telemetry::none() {
  static Telemetry kNone;
  return kNone;
}

NodeLabel Telemetry::label(const cluster::Node& node) {
  if (nodes_ == nullptr) return observe::NameSet::kOther;
  const auto found = labels_.find(node.id);
  if (found != labels_.end()) return found->second;
  return labels_.try_emplace(node.id, nodes_->place(node.name)).first->second;
}

void Telemetry::follow_nodes(const cluster::State& state, std::optional<NodeId> only) {
  if (nodes_ == nullptr) return;
  const auto is_told = [&](const cluster::Node& node) { return !only || node.id == *only; };
  std::erase_if(labels_, [&](const auto& labelled) {
    const cluster::Node* node = state.find_node(labelled.first);
    const bool keeps =
        node != nullptr && is_told(*node) && nodes_->place(node->name) == labelled.second;
    if (!keeps) nodes_->release(labelled.second);
    return !keeps;
  });
  for (const auto& [id, node] : state.nodes()) {
    if (!is_told(node)) continue;
    const resources::Amounts offered = cluster::offered_by(node, state.policy().overcommit).amounts;
    const resources::Amounts used = offered - state.room_on(node).amounts();
    update_node_resource_metrics(label(node),
                                 {.vcpus = cluster::whole_vcpus(offered.cpu_milli),
                                  .memory = mib(static_cast<std::uint64_t>(offered.memory_mib))},
                                 {.vcpus = cluster::whole_vcpus(used.cpu_milli),
                                  .memory = mib(static_cast<std::uint64_t>(used.memory_mib))});
  }
}

}  // namespace blixard::telemetry
