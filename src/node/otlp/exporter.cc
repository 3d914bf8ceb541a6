#include "node/otlp/exporter.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <boost/json.hpp>

#include "base/limits.h"
#include "node/otlp/metrics_json.h"
#include "observe/allocations.h"

namespace blixard::otlp {
namespace {

namespace json = boost::json;

constexpr std::uint16_t kDefaultPort = 4318;

std::unexpected<Error> bad_endpoint(std::string_view url, std::string_view why) {
  return fail(Code::kInvalidArgument, "otlp_endpoint_invalid",
              "'" + std::string(url.substr(0, limits::kOtlpEndpointBytes)) + "' " +
                  std::string(why) + "; write it as http://127.0.0.1:4318");
}

bool is_plain(std::string_view path) {
  return std::ranges::all_of(path,
                             [](char c) { return c > ' ' && c <= '~' && c != '?' && c != '#'; });
}

// That may pass by itself (OTLP specification, "Failures").
bool is_retryable(int status) {
  return status == 429 || status == 502 || status == 503 || status == 504;
}

// It was answered all the same.
bool is_unreadable_answer(const Error& error) {
  return error.reason() == "response_malformed" || error.reason() == "response_too_large";
}

// Seconds; a date would need a clock that both agree on. Zero: not said.
Duration retry_after(const http::Answer& answer) {
  const std::string* text = answer.header("Retry-After");
  if (text == nullptr) return {};
  std::uint32_t seconds = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), seconds);
  if (error != std::errc() || end != text->data() + text->size()) return {};
  return std::min<Duration>(std::chrono::seconds(seconds), limits::kOtlpRetryAfterMax);
}

// Of an answer that is a success. Whatever else stands there, it was taken.
std::uint64_t rejected_in(const std::string& body, std::uint64_t most) {
  boost::system::error_code error;
  json::parse_options options;
  options.max_depth = limits::kTraceJsonDepth;
  const json::value document = json::parse(body, error, {}, options);
  const json::object* object = error ? nullptr : document.if_object();
  const json::value* partial = object != nullptr ? object->if_contains("partialSuccess") : nullptr;
  if (partial == nullptr || !partial->is_object()) return 0;
  const json::value* count = partial->get_object().if_contains("rejectedSpans");
  if (count == nullptr) return 0;
  std::uint64_t number = 0;
  if (count->is_int64() && count->get_int64() > 0) {
    number = static_cast<std::uint64_t>(count->get_int64());
  } else if (const json::string* digits = count->if_string()) {
    std::from_chars(digits->data(), digits->data() + digits->size(), number);
  }
  return std::min(number, most);
}

}  // namespace

Result<Target> parse_endpoint(std::string_view url) {
  constexpr std::string_view kHttp = "http://";
  constexpr std::string_view kHttps = "https://";
  if (url.size() > limits::kOtlpEndpointBytes) return bad_endpoint(url, "is too long");
  if (url.starts_with(kHttps)) {
    return bad_endpoint(url, "needs TLS, which is for a collector on this machine to speak");
  }
  if (!url.starts_with(kHttp)) return bad_endpoint(url, "is no http:// address");
  const std::string_view rest = url.substr(kHttp.size());
  std::string authority(rest.substr(0, rest.find('/')));
  std::string_view path = rest.substr(authority.size());
  while (path.ends_with('/'))
    path.remove_suffix(1);
  if (!is_plain(path)) return bad_endpoint(url, "has a path that is none");
  constexpr std::string_view kLocalhost = "localhost";
  if (authority == kLocalhost || authority.starts_with("localhost:")) {
    authority.replace(0, kLocalhost.size(), "127.0.0.1");
  }
  const bool has_port = authority.find(':', authority.rfind(']') + 1) != std::string::npos;
  if (!has_port) authority += ":" + std::to_string(kDefaultPort);
  const bool is_plain_ip =
      authority.find_first_not_of("0123456789abcdefABCDEF.:[]") == std::string::npos;
  const auto endpoint = env::Endpoint::parse(authority);
  if (!is_plain_ip || !endpoint || endpoint->port == 0) {
    return bad_endpoint(url, "has no IP address and port (names are not resolved)");
  }
  return Target{.endpoint = *endpoint, .path = std::string(path)};
}

Exporter::Exporter(env::Env env, const trace::Tracer& tracer, const observe::Metrics& metrics,
                   trace::Resource resource, Intervals intervals)
    : env_(env),
      tracer_(tracer),
      metrics_(metrics),
      resource_(std::move(resource)),
      intervals_(intervals),
      random_(env.random.fork("otlp")),
      pool_(env, {.connections = 1,
                  .waiting = 2,
                  .idle = 1,
                  .idle_timeout = limits::kHttpClientIdleTimeout,
                  .body_bytes = limits::kOtlpAnswerBytes}),
      start_unix_ns_(env.clock.wall().unix_ms * 1'000'000),
      changed_(env.executor) {}

void Exporter::set_target(std::optional<Target> target) {
  if (target == target_) return;
  if (!target_) sent_ = tracer_.recorded();
  target_ = std::move(target);
  pool_.close_idle();
  delay_ = {};
  was_away_ = false;
  not_before_ = spans_due_ = metrics_due_ = env_.clock.monotonic();
  changed_.notify_all();
}

Instant Exporter::next_due() const {
  return std::max(not_before_, std::min(spans_due_, metrics_due_));
}

