#include "node/api/api.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/bug.h"
#include "base/limits.h"
#include "blixard/v1/cluster.pb.h"
#include "node/api/json.h"
#include "node/api/problems.h"
#include "node/trace/command_trace.h"
#include "observe/allocations.h"

namespace blixard::api {
namespace {

// The name in the path when `path` is one of `pattern`; "" for a pattern without one.
std::optional<std::string> match(std::string_view pattern, std::string_view path) {
  constexpr std::string_view kName = "{name}";
  const auto at = pattern.find(kName);
  if (at == std::string_view::npos) {
    return pattern == path ? std::optional<std::string>("") : std::nullopt;
  }
  const auto before = pattern.substr(0, at);
  const auto after = pattern.substr(at + kName.size());
  if (path.size() <= before.size() + after.size()) return std::nullopt;
  if (!path.starts_with(before) || !path.ends_with(after)) return std::nullopt;
  const auto name = path.substr(before.size(), path.size() - before.size() - after.size());
  if (name.contains('/')) return std::nullopt;
  return std::string(name);
}

// Takes as long for a wrong token as for the right one, wherever it differs.
bool same_secret(std::string_view given, std::string_view secret) {
  unsigned difference = given.size() == secret.size() ? 0 : 1;
  for (std::size_t i = 0; i < secret.size(); ++i) {
    const char c = i < given.size() ? given[i] : '\0';
    difference |= static_cast<unsigned char>(c) ^ static_cast<unsigned char>(secret[i]);
  }
  return difference == 0 && !secret.empty();
}

bool is_json(std::string_view content_type) {
  constexpr std::string_view kJson = "application/json";
  if (content_type.size() < kJson.size()) return false;
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  const auto rest = content_type.substr(kJson.size());
  return std::ranges::equal(content_type.substr(0, kJson.size()), kJson, {}, lower) &&
         (rest.empty() || rest.front() == ';' || rest.front() == ' ');
}

constexpr observe::HistogramShape kDurations = observe::HistogramShape::seconds(1ms, 60s);

constexpr int kClientGone = 499;  // as others name it who count such requests

StatusClass class_of(int status) {
  return static_cast<StatusClass>(std::clamp(status / 100, 1, 5) - 1);
}

}  // namespace

http::Response json_response(int status, const google::protobuf::Message& message) {
  http::Response response;
  response.status = status;
  response.content_type = "application/json";
  response.body = to_json(message) + "\n";
  return response;
}

Api::Api(env::Env env, replica::Replica& replica, image::Store& images, observe::Metrics& metrics,
         Options options, Logs logs, telemetry::Telemetry& telemetry)
    : env_(env),
      replica_(replica),
      cluster_(replica.cluster_view()),
      images_(images),
      metrics_(metrics),
      telemetry_(telemetry),
      options_(std::move(options)),
      logs_(std::move(logs)) {
  counted_ = register_metrics(metrics_, this);
}

Api::~Api() = default;

const env::Settings& Api::settings() const {
  static const env::Settings kDefaults;
  return options_.settings == nullptr ? kDefaults : options_.settings->latest();
}

Api::Instruments Api::register_metrics(observe::Metrics& metrics, const Api* api) {
  using observe::Answer;
  using observe::Label;
  std::vector<std::string_view> names;
  names.reserve(routes().size() + 1);
  for (const Route& route : routes())
    names.push_back(route.name);
  names.push_back("none");
  metrics.computed_gauge("blixard_build_info", "Version of the program; the value is always 1.",
                         [api](Answer& answer) {
                           if (api != nullptr) answer({api->options_.version}, 1);
                         },
                         {"version"});
  metrics.computed_gauge("blixard_vms", "VMs, by state.",
                         [api](Answer& answer) {
                           if (api != nullptr) api->tell_vms(answer);
                         },
                         {"state"});
  metrics.computed_gauge("blixard_event_streams", "Open event streams.", [api](Answer& answer) {
    if (api != nullptr) answer(static_cast<double>(api->event_streams_));
  });
  return {.requests = metrics.counters<observe::Listed, StatusClass>(
              "blixard_http_requests_total", "HTTP requests, by route and status.",
              {Label("route", names), "status"}),
          .durations = metrics.histograms<observe::Listed>(
              "blixard_http_request_duration_seconds",
              "Time from a request to its answer, by route.", kDurations, {Label("route", names)})};
}

void Api::tell_vms(observe::Answer& answer) const {
  for (const cluster::VmState state : cluster::kVmStates) {
    answer({cluster::state_name(state)}, static_cast<double>(replica_.state().vms_in(state)));
  }
}

// Of a request that has no route.
void Api::refused(int status) {
  counted_.requests[observe::listed(routes().size()), class_of(status)].add();
}

env::Task<http::Response> Api::handle(const http::Request& request) {
  const observe::AllocationTag tag(observe::Subsystem::kApi);
  const Instant begun = env_.clock.monotonic();
  std::size_t route_index = routes().size();
  trace::ActiveSpan span;
  auto answer = co_await dispatch(request, route_index, begun, span);
  if (!answer) span.fail(answer.error());
  http::Response response = answer ? std::move(*answer) : error_response(answer.error());
  if (!answer && answer.error().code() == Code::kInternal) {
    BLX_LOG(env_.log, kError, "{} {} failed: {}", http::method_name(request.method), request.path,
            answer.error().message());
  }
  if (!answer && answer.error().reason() == "method_not_allowed") {
    response.headers.push_back({"Allow", std::string(answer.error().detail())});
  }
  response.headers.push_back({"Cache-Control", "no-store"});
  response.headers.push_back({"X-Content-Type-Options", "nosniff"});
  end_span(span, response);
  const auto route = observe::listed(route_index);
  // Nobody is there to read the answer of one that was cut short: it is no failure of this node.
  const auto* cancellation = co_await env::this_cancellation();
  const bool is_gone =
      response.status >= 500 && cancellation != nullptr && cancellation->requested();
  counted_.requests[route, is_gone ? class_of(kClientGone) : class_of(response.status)].add();
  counted_.durations[route].observe(env_.clock.monotonic() - begun);
  co_return response;
}

env::Task<Result<http::Response>> Api::dispatch(const http::Request& request,
                                                std::size_t& route_index, Instant begun,
                                                trace::ActiveSpan& span) {
  const auto method = request.method == http::Method::kHead ? http::Method::kGet : request.method;
  std::string allowed;
  std::string name;
  const auto all = routes();
  for (std::size_t i = 0; i < all.size(); ++i) {
    auto matched = match(all[i].pattern, request.path);
    if (!matched) continue;
    if (all[i].method == method) {
      route_index = i;
      name = std::move(*matched);
    }
    if (!allowed.empty()) allowed += ", ";
    allowed += http::method_name(all[i].method);
    if (all[i].method == http::Method::kGet) allowed += ", HEAD";
  }
  const bool is_found = route_index < all.size();
  if (!is_found || all[route_index].access != Access::kEveryone) BLX_CO_TRY(authorize(request));
  if (allowed.empty()) co_return fail(Code::kNotFound, "path_not_found", request.path);
  if (!is_found) co_return fail(Code::kUnimplemented, "method_not_allowed", allowed);

  Call call{.request = request, .route = all[route_index], .name = std::move(name)};
  if (call.route.access != Access::kEveryone) span = begin_span(request, call.route, begun);
  call.trace = span.context();
  BLX_CO_TRY(call.query, read_query(request, call.route.parameters));
  BLX_CO_TRY(check_body(request, call.route));
  if (!call.route.is_mutation) co_return co_await (this->*call.route.handler)(call);
  BLX_CO_TRY(call.request_id, request_id_of(request));
  auto answer = co_await (this->*call.route.handler)(call);
  if (!answer) span.fail(answer.error());
  // Also on an error: a client that sent none needs it to try again.
  http::Response response = answer ? std::move(*answer) : error_response(answer.error());
  response.headers.push_back({"Idempotency-Key", call.request_id.text()});
  co_return response;
}

Result<void> Api::authorize(const http::Request& request) const {
  if (request.transport == http::Transport::kUnix) {
    const std::int64_t uid = request.peer.uid;
    if (!options_.own_uid || uid == 0 || uid == *options_.own_uid) return {};
    return fail(Code::kPermissionDenied, "peer_refused", fmt::format("user {}", uid));
  }
  constexpr std::string_view kBearer = "Bearer ";
  const std::string* given = request.header("Authorization");
  if (given == nullptr) {
    return fail(Code::kUnauthenticated, "token_required", "there is no Authorization header");
  }
  if (!given->starts_with(kBearer) ||
      !same_secret(std::string_view(*given).substr(kBearer.size()), options_.token)) {
    return fail(Code::kUnauthenticated, "token_required", "the token is not this node's");
  }
  return {};
}

Result<void> Api::check_body(const http::Request& request, const Route& route) const {
  if (route.request == nullptr) {
    if (request.body.empty()) return {};
    return fail(Code::kInvalidArgument, "body_unexpected");
  }
  const std::string* type = request.header("Content-Type");
  if (request.body.empty()) return fail(Code::kInvalidArgument, "body_missing");
  if (type == nullptr || !is_json(*type)) {
    return fail(Code::kInvalidArgument, "content_type_unsupported",
                type == nullptr ? "there is no Content-Type header" : *type);
  }
  return {};
}

Result<Uuid> Api::request_id_of(const http::Request& request) {
  const std::string* key = request.header("Idempotency-Key");
  if (key == nullptr) return env_.random.uuid();
  const auto uuid = Uuid::parse(*key);
  if (!uuid || uuid->is_nil()) {
    return fail(Code::kInvalidArgument, "idempotency_key_invalid", key->substr(0, 64));
  }
  return *uuid;
}

env::Task<Result<cluster::Outcome>> Api::propose(const Call& call, v1::Command command) {
  const auto& bytes = call.request_id.bytes;
  if (!BLX_BUG(kDropsRequestIds)) command.set_request_id(bytes.data(), bytes.size());
  trace::set_trace(command, call.trace);
  const auto deadline = env_.clock.monotonic() + limits::kApiCommandTimeout;
  co_return co_await env::with_deadline(env_.executor, env_.clock, deadline,
                                        replica_.propose(std::move(command)));
}

env::Task<Result<void>> Api::barrier(const Call& call) {
  if (call.query.stale || BLX_BUG(kReadsWithoutBarrier)) co_return Result<void>();
  const auto deadline = env_.clock.monotonic() + limits::kApiCommandTimeout;
  co_return co_await env::with_deadline(env_.executor, env_.clock, deadline,
                                        replica_.read_barrier());
}

}  // namespace blixard::api
