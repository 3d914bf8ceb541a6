#include "test/perf/load/generator.h"

#include <algorithm>
#include <utility>

#include <boost/json.hpp>
#include <fmt/format.h>

#include "env/scope.h"

namespace blixard::load {
namespace {

namespace json = boost::json;

constexpr std::size_t kConnections = 64;      // to one node
constexpr std::size_t kUnderWayMax = 20'000;  // then it is an error not to have asked
constexpr std::size_t kPreparing = 32;        // creations at a time
constexpr std::size_t kPage = 100;            // of a list in the load
constexpr std::size_t kPageWhole = 1000;      // of a list of all
constexpr Duration kLookAgain = 100ms;

std::string text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

Result<json::object> parsed(const http::Answer& answer) {
  boost::system::error_code error;
  json::value document = json::parse(answer.body, error);
  if (error || !document.is_object()) return fail(Code::kDataLoss, "answer_malformed");
  return std::move(document.get_object());
}

bool is_success(const http::Answer& answer) { return answer.status >= 200 && answer.status < 300; }

// The problem's code, or the status where there is none.
std::string refusal_of(const http::Answer& answer) {
  const auto document = parsed(answer);
  std::string code = document ? text_of(*document, "code") : std::string();
  return code.empty() ? fmt::format("status_{}", answer.status) : code;
}

// Whether it may have been done all the same.
bool is_open(const http::Answer& answer) { return answer.status >= 500; }

void count(Counted& counted, Duration latency, const std::string& error) {
  if (error.empty()) {
    counted.latencies.add(latency);
  } else {
    ++counted.errors[error];
    ++counted.failed;
  }
}

}  // namespace

Generator::Generator(env::Env env, Plan plan)
    : env_(env),
      plan_(std::move(plan)),
      pool_(env, {.connections = kConnections,
                  .waiting = kUnderWayMax,
                  .idle = kConnections * plan_.nodes.size(),
                  .body_bytes = std::size_t{64} << 20}),
      random_(env.random.fork("load")),
      fleet_(plan_.prefix),
      ended_(env.executor) {}

http::ClientRequest Generator::request_for(const Choice& choice, const Target& target) {
  using http::Method;
  http::ClientRequest request;
  if (!target.token.empty()) {
    request.headers.push_back({"Authorization", "Bearer " + target.token});
  }
  const std::string vm = "/v1/vms/" + choice.vm;
  switch (choice.operation) {
    case Operation::kGet:
      request.target = vm;
      return request;
    case Operation::kList:
      request.target = fmt::format("/v1/vms?limit={}&after={}", kPage, choice.vm);
      return request;
    case Operation::kStatus:
      request.target = "/v1/status";
      return request;
    case Operation::kCreate:
      request.method = Method::kPost;
      request.target = "/v1/vms";
      request.content_type = "application/json";
      request.body = fmt::format(
          R"({{"name":"{}","image":"{}","vcpus":1,"memory_mib":128,"stop_grace_seconds":1}})",
          choice.vm, plan_.image);
      break;
    case Operation::kStart:
    case Operation::kStop:
      request.method = Method::kPost;
      request.target = vm + "/" + std::string(operation_name(choice.operation));
      break;
    case Operation::kDelete:
      request.method = Method::kDelete;
      request.target = vm;
      break;
  }
  request.headers.push_back({"Idempotency-Key", random_->uuid().text()});
  return request;
}

env::Task<Result<http::Answer>> Generator::ask(const Choice& choice, std::size_t node,
                                               Instant deadline) {
  const Target& target = plan_.nodes[node % plan_.nodes.size()];
  co_return co_await pool_.send(target.endpoint, request_for(choice, target), deadline);
}

env::Task<void> Generator::operate(Instant intended, std::size_t number, Outcome* outcome,
                                   Second* second) {
  const Choice choice = fleet_.choose(*random_, plan_.mix);
  const auto answer = co_await ask(choice, number, env_.clock.monotonic() + plan_.patience);
  const Duration latency = env_.clock.monotonic() - intended;
  std::string error;
  if (!answer) {
    error = answer.error().reason();
    fleet_.answered(choice, Fleet::Answer::kUnknown);
  } else if (!is_success(*answer)) {
    error = refusal_of(*answer);
    fleet_.answered(choice, is_open(*answer) ? Fleet::Answer::kUnknown : Fleet::Answer::kRefused);
  } else {
    fleet_.answered(choice, Fleet::Answer::kDone);
  }
  --under_way_;
  if (outcome == nullptr) co_return;
  count(outcome->operations.at(static_cast<std::size_t>(choice.operation)), latency, error);
  count(second->counted, latency, error);
}

env::Task<Outcome> Generator::run() {
  Outcome outcome;
  for (const Target& target : plan_.nodes) {
    ignore(co_await pool_.warm_up(target.endpoint, kConnections / 4,
                                  env_.clock.monotonic() + plan_.patience),
           "the load dials what it needs");
  }
  const auto instant_of = [&](std::uint64_t number) {
    return Duration(static_cast<std::int64_t>(static_cast<double>(number) * 1e9 / plan_.rate));
  };
  env::Scope scope(env_.executor, co_await env::this_cancellation());
  const Instant begin = env_.clock.monotonic();
  const Instant counted_from = begin + plan_.warm_up;
  const Duration whole = plan_.warm_up + plan_.length;
  for (std::uint64_t number = 0; instant_of(number) < whole; ++number) {
    const Instant intended = begin + instant_of(number);
    if (env_.clock.monotonic() < intended &&
        !co_await env_.clock.sleep(intended - env_.clock.monotonic())) {
      break;
    }
    Second* second = nullptr;
    if (intended >= counted_from) {
      const auto at = static_cast<std::size_t>((intended - counted_from) / Duration(1s));
      if (outcome.over_time.size() <= at) {
        outcome.over_time.push_back(std::make_unique<Second>());
      }
      second = outcome.over_time.back().get();
      ++second->intended;
      ++outcome.intended;
    }
    if (under_way_ >= kUnderWayMax) {
      if (second != nullptr) {
        count(second->counted, {}, "not_asked");
        count(outcome.operations.at(static_cast<std::size_t>(Operation::kStatus)), {}, "not_asked");
      }
      continue;
    }
    ++under_way_;
    scope.spawn(operate(intended, number, second != nullptr ? &outcome : nullptr, second));
  }
  co_await scope.join();
  const Duration took = env_.clock.monotonic() - counted_from;
  outcome.seconds = std::chrono::duration<double>(took).count();
  co_return outcome;
}

env::Task<void> Generator::create_one(Choice choice, std::size_t node) {
  const auto made = co_await ask(choice, node, env_.clock.monotonic() + plan_.patience);
  const bool done = made && is_success(*made);
  fleet_.answered(choice, done ? Fleet::Answer::kDone : Fleet::Answer::kUnknown);
  if (!done) {
    ++failed_creates_;
    BLX_LOG(env_.log, kWarn, "{} was not created: {}", choice.vm,
            made ? refusal_of(*made) : made.error().message());
  }
  --under_way_;
  ended_.notify_all();
}

env::Task<Result<void>> Generator::prepare() {
  BLX_CO_TRY(const auto there, co_await list_all());
  for (const auto& [name, vm] : there) {
    // One that an earlier load deleted may still be on its way out.
    if (vm.desired != "deleted") fleet_.adopt(name, vm.desired == "running");
  }
  env::Scope scope(env_.executor, co_await env::this_cancellation());
  std::size_t node = 0;
  Result<void> waited;
  while (waited && fleet_.size() + under_way_ < plan_.vms && failed_creates_ < kPreparing) {
    if (under_way_ >= kPreparing) {
      waited = co_await ended_.wait();
      continue;
    }
    ++under_way_;
    scope.spawn(create_one(fleet_.choose_create(), node++));
  }
  co_await scope.join();
  BLX_CO_TRY(waited);
  if (failed_creates_ > 0) co_return fail(Code::kFailedPrecondition, "not_created");
  BLX_CO_TRY(const Verdict verdict, co_await verify());
  if (!verdict.good()) {
    co_return fail(Code::kFailedPrecondition, "not_settled",
                   fmt::format("{} of {} VMs are not as they are wanted", verdict.unsettled,
                               verdict.expected));
  }
  co_return Result<void>();
}

env::Task<Result<std::map<std::string, Generator::Seen>>> Generator::list_all() {
  std::map<std::string, Seen> seen;
  const Target& target = plan_.nodes.front();
  std::string after;
  while (true) {
    http::ClientRequest request;
    if (!target.token.empty()) {
      request.headers.push_back({"Authorization", "Bearer " + target.token});
    }
    request.target = fmt::format("/v1/vms?limit={}&after={}", kPageWhole, after);
    BLX_CO_TRY(const auto answer, co_await pool_.send(target.endpoint, std::move(request),
                                                      env_.clock.monotonic() + plan_.patience));
    if (!is_success(answer)) {
      co_return fail(Code::kUnavailable, "list_refused", refusal_of(answer));
    }
    BLX_CO_TRY(const json::object document, parsed(answer));
    const json::value* vms = document.if_contains("vms");
    if (vms == nullptr || !vms->is_array()) co_return fail(Code::kDataLoss, "answer_malformed");
    for (const json::value& vm : vms->get_array()) {
      const std::string name = text_of(vm.as_object(), "name");
      after = name;
      if (!fleet_.is_ours(name)) continue;
      seen[name] = {text_of(vm.as_object(), "desired"), text_of(vm.as_object(), "state")};
    }
    if (vms->get_array().size() < kPageWhole) co_return seen;
  }
}

Verdict Generator::judge(const std::map<std::string, Seen>& seen) const {
  Verdict verdict{.expected = fleet_.size(), .uncertain = fleet_.uncertain().size()};
  for (const auto& [name, runs] : fleet_.wanted())
    verdict.missing += seen.contains(name) ? 0 : 1;
  for (const auto& [name, vm] : seen) {
    const bool is_uncertain = fleet_.uncertain().contains(name);
    const auto wanted = fleet_.wanted().find(name);
    if (!is_uncertain && wanted == fleet_.wanted().end()) ++verdict.unasked;
    if (!is_uncertain) ++verdict.found;
    if (wanted != fleet_.wanted().end() && vm.desired != (wanted->second ? "running" : "stopped")) {
      ++verdict.differing;
    }
    if (vm.state != vm.desired) ++verdict.unsettled;
  }
  return verdict;
}

env::Task<Result<Verdict>> Generator::verify() {
  const Instant begin = env_.clock.monotonic();
  while (true) {
    BLX_CO_TRY(const auto seen, co_await list_all());
    Verdict verdict = judge(seen);
    const Duration took = env_.clock.monotonic() - begin;
    verdict.seconds = std::chrono::duration<double>(took).count();
    if (verdict.good() || took >= plan_.settle_max) co_return verdict;
    BLX_CO_TRY(co_await env_.clock.sleep(kLookAgain));
  }
}

}  // namespace blixard::load
