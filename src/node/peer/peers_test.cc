#include "node/peer/peers.h"

#include "base/limits.h"
#include "core/wire/message.h"
#include "node/peer/frame_reader.h"
#include "node/peer/reasons.h"
#include "node/peer/test_node.h"
#include "sim/test_rare.h"

namespace blixard::peer {
namespace {

using env::Endpoint;
using env::Task;

class PeersTest : public TwoNodes {
 protected:
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

  Task<void> messages() {
    co_await connected(*a, *b);
    raft::Message sent = append(*a, *b, 7, {"first", std::string(100'000, 'x'), ""});
    sent.from = NodeId(77);  // whatever it says
    a->peers->send(one(sent));
    for (std::uint64_t i = 1; i <= 500; ++i)
      a->peers->send(one(append(*a, *b, i, {"payload " + std::to_string(i)})));
    EXPECT_TRUE(co_await soon([&] { return b->handler.came.size() == 501; }));
    sent.from = a->id;
    EXPECT_EQ(b->handler.came[0].from.node, a->id);
    EXPECT_EQ(b->handler.came[0].message, sent);
    for (std::uint64_t i = 1; i <= 500; ++i)
      EXPECT_EQ(b->handler.came[i].message.index, LogIndex(i));
    const Traffic traffic = a->status_of(*b).traffic;
    EXPECT_EQ(traffic.all_dropped(), 0u);
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

  Task<void> unreachable() {
    TestNode& c = add("c", 3);
    c.peers->set_peer(NodeId(9), Endpoint::tcp("10.0.0.99", kPort));  // nobody there
    const Instant late = c.machine.env().clock.monotonic() + 20s;
    auto answer = co_await c.peers->request(NodeId(9), RequestKind::kPropose, "x", late);
    EXPECT_EQ(text(answer), "peer_unreachable");
    answer = co_await c.peers->request(NodeId(8), RequestKind::kPropose, "x", late);
    EXPECT_EQ(text(answer), "peer_unreachable") << "never heard of";

    co_await connected(*a, *b);
    // Too late, and nothing of it disturbs the next.
    b->handler.answer = [&](NodeId, RequestKind, std::string body) -> Task<Result<std::string>> {
      if (body == "slow") ignore(co_await b->machine.env().clock.sleep(2s), "may be cancelled");
      co_return body;
    };
    answer = co_await a->peers->request(b->id, RequestKind::kPropose, "slow", in(1s));
    EXPECT_EQ(code(answer), Code::kDeadlineExceeded);
    answer = co_await a->peers->request(b->id, RequestKind::kPropose, "fast", in(3s));
    EXPECT_EQ(answer.value_or("?"), "fast");
    answer = co_await a->peers->request(b->id, RequestKind::kPropose,
                                        std::string(limits::kPeerRequestBytes + 1, 'x'), in(3s));
    EXPECT_EQ(text(answer), "request_too_large");
  }

  // The connection is there before anybody asks, and one is enough for all that is asked.
  Task<void> warm_and_reused() {
    co_await connected(*a, *b);
    EXPECT_EQ(a->status_of(*b).traffic.requests, 0u);
    constexpr std::uint64_t kRequests = 10'000;
    for (std::uint64_t i = 0; i < kRequests; ++i)
      EXPECT_TRUE(co_await a->peers->request(b->id, RequestKind::kPropose, "x", in(1s)));
    const Traffic traffic = a->status_of(*b).traffic;
    EXPECT_EQ(traffic.requests, kRequests);
    EXPECT_EQ(traffic.connections, 1u);
    EXPECT_EQ(a->peers->counters().reconnects, 0u);
  }

  // A request that is under way when the connection ends.
  Task<void> ask(TestNode& from, TestNode& to, Duration limit, Result<std::string>& into) {
    into = co_await from.peers->request(to.id, RequestKind::kPropose, "x",
                                        from.machine.env().clock.monotonic() + limit);
  }
  Task<void> cut_while_waiting() {
    co_await connected(*a, *b);
    b->handler.answer = [&](NodeId, RequestKind, std::string) -> Task<Result<std::string>> {
      ignore(co_await b->machine.env().clock.sleep(1h), "until the end");
      co_return "late";
    };
    Result<std::string> answer;
    env::Scope scope(watcher().executor, nullptr);
    scope.spawn(ask(*a, *b, 50s, answer));
    EXPECT_TRUE(co_await soon([&] { return b->handler.requests == 1; }));
    const Duration before = world->elapsed();
    world->partition(a->machine, b->machine);
    co_await scope.join();
    EXPECT_EQ(text(answer), "peer_unreachable");
    EXPECT_GE(world->elapsed() - before, 2s) << "found out by pings";
    EXPECT_LE(world->elapsed() - before, limits::kPeerPingTimeout + limits::kPeerPingInterval);
    world->heal_all();
  }

  Task<void> partition(bool one_way) {
    co_await connected(*a, *b);
    co_await connected(*b, *a);
    if (one_way) {
      world->partition_one_way(a->machine, b->machine);
    } else {
      world->partition(a->machine, b->machine);
    }
    EXPECT_TRUE(co_await soon(
        [&] { return !a->status_of(*b).connected && !b->status_of(*a).connected; }, 10s));
    EXPECT_EQ(a->handler.unreachable, std::vector<NodeId>{b->id});
    for (std::uint64_t i = 0; i < 100; ++i)
      a->peers->send(one(heartbeat(*a, *b, 5000 + i)));
    EXPECT_EQ(a->handler.unreachable.size(), 1u) << "told once";
    EXPECT_GE(a->status_of(*b).traffic.all_dropped(), 100u);
    ignore(co_await clock().sleep(30s), "they go on dialling");
    b->handler.came.clear();
    world->heal_all();
    EXPECT_TRUE(co_await soon(
        [&] { return a->status_of(*b).connected && b->status_of(*a).connected; }, 8s));
    a->peers->send(one(heartbeat(*a, *b, 42)));
    EXPECT_TRUE(co_await soon([&] { return !b->handler.came.empty(); }, 1s));
    EXPECT_EQ(b->handler.came.size(), 1u) << "nothing from before";
    EXPECT_EQ(b->handler.came.front().message.commit, LogIndex(42));
    EXPECT_GE(a->status_of(*b).traffic.connections, 2u);
  }

  // b has no memory of the connection, and nobody told a.
  Task<void> power_loss() {
    co_await connected(*a, *b);
    co_await connected(*b, *a);
    b->machine.lose_power();
    ignore(co_await clock().sleep(100ms), "less than a ping");
    EXPECT_TRUE(a->status_of(*b).connected) << "half open";
    b = &again(*b);
    b->knows(*a);
    EXPECT_TRUE(co_await soon([&] {
      return a->status_of(*b).traffic.connections >= 2 && a->status_of(*b).connected &&
             b->status_of(*a).connected;
    }));
    a->peers->send(one(heartbeat(*a, *b, 1)));
    b->peers->send(one(heartbeat(*b, *a, 2)));
    EXPECT_TRUE(co_await soon([&] { return b->handler.came.size() == 1; }, 1s));
    EXPECT_TRUE(co_await soon([&] { return a->handler.came.size() == 1; }, 1s));
  }

  Task<void> slow_reader() {
    co_await connected(*a, *b);
    ignore(co_await clock().sleep(200ms), "the first ping is answered");
    b->faults.reads_stall = true;
    // More than the streams between them and the queue hold.
    const std::string large(std::size_t{1} << 20, 'x');
    for (std::uint64_t i = 0; i < 40; ++i)
      a->peers->send(one(append(*a, *b, i, {large})));
    EXPECT_GE(a->status_of(*b).traffic.all_dropped(), 5u);
    EXPECT_LE(a->status_of(*b).queued, 33u);
    const std::uint64_t dropped = a->status_of(*b).traffic.all_dropped();
    a->peers->send(one(heartbeat(*a, *b, 1)));
    EXPECT_EQ(a->status_of(*b).traffic.all_dropped(), dropped) << "a heartbeat has its own room";
    EXPECT_TRUE(co_await soon([&] { return !a->handler.unreachable.empty(); }, 100ms));
    EXPECT_EQ(a->handler.unreachable.size(), 1u);
    EXPECT_TRUE(co_await soon([&] { return !a->status_of(*b).connected; }, 10s));
    EXPECT_EQ(a->status_of(*b).queued, 0u) << "nothing is kept";
    b->faults.reads_stall = false;
    co_await connected(*a, *b);
  }

  Task<void> removed() {
    co_await connected(*a, *b);
    co_await connected(*b, *a);
    // b removes a while they are connected.
    b->handler.removed.insert(a->id);
    b->peers->remove_peer(a->id);
    EXPECT_TRUE(co_await soon([&] { return !a->handler.refused.empty(); }, 1s));
    EXPECT_EQ(a->handler.refused.front(), std::make_pair(b->id, std::string("member_removed")));
    EXPECT_EQ(b->peers->status().size(), 0u);
    b->handler.came.clear();
    for (int i = 0; i < 200; ++i) {
      a->peers->send(one(heartbeat(*a, *b, 1)));
      ignore(co_await clock().sleep(50ms), "it goes on trying");
    }
    EXPECT_TRUE(b->handler.came.empty());
    EXPECT_GE(a->handler.refused.size(), 3u) << "told at each attempt";
    const auto answer = co_await a->peers->request(b->id, RequestKind::kRenew, "x", in(5s));
    EXPECT_EQ(text(answer), "peer_unreachable");
    EXPECT_EQ(b->handler.requests, 0u);
  }

  // No remove_peer(): the handler's word alone counts, for the next frame.
  Task<void> removed_in_silence() {
    co_await connected(*a, *b);
    b->handler.removed.insert(a->id);
    a->peers->send(one(heartbeat(*a, *b, 1)));
    EXPECT_TRUE(co_await soon([&] { return !a->handler.refused.empty(); }, 2s));
    EXPECT_TRUE(b->handler.came.empty());
  }

  Task<void> corrupted(std::uint64_t seed) {
    co_await connected(*a, *b);
    std::uint64_t at = seed * 7;
    a->faults.written = [&](std::string& bytes) {
      if (bytes.size() > 1000) bytes[at % bytes.size()] ^= 4;
    };
    a->peers->send(one(append(*a, *b, 1, {std::string(2000, 'x')})));
    EXPECT_TRUE(co_await soon([&] { return !a->status_of(*b).connected; }, 15s));
    EXPECT_EQ(b->status_of(*a).traffic.violations, 1u);
    EXPECT_TRUE(b->handler.came.empty());
    a->faults.written = nullptr;
    co_await connected(*a, *b);
    a->peers->send(one(append(*a, *b, 1, {std::string(2000, 'x')})));
    EXPECT_TRUE(co_await soon([&] { return b->handler.came.size() == 1; }, 1s));
  }

  Task<void> strangers() {
    auto stream = co_await dial_by_hand(NodeId(5), kCluster);
    wire::Hello hello{.cluster = kCluster};
    hello.version = hello.version_oldest = wire::kProtocolVersion + 1;
    EXPECT_TRUE(co_await say(**stream, {.content = hello}));
    auto answer = co_await hear(**stream);
    EXPECT_EQ(reason_of(answer), "peer_version_unsupported");

    // A newer one that still speaks ours is welcome.
    stream = co_await dial_by_hand(NodeId(5), kCluster);
    hello.version_oldest = wire::kProtocolVersion;
    EXPECT_TRUE(co_await say(**stream, {.content = hello}));
    answer = co_await hear(**stream);
    EXPECT_TRUE(answer && std::holds_alternative<wire::Hello>(answer->content));

    stream = co_await dial_by_hand(NodeId(5), kCluster);
    EXPECT_TRUE(co_await say(**stream, {.content = wire::Hello{.cluster = "cluster-2"}}));
    answer = co_await hear(**stream);
    EXPECT_EQ(reason_of(answer), "peer_cluster_wrong");

    // The certificate counts, whatever the hello says.
    stream = co_await dial_by_hand(NodeId(5), "cluster-2");
    EXPECT_TRUE(co_await say(**stream, {.content = wire::Hello{.cluster = kCluster}}));
    answer = co_await hear(**stream);
    EXPECT_EQ(reason_of(answer), "peer_cluster_wrong");

    b->handler.removed.insert(NodeId(5));
    stream = co_await dial_by_hand(NodeId(5), kCluster);
    EXPECT_TRUE(co_await say(**stream, {.content = wire::Hello{.cluster = kCluster}}));
    answer = co_await hear(**stream);
    EXPECT_EQ(reason_of(answer), "member_removed");

    // Not a greeting at all.
    stream = co_await dial_by_hand(NodeId(6), kCluster);
    EXPECT_TRUE(co_await say(**stream, {.id = 3, .content = wire::Ping{}}));
    answer = co_await hear(**stream);
    EXPECT_EQ(reason_of(answer), "peer_error");
    // And nothing: it is not waited for.
    stream = co_await dial_by_hand(NodeId(6), kCluster);
    const Duration before = world->elapsed();
    answer = co_await hear(**stream);
    EXPECT_LE(world->elapsed() - before, limits::kPeerHelloTimeout + 100ms);
  }
  static std::string reason_of(const Result<wire::Message>& answer) {
    if (!answer) return answer.error().message();
    const auto* refused = std::get_if<wire::Refused>(&answer->content);
    return refused == nullptr ? "welcome" : std::string(error_of(refused->why).reason());
  }

  // What a member may not send ends its connection.
  Task<void> misbehaviour(wire::Content content) {
    auto stream = co_await dial_by_hand(NodeId(5), kCluster);
    b->peers->set_peer(NodeId(5), Endpoint::tcp("10.0.0.99", kPort));
    EXPECT_TRUE(co_await say(**stream, {.content = wire::Hello{.cluster = kCluster}}));
    FrameReader reader(**stream);
    EXPECT_TRUE(co_await reader.next());
    const Duration before = world->elapsed();
    EXPECT_TRUE(co_await say(**stream, {.id = 5, .content = std::move(content)}));
    EXPECT_FALSE(co_await reader.next());
    EXPECT_LE(world->elapsed() - before, 1s);
    EXPECT_TRUE(b->handler.came.empty());
    std::uint64_t violations = 0;
    for (const PeerStatus& status : b->peers->status())
      violations += status.traffic.violations;
    EXPECT_EQ(violations, 1u);
  }

  // b has never heard of c, which says `address` of itself.
  Task<void> newcomer(std::string address, bool is_server, bool is_answered) {
    b->faults.peers_are_servers = is_server;
    sim::Machine& machine = world->add_machine("c");
    if (address == "its own") address = Endpoint::tcp(machine.address(), kPort).text();
    nodes.push_back(std::make_unique<TestNode>(machine, NodeId(3), std::move(address)));
    TestNode& c = *nodes.back();
    c.knows(*b);
    EXPECT_TRUE(co_await soon([&] { return c.status_of(*b).connected; }));
    const bool is_known = co_await soon([&] { return b->status_of(c).connected; }, 5s);
    EXPECT_EQ(is_known, is_answered);
    b->peers->send(one(heartbeat(*b, c, 5)));
    const bool came = co_await soon([&] { return !c.handler.came.empty(); }, 5s);
    EXPECT_EQ(came, is_answered);
    // With the connection goes what was known by it alone.
    co_await c.machine.stop_daemon();
    EXPECT_TRUE(co_await soon([&] { return b->status_of(c).node == NodeId(); }));
  }

  // The node dials again; its old connection, with what it still brings, is no more.
  Task<void> replaced() {
    auto old_stream = co_await dial_by_hand(NodeId(5), kCluster);
    EXPECT_TRUE(co_await say(**old_stream, {.content = wire::Hello{.cluster = kCluster}}));
    EXPECT_TRUE(co_await hear(**old_stream));
    auto new_stream = co_await dial_by_hand(NodeId(5), kCluster);
    EXPECT_TRUE(co_await say(**new_stream, {.content = wire::Hello{.cluster = kCluster}}));
    EXPECT_TRUE(co_await hear(**new_stream));
    const raft::Message late{.type = raft::MessageType::kHeartbeat, .to = b->id, .term = Term(1)};
    const raft::Message fresh{.type = raft::MessageType::kHeartbeat, .to = b->id, .term = Term(2)};
    ignore(co_await say(**old_stream, {.content = late}), "closed or not");
    EXPECT_TRUE(co_await say(**new_stream, {.content = fresh}));
    EXPECT_TRUE(co_await soon([&] { return !b->handler.came.empty(); }, 1s));
    ignore(co_await clock().sleep(1s), "the late one had time to come");
    EXPECT_EQ(b->handler.came.size(), 1u);
    EXPECT_EQ(b->handler.came.front().message.term, Term(2));
    EXPECT_FALSE(co_await hear(**old_stream));
  }

  // Somebody else has b's own key.
  Task<void> itself() {
    b->faults.peers_are_servers = true;
    auto stream = co_await dial_by_hand(b->id, kCluster);
    ignore(co_await say(**stream,
                        {.content = wire::Hello{.cluster = kCluster, .address = "10.0.0.9:7481"}}),
           "closed or not");
    EXPECT_FALSE(co_await hear(**stream));
    EXPECT_EQ(b->peers->counters().refused.at(static_cast<std::size_t>(Refusal::kNotAdmitted)), 1u);
    co_await connected(*a, *b);
  }

  Task<void> enrolment() {
    b->handler.answer = [&](NodeId from, RequestKind kind,
                            std::string body) -> Task<Result<std::string>> {
      EXPECT_EQ(from, NodeId());
      EXPECT_EQ(kind, RequestKind::kEnrol);
      if (body == "wrong") co_return fail(Code::kPermissionDenied, "token_invalid");
      co_return "certificate";
    };
    auto stream = co_await dial_by_hand(NodeId(), "");
    auto answer =
        co_await ask_once(watcher(), std::move(*stream), RequestKind::kEnrol, "t", in(5s));
    EXPECT_EQ(answer.value_or("?"), "certificate");
    stream = co_await dial_by_hand(NodeId(), "");
    answer = co_await ask_once(watcher(), std::move(*stream), RequestKind::kEnrol, "wrong", in(5s));
    EXPECT_EQ(text(answer), "token_invalid");
    const std::size_t asked = b->handler.requests;

    for (const RequestKind kind : {RequestKind::kPropose, RequestKind::kRenew}) {
      stream = co_await dial_by_hand(NodeId(), "");
      answer = co_await ask_once(watcher(), std::move(*stream), kind, "t", in(5s));
      EXPECT_EQ(code(answer), Code::kUnavailable);
    }
    stream = co_await dial_by_hand(NodeId(), "");
    answer = co_await ask_once(watcher(), std::move(*stream), RequestKind::kEnrol,
                               std::string(limits::kEnrolBytes + 1, 'x'), in(5s));
    EXPECT_EQ(code(answer), Code::kUnavailable);
    stream = co_await dial_by_hand(NodeId(), "");
    EXPECT_TRUE(co_await say(**stream, {.content = wire::Hello{.cluster = kCluster}}));
    EXPECT_FALSE(co_await hear(**stream));
    EXPECT_EQ(b->handler.requests, asked);
  }

  [[nodiscard]] std::uint64_t refused(Refusal refusal) const {
    return b->peers->counters().refused.at(static_cast<std::size_t>(refusal));
  }
  Task<bool> enrols(Duration within) {
    auto stream = co_await dial_by_hand(NodeId(), "");
    EXPECT_TRUE(stream);
    if (!stream) co_return false;
    const auto answer =
        co_await ask_once(watcher(), std::move(*stream), RequestKind::kEnrol, "t", in(within));
    co_return answer.has_value();
  }
  Task<void> hold_a_place(std::size_t& served) {
    if (co_await enrols(1h)) ++served;
  }

  // Whoever says nothing makes room; whoever has asked is answered.
  Task<void> silent_newcomers() {
    std::vector<std::unique_ptr<env::Stream>> silent;
    for (std::size_t i = 0; i < 3 * limits::kEnrolConnections; ++i)
      silent.push_back(*co_await dial_by_hand(NodeId(), ""));
    EXPECT_TRUE(co_await enrols(100ms));
    EXPECT_EQ(refused(Refusal::kDisplaced), 2 * limits::kEnrolConnections + 1);
    EXPECT_EQ(refused(Refusal::kFull), 0u);
    EXPECT_FALSE(co_await hear(*silent.front())) << "the oldest";

    bool answers = false;
    b->handler.answer = [&](NodeId, RequestKind, std::string) -> Task<Result<std::string>> {
      while (!answers)
        BLX_CO_TRY(co_await b->machine.env().clock.sleep(1ms));
      co_return "certificate";
    };
    std::size_t served = 0;
    env::Scope scope(watcher().executor, nullptr);
    for (std::size_t i = 0; i < limits::kEnrolConnections; ++i)
      scope.spawn(hold_a_place(served));
    EXPECT_TRUE(
        co_await soon([&] { return b->handler.requests == 1 + limits::kEnrolConnections; }, 1s));
    EXPECT_FALSE(co_await enrols(1s)) << "all places are of those who wait for their answer";
    EXPECT_EQ(refused(Refusal::kFull), 1u);
    answers = true;
    co_await scope.join();
    EXPECT_EQ(served, limits::kEnrolConnections);
    EXPECT_TRUE(co_await enrols(1s));
  }

  // The number of these streams that b has not ended, a moment later.
  Task<std::size_t> open_of(std::vector<std::unique_ptr<env::Stream>>& streams) {
    std::size_t open = 0;
    for (const auto& stream : streams) {
      std::array<char, 1> byte{};
      const auto read = co_await env::with_deadline(watcher().executor, clock(), in(1ms),
                                                    stream->read_some(byte));
      if (!read && read.error().code() == Code::kDeadlineExceeded) ++open;
    }
    co_return open;
  }

  // One node, however often it connects, greets on one connection.
  Task<void> many_of_one_node() {
    co_await connected(*a, *b);
    std::vector<std::unique_ptr<env::Stream>> silent;
    for (std::size_t i = 0; i < 50; ++i)
      silent.push_back(*co_await dial_by_hand(NodeId(5), kCluster));
    ignore(co_await clock().sleep(10ms), "the last one was accepted");
    EXPECT_EQ(co_await open_of(silent), 1u);
    EXPECT_EQ(refused(Refusal::kDisplaced), 49u);
    // The last of them is the one that counts.
    EXPECT_TRUE(co_await say(*silent.back(), {.content = wire::Hello{.cluster = kCluster}}));
    EXPECT_EQ(reason_of(co_await hear(*silent.back())), "welcome");
    EXPECT_TRUE(a->status_of(*b).connected) << "nobody else is touched";
  }

  // Its requests outlive its connections, and so each of them holds one.
  Task<void> requests_of_one_node() {
    b->handler.answer = [&](NodeId, RequestKind, std::string) -> Task<Result<std::string>> {
      env::Cancellation uncut;
      ignore(co_await b->machine.env().clock.sleep(20s).under(uncut), "not cut short");
      co_return "late";
    };
    std::vector<std::unique_ptr<env::Stream>> streams;
    for (std::size_t i = 0; i < limits::kPeerConnectionsOfNode; ++i) {
      streams.push_back(*co_await dial_by_hand(NodeId(5), kCluster));
      EXPECT_TRUE(co_await say(*streams.back(), {.content = wire::Hello{.cluster = kCluster}}));
      EXPECT_EQ(reason_of(co_await hear(*streams.back())), "welcome");
      EXPECT_TRUE(co_await say(*streams.back(), {.id = 1, .content = wire::Request{.kind = 1}}));
      EXPECT_TRUE(co_await soon([&] { return b->handler.requests == i + 1; }, 1s));
    }
    auto more = co_await dial_by_hand(NodeId(5), kCluster);
    EXPECT_FALSE(co_await hear(**more));
    EXPECT_EQ(refused(Refusal::kFull), 1u);
    ignore(co_await clock().sleep(21s), "they end");
    more = co_await dial_by_hand(NodeId(5), kCluster);
    EXPECT_TRUE(co_await say(**more, {.content = wire::Hello{.cluster = kCluster}}));
    EXPECT_EQ(reason_of(co_await hear(**more)), "welcome");
  }

  // It is told before it says a word, and holds nothing for long.
  Task<void> many_of_a_removed_node() {
    b->handler.removed.insert(NodeId(5));
    std::vector<std::unique_ptr<env::Stream>> streams;
    for (std::size_t i = 0; i < 50; ++i) {
      streams.push_back(*co_await dial_by_hand(NodeId(5), kCluster));
      const auto told =
          co_await env::with_deadline(watcher().executor, clock(), in(10ms), hear(*streams.back()));
      EXPECT_EQ(reason_of(told), "member_removed") << i;
    }
    EXPECT_LE(co_await open_of(streams), 2u) << "one, and one whose end is on its way";
    ignore(co_await clock().sleep(limits::kPeerRefusalTimeout), "silence does not help");
    EXPECT_EQ(co_await open_of(streams), 0u);
    EXPECT_EQ(refused(Refusal::kNotAdmitted) + refused(Refusal::kDisplaced), 50u);
    EXPECT_GE(refused(Refusal::kNotAdmitted), 1u);
  }

  // As many nodes as a cluster may have, all of them connected to one that leads.
  Task<void> all_nodes() {
    std::vector<std::unique_ptr<env::Stream>> streams;
    for (std::uint64_t id = 2; id <= limits::kNodes; ++id) {
      const NodeId node(100 + id);
      streams.push_back(*co_await dial_by_hand(node, kCluster));
      EXPECT_TRUE(co_await say(*streams.back(), {.content = wire::Hello{.cluster = kCluster}}));
      EXPECT_EQ(reason_of(co_await hear(*streams.back())), "welcome") << id;
      if (id % 100 != 0) continue;
      for (const auto& stream : streams)  // as each does once a second
        EXPECT_TRUE(co_await say(*stream, {.id = id, .content = wire::Ping{}}));
    }
    EXPECT_EQ(refused(Refusal::kFull), 0u);
    const auto before = b->handler.came.size();
    const raft::Message heartbeat{.type = raft::MessageType::kHeartbeat, .to = b->id};
    for (const auto& stream : streams)
      EXPECT_TRUE(co_await say(*stream, {.content = heartbeat}));
    EXPECT_TRUE(
        co_await soon([&] { return b->handler.came.size() >= before + limits::kNodes - 1; }, 1s));
  }

  Task<void> counted() {
    co_await connected(*a, *b);
    co_await connected(*b, *a);
    const Counters first = b->peers->counters();
    EXPECT_EQ(first.reconnects, 0u);
    a->peers->send(one(append(*a, *b, 7, {std::string(1000, 'x')})));
    EXPECT_TRUE(co_await soon([&] { return b->handler.came.size() == 1; }, 1s));
    const Counters then = b->peers->counters();
    EXPECT_GE(then.traffic.bytes_received, first.traffic.bytes_received + 1000);
    EXPECT_GE(then.traffic.frames_received, first.traffic.frames_received + 1);
    world->reset_connections(a->machine, b->machine);
    EXPECT_TRUE(co_await soon([&] { return b->peers->counters().reconnects == 1; }, 5s));
    co_await connected(*b, *a);

    world->partition(a->machine, b->machine);
    EXPECT_TRUE(co_await soon([&] { return !a->status_of(*b).connected; }, 10s));
    const Traffic before = a->peers->counters().traffic;
    a->peers->send(one(heartbeat(*a, *b, 1)));
    for (std::uint64_t i = 0; i < 3; ++i)
      a->peers->send(one(append(*a, *b, i, {"x"})));
    const Traffic after = a->peers->counters().traffic;
    EXPECT_EQ(after.dropped[0] - before.dropped[0], 1u) << "urgent";
    EXPECT_EQ(after.dropped[1] - before.dropped[1], 3u) << "normal";
    EXPECT_EQ(after.dropped[2] - before.dropped[2], 0u) << "bulk";

    // What is counted of a node stays when the node goes.
    const std::uint64_t received = b->peers->counters().traffic.frames_received;
    b->peers->remove_peer(a->id);
    EXPECT_GE(b->peers->counters().traffic.frames_received, received);
    EXPECT_EQ(refused(Refusal::kGreeting), 0u);
    world->heal_all();
    auto stream = co_await dial_by_hand(NodeId(6), "cluster-2");
    EXPECT_TRUE(co_await say(**stream, {.content = wire::Hello{.cluster = kCluster}}));
    EXPECT_TRUE(co_await hear(**stream));
    EXPECT_TRUE(co_await soon([&] { return refused(Refusal::kGreeting) == 1; }, 1s));
  }

  Task<void> moved() {
    co_await connected(*a, *b);
    TestNode& c = add("c", 3);
    // The address of a node that is another one: the transport refuses, so it is never spoken to.
    a->peers->set_peer(b->id, Endpoint::tcp(c.machine.address(), kPort));
    EXPECT_TRUE(co_await soon([&] { return !a->status_of(*b).connected; }, 1s));
    ignore(co_await clock().sleep(5s), "it is tried");
    EXPECT_FALSE(a->status_of(*b).connected);
    a->knows(*b);
    EXPECT_TRUE(co_await soon([&] { return a->status_of(*b).connected; }, 1s));
  }

  Task<void> no_room() {
    co_await connected(*a, *b);
    {
      const sim::OnlyRare rare(*world, env::RareSite::kPeerQueueFull);
      a->peers->send(one(append(*a, *b, 1, {"lost"})));
      a->peers->send(one(heartbeat(*a, *b, 1)));
      EXPECT_EQ(rare.taken(), 2u);
    }
    EXPECT_TRUE(co_await soon([&] { return !a->handler.unreachable.empty(); }));
    EXPECT_EQ(a->handler.unreachable, std::vector{b->id});
    EXPECT_EQ(a->status_of(*b).traffic.all_dropped(), 2u);
    a->peers->send(one(append(*a, *b, 2, {"comes"})));
    EXPECT_TRUE(co_await soon([&] { return !b->handler.came.empty(); }));
    EXPECT_EQ(b->handler.came.at(0).message.index, LogIndex(2));
  }

  Task<void> closes() {
    co_await connected(*a, *b);
    const std::uint64_t before = a->status_of(*b).traffic.connections;
    {
      const sim::OnlyRare rare(*world, env::RareSite::kPeerClosesEarly);
      EXPECT_TRUE(co_await soon([&] { return rare.taken() >= 6; }));
    }
    EXPECT_GE(a->status_of(*b).traffic.connections, before + 2);
    EXPECT_EQ(b->status_of(*a).traffic.violations, 0u);
    co_await connected(*a, *b);
    const auto answer = co_await a->peers->request(b->id, RequestKind::kPropose, "x", in(1s));
    EXPECT_EQ(answer.value_or("?"), "to 1: x");
  }
};

TEST_F(PeersTest, MessagesArriveInOrderUnderTheProvenName) { run(messages()); }

TEST_F(PeersTest, RequestsAreAnsweredAndErrorsTravel) { run(requests()); }

TEST_F(PeersTest, RequestsThatCannotBeAnsweredFailInTime) { run(unreachable()); }

TEST_F(PeersTest, TenThousandRequestsNeedOneConnectionThatIsThereBeforeThem) {
  run(warm_and_reused());
}

TEST_F(PeersTest, RequestsUnderWayFailWithTheirConnection) { run(cut_while_waiting()); }

TEST_F(PeersTest, APartitionIsFoundAndHealed) { run(partition(false)); }

TEST_F(PeersTest, AOneWayCutIsFoundAndHealed) { run(partition(true)); }

TEST_F(PeersTest, APeerThatLostPowerIsFoundAgain) { run(power_loss()); }

TEST_F(PeersTest, ASlowReaderFillsItsQueueAndIsDisconnected) { run(slow_reader()); }

TEST_F(PeersTest, ARemovedPeerIsRefusedAndTold) { run(removed()); }

TEST_F(PeersTest, TheHandlerIsAskedForEveryFrame) { run(removed_in_silence()); }

TEST_F(PeersTest, ACorruptedByteEndsTheConnection) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    build(seed);
    run(corrupted(seed));
  }
}

TEST_F(PeersTest, StrangersAreTurnedAway) { run(strangers()); }

TEST_F(PeersTest, WhatAMemberMayNotSendEndsItsConnection) {
  const raft::Message misaddressed{.type = raft::MessageType::kHeartbeat, .to = NodeId(3)};
  const raft::Message snapshot{
      .type = raft::MessageType::kSnapshot,
      .to = NodeId(2),
      .snapshot = raft::SnapshotMeta{
          .index = LogIndex(4), .term = Term(1), .configuration = {.voters = {NodeId(1)}}}};
  const std::vector<wire::Content> contents{
      wire::Hello{.cluster = kCluster}, wire::Pong{}, wire::Reply{}, wire::SnapshotTaken{},
      wire::SnapshotResult{},           misaddressed, snapshot};
  for (const wire::Content& content : contents) {
    build(1);
    run(misbehaviour(content));
  }
}

TEST_F(PeersTest, AServerThatJoinedMeanwhileIsAnswered) {
  struct Case {
    const char* address;
    bool is_server;
    bool is_answered;
  };
  for (const Case& one : {Case{"its own", true, true}, Case{"its own", false, false},
                          Case{"", true, false}, Case{"nowhere", true, false},
                          Case{"unix:/tmp/x", true, false}, Case{"10.0.0.3:0", true, false}}) {
    SCOPED_TRACE(one.address);
    build(1);
    run(newcomer(one.address, one.is_server, one.is_answered));
  }
}

TEST_F(PeersTest, ANewConnectionTakesTheOldOnesPlace) { run(replaced()); }

TEST_F(PeersTest, NobodyIsIntroducedToItself) { run(itself()); }

TEST_F(PeersTest, WithoutACertificateOnlyEnrolmentIsPossible) { run(enrolment()); }

TEST_F(PeersTest, SilentNewcomersMakeRoom) { run(silent_newcomers()); }

TEST_F(PeersTest, ANodeGreetsOnOneConnectionAtATime) { run(many_of_one_node()); }

TEST_F(PeersTest, ANodeHoldsFewConnections) { run(requests_of_one_node()); }

TEST_F(PeersTest, ARemovedNodeIsToldAtOnceAndHoldsNothing) { run(many_of_a_removed_node()); }

TEST_F(PeersTest, ALeaderHasRoomForAllNodes) { run(all_nodes()); }

TEST_F(PeersTest, WhatIsRefusedAndLostIsCounted) { run(counted()); }

TEST_F(PeersTest, ANewAddressEndsTheOldConnection) { run(moved()); }

TEST_F(PeersTest, TheSameSeedGivesTheSameRun) {
  std::vector<std::uint64_t> hashes;
  for (const std::uint64_t seed : {5u, 5u, 6u}) {
    build(seed);
    run(partition(false));
    hashes.push_back(world->trace_hash());
  }
  EXPECT_EQ(hashes[0], hashes[1]);
  EXPECT_NE(hashes[0], hashes[2]);
}

TEST_F(PeersTest, QueuesMayBeFullAtAnyTime) { run(no_room()); }

TEST_F(PeersTest, ConnectionsMayEndAtAnyTime) { run(closes()); }

}  // namespace
}  // namespace blixard::peer
