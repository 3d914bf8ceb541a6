#pragma once

// How the original recorded: each point of a metric brings its labels as owned strings, and the
// series is looked up by them. `kRebuild` makes the labels anew for each point, `kClone` makes them
// once for a call and copies them for each further point.

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace blixard::perf {

using OwnedLabels = std::vector<std::pair<std::string, std::string>>;

class OldInstrument {
 public:
  void add(OwnedLabels labels, double value);

 private:
  struct Series {
    std::uint64_t count = 0;
    double sum = 0;
  };
  std::mutex mutex_;
  std::map<OwnedLabels, Series> series_;
};

enum class OldStyle : std::uint8_t { kRebuild, kClone };

// The five functions, over two or more such instruments each.
class OldTelemetry {
 public:
  explicit OldTelemetry(OldStyle style) : style_(style) {}

  void record_vm_placement_attempt(std::string_view strategy, std::string_view outcome,
                                   double seconds);
  void record_vm_operation(std::string_view operation, std::string_view outcome, double seconds);
  void record_p2p_image_import(std::string_view type, std::string_view outcome, double bytes,
                               double seconds);
  void record_vm_scheduling_decision(std::string_view strategy, std::string_view node,
                                     double seconds, double preempted);
  void update_node_resource_metrics(std::string_view node, double vcpus, double memory,
                                    double used_vcpus, double used_memory);

 private:
  template <class Make>
  void add_all(Make make, std::initializer_list<std::pair<OldInstrument*, double>> points);

  OldStyle style_;
  OldInstrument a_;
  OldInstrument b_;
  OldInstrument c_;
  OldInstrument d_;
};

}  // namespace blixard::perf
