// The exporter against receivers that are well, slow, away, full and mad, on the simulated network.

#include "node/otlp/exporter.h"

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include <boost/json.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "node/http/server.h"
#include "node/otlp/metrics_json.h"
#include "sim/world.h"

namespace blixard::otlp {
namespace {

using env::Env;
using env::Task;
using testing::HasSubstr;

constexpr trace::TraceContext kContext{.trace = {1, 2}, .span = {3}, .sampled = true};

// Answers as it was told to, then "{}".
class Receiver final : public http::Handler {
 public:
  Task<http::Response> handle(const http::Request& request) override {
    const std::string* type = request.header("Content-Type");
    EXPECT_TRUE(type != nullptr && *type == "application/json");
    (request.path == prefix + "/v1/metrics" ? metrics : traces).push_back(request.body);
    EXPECT_TRUE(request.path == prefix + "/v1/metrics" || request.path == prefix + "/v1/traces");
    http::Response response{
        .status = 200, .content_type = "application/json", .body = "{}", .headers = {}};
    if (env != nullptr) ignore(co_await env->clock.sleep(takes), "it answers all the same");
    if (request.path == prefix + "/v1/traces" && !answers.empty()) {
      response = answers.front();
      answers.pop_front();
      if (!response.body.empty()) response.content_type = "application/json";
    }
    co_return response;
  }

  std::size_t spans() const {
    std::size_t count = 0;
    for (const std::string& body : traces) {
      const auto read = trace::read_otlp_json(body);
      EXPECT_TRUE(read) << body;
      if (read) count += read->resources.at(0).spans.size();
    }
    return count;
  }

  const Env* env = nullptr;  // of one that is slow
  Duration takes{};
  std::string prefix;
  std::deque<http::Response> answers;
  std::vector<std::string> traces;
  std::vector<std::string> metrics;
};

http::Response answer(int status, std::string body = "", http::Headers headers = {}) {
  return {
      .status = status, .content_type = "", .body = std::move(body), .headers = std::move(headers)};
}

class ExporterTest : public testing::Test {
 protected:
  using Body = std::function<Task<void>()>;

  static Task<void> serve(http::Server& server, std::unique_ptr<env::Listener> listener) {
    ignore(co_await server.serve(std::move(listener)), "it ends with the test");
  }

  Task<void> with_receiver(Body body) {
    const Env there = receiver_machine_.env();
    http::Server server(there, receiver_, {.body_bytes = std::size_t{4} << 20});
    auto listener = co_await there.network.listen(env::Endpoint::tcp("0.0.0.0", 4318));
    EXPECT_TRUE(listener);
    env::Scope scope(env_.executor, co_await env::this_cancellation());
    env::Scope exporting(env_.executor, co_await env::this_cancellation());
    scope.spawn(serve(server, std::move(*listener)));
    exporting.spawn(exporter_.run());
    exporter_.set_target(target());
    co_await body();
    exporting.cancel();
    co_await exporting.join();
    co_await server.stop(env_.clock.monotonic() + 1s);
    scope.cancel();
    co_await scope.join();
  }
  // Also for the machine of the receiver, which nothing else runs on.
  void run(Body body) { ASSERT_TRUE(world_.run(with_receiver(std::move(body)))); }

  [[nodiscard]] Target target() const {
    return *parse_endpoint("http://" + receiver_machine_.address());
  }
  void record(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      tracer_.begin(kContext, "agent.start").set("number", i);
  }
  Task<void> pass(Duration time) { ignore(co_await env_.clock.sleep(time), "nobody cancels it"); }
  Task<bool> until(std::function<bool()> condition, Duration most = 10min) {
    const Instant deadline = env_.clock.monotonic() + most;
    while (!condition() && env_.clock.monotonic() < deadline)
      co_await pass(10ms);
    EXPECT_TRUE(condition());
    co_return condition();
  }

