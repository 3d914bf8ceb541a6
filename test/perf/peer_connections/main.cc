// One connection to each peer for everything, over TLS on loopback with both ends in one thread:
// what a kept connection saves beside dialling for each request; what a small request waits beside
// a snapshot that is being sent, on the same connection and on a second one; and how many bytes are
// moved in memory for one that is sent.

#include <chrono>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "base/assert.h"
#include "base/limits.h"
#include "env/scope.h"
#include "env/sync.h"
#include "linux/runtime.h"
#include "node/peer/peers.h"
#include "test/perf/report/latencies.h"
#include "test/perf/report/on_linux.h"
#include "test/perf/report/report.h"

namespace blixard::perf {
namespace {

using env::Env;
using env::Task;
using peer::Peers;
using peer::RequestKind;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Timer = std::chrono::steady_clock;

constexpr char kCluster[] = "bench";
constexpr int kRequests = 2000;
constexpr int kDials = 200;
constexpr std::size_t kSmallBytes = 128;
constexpr std::uint64_t kBulkBytes = std::uint64_t{64} << 20;

class Discarding final : public peer::SnapshotSink {
 public:
  Task<Result<void>> write(Payload /*chunk*/) override { co_return Result<void>(); }
  Task<Result<void>> finish() override { co_return Result<void>(); }
};

// The same bytes again and again.
class Endless final : public peer::SnapshotSource {
 public:
  [[nodiscard]] std::uint64_t bytes() const override { return kBulkBytes; }
  Task<Result<Payload>> read() override {
    if (given_ >= kBulkBytes) co_return Payload();
    given_ += limits::kSnapshotChunkBytes;
    co_return piece_;
  }

 private:
  Payload piece_{std::string(limits::kSnapshotChunkBytes, 'x')};
  std::uint64_t given_ = 0;
};

class Side final : public peer::Handler {
 public:
  Side(Env env, const env::Authority& authority, NodeId self) : id(self) {
    const auto key = env.security.make_request();
    const auto certificate =
        env.security.issue(authority, key->request, {.cluster = kCluster, .node = self},
                           env.clock.wall(), std::chrono::hours(1));
    transport = *env.security.open(
        {.certificate = *certificate, .key = key->key, .authority = authority.certificate});
    peers = Peers::make(env, {.self = self, .cluster = kCluster}, *transport);
    peers->set_handler(this);
  }
  Task<void> start(env::Scope& scope) {
    auto listener = co_await transport->listen(env::Endpoint::tcp("127.0.0.1", 0));
    BLX_ASSERT(listener.has_value());
    address = (*listener)->local();
    scope.spawn(served(std::move(*listener)));
  }

  [[nodiscard]] Result<void> admit(NodeId) const override { return {}; }
  void on_message(peer::Sender, raft::Message) override {}
  Task<Result<std::string>> on_request(NodeId, RequestKind, Payload) override { co_return "done"; }
  Task<Result<std::unique_ptr<peer::SnapshotSink>>> on_snapshot(peer::Sender, raft::Message,
                                                                std::uint64_t) override {
    co_return std::make_unique<Discarding>();
  }
  void on_unreachable(NodeId) override {}
  void on_refused(NodeId, const Error&) override {}

  NodeId id;
  env::Endpoint address;
  std::unique_ptr<env::SecureTransport> transport;
  std::unique_ptr<Peers> peers;

 private:
  Task<void> served(std::unique_ptr<env::Listener> listener) {
    ignore(co_await peers->serve(std::move(listener)), "ends with stop()");
  }
};

// Two nodes and their connections.
struct Pair {
  Pair(Env env, const env::Authority& authority)
      : env(env), a(env, authority, NodeId(1)), b(env, authority, NodeId(2)) {}

  Task<void> connect(env::Scope& scope) {
    co_await a.start(scope);
    co_await b.start(scope);
    a.peers->set_peer(b.id, b.address);
    b.peers->set_peer(a.id, a.address);
    while (!a.peers->status()[0].connected || !b.peers->status()[0].connected)
      ignore(co_await env.clock.sleep(milliseconds(1)), "never cancelled");
  }
  Task<void> stop() {
    co_await a.peers->stop();
    co_await b.peers->stop();
  }
  Task<Result<std::string>> ask(std::size_t bytes) {
    co_return co_await a.peers->request(b.id, RequestKind::kPropose, std::string(bytes, 'x'),
                                        env.clock.monotonic() + seconds(5));
  }
  // Until the peers stop.
  Task<void> send_bulk() {
    const raft::Message message{
        .type = raft::MessageType::kSnapshot,
        .to = b.id,
        .term = Term(1),
        .snapshot = raft::SnapshotMeta{
            .index = LogIndex(1), .term = Term(1), .configuration = {.voters = {NodeId(1)}}}};
    while (co_await a.peers->send_snapshot(message, std::make_unique<Endless>())) {
    }
  }

