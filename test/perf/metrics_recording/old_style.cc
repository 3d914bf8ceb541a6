#include "test/perf/metrics_recording/old_style.h"

namespace blixard::perf {

void OldInstrument::add(OwnedLabels labels, double value) {
  const std::scoped_lock lock(mutex_);
  Series& series = series_[std::move(labels)];
  ++series.count;
  series.sum += value;
}

template <class Make>
void OldTelemetry::add_all(Make make,
                           std::initializer_list<std::pair<OldInstrument*, double>> points) {
  if (style_ == OldStyle::kRebuild) {
    for (const auto& [instrument, value] : points)
      instrument->add(make(), value);
    return;
  }
  const OwnedLabels labels = make();
  for (const auto& [instrument, value] : points)
    instrument->add(labels, value);
}

void OldTelemetry::record_vm_placement_attempt(std::string_view strategy, std::string_view outcome,
                                               double seconds) {
  add_all(
      [&] {
        return OwnedLabels{{"strategy", std::string(strategy)}, {"outcome", std::string(outcome)}};
      },
      {{&a_, 1}, {&b_, seconds}});
}

void OldTelemetry::record_vm_operation(std::string_view operation, std::string_view outcome,
                                       double seconds) {
  add_all(
      [&] {
        return OwnedLabels{{"operation", std::string(operation)},
                           {"outcome", std::string(outcome)}};
      },
      {{&a_, 1}, {&b_, seconds}});
}

void OldTelemetry::record_p2p_image_import(std::string_view type, std::string_view outcome,
                                           double bytes, double seconds) {
  add_all(
      [&] {
        return OwnedLabels{{"artifact_type", std::string(type)}, {"outcome", std::string(outcome)}};
      },
      {{&a_, 1}, {&b_, bytes}, {&c_, seconds}});
}

void OldTelemetry::record_vm_scheduling_decision(std::string_view strategy, std::string_view node,
                                                 double seconds, double preempted) {
  add_all(
      [&] { return OwnedLabels{{"node", std::string(node)}, {"strategy", std::string(strategy)}}; },
      {{&a_, 1}, {&b_, seconds}, {&c_, preempted}});
}

void OldTelemetry::update_node_resource_metrics(std::string_view node, double vcpus, double memory,
                                                double used_vcpus, double used_memory) {
  add_all([&] { return OwnedLabels{{"node", std::string(node)}}; },
          {{&a_, vcpus}, {&b_, memory}, {&c_, used_vcpus}, {&d_, used_memory}});
}

}  // namespace blixard::perf
