// What the connections cost: rounds of an append and its response between two nodes over TLS on
// loopback, with so many under way at once. Both nodes are in one thread, so a time is that of both
// ends together.

#include <benchmark/benchmark.h>

#include "base/assert.h"
#include "env/scope.h"
#include "env/sync.h"
#include "linux/runtime.h"
#include "node/peer/peers.h"

namespace blixard::peer {
namespace {

using env::Env;
using env::Task;

constexpr char kCluster[] = "bench";

// Answers appends; of answers, keeps so many appends under way.
class Side final : public Handler {
 public:
  Side(Env env, const env::Authority& authority, NodeId id, NodeId other)
      : other_(other), ended_(env.executor) {
    const auto key = env.security.make_request();
    const auto certificate = env.security.issue(
        authority, key->request, {.cluster = kCluster, .node = id}, env.clock.wall(), 1h);
    transport_ = *env.security.open(
        {.certificate = *certificate, .key = key->key, .authority = authority.certificate});
    peers = Peers::make(env, {.self = id, .cluster = kCluster}, *transport_);
    peers->set_handler(this);
  }

  Task<env::Endpoint> start(env::Scope& scope) {
    auto listener = co_await transport_->listen(env::Endpoint::tcp("127.0.0.1", 0));
    BLX_ASSERT(listener.has_value());
    const env::Endpoint address = (*listener)->local();
    scope.spawn(served(std::move(*listener)));
    co_return address;
  }
  Task<void> rounds(std::uint64_t count, std::uint64_t outstanding) {
    left_ = count;
    under_way_ = 0;
    while (under_way_ < outstanding && left_ > 0)
      append();
    while (under_way_ > 0)
      BLX_ASSERT((co_await ended_.wait()).has_value());
  }

  [[nodiscard]] Result<void> admit(NodeId) const override { return {}; }
  void on_message(Sender, raft::Message message) override {
    if (message.type == raft::MessageType::kAppend) {
      send({.type = raft::MessageType::kAppendResponse,
            .to = other_,
            .term = Term(1),
            .index = message.entries.back().index});
      return;
    }
    --under_way_;
    if (left_ > 0) append();
    if (under_way_ == 0) ended_.notify_all();
  }
  Task<Result<std::string>> on_request(NodeId, RequestKind, Payload) override { co_return ""; }
  Task<Result<std::unique_ptr<SnapshotSink>>> on_snapshot(Sender, raft::Message,
                                                          std::uint64_t) override {
    co_return fail(Code::kUnimplemented, "none");
  }
  void on_unreachable(NodeId) override {}
  void on_refused(NodeId, const Error&) override {}

  std::unique_ptr<Peers> peers;

 private:
  Task<void> served(std::unique_ptr<env::Listener> listener) {
    ignore(co_await peers->serve(std::move(listener)), "ends with stop()");
  }
  void append() {
    --left_;
    ++under_way_;
    raft::Message message{.type = raft::MessageType::kAppend,
                          .to = other_,
                          .term = Term(1),
                          .index = LogIndex(index_++)};
    message.entries.push_back(
        {.term = Term(1), .index = LogIndex(index_), .payload = Payload(std::string(128, 'x'))});
    send(std::move(message));
  }
  void send(raft::Message message) {
    std::vector<raft::Message> messages;
    messages.push_back(std::move(message));
    peers->send(std::move(messages));
  }

  NodeId other_;
  std::unique_ptr<env::SecureTransport> transport_;
  env::Signal ended_;
  std::uint64_t left_ = 0;
  std::uint64_t under_way_ = 0;
  std::uint64_t index_ = 0;
};

Task<void> measure(Env env, benchmark::State& state) {
  const auto authority = env.security.make_authority(kCluster, env.clock.wall(), 24h);
  Side a(env, *authority, NodeId(1), NodeId(2));
  Side b(env, *authority, NodeId(2), NodeId(1));
  env::Scope scope(env.executor, co_await env::this_cancellation());
  const env::Endpoint at_a = co_await a.start(scope);
  const env::Endpoint at_b = co_await b.start(scope);
  a.peers->set_peer(NodeId(2), at_b);
  b.peers->set_peer(NodeId(1), at_a);
  while (!a.peers->status()[0].connected || !b.peers->status()[0].connected)
    ignore(co_await env.clock.sleep(1ms), "never cancelled");
  constexpr std::uint64_t kRounds = 1000;
  const auto outstanding = static_cast<std::uint64_t>(state.range(0));
  for (auto unused : state)
    co_await a.rounds(kRounds, outstanding);
  const Traffic traffic = a.peers->status()[0].traffic;
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * kRounds));
  state.counters["frames_per_write"] =
      static_cast<double>(traffic.frames_sent) / static_cast<double>(traffic.writes);
  co_await a.peers->stop();
  co_await b.peers->stop();
  co_await scope.join();
}

void append_rounds(benchmark::State& state) {
  linux_side::Runtime runtime({});
  runtime.run(measure(runtime.env(), state));
}
BENCHMARK(append_rounds)->Arg(1)->Arg(64)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
}  // namespace blixard::peer
