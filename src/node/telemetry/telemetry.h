#pragma once

// What a node tells of itself in numbers: all instruments of the product, each declared once.
//
// A part that stands alone has its own (`log::Instruments` and so on), which are gathered here;
// what placement, agent and API count is recorded by the functions below, named by what happened.
// Labels are enums, so recording picks a cell by arithmetic: nothing is allocated, looked up or
// locked, and no function takes an owned string. Copies count into the same cells; one that is
// default-constructed counts into nothing.
//
// The only label that comes from a user is the name of a node. Its series are bounded by the number
// of nodes, and only the leader has those of others: a thousand nodes that each told of all the
// others would be a million series.

#include <cstdint>
#include <map>
#include <optional>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "core/cluster/state.h"
#include "node/log/instruments.h"
#include "node/replica/instruments.h"
#include "node/telemetry/labels.h"
#include "observe/metrics.h"

namespace blixard::telemetry {

struct NodeResources {
  std::int64_t vcpus = 0;
  Bytes memory;
};

using NodeLabel = observe::Named;

class Telemetry {
 public:
  Telemetry() = default;
  explicit Telemetry(observe::Metrics& metrics);

  // One that counts into nothing.
  static Telemetry& none();

  // One VM for which the leader's plan had a line; `duration` from the plan until its answer.
  void record_vm_placement_attempt(PlacementStrategy strategy, PlacementOutcome outcome,
                                   Duration duration) const {
    placement_attempts_[strategy, outcome].add();
    placement_duration_[strategy].observe(duration);
  }

  void record_vm_operation(VmOperation operation, Outcome outcome, Duration duration) const {
    vm_operations_[operation, outcome].add();
    vm_operation_duration_[operation].observe(duration);
  }

  // An image that came to this node. They do not travel between nodes yet: what is recorded today
  // is the import of a local folder.
  void record_p2p_image_import(ArtifactType type, Outcome outcome, Bytes bytes,
                               Duration duration) const {
    image_imports_[type, outcome].add();
    image_import_bytes_[type].add(bytes.value);
    image_import_duration_[type].observe(duration);
  }

  // A node that was chosen, by a plan that took `duration`; `preempted` VMs had to make room.
  void record_vm_scheduling_decision(PlacementStrategy strategy, NodeLabel node, Duration duration,
                                     std::size_t preempted) const {
    scheduling_decisions_[node, strategy].add();
    scheduling_duration_[strategy].observe(duration);
    scheduling_preempted_[strategy].observe(preempted);
  }

  // Sets; whoever reads sees the last truth.
  void update_node_resource_metrics(NodeLabel node, NodeResources capacity,
                                    NodeResources used) const {
    node_vcpus_[node].set(capacity.vcpus);
    node_vcpus_used_[node].set(used.vcpus);
    node_memory_[node].set(capacity.memory);
    node_memory_used_[node].set(used.memory);
  }

  // A guest that runs: `duration` from the beginning of its start to the agent's first answer.
  void record_guest_start(GuestStart how, Duration duration) const {
    guest_starts_[how].observe(duration);
  }
  // A clone was no good, and the VM booted instead.
  void record_template_refused() const { templates_refused_.add(); }
  void record_template_making(Outcome outcome, Duration duration) const {
    template_makings_[outcome].add();
    template_making_duration_.observe(duration);
  }

  void record_vm_restart() const { vm_restarts_.add(); }
  void record_guest_end(GuestEnd how) const { guest_ends_[how].add(); }
  // Whether a guest that was started, or found running, answers.
  void record_health_check(Outcome outcome) const { health_checks_[outcome].add(); }
  void record_status_report() const { status_reports_.add(); }

  // The label of a node's series, which begin with it.
  NodeLabel label(const cluster::Node& node);
  // Tells the resources of each node as `state` has them, or of `only` one; ends the series of the
  // others.
  void follow_nodes(const cluster::State& state, std::optional<NodeId> only);

  log::Instruments log;
  replica::Instruments replica;

 private:
  observe::NameSet* nodes_ = nullptr;  // none: counts into nothing
  std::map<NodeId, NodeLabel> labels_;

  observe::CounterFamily<PlacementStrategy, PlacementOutcome> placement_attempts_;
  observe::HistogramFamily<PlacementStrategy> placement_duration_;
  observe::CounterFamily<VmOperation, Outcome> vm_operations_;
  observe::HistogramFamily<VmOperation> vm_operation_duration_;
  observe::CounterFamily<ArtifactType, Outcome> image_imports_;
  observe::CounterFamily<ArtifactType> image_import_bytes_;
  observe::HistogramFamily<ArtifactType> image_import_duration_;
  observe::CounterFamily<observe::Named, PlacementStrategy> scheduling_decisions_;
  observe::HistogramFamily<PlacementStrategy> scheduling_duration_;
  observe::HistogramFamily<PlacementStrategy> scheduling_preempted_;
  observe::GaugeFamily<observe::Named> node_vcpus_;
  observe::GaugeFamily<observe::Named> node_vcpus_used_;
  observe::GaugeFamily<observe::Named> node_memory_;
  observe::GaugeFamily<observe::Named> node_memory_used_;
  observe::HistogramFamily<GuestStart> guest_starts_;
  observe::Counter templates_refused_;
  observe::CounterFamily<Outcome> template_makings_;
  observe::Histogram template_making_duration_;
  observe::Counter vm_restarts_;
  observe::CounterFamily<GuestEnd> guest_ends_;
  observe::CounterFamily<Outcome> health_checks_;
  observe::Counter status_reports_;
};

}  // namespace blixard::telemetry