  sim::World world_{11};
  sim::Machine& machine_ = world_.add_machine("a");
  sim::Machine& receiver_machine_ = world_.add_machine("b");
  Env env_ = machine_.env();
  Instant begun_ = env_.clock.monotonic();
  trace::Tracer tracer_{env_.clock, env_.random};
  observe::Metrics metrics_;
  observe::Counter placed_ = metrics_.counter("blixard_test_total", "Things of a test.");
  trace::Resource resource_{
      .service = "blixard", .version = "0", .instance = "c/1", .host = "a", .node = "n1"};
  Receiver receiver_;
  Exporter exporter_{env_, tracer_, metrics_, resource_};
};

TEST_F(ExporterTest, SendsWhatEndedOnceAndInBatches) {
  run([&]() -> Task<void> {
    const std::size_t count = limits::kOtlpSpansPerBatch + 7;
    record(count);
    co_await until([&] { return exporter_.counters().spans_sent == count; });
    EXPECT_EQ(receiver_.traces.size(), 2U);
    EXPECT_EQ(receiver_.spans(), count);
    const auto read = trace::read_otlp_json(receiver_.traces.at(0));
    EXPECT_EQ(read->resources.at(0).resource, resource_);
    EXPECT_EQ(read->resources.at(0).spans.at(0).name, "agent.start");
    record(1);
    co_await until([&] { return exporter_.counters().spans_sent == count + 1; });
    EXPECT_EQ(receiver_.spans(), count + 1);
    EXPECT_EQ(exporter_.counters().failures, 0U);
  });
}

TEST_F(ExporterTest, MetricsComeAtTheirInterval) {
  placed_.add(5);
  run([&]() -> Task<void> {
    co_await until([&] { return exporter_.counters().metrics_sent == 3; });
    EXPECT_EQ(receiver_.metrics.size(), 3U);
    EXPECT_THAT(receiver_.metrics.at(0), HasSubstr("blixard_test_total"));
    EXPECT_GE(env_.clock.monotonic() - begun_, 30s);
    EXPECT_LE(env_.clock.monotonic() - begun_, 32s);
  });
}

class Passing : public ExporterTest, public testing::WithParamInterface<int> {};

TEST_P(Passing, IsRepeated) {
  receiver_.answers = {answer(GetParam()), answer(GetParam()), answer(GetParam(), "nonsense")};
  run([&]() -> Task<void> {
    record(3);
    co_await until([&] { return exporter_.counters().spans_sent == 3; });
    EXPECT_EQ(receiver_.traces.size(), 4U);
    EXPECT_EQ(receiver_.traces.front(), receiver_.traces.back());
    EXPECT_EQ(exporter_.counters().failures, 3U);
    EXPECT_EQ(exporter_.counters().spans_rejected, 0U);
    // The delay doubles: at least 0.5, 1 and 2 seconds.
    EXPECT_GE(env_.clock.monotonic() - begun_, 3500ms);
  });
}

INSTANTIATE_TEST_SUITE_P(Status, Passing, testing::Values(429, 502, 503, 504));

class Lasting : public ExporterTest, public testing::WithParamInterface<int> {};

TEST_P(Lasting, IsNotRepeated) {
  receiver_.answers = {answer(GetParam(), "{\"message\":\"no\"}")};
  run([&]() -> Task<void> {
    record(3);
    co_await until([&] { return exporter_.counters().spans_rejected == 3; });
    record(2);
    co_await until([&] { return exporter_.counters().spans_sent == 2; });
    EXPECT_EQ(receiver_.traces.size(), 2U);
  });
}

INSTANTIATE_TEST_SUITE_P(Status, Lasting, testing::Values(301, 400, 401, 404, 413, 500));

TEST_F(ExporterTest, RetryAfterIsHonoured) {
  receiver_.answers = {answer(503, "", {{"Retry-After", "60"}})};
  run([&]() -> Task<void> {
    record(1);
    co_await until([&] { return exporter_.counters().failures == 1; });
    const Instant refused = env_.clock.monotonic();
    co_await until([&] { return exporter_.counters().spans_sent == 1; });
    EXPECT_GE(env_.clock.monotonic() - refused, 59s);
    EXPECT_LE(env_.clock.monotonic() - refused, 63s);
  });
}

TEST_F(ExporterTest, AndHasABound) {
  receiver_.answers = {answer(429, "", {{"Retry-After", "4000000000"}}),
                       answer(429, "", {{"Retry-After", "Fri, 31 Dec 2027 23:59:59 GMT"}})};
  run([&]() -> Task<void> {
    record(1);
    co_await until([&] { return exporter_.counters().spans_sent == 1; });
    EXPECT_LE(env_.clock.monotonic() - begun_, limits::kOtlpRetryAfterMax + 10s);
  });
}

TEST_F(ExporterTest, PartialSuccessIsCounted) {
  receiver_.answers = {
      answer(200, R"({"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}})"),
      answer(200, R"({"partialSuccess":{"rejectedSpans":99}})"), answer(200, "<html>"),
      answer(200, R"({"partialSuccess":{"rejectedSpans":-1}})")};
  run([&]() -> Task<void> {
    record(5);
    co_await until([&] { return exporter_.counters().spans_rejected == 2; });
    EXPECT_EQ(exporter_.counters().spans_sent, 3U);
    record(1);
    co_await until([&] { return exporter_.counters().spans_rejected == 3; });
    record(1);
    co_await until([&] { return exporter_.counters().spans_sent == 4; });
    record(1);
    co_await until([&] { return exporter_.counters().spans_sent == 5; });
    EXPECT_EQ(exporter_.counters().failures, 0U);
  });
}

