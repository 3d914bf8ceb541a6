#include "node/peer/peers.h"

#include "base/limits.h"
#include "core/wire/message.h"
#include "node/peer/frame_reader.h"
#include "node/peer/reasons.h"
#include "node/peer/test_node.h"

namespace blixard::peer {
namespace {

using env::Endpoint;
using env::Task;

// Of an answer that should be an error.
template <class T>
std::optional<Code> code(const Result<T>& result) {
  return result ? std::optional<Code>() : result.error().code();
}
template <class T>
std::string text(const Result<T>& result) {
  return result ? "success" : result.error().message();
}

class PeersTest : public testing::Test {
 protected:
  PeersTest() { build(1); }

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
  void run(Task<void> body) {
    EXPECT_TRUE(world->run(with_end(std::move(body)))) << world->log_lines().back();
    for (const auto& node : nodes)
      EXPECT_TRUE(node->over) << "node " << node->id.value;
  }
  Task<void> with_end(Task<void> body) {
    co_await std::move(body);
    for (const auto& node : nodes) {
      if (node->machine.running()) co_await node->machine.stop_daemon();
    }
  }

  [[nodiscard]] env::Clock& clock() const { return watcher().clock; }
  [[nodiscard]] env::Env watcher() const { return a->machine.env(); }

  // True when `holds` does within `limit`.
  Task<bool> soon(std::function<bool()> holds, Duration limit = 30s) {
    const Duration until = world->elapsed() + limit;
    while (!holds()) {
      if (world->elapsed() > until || !co_await clock().sleep(5ms)) co_return false;
    }
    co_return true;
  }
  Task<void> connected(TestNode& from, TestNode& to) {
    EXPECT_TRUE(co_await soon([&] { return from.status_of(to).connected; }));
  }
  [[nodiscard]] Instant in(Duration duration) const { return clock().monotonic() + duration; }

  // A stream to b as whoever says to be `id` of `cluster`, to speak by hand.
  Task<Result<std::unique_ptr<env::Stream>>> dial_by_hand(NodeId id, std::string cluster) {
    TestTransport transport(watcher(), id, std::move(cluster), by_hand);
    co_return co_await transport.dial(Endpoint::tcp(b->machine.address(), kPort), b->id, in(3s));
  }
  static Task<Result<void>> say(env::Stream& stream, wire::Message message) {
    wire::FrameWriter writer;
    EXPECT_TRUE(wire::encode_message(message, writer));
    co_return co_await stream.write(writer.parts());
  }
  static Task<Result<wire::Message>> hear(env::Stream& stream) {
    FrameReader reader(stream);
    co_return co_await reader.next();
  }

  Faults by_hand;
  std::unique_ptr<sim::World> world;
  std::vector<std::unique_ptr<TestNode>> nodes;
  TestNode* a = nullptr;
  TestNode* b = nullptr;

  Task<void> messages() {
    co_await connected(*a, *b);
    raft::Message sent = append(*a, *b, 7, {"first", std::string(100'000, 'x'), ""});
    sent.from = NodeId(77);  // whatever it says
    a->peers->send(one(sent));
    for (std::uint64_t i = 1; i <= 500; ++i)
      a->peers->send(one(append(*a, *b, i, {"payload " + std::to_string(i)})));
    EXPECT_TRUE(co_await soon([&] { return b->handler.came.size() == 501; }));
    sent.from = a->id;
    EXPECT_EQ(b->handler.came[0].from, a->id);
    EXPECT_EQ(b->handler.came[0].message, sent);
    for (std::uint64_t i = 1; i <= 500; ++i)
      EXPECT_EQ(b->handler.came[i].message.index, LogIndex(i));
    const Traffic traffic = a->status_of(*b).traffic;
    EXPECT_EQ(traffic.dropped, 0u);
    EXPECT_GE(traffic.frames_sent, 501u);
    EXPECT_LE(traffic.writes, 12u) << "what waits together is written together";
    EXPECT_EQ(b->status_of(*a).traffic.violations, 0u);
  }

  Task<void> requests() {
    co_await connected(*a, *b);
    auto answer = co_await a->peers->request(b->id, RequestKind::kPropose, "hello", in(1s));
    EXPECT_EQ(answer.value_or("?"), "to 1: hello");
    answer = co_await a->peers->request(b->id, RequestKind::kPropose, "", in(1s));
    EXPECT_EQ(answer.value_or("?"), "to 1: ");

    b->handler.answer = [](NodeId, RequestKind, std::string body) -> Task<Result<std::string>> {
      if (body == "known") co_return fail(Code::kAborted, "leadership_lost", "to \xff");
      co_return fail(Code::kNotFound, "of_a_later_version", "more");
    };
    answer = co_await a->peers->request(b->id, RequestKind::kPropose, "known", in(1s));
    EXPECT_EQ(code(answer), Code::kAborted);
    EXPECT_EQ(text(answer), "leadership_lost: to \xff");
    answer = co_await a->peers->request(b->id, RequestKind::kPropose, "new", in(1s));
    EXPECT_EQ(code(answer), Code::kNotFound);
    EXPECT_EQ(text(answer), "peer_error: of_a_later_version: more");
  }
};

TEST_F(PeersTest, MessagesArriveInOrderUnderTheProvenName) { run(messages()); }

TEST_F(PeersTest, RequestsAreAnsweredAndErrorsTravel) { run(requests()); }

}  // namespace
}  // namespace blixard::peer
