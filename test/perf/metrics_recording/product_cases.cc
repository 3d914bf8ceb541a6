#include <array>
#include <string>

#include "node/telemetry/telemetry.h"
#include "test/perf/metrics_recording/cases.h"
#include "test/perf/metrics_recording/old_style.h"
#include "test/perf/report/counting.h"

namespace blixard::perf {
namespace {

using telemetry::ArtifactType;
using telemetry::NodeLabel;
using telemetry::PlacementOutcome;
using telemetry::PlacementStrategy;
using telemetry::Telemetry;
using telemetry::VmOperation;
using Done = telemetry::Outcome;

constexpr std::uint64_t kCalls = 1'000'000;
constexpr std::uint64_t kSlowCalls = 100'000;
constexpr const char* kRebuildName = "labels made for each point";
constexpr const char* kCloneName = "labels copied for each point";

// As long as a host's name is.
constexpr std::string_view kNodeName = "rack17-server-0042";

struct Recorders {
  observe::Metrics metrics;
  Telemetry ours{metrics};
  NodeLabel node = ours.label(cluster::Node{.id = NodeId(42), .name = Name(kNodeName)});
  OldTelemetry rebuild{OldStyle::kRebuild};
  OldTelemetry clone{OldStyle::kClone};
};

Recorders& recorders() {
  static auto* const kAll = new Recorders;
  return *kAll;
}

double percent_fewer(double ours, double theirs) {
  return theirs == 0 ? 0 : 100 * (1 - ours / theirs);
}

// Time and allocations of one of the five, and how many percent fewer they are.
template <class Ours, class Old>
void add_function(Report& report, const std::string& name, const std::string& item, Ours ours,
                  Old old) {
  static Recorders& all = recorders();
  const auto rebuild = [=] { old(all.rebuild); };
  const auto clone = [=] { old(all.clone); };
  report.add({.name = name,
              .unit = "ns",
              .items = {item, "S38"},
              .measure = [=] { return cpu_ns_per_call(kCalls, ours); },
              .baselines = {{kRebuildName, [=] { return cpu_ns_per_call(kSlowCalls, rebuild); }},
                            {kCloneName, [=] { return cpu_ns_per_call(kSlowCalls, clone); }}},
              .allocations = [=] { return allocations_of(ours); },
              .targets = {allocations_at_most(0), better_than(kRebuildName, 8)}});
  report.add({.name = name + ": allocations",
              .unit = "per call",
              .items = {item, "S11"},
              .measure = [=] { return allocations_of(ours); },
              .baselines = {{kRebuildName, [=] { return allocations_of(rebuild); }},
                            {kCloneName, [=] { return allocations_of(clone); }}},
              .allocations = {},
              .targets = {at_most(0)}});
  for (const bool is_clone : {false, true}) {
    const std::string style = is_clone ? kCloneName : kRebuildName;
    report.add({.name = name + ": fewer allocations than with " + style,
                .unit = "%",
                .better = Better::kHigher,
                .items = {item, "S11"},
                .measure =
                    [=] {
                      const double theirs =
                          is_clone ? allocations_of(clone) : allocations_of(rebuild);
                      return percent_fewer(allocations_of(ours), theirs);
                    },
                .baselines = {},
                .allocations = {},
                .targets = {at_least(95)}});
  }
}

}  // namespace

void add_product_cases(Report& report) {
  static Recorders& all = recorders();
  static std::int64_t tick = 0;
  add_function(
      report, "record_vm_placement_attempt", "S6",
      [] {
        all.ours.record_vm_placement_attempt(PlacementStrategy::kFragmentationAware,
                                             PlacementOutcome::kPlaced, Duration(++tick));
      },
      [](OldTelemetry& old) {
        old.record_vm_placement_attempt("fragmentation_aware", "placed", 1.5);
      });
  add_function(
      report, "record_vm_operation", "S7",
      [] { all.ours.record_vm_operation(VmOperation::kStart, Done::kOk, Duration(++tick)); },
      [](OldTelemetry& old) { old.record_vm_operation("start", "ok", 1.5); });
  add_function(
      report, "record_p2p_image_import", "S8",
      [] {
        all.ours.record_p2p_image_import(ArtifactType::kVmImage, Done::kOk, mib(100),
                                         Duration(++tick));
      },
      [](OldTelemetry& old) { old.record_p2p_image_import("vm_image", "ok", 1e8, 1.5); });
  add_function(
      report, "record_vm_scheduling_decision", "S9",
      [] {
        all.ours.record_vm_scheduling_decision(PlacementStrategy::kFragmentationAware, all.node,
                                               Duration(++tick), 0);
      },
      [](OldTelemetry& old) {
        old.record_vm_scheduling_decision("fragmentation_aware", kNodeName, 1.5, 0);
      });
  add_function(
      report, "update_node_resource_metrics", "S10",
      [] {
        all.ours.update_node_resource_metrics(all.node, {.vcpus = 64, .memory = gib(64)},
                                              {.vcpus = ++tick, .memory = gib(1)});
      },
      [](OldTelemetry& old) { old.update_node_resource_metrics(kNodeName, 64, 64, 2, 1); });
  // A simulation begins a node a thousand times a minute.
  const auto begin_node = [] {
    observe::Metrics metrics;
    const Telemetry telemetry(metrics);
    keep(telemetry);
  };
  report.add({.name = "registering and ending the instruments of a node",
              .unit = "ns",
              .items = {"X3"},
              .measure = [=] { return cpu_ns_per_call(kSlowCalls / 20, begin_node); },
              .baselines = {},
              .allocations = [=] { return allocations_of(begin_node); },
              .targets = {at_most(50'000)}});
}

}  // namespace blixard::perf
