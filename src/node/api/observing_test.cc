// What is told of the applied state: its digest, and over the real server and client the copy of it
// and the events.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "env/scope.h"
#include "node/api/test_bench.h"
#include "node/http/client.h"
#include "node/http/event_stream.h"
#include "node/http/server.h"

namespace blixard::api {
namespace {

using env::Task;
using http::Method;
using testing::HasSubstr;

TEST(Api, TheDigestIsThatOfTheAppliedState) {
  run([](Bench& bench) -> Task<void> {
    const Reply before = co_await bench.call(Method::kGet, "/v1/cluster/digest");
    EXPECT_EQ(before.status, 200) << before.body;
    EXPECT_EQ(before.text("hash"), bench.replica->state().hash());
    co_await bench.call(Method::kPost, "/v1/vms", R"({"name":"web","image":"tiny"})");
    const Reply after = co_await bench.call(Method::kGet, "/v1/cluster/digest?consistency=stale");
    EXPECT_EQ(after.text("hash"), bench.replica->state().hash());
    EXPECT_NE(after.text("hash"), before.text("hash"));
    EXPECT_EQ(after.text("log_applied"), std::to_string(bench.replica->status().applied.value));
  });
}

struct Followed {
  std::vector<http::ServerEvent> events;
  std::string bytes;
  Result<http::Answer> answer = http::Answer{};
};

Task<void> follow(Bench& bench, env::Endpoint endpoint, std::string target, http::Headers headers,
                  std::function<bool(const Followed&)> enough, Followed& into) {
  http::Client client(bench.env, std::move(endpoint));
  headers.push_back({"Authorization", std::string("Bearer ") + kToken});
  http::EventParser parser;
  into.answer = co_await client.stream({.target = std::move(target), .headers = std::move(headers)},
                                       40s, [&](std::string_view piece) {
                                         into.bytes += piece;
                                         parser.put(piece);
                                         while (true) {
                                           auto event = parser.next();
                                           if (!event || !*event) break;
                                           into.events.push_back(**event);
                                         }
                                         return !enough(into);
                                       });
}

Task<void> served(http::Server& server, std::unique_ptr<env::Listener> listener) {
  EXPECT_TRUE(co_await server.serve(std::move(listener)));
}

void run_served(std::function<Task<void>(Bench&, env::Endpoint)> body) {
  run([&](Bench& bench) -> Task<void> {
    auto listener = co_await bench.env.network.listen(env::Endpoint::tcp("127.0.0.1", 0));
    EXPECT_TRUE(listener.has_value());
    const env::Endpoint endpoint = (*listener)->local();
    http::Server server(bench.env, *bench.api);
    env::Scope scope(bench.env.executor, co_await env::this_cancellation());
    scope.spawn(served(server, std::move(*listener)));
    co_await body(bench, endpoint);
    co_await server.stop(bench.env.clock.monotonic() + 5s);
    co_await scope.join();
  });
}

TEST(Api, GivesACopyOfTheState) {
  run_served([](Bench& bench, env::Endpoint endpoint) -> Task<void> {
    Followed followed;
    co_await follow(
        bench, endpoint, "/v1/cluster/state", {}, [](const Followed&) { return false; }, followed);
    EXPECT_TRUE(followed.answer && followed.answer->status == 200);
    EXPECT_EQ(followed.bytes, bench.replica->state().encode());
    const auto copy = cluster::State::decode(followed.bytes);
    EXPECT_TRUE(copy && *copy == bench.replica->state());
  });
}

TEST(Events, FollowFromARevision) {
  run_served([](Bench& bench, env::Endpoint endpoint) -> Task<void> {
    const std::uint64_t since = bench.replica->state().revision();
    const std::string body = R"({"name":"web","image":"tiny"})";
    EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/vms", body)).status, 201);
    env::Scope scope(bench.env.executor, co_await env::this_cancellation());
    Followed followed;
    scope.spawn(follow(
        bench, endpoint, "/v1/events?since=" + std::to_string(since), {},
        [](const Followed& f) { return f.events.size() == 4; }, followed));
    co_await bench.boot("web", v1::VM_STATE_RUNNING);
    co_await scope.join();
    EXPECT_TRUE(followed.answer && followed.answer->status == 200);
    EXPECT_EQ(followed.events.size(), 4u);
    for (std::size_t i = 0; i < followed.events.size(); ++i) {
      EXPECT_EQ(followed.events[i].id, std::to_string(since + 1 + i));
      EXPECT_EQ(followed.events[i].type, "vm");
    }
    EXPECT_THAT(followed.events.back().data, HasSubstr(R"("kind":"vm-changed")"));
    EXPECT_THAT(followed.events.back().data, HasSubstr(R"("state":"running")"));
    // A client that was cut off goes on where it was.
    Followed rest;
    co_await follow(
        bench, endpoint, "/v1/events", {{"Last-Event-ID", followed.events[1].id}},
        [](const Followed& f) { return f.events.size() == 2; }, rest);
    EXPECT_EQ(rest.events[0].id, followed.events[2].id);
  });
}

TEST(Events, AForgottenRevisionIsAReset) {
  run_served([](Bench& bench, env::Endpoint endpoint) -> Task<void> {
    Followed followed;
    co_await follow(
        bench, endpoint, "/v1/events?since=999999", {},
        [](const Followed& f) { return f.events.size() == 1; }, followed);
    EXPECT_EQ(followed.events[0].type, "reset");
    EXPECT_EQ(followed.events[0].id, std::to_string(bench.replica->state().revision()));
  });
}

TEST(Events, AQuietStreamHasHeartbeats) {
  run_served([](Bench& bench, env::Endpoint endpoint) -> Task<void> {
    const Instant begun = bench.env.clock.monotonic();
    Followed followed;
    co_await follow(
        bench, endpoint, "/v1/events", {},
        [](const Followed& f) { return f.bytes.contains("heartbeat"); }, followed);
    EXPECT_GE(bench.env.clock.monotonic() - begun, limits::kEventHeartbeat);
    EXPECT_LT(bench.env.clock.monotonic() - begun, limits::kEventHeartbeat + 1s);
    EXPECT_TRUE(followed.events.empty());
  });
}

TEST(Events, ManyStreamsAreRefused) {
  run_served([](Bench& bench, env::Endpoint endpoint) -> Task<void> {
    env::Scope scope(bench.env.executor, co_await env::this_cancellation());
    std::vector<Followed> all(limits::kEventStreams);
    for (auto& followed : all) {
      scope.spawn(follow(
          bench, endpoint, "/v1/events", {}, [](const Followed&) { return false; }, followed));
    }
    EXPECT_TRUE(co_await bench.env.clock.sleep(5s));
    Followed refused;
    co_await follow(
        bench, endpoint, "/v1/events", {}, [](const Followed&) { return false; }, refused);
    EXPECT_TRUE(refused.answer && refused.answer->status == 503);
    EXPECT_THAT(refused.answer->body, HasSubstr("too_many_streams"));
    scope.cancel();
    co_await scope.join();
  });
}

}  // namespace
}  // namespace blixard::api
