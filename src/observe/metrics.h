#pragma once

// Metrics: counters, gauges and histograms, and their text for Prometheus.
//
// A metric is registered once, by name with fixed labels, and kept by reference: counting is one
// relaxed atomic addition, without a lookup and without allocation. Registering the same name and
// labels again gives the same metric, so two parts may count in one. What is cheaper to compute
// than to keep (VMs by state) is given by a source, which is asked when the text is made.
//
// Names follow the Prometheus conventions: blixard_<what>_<unit>[_total]. Registration and text()
// belong to the node's one thread; counting may happen on any.

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/units.h"

namespace blixard::observe {

using Labels = std::vector<std::pair<std::string, std::string>>;

class Counter {
 public:
  void add(std::uint64_t count = 1) { value_.fetch_add(count, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

class Gauge {
 public:
  void set(std::int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void add(std::int64_t change) { value_.fetch_add(change, std::memory_order_relaxed); }
  [[nodiscard]] std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// Durations in buckets by upper bound; shown in seconds.
class Histogram {
 public:
  explicit Histogram(std::vector<Duration> bounds);  // ascending, not empty

  void observe(Duration duration);

  struct Reading {
    std::vector<std::uint64_t> cumulative;  // one for each bound, then all
    Duration sum{};
  };
  [[nodiscard]] Reading read() const;
  [[nodiscard]] const std::vector<Duration>& bounds() const { return bounds_; }

 private:
  std::vector<Duration> bounds_;
  std::vector<std::atomic<std::uint64_t>> counts_;  // one for each bound, then the rest
  std::atomic<std::int64_t> sum_ns_{0};
};

enum class MetricKind : std::uint8_t { kCounter, kGauge, kHistogram };

// One value computed at reading time.
struct Sample {
  Labels labels;
  double value = 0;
};

class Metrics {
 public:
  Metrics() = default;
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // One name has one kind and one help. Names and labels are ours, so a bad one is a fault of the
  // program.
  Counter& counter(std::string_view name, std::string_view help, Labels labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, Labels labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, std::vector<Duration> bounds,
                       Labels labels = {});

  // `source` is called for each text(); kCounter or kGauge. Replaces an earlier source.
  void computed(std::string_view name, std::string_view help, MetricKind kind,
                std::function<std::vector<Sample>()> source);

  // Text exposition format 0.0.4, families by name.
  [[nodiscard]] std::string text() const;

 private:
  using Metric =
      std::variant<std::unique_ptr<Counter>, std::unique_ptr<Gauge>, std::unique_ptr<Histogram>>;
  struct Series {
    Labels labels;
    Metric metric;
  };
  struct Family {
    std::string help;
    MetricKind kind = MetricKind::kCounter;
    std::map<std::string, Series> series;  // by the text of the labels
    std::function<std::vector<Sample>()> source;
  };

  Family& family(std::string_view name, std::string_view help, MetricKind kind);
  template <class T, class... Args>
  T& registered(std::string_view name, std::string_view help, MetricKind kind, Labels labels,
                Args&&... args);

  std::map<std::string, Family, std::less<>> families_;
};

}  // namespace blixard::observe
