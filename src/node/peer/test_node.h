#pragma once

// Nodes that consist of nothing but their peers, and a handler that remembers what came.

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "env/scope.h"
#include "env/sync.h"
#include "node/peer/peers.h"
#include "node/peer/test_transport.h"
#include "sim/world.h"

namespace blixard::peer {

inline constexpr char kCluster[] = "cluster-1";
inline constexpr std::uint16_t kPort = 7101;

// What a snapshot sink got.
struct Arrived {
  Sender from;
  raft::Message message;
  std::uint64_t promised = 0;
  std::string bytes;
  bool finished = false;
  bool thrown_away = false;
};

class TestHandler final : public Handler {
 public:
  struct Came {
    Sender from;
    raft::Message message;
  };

  [[nodiscard]] Result<void> admit(NodeId from) const override {
    if (removed.contains(from)) return fail(Code::kPermissionDenied, "member_removed", "gone");
    return {};
  }
  void on_message(Sender from, raft::Message message) override {
    came.push_back({from, std::move(message)});
  }
  env::Task<Result<std::string>> on_request(NodeId from, RequestKind kind, Payload body) override {
    ++requests;
    if (answer) co_return co_await answer(from, kind, std::string(body.view()));
    co_return "to " + std::to_string(from.value) + ": " + std::string(body.view());
  }
  env::Task<Result<std::unique_ptr<SnapshotSink>>> on_snapshot(Sender from, raft::Message message,
                                                               std::uint64_t bytes) override {
    snapshots.push_back(std::make_shared<Arrived>(Arrived{from, std::move(message), bytes, {}}));
    co_return std::make_unique<Sink>(*this, snapshots.back());
  }
  void on_unreachable(NodeId node) override { unreachable.push_back(node); }
  void on_refused(NodeId node, const Error& why) override {
    refused.emplace_back(node, std::string(why.reason()));
  }

  std::set<NodeId> removed;
  std::vector<Came> came;
  std::vector<NodeId> unreachable;
  std::vector<std::pair<NodeId, std::string>> refused;
  std::vector<std::shared_ptr<Arrived>> snapshots;
  std::size_t requests = 0;
  std::function<env::Task<Result<std::string>>(NodeId, RequestKind, std::string)> answer;
  std::function<env::Task<Result<void>>(Arrived&)> on_chunk;  // before it is taken
  std::optional<Error> finish_error;

 private:
  class Sink final : public SnapshotSink {
   public:
    Sink(TestHandler& handler, std::shared_ptr<Arrived> arrived)
        : handler_(handler), arrived_(std::move(arrived)) {}
    Sink(const Sink&) = delete;
    Sink& operator=(const Sink&) = delete;
    ~Sink() override { arrived_->thrown_away = !arrived_->finished; }

    env::Task<Result<void>> write(Payload chunk) override {
      if (handler_.on_chunk) BLX_CO_TRY(co_await handler_.on_chunk(*arrived_));
      arrived_->bytes += chunk.view();
      co_return Result<void>();
    }
    env::Task<Result<void>> finish() override {
      if (handler_.finish_error) co_return std::unexpected(*handler_.finish_error);
      arrived_->finished = true;
      co_return Result<void>();
    }

   private:
    TestHandler& handler_;
    std::shared_ptr<Arrived> arrived_;
  };
};

// One life of a node.
class TestNode {
 public:
  // `address`: what it says of itself.
  TestNode(sim::Machine& machine, NodeId id, std::string address = {})
      : machine(machine), id(id), transport(machine.env(), id, kCluster, faults) {
    peers = Peers::make(
        machine.env(), {.self = id, .cluster = kCluster, .address = std::move(address)}, transport);
    peers->set_handler(&handler);
    machine.start(live());
  }
  TestNode(const TestNode&) = delete;
  TestNode& operator=(const TestNode&) = delete;
  ~TestNode() = default;

  void knows(const TestNode& other) {
    peers->set_peer(other.id, env::Endpoint::tcp(other.machine.address(), kPort));
  }
  [[nodiscard]] PeerStatus status_of(const TestNode& other) const {
    for (PeerStatus& status : peers->status())
      if (status.node == other.id) return status;
    return {};
  }

