// What a kept connection saves: requests one after the other over a pool's connection, and over a
// new connection each, to a server in the same thread (so a time is that of both ends), over TCP on
// loopback and over a unix socket.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/assert.h"
#include "env/scope.h"
#include "linux/runtime.h"
#include "node/http/client.h"
#include "node/http/client_pool.h"
#include "node/http/server.h"
#include "test/perf/report/report.h"

namespace blixard::perf {
namespace {

using env::Endpoint;
using env::Env;
using env::Task;
using Timer = std::chrono::steady_clock;

constexpr int kRequests = 3000;

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

Task<std::vector<double>> over_one(Env env, Endpoint server) {
  http::ClientPool pool(env);
  std::vector<double> us;
  for (int i = 0; i < kRequests; ++i) {
    const auto begin = Timer::now();
    const auto answer = co_await pool.send(server, {.target = "/"},
                                           env.clock.monotonic() + std::chrono::seconds(5));
    BLX_ASSERT(answer.has_value());
    us.push_back(std::chrono::duration<double, std::micro>(Timer::now() - begin).count());
  }
  BLX_ASSERT(pool.counters().connects == 1 && pool.counters().reused == kRequests - 1);
  pool.close_idle();
  co_return us;
}

Task<std::vector<double>> over_new_ones(Env env, Endpoint server) {
  http::Client client(env, server);
  std::vector<double> us;
  for (int i = 0; i < kRequests; ++i) {
    const auto begin = Timer::now();
    const auto answer =
        co_await client.send({.target = "/"}, env.clock.monotonic() + std::chrono::seconds(5));
    BLX_ASSERT(answer.has_value());
    us.push_back(std::chrono::duration<double, std::micro>(Timer::now() - begin).count());
  }
  co_return us;
}

using Way = Task<std::vector<double>> (*)(Env, Endpoint);

Task<void> measure(Env env, Endpoint at, Way way, std::vector<double>& us) {
  Answering handler;
  http::Server server(env, handler);
  auto listener = co_await env.network.listen(at);
  BLX_ASSERT(listener.has_value());
  const Endpoint endpoint = (*listener)->local();
  env::Scope scope(env.executor, co_await env::this_cancellation());
  scope.spawn(served(server, std::move(*listener)));
  us = co_await way(env, endpoint);
  co_await server.stop(env.clock.monotonic() + std::chrono::seconds(1));
  co_await scope.join();
}

double us_at(double part, const Endpoint& at, Way way) {
  linux_side::Runtime runtime({});
  std::vector<double> us;
  runtime.run(measure(runtime.env(), at, way, us));
  std::ranges::sort(us);
  return us.at(static_cast<std::size_t>(part * static_cast<double>(us.size())));
}

void add(Report& report, const char* name, double part, const Endpoint& at, double times) {
  report.add({.name = name,
              .unit = "us",
              .items = {"S33"},
              .measure = [=] { return us_at(part, at, over_one); },
              .baselines = {{"a connection each", [=] { return us_at(part, at, over_new_ones); }}},
              .targets = {better_than("a connection each", times)}});
}

int run(int argc, char** argv) {
  const Endpoint tcp = Endpoint::tcp("127.0.0.1", 0);
  const Endpoint local =
      Endpoint::unix_socket("/tmp/blx-http-clients-" + std::to_string(::getpid()) + ".sock");
  Report report("http_clients");
  add(report, "TCP, p50", 0.5, tcp, 1.2);
  add(report, "TCP, p99", 0.99, tcp, 1.1);
  add(report, "unix socket, p50", 0.5, local, 1.1);
  add(report, "unix socket, p99", 0.99, local, 1.0);
  return report.main(argc, argv);
}

}  // namespace
}  // namespace blixard::perf

int main(int argc, char** argv) {
  const int hidden = blixard::linux_side::run_hidden_command(argc, argv);
  return hidden >= 0 ? hidden : blixard::perf::run(argc, argv);
}
