// The same over real secure streams: of the simulation, and TLS over loopback.

#include "base/limits.h"
#include "linux/runtime.h"
#include "node/peer/peers.h"
#include "node/peer/test_node.h"
#include "sim/world.h"

namespace blixard::peer {
namespace {

using env::Endpoint;
using env::Env;
using env::Task;

constexpr NodeId kServer(2);  // the others are workers

// One of several nodes of a cluster that share a machine.
struct Member {
  Member(Env env, const env::Authority& authority, NodeId id) : env(env), id(id) {
    const WallTime now = env.clock.wall();
    auto key = env.security.make_request();
    auto certificate =
        env.security.issue(authority, key->request,
                           {.cluster = kCluster, .node = id, .server = id == kServer}, now, 1h);
    EXPECT_TRUE(certificate) << text(certificate);
    auto opened = env.security.open(
        {.certificate = *certificate, .key = key->key, .authority = authority.certificate});
    EXPECT_TRUE(opened) << text(opened);
    transport = std::move(*opened);
    peers = Peers::make(env, {.self = id, .cluster = kCluster}, *transport);
    peers->set_handler(&handler);
  }

  Task<void> start(env::Scope& scope) {
    auto listener = co_await transport->listen(Endpoint::tcp("127.0.0.1", 0));
    EXPECT_TRUE(listener) << text(listener);
    address = (*listener)->local();
    scope.spawn(served(std::move(*listener)));
  }
  Task<void> served(std::unique_ptr<env::Listener> listener) {
    ignore(co_await peers->serve(std::move(listener)), "ends with stop()");
  }
  [[nodiscard]] Task<bool> soon(std::function<bool()> holds) const {
    const Instant until = env.clock.monotonic() + 20s;
    while (!holds()) {
      if (env.clock.monotonic() > until || !co_await env.clock.sleep(1ms)) co_return false;
    }
    co_return true;
  }

  Env env;
  NodeId id;
  std::unique_ptr<env::SecureTransport> transport;
  TestHandler handler;
  std::unique_ptr<Peers> peers;
  Endpoint address;
};

class Pieces final : public SnapshotSource {
 public:
  explicit Pieces(std::string content) : content_(std::move(content)) {}
  [[nodiscard]] std::uint64_t bytes() const override { return content_.size(); }
  Task<Result<Payload>> read() override {
    std::string piece = content_.substr(at_, limits::kSnapshotChunkBytes);
    at_ += piece.size();
    co_return Payload(std::move(piece));
  }

