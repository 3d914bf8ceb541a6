// Traces: of requests that come in, and shown to who asks.

#include <algorithm>
#include <utility>

#include "blixard/v1/api.pb.h"
#include "node/api/api.h"
#include "node/api/convert.h"
#include "node/trace/otlp.h"

namespace blixard::api {
namespace {

// That whoever sends the traceparent records no span of its own: the command line.
constexpr std::string_view kRootState = "blixard=root";

// None where the header is not valid or comes twice, as the specification has it.
std::optional<trace::TraceContext> context_in(const http::Request& request) {
  const std::string* found = request.header("traceparent");
  if (found == nullptr) return std::nullopt;
  const auto count = std::ranges::count_if(request.headers, [](const http::Header& header) {
    return http::find_header({header}, "traceparent") != nullptr;
  });
  return count == 1 ? observe::parse_traceparent(*found) : std::nullopt;
}

}  // namespace

trace::ActiveSpan Api::begin_span(const http::Request& request, const Route& route,
                                  Instant begun) const {
  if (options_.tracer == nullptr) return {};
  const auto remote = context_in(request);
  // Literals end with a zero.
  trace::ActiveSpan span = options_.tracer->begin_request(remote, route.name.data());
  if (!span.is_recorded()) return span;
  const std::string* state = request.header("tracestate");
  if (state != nullptr && *state == kRootState) span.make_root();
  span.began(begun);
  span.set("http.request.method", http::method_name(request.method));
  span.set("http.route", route.pattern);
  return span;
}

void Api::end_span(trace::ActiveSpan& span, http::Response& response) {
  if (!span.is_recorded()) return;
  span.set("http.response.status_code", response.status);
  response.headers.push_back(
      {"traceresponse", std::string(observe::format_traceparent(span.context()).view())});
  span.end();
}

env::Task<Result<http::Response>> Api::list_traces(const Call& /*call*/) {
  v1::TraceList list;
  if (options_.tracer == nullptr) co_return json_response(200, list);
  for (const trace::Summary& summary : trace::newest_traces(*options_.tracer)) {
    v1::TraceSummary& added = *list.add_traces();
    added.set_id(summary.trace.text());
    added.set_name(summary.name);
    added.set_begun(time_text({summary.start_unix_ns / 1'000'000}));
    added.set_duration_us(
        static_cast<std::uint64_t>((summary.end_unix_ns - summary.start_unix_ns) / 1000));
    added.set_spans(static_cast<std::uint32_t>(summary.spans));
    added.set_failure(summary.failure);
  }
  co_return json_response(200, list);
}

env::Task<Result<http::Response>> Api::get_trace(const Call& call) {
  const auto id = observe::TraceId::parse(call.name);
  if (!id) co_return fail(Code::kInvalidArgument, "trace_id_invalid", call.name.substr(0, 64));
  trace::Traces traces;
  if (options_.collect_trace) traces = co_await options_.collect_trace(*id);
  if (traces.resources.empty()) co_return fail(Code::kNotFound, "trace_not_found", id->text());
  http::Response response;
  response.content_type = call.route.content_type;
  response.body = trace::otlp_json(traces) + "\n";
  co_return response;
}

}  // namespace blixard::api
