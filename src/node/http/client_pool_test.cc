// The pool of client connections against a server, on the simulated network and on real loopback.

#include "node/http/client_pool.h"

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "linux/runtime.h"
#include "node/http/server.h"
#include "sim/world.h"

namespace blixard::http {
namespace {

using env::Endpoint;
using env::Env;
using env::Task;

// /hold answers when it is released, everything else at once.
class CountingHandler final : public Handler {
 public:
  explicit CountingHandler(Env env) : released(env.executor) {}

  Task<Response> handle(const Request& request) override {
    ++handled;
    if (request.path == "/hold") {
      ++held;
      most_held = std::max(most_held, held);
      while (holds && co_await released.wait()) {
      }
      --held;
    }
    co_return Response{
        .status = 200, .content_type = "text/plain", .body = request.path, .headers = {}};
  }

  void release() {
    holds = false;
    released.notify_all();
  }

  int handled = 0;
  int held = 0;
  int most_held = 0;
  bool holds = true;
  env::Signal released;
};

struct Bench {
  Bench(Env e, ServerLimits server_limits, PoolLimits pool_limits)
      : env(e), handler(e), server(e, handler, server_limits), pool(e, pool_limits) {}

  Task<Result<Answer>> send(Method method, std::string target) {
    co_return co_await pool.send(endpoint, {.method = method, .target = std::move(target)},
                                 env.clock.monotonic() + 5s);
  }
  Task<void> expect_ok(Method method, std::string target) {
    const auto answer = co_await send(method, target);
    EXPECT_TRUE(answer && answer->status == 200 && answer->body == target)
        << (answer ? answer->body : answer.error().message());
  }
  Task<void> until(std::function<bool()> condition) {
    const Instant deadline = env.clock.monotonic() + 5s;
    while (!condition() && env.clock.monotonic() < deadline)
      EXPECT_TRUE((co_await env.clock.sleep(1ms)).has_value());
    EXPECT_TRUE(condition());
  }

