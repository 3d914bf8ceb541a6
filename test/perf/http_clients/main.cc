// What a kept connection saves: requests one after the other over a pool's connection, and over a
// new connection each, to a server in the same thread (so a time is that of both ends), over TCP on
// loopback and over a unix socket.

#include <unistd.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/assert.h"
#include "env/scope.h"
#include "linux/runtime.h"
#include "node/http/client.h"
#include "node/http/client_pool.h"
#include "node/http/server.h"
#include "test/perf/report/latencies.h"
#include "test/perf/report/on_linux.h"
#include "test/perf/report/report.h"

namespace blixard::perf {
namespace {

using env::Endpoint;
using env::Env;
using env::Task;
using Timer = std::chrono::steady_clock;

constexpr int kRequests = 3000;
constexpr const char* kRival = "a new connection for each";

class Answering final : public http::Handler {
 public:
  Task<http::Response> handle(const http::Request& /*request*/) override {
    co_return http::Response{.status = 200,
                             .content_type = "application/json",
                             .body = std::string(200, ' '),
                             .headers = {}};
  }
};

Task<void> served(http::Server& server, std::unique_ptr<env::Listener> listener) {
  ignore(co_await server.serve(std::move(listener)), "it ends with the measurement");
}

Task<void> over_one(Env env, Endpoint server, Latencies& latencies) {
  http::ClientPool pool(env);
  for (int i = 0; i < kRequests; ++i) {
    const auto begin = Timer::now();
    const auto answer = co_await pool.send(server, {.target = "/"},
                                           env.clock.monotonic() + std::chrono::seconds(5));
    BLX_ASSERT(answer.has_value());
    latencies.add(Timer::now() - begin);
  }
  BLX_ASSERT(pool.counters().connects == 1 && pool.counters().reused == kRequests - 1);
  pool.close_idle();
}

Task<void> over_new_ones(Env env, Endpoint server, Latencies& latencies) {
  http::Client client(env, server);
  for (int i = 0; i < kRequests; ++i) {
    const auto begin = Timer::now();
    const auto answer =
        co_await client.send({.target = "/"}, env.clock.monotonic() + std::chrono::seconds(5));
    BLX_ASSERT(answer.has_value());
    latencies.add(Timer::now() - begin);
  }
}

using Way = Task<void> (*)(Env, Endpoint, Latencies&);

Task<void> measure(Env env, Endpoint at, Way way, Latencies& latencies) {
  Answering handler;
  http::Server server(env, handler);
  auto listener = co_await env.network.listen(at);
  BLX_ASSERT(listener.has_value());
  const Endpoint endpoint = (*listener)->local();
  env::Scope scope(env.executor, co_await env::this_cancellation());
  scope.spawn(served(server, std::move(*listener)));
  co_await way(env, endpoint, latencies);
  co_await server.stop(env.clock.monotonic() + std::chrono::seconds(1));
  co_await scope.join();
}

double us_at(double part, const Endpoint& at, Way way) {
  linux_side::Runtime runtime({});
  Latencies latencies;
  runtime.run(measure(runtime.env(), at, way, latencies));
  return latencies.us_at(part);
}

void add(Report& report, const char* name, double part, const Endpoint& at, double times) {
  report.add({.name = name,
              .unit = "us",
              .items = {"S33"},
              .measure = [=] { return us_at(part, at, over_one); },
              .baselines = {{kRival, [=] { return us_at(part, at, over_new_ones); }}},
              .targets = {better_than(kRival, times)},
              .varies = part > 0.9});
}

int run(int argc, char** argv) {
  const Endpoint tcp = Endpoint::tcp("127.0.0.1", 0);
  const Endpoint local =
      Endpoint::unix_socket("/tmp/blx-http-clients-" + std::to_string(::getpid()) + ".sock");
  Report report("http_clients");
  add(report, "a request over TCP, p50", 0.5, tcp, 1.2);
  add(report, "a request over TCP, p99", 0.99, tcp, 1.1);
  add(report, "a request over a unix socket, p50", 0.5, local, 1.1);
  add(report, "a request over a unix socket, p99", 0.99, local, 1.0);
  return report.main(argc, argv);
}

}  // namespace
}  // namespace blixard::perf

int main(int argc, char** argv) {
  return blixard::perf::run_on_linux(argc, argv, blixard::perf::run);
}
