// A traced command leaves its spans on every node, each the parent of what follows from it.

#include <map>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "env/test_coroutine.h"
#include "node/replica/test_cluster.h"
#include "node/trace/command_trace.h"
#include "node/trace/otlp.h"

namespace blixard::replica {
namespace {

using env::Task;

constexpr trace::TraceContext kRequest{.trace = {7, 8}, .span = {9}, .sampled = true};

struct Found {
  std::size_t node = 0;
  trace::ReadSpan span;
};

// By name, of one trace, from the nodes that run.
std::multimap<std::string, Found> spans_in(TestCluster& c, const observe::TraceId& id) {
  std::multimap<std::string, Found> found;
  for (const auto& node : c.nodes()) {
    if (!node->tracer) continue;
    for (const trace::ReadSpan& span : trace::spans_of(*node->tracer, id))
      found.emplace(span.name, Found{node->id.value, span});
  }
  return found;
}

v1::Command traced_image(const std::string& name, std::uint64_t request) {
  v1::Command command = add_image(name, request);
  trace::set_trace(command, kRequest);
  return command;
}

TEST(Traced, ACommandOfAFollowerOnAllNodes) {
  sim::World world(31);
  TestCluster cluster(world, {.nodes = 3});
  ASSERT_TRUE(cluster.run([](TestCluster& c) -> Task<void> {
    co_await c.start_all();
    const TestNode* leader = co_await c.wait_for_leader();
    TestNode* asked = c.follower();
    CO_ASSERT(leader && asked);
    const auto done = co_await c.propose(*asked, traced_image("a", 1));
    CO_ASSERT(done, << done.error().message());
    CO_ASSERT(co_await c.settled());
    const auto spans = spans_in(c, kRequest.trace);
    CO_ASSERT(spans.count("propose AddImage") == 1 && spans.count("raft.forward") == 1 &&
              spans.count("raft.replicate") == 1 && spans.count("apply AddImage") == 3);
    EXPECT_EQ(spans.size(), 6U);
    const Found& propose = spans.find("propose AddImage")->second;
    const Found& forward = spans.find("raft.forward")->second;
    const Found& replicate = spans.find("raft.replicate")->second;
    EXPECT_EQ(propose.node, asked->id.value);
    EXPECT_EQ(forward.node, asked->id.value);
    EXPECT_EQ(replicate.node, leader->id.value);
    EXPECT_EQ(propose.span.parent, kRequest.span);
    EXPECT_EQ(forward.span.parent, propose.span.id);
    EXPECT_EQ(replicate.span.parent, forward.span.id);
    std::set<std::size_t> applied;
    const auto [first, last] = spans.equal_range("apply AddImage");
    for (auto each = first; each != last; ++each) {
      applied.insert(each->second.node);
      EXPECT_EQ(each->second.span.parent, replicate.span.id);
      EXPECT_EQ(each->second.span.failure, "");
    }
    EXPECT_EQ(applied.size(), 3U);
    EXPECT_GT(replicate.span.end_unix_ns, replicate.span.start_unix_ns);
  }));
}

TEST(Traced, OfTheLeaderItselfAndOfOneThatIsRefused) {
  sim::World world(32);
  TestCluster cluster(world, {.nodes = 3});
  ASSERT_TRUE(cluster.run([](TestCluster& c) -> Task<void> {
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader);
    EXPECT_TRUE(co_await c.propose(*leader, traced_image("a", 1)));
    v1::Command missing = remove_image("b");
    trace::set_trace(missing, {.trace = {1, 1}, .span = {2}, .sampled = true});
    EXPECT_FALSE(co_await c.propose(*leader, std::move(missing)));
    CO_ASSERT(co_await c.settled());
    const auto first = spans_in(c, kRequest.trace);
    EXPECT_EQ(first.size(), 5U);
    EXPECT_EQ(first.find("raft.replicate")->second.span.parent,
              first.find("propose AddImage")->second.span.id);
    const auto refused = spans_in(c, {1, 1});
    CO_ASSERT(refused.count("apply RemoveImage") == 3);
    EXPECT_EQ(refused.find("apply RemoveImage")->second.span.failure, "image_not_found");
    EXPECT_EQ(refused.find("propose RemoveImage")->second.span.failure, "image_not_found");
    EXPECT_EQ(refused.find("raft.replicate")->second.span.failure, "");
  }));
}

// Whatever becomes of the leader: no span has a parent that was never recorded by a node that runs.
TEST(Traced, OverAChangeOfLeader) {
  sim::World world(33);
  TestCluster cluster(world, {.nodes = 3});
  ASSERT_TRUE(cluster.run([](TestCluster& c) -> Task<void> {
    co_await c.start_all();
    TestNode* old = co_await c.wait_for_leader();
    CO_ASSERT(old);
    c.isolate(*old);
    env::Scope scope(c.env().executor, co_await env::this_cancellation());
    // Appended, and never committed: it loses its place.
    const auto lost = [](TestCluster& cluster_, TestNode& node) -> Task<void> {
      EXPECT_FALSE(co_await cluster_.propose(node, traced_image("a", 1)));
    };
    scope.spawn(lost(c, *old));
    TestNode* next = co_await c.wait_for_leader(old);
    CO_ASSERT(next);
    EXPECT_TRUE(co_await c.propose(*next, traced_image("a", 1)));
    c.heal(*old);
    co_await scope.join();
    CO_ASSERT(co_await c.settled());
    const auto spans = spans_in(c, kRequest.trace);
    EXPECT_EQ(spans.count("apply AddImage"), 3U);
    EXPECT_EQ(spans.count("raft.replicate"), 2U);
    std::set<observe::SpanId> known{kRequest.span};
    std::multiset<std::string> outcomes;
    for (const auto& [name, found] : spans) {
      known.insert(found.span.id);
      if (name == "raft.replicate") outcomes.insert(found.span.failure);
    }
    EXPECT_THAT(outcomes, testing::ElementsAre("", "leadership_lost"));
    for (const auto& [name, found] : spans)
      EXPECT_TRUE(known.contains(found.span.parent)) << name;
  }));
}

TEST(Traced, WhatIsReadAgainAtAStartLeavesNothing) {
  sim::World world(35);
  TestCluster cluster(world, {.nodes = 3});
  ASSERT_TRUE(cluster.run([](TestCluster& c) -> Task<void> {
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader);
    EXPECT_TRUE(co_await c.propose(*leader, traced_image("a", 1)));
    CO_ASSERT(co_await c.settled());
    TestNode* again = c.follower();
    EXPECT_EQ(again->tracer->recorded(), 1U);
    co_await c.stop(*again);
    c.start(*again);
    CO_ASSERT(co_await c.until([&] { return again->replica != nullptr; }));
    CO_ASSERT(co_await c.settled());
    EXPECT_TRUE(c.has(*again, "a"));
    EXPECT_EQ(again->tracer->recorded(), 0U);
  }));
}

TEST(Traced, WhatIsNotTracedLeavesNothing) {
  sim::World world(34);
  TestCluster cluster(world, {.nodes = 3});
  ASSERT_TRUE(cluster.run([](TestCluster& c) -> Task<void> {
    co_await c.start_all();
    EXPECT_TRUE(co_await c.add("a"));
    // Ids that are none.
    v1::Command damaged = add_image("b", 77);
    damaged.mutable_trace()->set_span(5);
    EXPECT_TRUE(co_await c.propose(*c.follower(), std::move(damaged)));
    CO_ASSERT(co_await c.settled());
    for (const auto& node : c.nodes())
      EXPECT_EQ(node->tracer->recorded(), 0U);
  }));
}

}  // namespace
}  // namespace blixard::replica
