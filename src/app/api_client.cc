#include "app/api_client.h"

#include <cstdlib>

#include <boost/json.hpp>

#include "node/http/client.h"

namespace blixard::app {
namespace {

constexpr Duration kPatience = 30s;
constexpr Duration kQuietMax = 60s;  // the daemon sends a heartbeat every 15 s

std::string without_line_end(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r'))
    text.pop_back();
  return text;
}

Result<boost::json::value> parse_body(const std::string& body) {
  if (body.empty()) return boost::json::value();
  boost::system::error_code error;
  auto value = boost::json::parse(body, error);
  if (error) return fail(Code::kDataLoss, "answer_invalid", "the daemon's answer is not JSON");
  return value;
}

// The problem document as one sentence for people: what, then what to do.
Error problem_of(const http::Answer& answer) {
  boost::system::error_code error;
  const auto problem = boost::json::parse(answer.body, error);
  const auto member = [&](std::string_view name) -> std::string {
    const auto* object = error ? nullptr : problem.if_object();
    const auto* value = object != nullptr ? object->if_contains(name) : nullptr;
    const auto* text = value != nullptr ? value->if_string() : nullptr;
    return text != nullptr ? std::string(*text) : std::string();
  };
  std::string detail = member("detail");
  if (detail.empty()) detail = member("title");
  if (detail.empty()) detail = "the daemon answered with status " + std::to_string(answer.status);
  if (const auto code = member("code"); !code.empty()) detail += " (" + code + ")";
  if (const auto action = member("action"); !action.empty()) detail += "\n  " + action;
  return {answer.status == 404 ? Code::kNotFound : Code::kFailedPrecondition, "refused",
          std::move(detail)};
}

bool is_success(const http::Answer& answer) { return answer.status >= 200 && answer.status < 300; }

// Adds what to do when there is nobody to talk to.
Error explain(const Error& error, const env::Endpoint& endpoint) {
  if (error.code() != Code::kUnavailable && error.code() != Code::kNotFound) return error;
  return {Code::kUnavailable, "daemon_unreachable",
          "no daemon answers on " + endpoint.text() + " (" + error.message() +
              ")\n  Start one with: blixard node --data DIR, and point --socket at DIR/api.sock"};
}

}  // namespace

ApiClient::ApiClient(env::Env env, Connection connection)
    : env_(env), connection_(std::move(connection)), pool_(env) {
  const char* parent = std::getenv("TRACEPARENT");
  if (parent != nullptr) parent_ = observe::parse_traceparent(parent);
}

// The daemon's span is the first of a trace that begins here: nobody records one for this program.
void ApiClient::trace(http::ClientRequest& request) {
  observe::TraceContext context{.trace = {env_.random.next() | 1, env_.random.next()},
                                .span = {env_.random.next() | 1},
                                .sampled = true};
  if (parent_) {
    context = *parent_;
  } else {
    request.headers.push_back({"tracestate", "blixard=root"});
  }
  request.headers.push_back(
      {"traceparent", std::string(observe::format_traceparent(context).view())});
  if (context.sampled) traces_.push_back(context.trace);
}

Result<boost::json::value> ApiClient::traced(const std::string& body) const {
  BLX_TRY(boost::json::value answer, parse_body(body));
  const bool is_traced = answer.is_object() && !traces_.empty();
  if (is_traced) answer.get_object()["trace_id"] = traces_.back().text();
  return answer;
}

env::Task<Result<ApiClient::Prepared>> ApiClient::prepare(http::Method method, std::string target,
                                                          std::string body) {
  Prepared prepared{env::Endpoint::unix_socket(connection_.socket), {}};
  prepared.request = {.method = method, .target = std::move(target), .body = std::move(body)};
  if (!prepared.request.body.empty()) prepared.request.content_type = "application/json";
  if (method != http::Method::kGet) trace(prepared.request);
  if (connection_.address.empty()) co_return prepared;
  BLX_CO_TRY(prepared.endpoint, env::Endpoint::parse(connection_.address));
  if (connection_.token_file.empty()) {
    co_return fail(Code::kInvalidArgument, "token_missing",
                   "--address needs --token-file (the daemon keeps it as DATA/api.token)");
  }
  BLX_CO_TRY(std::string token, co_await env_.disk.read_file(connection_.token_file, 4096));
  prepared.request.headers.push_back(
      {"Authorization", "Bearer " + without_line_end(std::move(token))});
  co_return prepared;
}

env::Task<Result<std::string>> ApiClient::exchange(http::Method method, std::string target,
                                                   std::string body, Duration patience) {
  BLX_CO_TRY(Prepared prepared, co_await prepare(method, std::move(target), std::move(body)));
  const Instant deadline = env_.clock.monotonic() + patience;
  auto answer = co_await pool_.send(prepared.endpoint, std::move(prepared.request), deadline);
  if (!answer) co_return std::unexpected(explain(answer.error(), prepared.endpoint));
  if (!is_success(*answer)) co_return std::unexpected(problem_of(*answer));
  co_return std::move(answer->body);
}

env::Task<Result<boost::json::value>> ApiClient::get(std::string target) {
  BLX_CO_TRY(const std::string body,
             co_await exchange(http::Method::kGet, std::move(target), "", kPatience));
  co_return parse_body(body);
}

env::Task<Result<boost::json::value>> ApiClient::post(std::string target, boost::json::value body,
                                                      Duration patience) {
  std::string text = body.is_null() ? std::string() : boost::json::serialize(body);
  BLX_CO_TRY(const std::string answer, co_await exchange(http::Method::kPost, std::move(target),
                                                         std::move(text), kPatience + patience));
  co_return traced(answer);
}

env::Task<Result<boost::json::value>> ApiClient::put(std::string target, boost::json::value body) {
  BLX_CO_TRY(const std::string answer, co_await exchange(http::Method::kPut, std::move(target),
                                                         boost::json::serialize(body), kPatience));
  co_return traced(answer);
}

env::Task<Result<boost::json::value>> ApiClient::remove(std::string target, Duration patience) {
  BLX_CO_TRY(const std::string body,
             co_await exchange(http::Method::kDelete, std::move(target), "", kPatience + patience));
  co_return traced(body);
}

env::Task<Result<std::string>> ApiClient::get_text(std::string target) {
  co_return co_await exchange(http::Method::kGet, std::move(target), "", kPatience);
}

env::Task<Result<void>> ApiClient::follow(std::string target,
                                          std::function<bool(std::string_view)> piece) {
  BLX_CO_TRY(Prepared prepared, co_await prepare(http::Method::kGet, std::move(target), ""));
  http::Client client(env_, prepared.endpoint);
  auto answer = co_await client.stream(std::move(prepared.request), kQuietMax, std::move(piece));
  if (!answer) co_return std::unexpected(explain(answer.error(), prepared.endpoint));
  if (!is_success(*answer)) co_return std::unexpected(problem_of(*answer));
  co_return Result<void>();
}

}  // namespace blixard::app