 private:
  std::string content_;
  std::size_t at_ = 0;
};

raft::Message append_of(std::uint64_t index, std::size_t entries, std::size_t bytes) {
  raft::Message message{.type = raft::MessageType::kAppend,
                        .to = NodeId(2),
                        .term = Term(1),
                        .index = LogIndex(index)};
  for (std::size_t i = 0; i < entries; ++i) {
    message.entries.push_back({.term = Term(1),
                               .index = LogIndex(++index),
                               .payload = Payload(std::string(bytes, static_cast<char>(index)))});
  }
  return message;
}

// Messages of every size, requests both ways, a snapshot.
Task<void> converse(Member& a, Member& b) {
  a.peers->set_peer(b.id, b.address);
  b.peers->set_peer(a.id, a.address);
  EXPECT_TRUE(co_await a.soon([&] { return a.peers->status()[0].connected; }));
  EXPECT_TRUE(co_await a.soon([&] { return b.peers->status()[0].connected; }));
  std::vector<raft::Message> sent;
  for (std::uint64_t i = 0; i < 300; ++i)
    sent.push_back(append_of(i, i % 7, (i * i * 37) % 50'000));
  a.peers->send(sent);
  EXPECT_TRUE(co_await a.soon([&] { return b.handler.came.size() == sent.size(); }));
  for (std::size_t i = 0; i < b.handler.came.size(); ++i) {
    sent[i].from = a.id;
    EXPECT_EQ(b.handler.came[i].message, sent[i]) << i;
    EXPECT_EQ(b.handler.came[i].from.node, a.id) << i;
    EXPECT_FALSE(b.handler.came[i].from.server) << i;
  }
  raft::Message back = append_of(0, 1, 10);
  back.to = a.id;
  b.peers->send(one(std::move(back)));
  EXPECT_TRUE(co_await a.soon([&] { return a.handler.came.size() == 1; }));
  EXPECT_EQ(a.handler.came.at(0).from.node, b.id);
  EXPECT_TRUE(a.handler.came.at(0).from.server);

  const Instant deadline = a.env.clock.monotonic() + 20s;
  const std::string large(limits::kCommandBytes, 'x');
  auto answer = co_await a.peers->request(b.id, RequestKind::kPropose, large, deadline);
  EXPECT_EQ(answer.value_or("?"), "to 1: " + large);
  answer = co_await b.peers->request(a.id, RequestKind::kPropose, "small", deadline);
  EXPECT_EQ(answer.value_or("?"), "to 2: small");

  const std::string content(5'000'001, 's');
  const raft::Message snapshot{
      .type = raft::MessageType::kSnapshot,
      .to = b.id,
      .term = Term(1),
      .snapshot = raft::SnapshotMeta{
          .index = LogIndex(1), .term = Term(1), .configuration = {.voters = {NodeId(1)}}}};
  const auto taken = co_await a.peers->send_snapshot(snapshot, std::make_unique<Pieces>(content));
  EXPECT_TRUE(taken) << text(taken);
  EXPECT_TRUE(b.handler.snapshots.at(0)->finished);
  EXPECT_EQ(b.handler.snapshots.at(0)->from.node, a.id);
  EXPECT_FALSE(b.handler.snapshots.at(0)->from.server);
  EXPECT_TRUE(b.handler.snapshots.at(0)->bytes == content);
  EXPECT_EQ(b.peers->status()[0].traffic.violations, 0u);
  EXPECT_GT(a.peers->status()[0].round_trip, 0ns);
}

// What moving the bytes of a message costs in memory. The payload is sent from where it lies, but
// for what a record of TLS needs in one piece: all of a small message, and of a large one the
// records at its ends.
Task<void> count_copies(Member& a, Member& b, bool by_tls) {
  constexpr std::uint64_t kRecordBytes = 16 * 1024;
  const auto deadline = [&] { return a.env.clock.monotonic() + 20s; };
  const auto traffic = [&] { return a.peers->status()[0].traffic; };
  Traffic before = traffic();
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(co_await a.peers->request(b.id, RequestKind::kPropose, "x", deadline()));
  }
  Traffic after = traffic();
  const auto copied = [&] { return after.bytes_sent_copied - before.bytes_sent_copied; };
  const auto sent = [&] { return after.bytes_sent - before.bytes_sent; };
  EXPECT_GE(sent(), 100u);
  EXPECT_EQ(copied(), by_tls ? sent() : 0);

  before = traffic();
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(co_await a.peers->request(b.id, RequestKind::kPropose,
                                          std::string(limits::kCommandBytes, 'x'), deadline()));
  }
  after = traffic();
  EXPECT_GE(sent(), 10 * limits::kCommandBytes);
  EXPECT_LE(copied(), by_tls ? (after.writes - before.writes) * 2 * kRecordBytes : 0);
}

// A node without a certificate enrols; one that is removed is refused.
Task<void> join_and_leave(Member& a, Member& b, std::string fingerprint) {
  const Instant deadline = a.env.clock.monotonic() + 20s;
  auto stream = co_await a.env.security.dial_to_enrol(b.address, fingerprint, deadline);
  EXPECT_TRUE(stream) << text(stream);
  auto answer =
      co_await ask_once(a.env, std::move(*stream), RequestKind::kEnrol, "token", deadline);
  EXPECT_EQ(answer.value_or("?"), "to 0: token");
  stream = co_await a.env.security.dial_to_enrol(b.address, fingerprint, deadline);
  answer = co_await ask_once(a.env, std::move(*stream), RequestKind::kPropose, "x", deadline);
  EXPECT_FALSE(answer);

  b.handler.removed.insert(a.id);
  b.peers->remove_peer(a.id);
  EXPECT_TRUE(co_await a.soon([&] { return a.handler.refused.size() >= 2; }));
  EXPECT_EQ(a.handler.refused.back().second, "member_removed");
}

Task<void> both(Env env, bool by_tls, bool& done) {
  const auto authority = env.security.make_authority(kCluster, env.clock.wall(), 24h);
  EXPECT_TRUE(authority) << text(authority);
  const auto facts = env.security.inspect(authority->certificate);
  Member a(env, *authority, NodeId(1));
  Member b(env, *authority, NodeId(2));
  env::Scope scope(env.executor, co_await env::this_cancellation());
  co_await a.start(scope);
  co_await b.start(scope);
  co_await converse(a, b);
  co_await count_copies(a, b, by_tls);
  co_await join_and_leave(a, b, facts->fingerprint);
  co_await a.peers->stop();
  co_await b.peers->stop();
  co_await scope.join();
  done = true;
}

TEST(SecurePeers, SpeakInTheSimulation) {
  bool done = false;
  sim::World world(1);
  EXPECT_TRUE(world.run(both(world.add_machine("a").env(), false, done)))
      << world.log_lines().back();
  EXPECT_TRUE(done);
}

TEST(SecurePeers, SpeakOverTls) {
  bool done = false;
  linux_side::Runtime runtime({});
  runtime.run(both(runtime.env(), true, done));
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace blixard::peer
