#pragma once

// Sends a node's spans and metrics to a collector, by OTLP/HTTP in JSON
// (https://opentelemetry.io/docs/specs/otlp/).
//
// Nothing waits for it and it keeps no queue of its own: spans are read out of the tracer's ring,
// and metrics are cumulative, so a receiver that is slow or away costs the node one request under
// way. What the ring forgot meanwhile is counted as dropped. As the specification has it, a request
// that failed by 429, 502, 503, 504 or without an answer is repeated, after a growing and jittered
// delay or what Retry-After says; every other refusal drops what was sent.
//
// Plain HTTP to an IP address: a collector on this machine or in a trusted network speaks TLS to
// wherever else.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "env/env.h"
#include "env/sync.h"
#include "node/http/client_pool.h"
#include "node/trace/otlp.h"
#include "node/trace/tracer.h"
#include "observe/metrics.h"

namespace blixard::otlp {

// Where to send, from "http://127.0.0.1:4318" (or "http://localhost:4318", or with a path before
// /v1/traces).
struct Target {
  env::Endpoint endpoint;
  std::string path;  // "" or "/otlp"
  friend bool operator==(const Target&, const Target&) = default;
};
// Errors: kInvalidArgument "otlp_endpoint_invalid" with what is wrong.
[[nodiscard]] Result<Target> parse_endpoint(std::string_view url);

class Exporter {
 public:
  struct Intervals {
    Duration spans = 1s;
    Duration metrics = 15s;
  };
  struct Counters {
    std::uint64_t spans_sent = 0;      // that the receiver took
    std::uint64_t spans_rejected = 0;  // by the receiver: it took the rest of a batch, or nothing
    std::uint64_t spans_dropped = 0;   // that made room in the ring before they were sent
    std::uint64_t metrics_sent = 0;    // requests
    std::uint64_t failures = 0;        // requests without success, those that are repeated too
  };

  // Both outlive it.
  Exporter(env::Env env, const trace::Tracer& tracer, const observe::Metrics& metrics,
           trace::Resource resource, Intervals intervals);
  Exporter(env::Env env, const trace::Tracer& tracer, const observe::Metrics& metrics,
           trace::Resource resource)
      : Exporter(env, tracer, metrics, std::move(resource), Intervals{}) {}

  // At any time; none: nothing is sent. Spans that ended before are not sent.
  void set_target(std::optional<Target> target);

  // Until cancelled.
  env::Task<void> run();

  // One last try for what is left. After run() has ended.
  env::Task<void> flush(Instant deadline);

  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] const http::ClientPool::Counters& connections() const { return pool_.counters(); }

 private:
  enum class Outcome : std::uint8_t { kTaken, kRefused, kLater };

  [[nodiscard]] Instant next_due() const;
  env::Task<void> send_spans(Instant deadline);
  env::Task<void> send_metrics(Instant deadline);
  env::Task<Outcome> post(std::string_view path, std::string body, Instant deadline,
                          std::uint64_t& rejected);
  void put_off(Duration asked);
  void skip_forgotten();

  env::Env env_;
  const trace::Tracer& tracer_;
  const observe::Metrics& metrics_;
  trace::Resource resource_;
  Intervals intervals_;
  std::unique_ptr<env::Random> random_;
  http::ClientPool pool_;
  std::optional<Target> target_;
  Counters counters_;
  std::int64_t start_unix_ns_;
  std::uint64_t sent_ = 0;  // spans up to this number are done with
  Instant spans_due_;
  Instant metrics_due_;
  Instant not_before_;  // the receiver is away
  Duration delay_{};    // the last one; zero: it is there
  bool was_away_ = false;
  env::Signal changed_;
};

}  // namespace blixard::otlp
