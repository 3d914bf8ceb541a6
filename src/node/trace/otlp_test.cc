#include "node/trace/otlp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "sim/world.h"

namespace blixard::trace {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Traces some_traces() {
  ReadSpan root{.trace = {0x0123456789abcdef, 0x1122334455667788},
                .id = {0xa1},
                .parent = {},
                .name = "create_vm",
                .kind = SpanKind::kServer,
                .start_unix_ns = 1'800'000'000'000'000'001,
                .end_unix_ns = 1'800'000'000'500'000'000,
                .failure = {},
                .attributes = {{"http.request.method", "POST"}, {"count", std::int64_t{-3}}}};
  ReadSpan child = root;
  child.id = {0xb2};
  child.parent = root.id;
  child.name = "raft.replicate";
  child.kind = SpanKind::kInternal;
  child.failure = "not_committed";
  child.attributes.clear();
  const Resource resource{
      .service = "blixard", .version = "0.1.0", .instance = "c/1", .host = "alpha", .node = "n1"};
  return {.resources = {{.resource = resource, .spans = {root, child}}}, .missing = {"n3"}};
}

// Field for field what the specification's examples look like.
TEST(OtlpJson, IsWrittenAsTheSpecificationSays) {
  EXPECT_EQ(otlp_json(some_traces()),
            R"({"resourceSpans":[{"resource":{"attributes":[)"
            R"({"key":"service.name","value":{"stringValue":"blixard"}},)"
            R"({"key":"service.version","value":{"stringValue":"0.1.0"}},)"
            R"({"key":"service.instance.id","value":{"stringValue":"c/1"}},)"
            R"({"key":"host.name","value":{"stringValue":"alpha"}},)"
            R"({"key":"blixard.node.name","value":{"stringValue":"n1"}}]},)"
            R"("scopeSpans":[{"scope":{"name":"blixard"},"spans":[)"
            R"({"traceId":"0123456789abcdef1122334455667788","spanId":"00000000000000a1",)"
            R"("name":"create_vm","kind":2,"startTimeUnixNano":"1800000000000000001",)"
            R"("endTimeUnixNano":"1800000000500000000","attributes":[)"
            R"({"key":"http.request.method","value":{"stringValue":"POST"}},)"
            R"({"key":"count","value":{"intValue":"-3"}}],"status":{}},)"
            R"({"traceId":"0123456789abcdef1122334455667788","spanId":"00000000000000b2",)"
            R"("parentSpanId":"00000000000000a1","name":"raft.replicate","kind":1,)"
            R"("startTimeUnixNano":"1800000000000000001","endTimeUnixNano":"1800000000500000000",)"
            R"("attributes":[],"status":{"message":"not_committed","code":2}}]}]}],)"
            R"("missingNodes":["n3"]})");
}

TEST(OtlpJson, ReadsWhatItWrites) {
  const auto read = read_otlp_json(otlp_json(some_traces()));
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(*read, some_traces());
  EXPECT_EQ(read_otlp_json("{}"), Traces());
}

TEST(OtlpJson, ReadsWhatOthersWrite) {
  const auto read = read_otlp_json(R"({"resourceSpans":[{"schemaUrl":"x","scopeSpans":[{"spans":[
    {"traceId":"0123456789abcdef1122334455667788","spanId":"00000000000000a1","parentSpanId":"",
     "traceState":"a=b","flags":257,"events":[],"name":"x","startTimeUnixNano":5,
     "endTimeUnixNano":"6","attributes":[{"key":"d","value":{"doubleValue":1.5}},
     {"key":"b","value":{"boolValue":true}},{"key":"none"}]}]}]}]})");
  ASSERT_TRUE(read) << read.error().message();
  const ReadSpan& span = read->resources.at(0).spans.at(0);
  EXPECT_EQ(span.start_unix_ns, 5);
  EXPECT_FALSE(span.parent);
  EXPECT_EQ(std::get<std::string>(span.attributes.at(0).second), "1.5E0");
  EXPECT_EQ(std::get<std::string>(span.attributes.at(1).second), "true");
  EXPECT_EQ(std::get<std::string>(span.attributes.at(2).second), "");
}

class InvalidOtlpJson : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(InvalidOtlpJson, IsRefused) {
  const auto [from, to] = GetParam();
  std::string text = otlp_json(some_traces());
  const auto at = text.find(from);
  ASSERT_NE(at, std::string::npos) << from;
  text.replace(at, std::string_view(from).size(), to);
  const auto read = read_otlp_json(text);
  ASSERT_FALSE(read) << text;
  EXPECT_EQ(read.error().reason(), "trace_invalid");
}