env::Task<void> Exporter::run() {
  const observe::AllocationTag tag(observe::Subsystem::kTelemetry);
  while (true) {
    Result<void> waited;
    if (!target_) {
      waited = co_await changed_.wait();
    } else if (env_.clock.monotonic() < next_due()) {
      waited = co_await env::with_deadline(env_.executor, env_.clock, next_due(), changed_.wait());
    }
    if (!waited && waited.error().code() == Code::kCancelled) co_return;
    const Instant now = env_.clock.monotonic();
    if (!target_ || now < next_due()) continue;
    if (now >= spans_due_) co_await send_spans(now + limits::kOtlpSendTimeout);
    const Instant then = env_.clock.monotonic();
    if (then >= metrics_due_ && then >= not_before_) {
      co_await send_metrics(then + limits::kOtlpSendTimeout);
    }
    const auto* cancellation = co_await env::this_cancellation();
    if (cancellation != nullptr && cancellation->requested()) co_return;
  }
}

env::Task<void> Exporter::flush(Instant deadline) {
  if (!target_) co_return;
  while (sent_ < tracer_.recorded() && env_.clock.monotonic() < deadline) {
    const std::uint64_t before = sent_;
    co_await send_spans(deadline);
    if (sent_ == before) co_return;  // it is not there
  }
  if (env_.clock.monotonic() < deadline) co_await send_metrics(deadline);
  pool_.close_idle();
}

void Exporter::skip_forgotten() {
  if (sent_ >= tracer_.oldest()) return;
  counters_.spans_dropped += tracer_.oldest() - sent_;
  sent_ = tracer_.oldest();
}

// One batch. When more waits, the next is due at once.
env::Task<void> Exporter::send_spans(Instant deadline) {
  skip_forgotten();
  spans_due_ = env_.clock.monotonic() + intervals_.spans;
  const std::uint64_t begin = sent_;
  const std::uint64_t end = std::min(tracer_.recorded(), begin + limits::kOtlpSpansPerBatch);
  if (begin == end) co_return;
  trace::Traces batch;
  trace::ResourceSpans& ours = batch.resources.emplace_back();
  ours.resource = resource_;
  for (std::uint64_t number = begin; number < end; ++number)
    ours.spans.push_back(trace::read_span(tracer_.at(number)));
  std::uint64_t rejected = end - begin;
  const Outcome outcome = co_await post("/v1/traces", trace::otlp_json(batch), deadline, rejected);
  // The target may have been taken away and set again meanwhile, which begins anew.
  if (outcome == Outcome::kLater || sent_ != begin) co_return;
  counters_.spans_rejected += rejected;
  counters_.spans_sent += (end - begin) - rejected;
  sent_ = end;
  if (sent_ < tracer_.recorded()) spans_due_ = env_.clock.monotonic();
}

env::Task<void> Exporter::send_metrics(Instant deadline) {
  metrics_due_ = env_.clock.monotonic() + intervals_.metrics;
  std::uint64_t none = 0;
  const Outcome outcome = co_await post(
      "/v1/metrics",
      metrics_json(metrics_, resource_, start_unix_ns_, env_.clock.wall().unix_ms * 1'000'000),
      deadline, none);
  if (outcome == Outcome::kTaken) ++counters_.metrics_sent;
}

// `rejected` comes in as how many there are and goes out as how many the receiver did not take.
env::Task<Exporter::Outcome> Exporter::post(std::string_view path, std::string body,
                                            Instant deadline, std::uint64_t& rejected) {
  const Target target = *target_;
  http::ClientRequest request{.method = http::Method::kPost,
                              .target = target.path + std::string(path),
                              .headers = {},
                              .content_type = "application/json",
                              .body = std::move(body)};
  const auto answer = co_await pool_.send(target.endpoint, std::move(request), deadline);
  if (target_ != target) co_return Outcome::kLater;  // to somebody else, then
  const bool is_taken = answer && answer->status >= 200 && answer->status < 300;
  if (is_taken) {
    rejected = rejected_in(answer->body, rejected);
    delay_ = {};
    if (std::exchange(was_away_, false)) {
      BLX_LOG(env_.log, kInfo, "telemetry: {} takes it again", target.endpoint.text());
    }
    co_return Outcome::kTaken;
  }
  if (!answer && answer.error().code() == Code::kCancelled) co_return Outcome::kLater;
  ++counters_.failures;
  if (!std::exchange(was_away_, true)) {
    BLX_LOG(env_.log, kWarn, "telemetry: {} does not take it: {}", target.endpoint.text(),
            answer ? "status " + std::to_string(answer->status) : answer.error().message());
  }
  const bool may_pass =
      answer ? is_retryable(answer->status) : !is_unreadable_answer(answer.error());
  if (may_pass) {
    put_off(answer ? retry_after(*answer) : Duration());
    co_return Outcome::kLater;
  }
  co_return Outcome::kRefused;
}

void Exporter::put_off(Duration asked) {
  delay_ = std::clamp<Duration>(2 * delay_, limits::kOtlpRetryMin, limits::kOtlpRetryMax);
  // Between half of it and all: many nodes do not come back together.
  const auto half = static_cast<std::uint64_t>(delay_.count() / 2);
  const Duration jittered = delay_ - Duration(random_->below(half + 1));
  not_before_ = env_.clock.monotonic() + std::max(asked, jittered);
}

}  // namespace blixard::otlp
