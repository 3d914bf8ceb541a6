#pragma once

// A node's metrics as OTLP/JSON, as opentelemetry.proto.collector.metrics.v1 has them: counters as
// cumulative monotonic sums, gauges, histograms with explicit bounds. Names are Prometheus' own, so
// that a collector that hands them on to Prometheus changes nothing.

#include <cstdint>
#include <string>

#include "node/trace/otlp.h"
#include "observe/metrics.h"

namespace blixard::otlp {

// `start_unix_ns`: since when is counted.
[[nodiscard]] std::string metrics_json(const observe::Metrics& metrics,
                                       const trace::Resource& resource, std::int64_t start_unix_ns,
                                       std::int64_t now_unix_ns);

}  // namespace blixard::otlp