INSTANTIATE_TEST_SUITE_P(
    OtlpJson, InvalidOtlpJson,
    testing::Values(std::pair{"0123456789abcdef1122", "0123456789ABCDEF1122"},
                    std::pair{"0123456789abcdef1122334455667788", "0"},
                    std::pair{R"("traceId")", R"("trace")"},
                    std::pair{"00000000000000a1", "0000000000000000"},
                    std::pair{R"("parentSpanId":"00000000000000a1")", R"("parentSpanId":"x")"},
                    std::pair{R"("1800000000000000001")", R"("18e3")"},
                    std::pair{R"("1800000000000000001")", R"("99999999999999999999")"},
                    std::pair{R"("1800000000000000001")", R"("-1")"},
                    std::pair{R"("1800000000500000000")", R"("1")"},
                    std::pair{R"("startTimeUnixNano")", R"("start")"},
                    std::pair{R"({"intValue":"-3"})", R"({"intValue":"x"})"},
                    std::pair{R"({"intValue":"-3"})", R"(3)"},
                    std::pair{R"("name":"create_vm")", R"("name":7)"},
                    std::pair{R"("status":{})", R"("status":7)"},
                    std::pair{R"("kind":2)", R"("kind":{})"},
                    std::pair{R"({"resourceSpans":[)", R"({"resourceSpans":[7,)"},
                    std::pair{R"("scopeSpans":[)", R"("scopeSpans":[7,)"},
                    std::pair{R"("spans":[)", R"("spans":[7,)"}, std::pair{R"(["n3"])", R"([3])"},
                    std::pair{R"(["n3"])", R"("n3")"}, std::pair{R"(["n3"]})", R"(["n3"])"},
                    std::pair{R"({"resourceSpans")", R"([{)"}),
    [](const auto& each) { return "Case" + std::to_string(each.index); });

class OfTracer : public testing::Test {
 protected:
  sim::World world_{3};
  env::Env env_ = world_.add_machine("a").env();
  Tracer tracer_{env_.clock, env_.random};

  TraceContext context(std::uint64_t trace) {
    return {.trace = {0, trace}, .span = {1}, .sampled = true};
  }
  void pass(Duration time) {
    const auto wait = [](env::Env env, Duration duration) -> env::Task<void> {
      ignore(co_await env.clock.sleep(duration), "nobody cancels it");
    };
    ASSERT_TRUE(world_.run(wait(env_, time)));
  }
};

TEST_F(OfTracer, SpansOfOneTraceInTheOrderTheyBegan) {
  ActiveSpan outer = tracer_.begin(context(1), "outer");
  pass(1ms);
  tracer_.begin(context(2), "other").end();
  ActiveSpan inner = tracer_.begin(outer.context(), "inner");
  inner.set("k", "v");
  pass(1ms);
  inner.end();
  outer.end();
  const auto spans = spans_of(tracer_, {0, 1});
  ASSERT_EQ(spans.size(), 2U);
  EXPECT_EQ(spans[0].name, "outer");
  EXPECT_EQ(spans[1].name, "inner");
  EXPECT_EQ(spans[1].parent, spans[0].id);
  EXPECT_EQ(spans[0].end_unix_ns - spans[0].start_unix_ns, 2'000'000);
  EXPECT_THAT(spans[1].attributes, ElementsAre(std::pair<std::string, Value>("k", "v")));
  EXPECT_TRUE(spans_of(tracer_, {0, 7}).empty());
}

TEST_F(OfTracer, AnAnswerIsBounded) {
  for (std::size_t i = 0; i < limits::kTraceAnswerSpans + 5; ++i)
    tracer_.begin(context(1), "r").end();
  EXPECT_EQ(spans_of(tracer_, {0, 1}).size(), limits::kTraceAnswerSpans);
}

TEST_F(OfTracer, TracesAreListedNewestFirst) {
  ActiveSpan first = tracer_.begin(context(1), "first");
  pass(1ms);
  ActiveSpan second = tracer_.begin(context(2), "second");
  pass(1ms);
  ActiveSpan part = tracer_.begin(first.context(), "part");
  part.fail(Error(Code::kInternal, "of_a_part"));
  part.end();
  second.fail(Error(Code::kInternal, "broken"));
  second.end();
  first.end();
  const auto traces = newest_traces(tracer_);
  ASSERT_EQ(traces.size(), 2U);
  EXPECT_EQ(traces[0].name, "second");
  EXPECT_EQ(traces[0].failure, "broken");
  EXPECT_EQ(traces[1].name, "first");
  EXPECT_EQ(traces[1].spans, 2U);
  EXPECT_EQ(traces[1].failure, "");
  EXPECT_EQ(traces[1].end_unix_ns - traces[1].start_unix_ns, 2'000'000);
  for (std::uint64_t i = 0; i < 2 * limits::kTracesListed; ++i)
    tracer_.begin(context(10 + i), "r").end();
  EXPECT_EQ(newest_traces(tracer_).size(), limits::kTracesListed);
}

}  // namespace
}  // namespace blixard::trace