  Env env;
  CountingHandler handler;
  Server server;
  ClientPool pool;
  Endpoint endpoint;
};

using Body = std::function<Task<void>(Bench&)>;

struct Setting {
  ServerLimits server;
  PoolLimits pool;
  Endpoint endpoint = Endpoint::tcp("127.0.0.1", 0);
};

Task<void> served(Server& server, std::unique_ptr<env::Listener> listener) {
  const auto result = co_await server.serve(std::move(listener));
  EXPECT_TRUE(result || result.error().code() == Code::kCancelled);
}

Task<void> bench_main(Env env, Setting setting, Body body, bool& done) {
  Bench bench(env, setting.server, setting.pool);
  auto listener = co_await env.network.listen(setting.endpoint);
  if (!listener) {
    ADD_FAILURE() << listener.error().message();
    co_return;
  }
  bench.endpoint = (*listener)->local();
  env::Scope scope(env.executor, co_await env::this_cancellation());
  scope.spawn(served(bench.server, std::move(*listener)));
  co_await body(bench);
  bench.pool.close_idle();
  co_await bench.server.stop(env.clock.monotonic() + 1s);
  co_await scope.join();
  done = true;
}

enum class Side : std::uint8_t { kSim, kReal };

class ClientPoolTest : public testing::TestWithParam<Side> {
 protected:
  void run(Body body, Setting setting = {}) {
    bool done = false;
    if (GetParam() == Side::kSim) {
      sim::World world(7);
      auto& machine = world.add_machine("a");
      EXPECT_TRUE(world.run(bench_main(machine.env(), setting, std::move(body), done)));
    } else {
      linux_side::Runtime runtime({});
      runtime.run(bench_main(runtime.env(), setting, std::move(body), done));
    }
    EXPECT_TRUE(done);
  }
};

INSTANTIATE_TEST_SUITE_P(Sides, ClientPoolTest, testing::Values(Side::kSim, Side::kReal),
                         [](const auto& param) {
                           return param.param == Side::kSim ? "Sim" : "Real";
                         });

TEST_P(ClientPoolTest, TenThousandRequestsNeedOneConnection) {
  const int count = GetParam() == Side::kSim ? 1000 : 10'000;
  run([count](Bench& bench) -> Task<void> {
    for (int i = 0; i < count; ++i)
      co_await bench.expect_ok(i % 2 == 0 ? Method::kGet : Method::kPost, "/a");
    const ClientPool::Counters& counters = bench.pool.counters();
    EXPECT_EQ(counters.requests, static_cast<std::uint64_t>(count));
    EXPECT_EQ(counters.connects, 1u);
    EXPECT_EQ(counters.reused, static_cast<std::uint64_t>(count) - 1);
    EXPECT_EQ(counters.retried, 0u);
    EXPECT_EQ(bench.server.connections(), 1u);
  });
}

TEST_P(ClientPoolTest, RequestsAtOnceShareSoManyConnections) {
  run(
      [](Bench& bench) -> Task<void> {
        env::Scope scope(bench.env.executor, nullptr);
        for (int i = 0; i < 10; ++i)
          scope.spawn(bench.expect_ok(Method::kGet, "/hold"));
        co_await bench.until([&] { return bench.handler.held == 3; });
        EXPECT_EQ(bench.server.connections(), 3u);
        bench.handler.release();
        co_await scope.join();
        EXPECT_EQ(bench.handler.most_held, 3);
        EXPECT_EQ(bench.handler.handled, 10);
        EXPECT_EQ(bench.pool.counters().connects, 3u);
        EXPECT_EQ(bench.pool.counters().reused, 7u);
        EXPECT_EQ(bench.pool.idle(), 3u);
      },
      {.server = {}, .pool = {.connections = 3}});
}

TEST_P(ClientPoolTest, WhoFindsNoPlaceToWaitIsRefused) {
  run(
      [](Bench& bench) -> Task<void> {
        env::Scope scope(bench.env.executor, nullptr);
        for (int i = 0; i < 2; ++i)
          scope.spawn(bench.expect_ok(Method::kGet, "/hold"));
        co_await bench.until([&] { return bench.handler.held == 1; });
        const auto refused = co_await bench.send(Method::kGet, "/a");
        EXPECT_TRUE(!refused && refused.error().reason() == "too_many_requests");
        bench.handler.release();
        co_await scope.join();
      },
      {.server = {}, .pool = {.connections = 1, .waiting = 1}});
}

TEST_P(ClientPoolTest, WhatTheServerEndedIsNotUsedAgain) {
  run(
      [](Bench& bench) -> Task<void> {
        co_await bench.expect_ok(Method::kGet, "/a");
        co_await bench.until([&] { return bench.server.connections() == 0; });
        // Not one that may be sent twice: it must not meet the dead connection at all.
        co_await bench.expect_ok(Method::kPost, "/b");
        EXPECT_EQ(bench.pool.counters().connects, 2u);
        EXPECT_EQ(bench.pool.counters().evicted, 1u);
        EXPECT_EQ(bench.pool.counters().retried, 0u);
      },
      {.server = {.idle_timeout = 20ms}, .pool = {}});
}

TEST_P(ClientPoolTest, WhatWasIdleForTooLongIsClosed) {
  run(
      [](Bench& bench) -> Task<void> {
        co_await bench.expect_ok(Method::kGet, "/a");
        EXPECT_EQ(bench.pool.idle(), 1u);
        const Instant old = bench.env.clock.monotonic() + 20ms;
        co_await bench.until([&] { return bench.env.clock.monotonic() >= old; });
        co_await bench.expect_ok(Method::kGet, "/b");
        EXPECT_EQ(bench.pool.counters().evicted, 1u);
        EXPECT_EQ(bench.pool.counters().connects, 2u);
      },
      {.server = {}, .pool = {.idle_timeout = 20ms}});
}

TEST_P(ClientPoolTest, WarmedUpItNeedNotDial) {
  run(
      [](Bench& bench) -> Task<void> {
        const auto warm =
            co_await bench.pool.warm_up(bench.endpoint, 4, bench.env.clock.monotonic() + 5s);
        EXPECT_TRUE(warm.has_value());
        EXPECT_EQ(bench.pool.counters().connects, 2u);  // as many as it may have
        co_await bench.expect_ok(Method::kGet, "/a");
        EXPECT_EQ(bench.pool.counters().connects, 2u);
        EXPECT_EQ(bench.pool.counters().reused, 1u);
      },
      {.server = {}, .pool = {.connections = 2}});
}

TEST_P(ClientPoolTest, NobodyToTalkTo) {
  run([](Bench& bench) -> Task<void> {
    const auto answer = co_await bench.pool.send(Endpoint::tcp("127.0.0.1", 1), {.target = "/a"},
                                                 bench.env.clock.monotonic() + 5s);
    EXPECT_TRUE(!answer && answer.error().code() == Code::kUnavailable);
    EXPECT_EQ(bench.pool.counters().connects, 0u);
  });
}

// A server that answers each connection once and then ends it as soon as more is asked: what it did
// with that, nobody knows.
Task<void> end_second_request(env::Listener& listener, int& connections) {
  while (auto stream = co_await listener.accept()) {
    ++connections;
    std::array<char, 4096> buffer{};
    if (const auto got = co_await (*stream)->read_some(buffer); !got || *got == 0) continue;
    if (!co_await (*stream)->write_all("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) continue;
    ignore(co_await (*stream)->read_some(buffer), "what is asked second is lost");
  }
}

Task<void> ends_when_asked(Env env, Method method, ClientPool::Counters& counters, bool& answered) {
  auto listener = co_await env.network.listen(Endpoint::tcp("127.0.0.1", 0));
  if (!listener) co_return;
  int connections = 0;
  env::Scope scope(env.executor, nullptr);
  scope.spawn(end_second_request(**listener, connections));
  ClientPool pool(env);
  const Endpoint server = (*listener)->local();
  const auto first = co_await pool.send(server, {.target = "/a"}, env.clock.monotonic() + 5s);
  EXPECT_TRUE(first.has_value());
  const auto second =
      co_await pool.send(server, {.method = method, .target = "/b"}, env.clock.monotonic() + 5s);
  answered = second.has_value();
  if (!second) {
    EXPECT_EQ(second.error().code(), Code::kUnavailable);
  }
  counters = pool.counters();
  pool.close_idle();
  scope.cancel();
  (*listener)->close();
  co_await scope.join();
}

class StaleConnectionTest : public ClientPoolTest {
 protected:
  ClientPool::Counters counters_of(Method method, bool& answered) {
    ClientPool::Counters counters;
    if (GetParam() == Side::kSim) {
      sim::World world(7);
      auto& machine = world.add_machine("a");
      EXPECT_TRUE(world.run(ends_when_asked(machine.env(), method, counters, answered)));
    } else {
      linux_side::Runtime runtime({});
      runtime.run(ends_when_asked(runtime.env(), method, counters, answered));
    }
    return counters;
  }
};

INSTANTIATE_TEST_SUITE_P(Sides, StaleConnectionTest, testing::Values(Side::kSim, Side::kReal),
                         [](const auto& param) {
                           return param.param == Side::kSim ? "Sim" : "Real";
                         });

TEST_P(StaleConnectionTest, WhatMayBeSentTwiceIsTriedOnceMore) {
  bool answered = false;
  const auto counters = counters_of(Method::kPut, answered);
  EXPECT_TRUE(answered);
  EXPECT_EQ(counters.retried, 1u);
  EXPECT_EQ(counters.connects, 2u);
}

TEST_P(StaleConnectionTest, WhatMayNotBeSentTwiceFails) {
  bool answered = false;
  const auto counters = counters_of(Method::kPost, answered);
  EXPECT_FALSE(answered);
  EXPECT_EQ(counters.retried, 0u);
  EXPECT_EQ(counters.connects, 1u);
}

}  // namespace
}  // namespace blixard::http