  sim::Machine& machine;
  NodeId id;
  Faults faults;
  TestTransport transport;
  TestHandler handler;
  std::unique_ptr<Peers> peers;
  bool over = false;

 private:
  env::Task<void> live() {
    auto listener = co_await transport.listen(env::Endpoint::tcp("0.0.0.0", kPort));
    if (listener) {
      ignore(co_await peers->serve(std::move(*listener)), "ends with the machine");
    } else {
      ADD_FAILURE() << listener.error().message();
    }
    co_await peers->stop();
    over = true;
  }
};

inline raft::Message heartbeat(const TestNode& from, const TestNode& to, std::uint64_t commit) {
  return {.type = raft::MessageType::kHeartbeat,
          .from = from.id,
          .to = to.id,
          .term = Term(3),
          .commit = LogIndex(commit)};
}

inline raft::Message append(const TestNode& from, const TestNode& to, std::uint64_t index,
                            std::vector<std::string> payloads) {
  raft::Message message{.type = raft::MessageType::kAppend,
                        .from = from.id,
                        .to = to.id,
                        .term = Term(3),
                        .log_term = Term(2),
                        .index = LogIndex(index)};
  for (std::string& payload : payloads) {
    message.entries.push_back(
        {.term = Term(3), .index = LogIndex(++index), .payload = Payload(std::move(payload))});
  }
  return message;
}

inline std::vector<raft::Message> one(raft::Message message) {
  std::vector<raft::Message> messages;
  messages.push_back(std::move(message));
  return messages;
}

// Of an answer that should be an error.
template <class T>
std::optional<Code> code(const Result<T>& result) {
  return result ? std::optional<Code>() : result.error().code();
}
template <class T>
std::string text(const Result<T>& result) {
  return result ? "success" : result.error().message();
}

// A world with two nodes that know each other, and the words of tests in it.
class TwoNodes : public testing::Test {
 protected:
  // A world with a and b that know each other.
  void build(std::uint64_t seed) {
    nodes.clear();
    world = std::make_unique<sim::World>(seed);
    a = &add("a", 1);
    b = &add("b", 2);
    a->knows(*b);
    b->knows(*a);
  }
  TestNode& add(const std::string& name, std::uint64_t id) {
    nodes.push_back(std::make_unique<TestNode>(world->add_machine(name), NodeId(id)));
    return *nodes.back();
  }
  // The same node after its machine came back.
  TestNode& again(TestNode& node) {
    node.machine.restart();
    nodes.push_back(std::make_unique<TestNode>(node.machine, node.id));
    return *nodes.back();
  }

  // Runs a test's body and ends all nodes in order.
  void run(env::Task<void> body) {
    if (world == nullptr) build(1);
    EXPECT_TRUE(world->run(with_end(std::move(body)))) << world->log_lines().back();
    for (const auto& node : nodes)
      EXPECT_TRUE(node->over) << "node " << node->id.value;
  }
  env::Task<void> with_end(env::Task<void> body) {
    co_await std::move(body);
    for (const auto& node : nodes) {
      if (node->machine.running()) co_await node->machine.stop_daemon();
    }
  }

  [[nodiscard]] env::Clock& clock() const { return watcher().clock; }
  [[nodiscard]] env::Env watcher() const { return a->machine.env(); }

  // True when `holds` does within `limit`.
  env::Task<bool> soon(std::function<bool()> holds, Duration limit = 30s) {
    const Duration until = world->elapsed() + limit;
    while (!holds()) {
      if (world->elapsed() > until || !co_await clock().sleep(5ms)) co_return false;
    }
    co_return true;
  }
  env::Task<void> connected(TestNode& from, TestNode& to) {
    EXPECT_TRUE(co_await soon([&] { return from.status_of(to).connected; }));
  }
  [[nodiscard]] Instant in(Duration duration) const { return clock().monotonic() + duration; }

  std::unique_ptr<sim::World> world;
  std::vector<std::unique_ptr<TestNode>> nodes;
  TestNode* a = nullptr;
  TestNode* b = nullptr;
};

}  // namespace blixard::peer
