#include "node/trace/tracer.h"

#include <set>

#include <gtest/gtest.h>

#include "base/limits.h"
#include "node/trace/traced_vms.h"
#include "sim/world.h"

namespace blixard::trace {
namespace {

using observe::Span;

constexpr TraceContext kRemote{.trace = {1, 2}, .span = {3}, .sampled = true};

class TracerTest : public testing::Test {
 protected:
  sim::World world_{7};
  sim::Machine& machine_ = world_.add_machine("a");
  env::Env env_ = machine_.env();

  void run(env::Task<void> task) { ASSERT_TRUE(world_.run(std::move(task))); }
  env::Task<void> pass(Duration time) { ignore(co_await env_.clock.sleep(time), "it is awaited"); }
};

TEST_F(TracerTest, RecordsAsItHappened) {
  Tracer tracer(env_.clock, env_.random);
  {
    ActiveSpan server = tracer.begin_request(kRemote, "create_vm");
    ASSERT_TRUE(server.is_recorded());
    EXPECT_EQ(server.context().trace, kRemote.trace);
    run(pass(3ms));
    ActiveSpan child = tracer.begin(server.context(), "api.wait");
    child.set("blixard.vm.name", "web");
    child.set("count", 4U);
    run(pass(2ms));
    child.end(Result<void>(fail(Code::kUnavailable, "no_leader")));
    run(pass(1ms));
  }
  ASSERT_EQ(tracer.recorded(), 2U);
  const Span& child = tracer.at(0);
  const Span& server = tracer.at(1);
  EXPECT_EQ(server.parent, kRemote.span);
  EXPECT_EQ(child.parent, server.id);
  EXPECT_NE(child.id, server.id);
  EXPECT_EQ(server.kind, SpanKind::kServer);
  EXPECT_EQ(server.duration, 6ms);
  EXPECT_EQ(child.duration, 2ms);
  EXPECT_EQ(child.start_unix_ns - server.start_unix_ns, 3'000'000);
  EXPECT_STREQ(child.failure, "no_leader");
  EXPECT_EQ(server.failure, nullptr);
  EXPECT_EQ(child.text_of(child.all()[0]), "web");
  EXPECT_EQ(child.all()[1].number, 4);
}

TEST_F(TracerTest, WhatIsNotSampledIsNotRecorded) {
  Tracer tracer(env_.clock, env_.random, 1);
  TraceContext unsampled = kRemote;
  unsampled.sampled = false;
  {
    // Also at a ratio of 1: whoever began the trace has decided.
    ActiveSpan server = tracer.begin_request(unsampled, "create_vm");
    EXPECT_FALSE(server.is_recorded());
    ActiveSpan child = tracer.begin(server.context(), "api.wait");
    child.set("count", 1);
    child.fail(Error(Code::kInternal, "never"));
  }
  EXPECT_EQ(tracer.recorded(), 0U);
  EXPECT_FALSE(begin(nullptr, kRemote, "nobody").is_recorded());
}

TEST_F(TracerTest, SamplesAtTheRatio) {
  Tracer tracer(env_.clock, env_.random, 0);
  EXPECT_FALSE(tracer.begin_request(std::nullopt, "r").is_recorded());
  tracer.set_sample_ratio(0.25);
  std::set<observe::TraceId> seen;
  constexpr int kRequests = 4000;
  for (int i = 0; i < kRequests; ++i) {
    const ActiveSpan span = tracer.begin_request(std::nullopt, "r");
    if (span.is_recorded()) seen.insert(span.context().trace);
  }
  // A thousand, within five standard deviations.
  EXPECT_NEAR(static_cast<double>(seen.size()), 1000, 5 * 27.4);
  tracer.set_sample_ratio(1);
  EXPECT_TRUE(tracer.begin_request(std::nullopt, "r").is_recorded());
}

TEST_F(TracerTest, KeepsTheNewest) {
  Tracer tracer(env_.clock, env_.random);
  const auto more = limits::kTraceSpans + 10;
  for (std::uint64_t i = 0; i < more; ++i)
    tracer.begin(kRemote, "r").set("number", i);
  EXPECT_EQ(tracer.recorded(), more);
  EXPECT_EQ(tracer.oldest(), 10U);
  EXPECT_EQ(tracer.at(tracer.oldest()).all()[0].number, 10);
  EXPECT_EQ(tracer.at(more - 1).all()[0].number, static_cast<std::int64_t>(more - 1));
}

TEST_F(TracerTest, ASpanMayMoveAndMayHaveBegunEarlier) {
  Tracer tracer(env_.clock, env_.random);
  const Instant before = env_.clock.monotonic();
  run(pass(5ms));
  ActiveSpan first = tracer.begin(kRemote, "first");
  first.began(before);
  ActiveSpan second = std::move(first);
  run(pass(5ms));
  second = tracer.begin(kRemote, "second");
  EXPECT_EQ(tracer.recorded(), 1U);
  EXPECT_STREQ(tracer.at(0).name, "first");
  EXPECT_EQ(tracer.at(0).duration, 10ms);
  second.drop();
  EXPECT_EQ(tracer.recorded(), 1U);
}

TEST_F(TracerTest, SpansUnderWayAreBounded) {
  Tracer tracer(env_.clock, env_.random);
  std::vector<ActiveSpan> open;
  for (std::size_t i = 0; i < limits::kActiveSpans + 2; ++i)
    open.push_back(tracer.begin(kRemote, "open"));
  EXPECT_FALSE(open.back().is_recorded());
  EXPECT_FALSE(tracer.begin(open.back().context(), "child").is_recorded());
  EXPECT_EQ(tracer.refused(), 2U);
  open.erase(open.begin() + 3);
  EXPECT_TRUE(tracer.begin(kRemote, "again").is_recorded());
  open.clear();
  EXPECT_EQ(tracer.recorded(), limits::kActiveSpans + 1);
}

TEST_F(TracerTest, TheFirstOfATraceHasNoParent) {
  Tracer tracer(env_.clock, env_.random);
  ActiveSpan root = tracer.begin_request(kRemote, "create_vm");
  root.make_root();
  root.end();
  EXPECT_FALSE(tracer.at(0).parent);
  EXPECT_EQ(tracer.at(0).trace, kRemote.trace);
}

TEST_F(TracerTest, ShiftsNoOtherRandomness) {
  const std::uint64_t expected = env_.random.fork("other")->next();
  sim::World same(7);
  const env::Env env = same.add_machine("a").env();
  Tracer tracer(env.clock, env.random, 1);
  for (int i = 0; i < 100; ++i)
    tracer.begin_request(std::nullopt, "r").end();
  EXPECT_EQ(env.random.fork("other")->next(), expected);
  EXPECT_EQ(env.random.next(), env_.random.next());
}

TEST(TracedVms, ForgetsTheOldest) {
  TracedVms vms;
  EXPECT_FALSE(vms.find(VmId(1)).is_valid());
  for (std::uint64_t i = 1; i <= limits::kTracedVms; ++i)
    vms.remember(VmId(i), {.trace = {0, i}, .span = {1}, .sampled = true});
  vms.remember(VmId(1), {.trace = {9, 9}, .span = {1}, .sampled = true});
  vms.remember(VmId(limits::kTracedVms + 1), kRemote);
  EXPECT_EQ(vms.size(), limits::kTracedVms);
  EXPECT_EQ(vms.find(VmId(1)).trace, (observe::TraceId{9, 9}));
  EXPECT_FALSE(vms.find(VmId(2)).is_valid());
  EXPECT_EQ(vms.find(VmId(limits::kTracedVms + 1)), kRemote);
  vms.forget(VmId(1));
  EXPECT_FALSE(vms.find(VmId(1)).is_valid());
}

}  // namespace
}  // namespace blixard::trace