  Env env;
  Side a;
  Side b;
};

enum class Bulk : std::uint8_t { kNone, kSameConnection, kSecondConnection };

Task<void> small_requests(Env env, Bulk bulk, int count, Latencies& latencies) {
  const auto authority =
      env.security.make_authority(kCluster, env.clock.wall(), std::chrono::hours(24));
  Pair first(env, *authority);
  Pair second(env, *authority);
  env::Scope scope(env.executor, co_await env::this_cancellation());
  co_await first.connect(scope);
  co_await second.connect(scope);
  if (bulk == Bulk::kSameConnection) scope.spawn(first.send_bulk());
  if (bulk == Bulk::kSecondConnection) scope.spawn(second.send_bulk());
  ignore(co_await env.clock.sleep(milliseconds(20)), "until the transfer has its window");
  for (int i = 0; i < count; ++i) {
    const auto begin = Timer::now();
    BLX_ASSERT((co_await first.ask(kSmallBytes)).has_value());
    latencies.add(Timer::now() - begin);
  }
  BLX_ASSERT(first.a.peers->status()[0].traffic.connections == 1);
  co_await first.stop();
  co_await second.stop();
  co_await scope.join();
}

double small_beside(Bulk bulk, double part) {
  linux_side::Runtime runtime({});
  Latencies latencies;
  runtime.run(small_requests(runtime.env(), bulk, kRequests, latencies));
  return latencies.us_at(part);
}

// What a connection for each request would cost at the least: dialling, both certificates checked.
Task<void> dials(Env env, int count, Latencies& latencies) {
  const auto authority =
      env.security.make_authority(kCluster, env.clock.wall(), std::chrono::hours(24));
  Pair pair(env, *authority);
  env::Scope scope(env.executor, co_await env::this_cancellation());
  co_await pair.connect(scope);
  for (int i = 0; i < count; ++i) {
    const auto begin = Timer::now();
    const auto stream = co_await pair.a.transport->dial(pair.b.address, pair.b.id,
                                                        env.clock.monotonic() + seconds(5));
    BLX_ASSERT(stream.has_value());
    latencies.add(Timer::now() - begin);
  }
  co_await pair.stop();
  co_await scope.join();
}

double dialled(double part) {
  linux_side::Runtime runtime({});
  Latencies latencies;
  runtime.run(dials(runtime.env(), kDials, latencies));
  return latencies.us_at(part);
}

Task<void> copies(Env env, std::size_t bytes, double& copied) {
  const auto authority =
      env.security.make_authority(kCluster, env.clock.wall(), std::chrono::hours(24));
  Pair pair(env, *authority);
  env::Scope scope(env.executor, co_await env::this_cancellation());
  co_await pair.connect(scope);
  const peer::Traffic before = pair.a.peers->status()[0].traffic;
  const peer::Traffic before_there = pair.b.peers->status()[0].traffic;
  for (int i = 0; i < 200; ++i)
    BLX_ASSERT((co_await pair.ask(bytes)).has_value());
  const peer::Traffic after = pair.a.peers->status()[0].traffic;
  const peer::Traffic there = pair.b.peers->status()[0].traffic;
  const std::uint64_t by_both = after.bytes_sent_copied - before.bytes_sent_copied +
                                there.bytes_received_copied - before_there.bytes_received_copied;
  copied = static_cast<double>(by_both) / static_cast<double>(after.bytes_sent - before.bytes_sent);
  co_await pair.stop();
  co_await scope.join();
}

double copied_per_byte(std::size_t bytes) {
  linux_side::Runtime runtime({});
  double copied = 0;
  runtime.run(copies(runtime.env(), bytes, copied));
  return copied;
}

int run(int argc, char** argv) {
  Report report("peer_connections");
  constexpr const char* kDialled = "dialling alone";
  for (const double part : {0.5, 0.99}) {
    const std::string quantile = part < 0.9 ? "p50" : "p99";
    report.add({.name = "a request over the kept connection, " + quantile,
                .unit = "us",
                .items = {"S32", "S33"},
                .measure = [=] { return small_beside(Bulk::kNone, part); },
                .baselines = {{kDialled, [=] { return dialled(part); }}},
                .targets = {better_than(kDialled, part < 0.9 ? 10 : 5)},
                .varies = part > 0.9});
    report.add({.name = "a request beside a snapshot on its way, " + quantile,
                .unit = "us",
                .items = {"S32", "S33"},
                .measure = [=] { return small_beside(Bulk::kSameConnection, part); },
                .baselines = {{"the snapshot on a second connection",
                               [=] { return small_beside(Bulk::kSecondConnection, part); }},
                              {"no snapshot", [=] { return small_beside(Bulk::kNone, part); }}},
                .targets = {},
                .varies = part > 0.9});
  }
  for (const std::size_t bytes : {std::size_t{128}, std::size_t{64} << 10, std::size_t{1} << 20}) {
    report.add(
        {.name = fmt::format("bytes copied at both ends for one sent, requests of {} bytes", bytes),
         .unit = "bytes",
         .items = {"S35"},
         .measure = [=] { return copied_per_byte(bytes); },
         .baselines = {},
         .targets = {}});
  }
  return report.main(argc, argv);
}

}  // namespace
}  // namespace blixard::perf

int main(int argc, char** argv) {
  return blixard::perf::run_on_linux(argc, argv, blixard::perf::run);
}
