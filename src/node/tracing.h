#pragma once

// A node's tracing put together: its spans, the question to the other nodes for theirs, and what
// goes to a collector outside. Follows the settings that may change while the node runs.

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "env/env.h"
#include "env/settings.h"
#include "env/task.h"
#include "node/otlp/exporter.h"
#include "node/trace/tracer.h"
#include "node/trace_collector.h"
#include "observe/metrics.h"

namespace blixard::node {

class Tracing {
 public:
  // `settings`, which outlives it, goes before `sample_ratio`; null: nothing changes, and nothing
  // is sent anywhere.
  Tracing(env::Env env, observe::Metrics& metrics, const env::SettingsView* settings,
          double sample_ratio);

  // What `of` tells of itself, which outlives the metrics' readers; null: to be described only.
  static void register_metrics(observe::Metrics& metrics, const Tracing* of);

  [[nodiscard]] trace::Tracer& tracer() { return tracer_; }

  // Once it is known who this is. Both outlive it, or close().
  void open(NodeId self, const trace::Resource& resource, const replica::Replica& replica,
            peer::Peers& peers);
  void close() { collector_.reset(); }

  env::Task<trace::Traces> collect(observe::TraceId id);
  // Errors: TraceCollector::answer()'s; kUnavailable "not_ready".
  [[nodiscard]] Result<std::string> answer(std::string_view body) const;

  // Until cancelled.
  env::Task<void> run();
  // After that: one last try for what was not sent.
  env::Task<void> flush();

 private:
  [[nodiscard]] otlp::Exporter::Counters exported() const {
    return exporter_ ? exporter_->counters() : otlp::Exporter::Counters();
  }
  [[nodiscard]] http::ClientPool::Counters connections() const {
    return exporter_ ? exporter_->connections() : http::ClientPool::Counters();
  }
  void follow_settings();
  env::Task<void> keep_following();

  env::Env env_;
  observe::Metrics& metrics_;
  const env::SettingsView* settings_;
  std::uint64_t followed_ = 0;  // the number of the settings that hold
  trace::Tracer tracer_;
  std::unique_ptr<TraceCollector> collector_;
  std::unique_ptr<otlp::Exporter> exporter_;
};

}  // namespace blixard::node