TEST_F(ExporterTest, OneThatIsAwayCostsTheOldestSpans) {
  run([&]() -> Task<void> {
    world_.partition(machine_, receiver_machine_);
    record(10);
    co_await until([&] { return exporter_.counters().failures > 0; });
    record(limits::kTraceSpans);
    co_await pass(1min);
    world_.heal_all();
    co_await until([&] { return exporter_.counters().spans_sent == limits::kTraceSpans; });
    EXPECT_EQ(exporter_.counters().spans_dropped, 10U);
    EXPECT_EQ(receiver_.spans(), limits::kTraceSpans);
  });
}

TEST_F(ExporterTest, AFlushIsBounded) {
  run([&]() -> Task<void> {
    record(3);
    co_await exporter_.flush(env_.clock.monotonic() + limits::kOtlpFlushTimeout);
    EXPECT_EQ(receiver_.spans(), 3U);
    EXPECT_GE(receiver_.metrics.size(), 1U);
    world_.partition(machine_, receiver_machine_);
    record(3);
    const Instant begun = env_.clock.monotonic();
    co_await exporter_.flush(begun + limits::kOtlpFlushTimeout);
    EXPECT_LE(env_.clock.monotonic() - begun, limits::kOtlpFlushTimeout + 1s);
  });
}

TEST_F(ExporterTest, TheTargetMayChange) {
  run([&]() -> Task<void> {
    record(1);
    co_await until([&] { return exporter_.counters().spans_sent == 1; });
    exporter_.set_target(std::nullopt);
    record(5);
    co_await pass(1min);
    EXPECT_EQ(exporter_.counters().spans_sent, 1U);
    receiver_.prefix = "/otlp";
    exporter_.set_target(*parse_endpoint("http://" + receiver_machine_.address() + ":4318/otlp/"));
    record(2);
    co_await until([&] { return exporter_.counters().spans_sent == 3; });
    EXPECT_EQ(exporter_.counters().failures, 0U);
  });
}

TEST_F(ExporterTest, WhatWasUnderWayWhenTheTargetWentAndCameBackIsNotCounted) {
  receiver_.env = &env_;
  receiver_.takes = 3s;
  run([&]() -> Task<void> {
    record(3);
    co_await until([&] { return receiver_.traces.size() == 1; });
    exporter_.set_target(std::nullopt);
    record(5);
    exporter_.set_target(target());
    co_await pass(20s);
    EXPECT_EQ(exporter_.counters().spans_sent, 0U);
    record(1);
    co_await until([&] { return exporter_.counters().spans_sent == 1; });
    EXPECT_EQ(receiver_.spans(), 3U + 1);
  });
}

