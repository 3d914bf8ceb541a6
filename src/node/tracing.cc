#include "node/tracing.h"

#include "base/limits.h"
#include "env/scope.h"

namespace blixard::node {
namespace {

constexpr Duration kSettingsInterval = 1s;

}  // namespace

Tracing::Tracing(env::Env env, observe::Metrics& metrics, const env::SettingsView* settings,
                 double sample_ratio)
    : env_(env),
      metrics_(metrics),
      settings_(settings),
      tracer_(env.clock, env.random, sample_ratio) {
  register_metrics(metrics, this);
}

void Tracing::register_metrics(observe::Metrics& metrics, const Tracing* of) {
  const auto counter = [&](observe::MetricName<observe::Kind::kCounter> name, observe::Help help,
                           std::uint64_t (*read)(const Tracing&)) {
    metrics.computed_counter(name, help, [of, read](observe::Answer& answer) {
      if (of != nullptr) answer(static_cast<double>(read(*of)));
    });
  };
  counter("blixard_trace_spans_total", "Spans of traced requests that ended on this node.",
          [](const Tracing& of_node) { return of_node.tracer_.recorded(); });
  counter("blixard_trace_spans_refused_total",
          "Spans that were not begun, because too many were under way.",
          [](const Tracing& of_node) { return of_node.tracer_.refused(); });
  counter("blixard_otlp_spans_sent_total", "Spans that the collector took.",
          [](const Tracing& of_node) { return of_node.exported().spans_sent; });
  counter("blixard_otlp_spans_rejected_total", "Spans that the collector refused.",
          [](const Tracing& of_node) { return of_node.exported().spans_rejected; });
  counter("blixard_otlp_spans_dropped_total",
          "Spans that were forgotten before the collector took them.",
          [](const Tracing& of_node) { return of_node.exported().spans_dropped; });
  counter("blixard_otlp_metrics_sent_total", "Times that the collector took the metrics.",
          [](const Tracing& of_node) { return of_node.exported().metrics_sent; });
  counter("blixard_otlp_connects_total", "Connections made to the collector.",
          [](const Tracing& of_node) { return of_node.connections().connects; });
  counter("blixard_otlp_connections_reused_total",
          "Requests to the collector on a connection that was there.",
          [](const Tracing& of_node) { return of_node.connections().reused; });
  counter("blixard_otlp_failures_total", "Requests to the collector without success.",
          [](const Tracing& of_node) { return of_node.exported().failures; });
}

void Tracing::open(NodeId self, const trace::Resource& resource, const replica::Replica& replica,
                   peer::Peers& peers) {
  collector_ = std::make_unique<TraceCollector>(env_, self, resource, tracer_, replica, peers);
  if (settings_ == nullptr) return;
  exporter_ = std::make_unique<otlp::Exporter>(env_, tracer_, metrics_, resource);
  follow_settings();
}

void Tracing::follow_settings() {
  if (settings_->number() == followed_) return;
  followed_ = settings_->number();
  const env::Settings& settings = settings_->latest();
  tracer_.set_sample_ratio(settings.trace_sample_ratio);
  if (settings.otlp_endpoint.empty()) return exporter_->set_target(std::nullopt);
  const auto target = otlp::parse_endpoint(settings.otlp_endpoint);
  if (!target) {
    BLX_LOG(env_.log, kError, "telemetry: {}", target.error().detail());
    return exporter_->set_target(std::nullopt);
  }
  exporter_->set_target(*target);
}

env::Task<void> Tracing::keep_following() {
  while (co_await env_.clock.sleep(kSettingsInterval))
    follow_settings();
}

env::Task<void> Tracing::run() {
  if (!exporter_) co_return;
  env::Scope scope(env_.executor, co_await env::this_cancellation());
  scope.spawn(exporter_->run());
  scope.spawn(keep_following());
  co_await scope.join();
}

env::Task<void> Tracing::flush() {
  if (exporter_) {
    co_await exporter_->flush(env_.clock.monotonic() + limits::kOtlpFlushTimeout);
  }
}

env::Task<trace::Traces> Tracing::collect(observe::TraceId id) {
  if (!collector_) co_return trace::Traces();
  co_return co_await collector_->collect(id);
}

Result<std::string> Tracing::answer(std::string_view body) const {
  if (!collector_) return fail(Code::kUnavailable, "not_ready");
  return collector_->answer(body);
}

}  // namespace blixard::node