TEST(OtlpEndpoint, IsRead) {
  using env::Endpoint;
  EXPECT_EQ(parse_endpoint("http://127.0.0.1:4318"),
            (Target{Endpoint::tcp("127.0.0.1", 4318), ""}));
  EXPECT_EQ(parse_endpoint("http://192.0.2.7/"), (Target{Endpoint::tcp("192.0.2.7", 4318), ""}));
  EXPECT_EQ(parse_endpoint("http://localhost:9999/a/b"),
            (Target{Endpoint::tcp("127.0.0.1", 9999), "/a/b"}));
  EXPECT_EQ(parse_endpoint("http://[::1]:1"), (Target{Endpoint::tcp("::1", 1), ""}));
  EXPECT_EQ(parse_endpoint("http://[::1]"), (Target{Endpoint::tcp("::1", 4318), ""}));
  for (const char* bad : {"", "127.0.0.1:4318", "https://127.0.0.1:4318", "http://", "http://:1",
                          "http://collector:4318", "http://127.0.0.1:0", "http://127.0.0.1:99999",
                          "http://127.0.0.1/a b", "http://127.0.0.1/a?b", "http://unix:/x",
                          "http://tcp:127.0.0.1:1", "grpc://127.0.0.1:4317"}) {
    const auto target = parse_endpoint(bad);
    ASSERT_FALSE(target) << bad;
    EXPECT_EQ(target.error().reason(), "otlp_endpoint_invalid");
  }
}

TEST(MetricsJson, IsWrittenAsTheSpecificationSays) {
  observe::Metrics metrics;
  metrics.counter("blixard_a_total", "Things.").add(5);
  metrics.gauge("blixard_b_bytes", "Bytes.").set(7);
  const auto histogram =
      metrics.histogram("blixard_c_seconds", "Time.",
                        observe::HistogramShape::seconds(Duration(1 << 20), Duration(1 << 22)));
  histogram.observe(Duration(1 << 20));
  histogram.observe(Duration(1 << 21));
  histogram.observe(10s);
  metrics.computed_gauge("blixard_d", "Computed.",
                         [](observe::Answer& answer) { answer({"x"}, 1.5); }, {"state"});
  const auto document = boost::json::parse(metrics_json(
      metrics, {.service = "blixard", .version = "", .instance = "c/1", .host = "", .node = ""},
      100, 200));
  const auto expected = boost::json::parse(R"({"resourceMetrics":[{
    "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"blixard"}},
                              {"key":"service.instance.id","value":{"stringValue":"c/1"}}]},
    "scopeMetrics":[{"scope":{"name":"blixard"},"metrics":[
      {"name":"blixard_a_total","description":"Things.","unit":"","sum":{"dataPoints":[
        {"attributes":[],"startTimeUnixNano":"100","timeUnixNano":"200","asInt":"5"}],
        "aggregationTemporality":2,"isMonotonic":true}},
      {"name":"blixard_b_bytes","description":"Bytes.","unit":"By","gauge":{"dataPoints":[
        {"attributes":[],"timeUnixNano":"200","asInt":"7"}]}},
      {"name":"blixard_c_seconds","description":"Time.","unit":"s","histogram":{"dataPoints":[
        {"attributes":[],"startTimeUnixNano":"100","timeUnixNano":"200","count":"3",
         "sum":10.003145728,"bucketCounts":["1","1","0","1"],
         "explicitBounds":[0.001048576,0.002097152,0.004194304]}],"aggregationTemporality":2}},
      {"name":"blixard_d","description":"Computed.","unit":"","gauge":{"dataPoints":[
        {"attributes":[{"key":"state","value":{"stringValue":"x"}}],"timeUnixNano":"200",
         "asDouble":1.5}]}}]}]}]})");
  EXPECT_EQ(document, expected) << document;
}

}  // namespace
}  // namespace blixard::otlp
