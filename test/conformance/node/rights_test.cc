// What somebody may do who has a node's credentials and keeps to no rules: strangers, machines that
// were removed, workers and servers ask a leader for everything that can be asked, on connections
// of their own making.

#include <optional>
#include <utility>

#include "blixard/v1/cluster.pb.h"
#include "blixard/v1/enrol.pb.h"
#include "node/cluster/join_token.h"
#include "node/peer/peers.h"
#include "node/replica/forward.h"
#include "test/conformance/node/cluster.h"

namespace blixard {
namespace {

using env::Task;
using http::Method;
using peer::RequestKind;
using rest::Reply;

constexpr Duration kPatience = 5s;

// Hears nothing but that it is refused.
class Deaf final : public peer::Handler {
 public:
  Result<void> admit(NodeId /*from*/) const override { return {}; }
  void on_message(peer::Sender /*from*/, raft::Message /*message*/) override {}
  Task<Result<std::string>> on_request(NodeId /*from*/, RequestKind /*kind*/,
                                       Payload /*body*/) override {
    co_return fail(Code::kUnimplemented, "deaf");
  }
  Task<Result<std::unique_ptr<peer::SnapshotSink>>> on_snapshot(peer::Sender /*from*/,
                                                                raft::Message /*message*/,
                                                                std::uint64_t /*size*/) override {
    co_return fail(Code::kUnimplemented, "deaf");
  }
  void on_unreachable(NodeId /*node*/) override {}
  void on_refused(NodeId /*node*/, const Error& why) override { refused = why.reason(); }

  std::string refused;
};

// The smallest snapshot there is.
class OneByte final : public peer::SnapshotSource {
 public:
  [[nodiscard]] std::uint64_t bytes() const override { return 1; }
  Task<Result<Payload>> read() override {
    co_return std::exchange(sent_, true) ? Payload() : Payload(std::string("x"));
  }

 private:
  bool sent_ = false;
};

// Somebody with the credentials of a node that does not run.
class Impostor {
 public:
  Impostor(Cluster& c, const Site& of, NodeId self) : c_(c), self_(self) {
    auto opened = c.env().security.open({.certificate = of.file("node.crt"),
                                         .key = of.file("node.key"),
                                         .authority = of.file("authority.crt")});
    BLX_ASSERT(opened.has_value());
    transport_ = std::move(*opened);
    const auto facts = c.env().security.inspect(of.file("node.crt"));
    BLX_ASSERT(facts && facts->subject.node == self);
    peers_ =
        peer::Peers::make(c.env(), {.self = self, .cluster = facts->subject.cluster}, *transport_);
    peers_->set_handler(&handler_);
  }

  void turn_to(Site& victim, NodeId id) {
    victim_ = id;
    peers_->set_peer(id, env::Endpoint::tcp(victim.machine->address(), Site::kPeerPort));
  }

  // The reason of the refusal; "ok"; "unreachable".
  Task<std::string> ask(RequestKind kind, std::string body, std::string* answer = nullptr) {
    env::Clock& clock = c_.env().clock;
    const Instant deadline = clock.monotonic() + kPatience;
    while (clock.monotonic() < deadline) {
      const auto reply = co_await peers_->request(victim_, kind, body, deadline);
      if (reply && answer != nullptr) *answer = *reply;
      if (reply) co_return "ok";
      if (reply.error().reason() != "peer_unreachable") {
        co_return std::string(reply.error().reason());
      }
      co_await c_.pause(50ms);
    }
    co_return "unreachable";
  }
  Task<std::string> propose(v1::Command command) {
    co_return co_await ask(RequestKind::kPropose, command.SerializeAsString());
  }
  Task<std::string> change(replica::MembershipRequest request) {
    co_return co_await ask(RequestKind::kMembership, replica::encode(request));
  }
  // As a leader, a candidate and a follower of a later term would speak.
  Task<std::string> usurp(Term term, LogIndex last) {
    using raft::MessageType;
    for (const auto type : {MessageType::kAppend, MessageType::kHeartbeat, MessageType::kVote,
                            MessageType::kPreVote, MessageType::kTimeoutNow,
                            MessageType::kAppendResponse, MessageType::kHeartbeatResponse}) {
      std::vector<raft::Message> messages;
      messages.push_back({.type = type,
                          .to = victim_,
                          .term = term,
                          .log_term = term,
                          .index = last,
                          .transfer = type == MessageType::kVote});
      peers_->send(std::move(messages));
    }
    const raft::SnapshotMeta meta{
        .index = LogIndex(last.value + 1000), .term = term, .configuration = {.voters = {self_}}};
    const auto sent = co_await peers_->send_snapshot(
        {.type = MessageType::kSnapshot, .to = victim_, .term = term, .snapshot = meta},
        std::make_unique<OneByte>());
    co_return sent ? "ok" : std::string(sent.error().reason());
  }
  Task<void> stop() { co_await peers_->stop(); }
  [[nodiscard]] const std::string& refused() const { return handler_.refused; }

 private:
  Cluster& c_;
  NodeId self_;
  Deaf handler_;
  std::unique_ptr<env::SecureTransport> transport_;
  std::unique_ptr<peer::Peers> peers_;
  NodeId victim_;
};

std::string token_command() {
  v1::Command command;
  auto& token = *command.mutable_create_token();
  token.set_token_id(77);
  token.set_secret_hash(std::string(32, 's'));
  token.set_role(v1::NODE_ROLE_SERVER);
  token.set_lifetime_ms(60'000);
  return command.SerializeAsString();
}

v1::Command address_command(std::uint64_t node) {
  v1::Command command;
  command.mutable_update_node_address()->set_node_id(node);
  command.mutable_update_node_address()->set_peer_address("10.9.9.9:7481");
  return command;
}

v1::Command removal_of(std::uint64_t node) {
  v1::Command command;
  command.mutable_remove_node()->set_node_id(node);
  return command;
}

replica::MembershipRequest change_of(replica::MembershipChange::Kind kind, std::uint64_t node) {
  return {.transfers = false, .change = {.kind = kind, .node = NodeId(node), .command = {}}};
}

replica::MembershipRequest transfer_to(std::uint64_t node) {
  replica::MembershipRequest request{.transfers = true, .change = {}};
  request.change.node = NodeId(node);
  return request;
}

std::string renewal(Cluster& c) {
  v1::RenewRequest request;
  request.set_certificate_request(c.env().security.make_request()->request);
  return request.SerializeAsString();
}

NodeId id_of(const Site& site) { return NodeId(std::stoull(site.name.substr(1))); }

// n1 to n3 are servers, n4 is a worker, and n5 was one; only n1 and n2 run. Who leads.
Task<Site*> prepare(Cluster& c) {
  co_await c.form(3);
  for (const std::size_t worker : {4u, 5u}) {
    c.site(worker).join = co_await c.join_of(c.site(1), R"({"role":"worker"})");
    c.start(c.site(worker));
    co_await c.ready(c.site(worker));
  }
  const Reply removed = co_await c.ask(c.site(1), Method::kDelete, "/v1/nodes/n5");
  EXPECT_EQ(removed.status, 200) << text_of(removed);
  EXPECT_EQ(co_await c.end_of(c.site(5)), "removed");
  for (const std::size_t number : {3u, 4u, 5u})
    Cluster::crash(c.site(number));
  co_await c.until_members(c.site(1), "n1:voter n2:voter n3:voter n4:learner");
  co_return co_await c.leader(c.site(1));
}

Task<void> as_worker(Cluster& c, Site& leader) {
  using Kind = replica::MembershipChange::Kind;
  Impostor worker(c, c.site(4), NodeId(4));
  worker.turn_to(leader, id_of(leader));
  EXPECT_EQ(co_await worker.ask(RequestKind::kPropose, token_command()), "servers_only");
  EXPECT_EQ(co_await worker.propose(removal_of(3)), "servers_only");
  EXPECT_EQ(co_await worker.propose(address_command(3)), "servers_only");
  EXPECT_EQ(co_await worker.propose(address_command(4)), "ok");
  EXPECT_EQ(co_await worker.change(change_of(Kind::kAddLearner, 9)), "servers_only");
  EXPECT_EQ(co_await worker.change(change_of(Kind::kPromote, 4)), "servers_only");
  EXPECT_EQ(co_await worker.change(change_of(Kind::kRemove, 3)), "servers_only");
  EXPECT_EQ(co_await worker.change(transfer_to(2)), "servers_only");
  // Its certificate, renewed, has no mark: it lets nobody in.
  std::string bytes;
  EXPECT_EQ(co_await worker.ask(RequestKind::kRenew, renewal(c), &bytes), "ok");
  v1::RenewAnswer answer;
  EXPECT_TRUE(answer.ParseFromString(bytes));
  const auto facts = c.env().security.inspect(answer.certificate());
  CO_ASSERT(facts.has_value());
  EXPECT_EQ(facts->subject.node, NodeId(4));
  EXPECT_FALSE(facts->subject.server);
  // Consensus does not hear it.
  const Reply before = co_await c.ask(leader, Method::kGet, "/v1/cluster");
  EXPECT_EQ(co_await worker.usurp(Term(1000), LogIndex(100'000)), "servers_only");
  co_await c.pause(10s);
  const Reply after = co_await c.ask(leader, Method::kGet, "/v1/cluster");
  EXPECT_EQ(after.number("term"), before.number("term"));
  EXPECT_EQ(after.text("leader"), leader.name);
  co_await worker.stop();
}

Task<void> as_removed(Cluster& c, Site& leader) {
  Impostor removed(c, c.site(5), NodeId(5));
  removed.turn_to(leader, id_of(leader));
  for (const auto kind : {RequestKind::kPropose, RequestKind::kMembership, RequestKind::kEnrol,
                          RequestKind::kRenew}) {
    EXPECT_EQ(co_await removed.ask(kind, "x"), "unreachable") << static_cast<int>(kind);
  }
  EXPECT_EQ(removed.refused(), "node_removed");
  co_await removed.stop();
}

// Without a certificate, at the place where machines enrol.
Task<std::string> ask_as_stranger(Cluster& c, Site& leader, RequestKind kind, std::string body) {
  const Instant deadline = c.env().clock.monotonic() + kPatience;
  const auto authority = c.env().security.inspect(leader.file("authority.crt"));
  BLX_ASSERT(authority.has_value());
  auto stream = co_await c.env().security.dial_to_enrol(
      env::Endpoint::tcp(leader.machine->address(), Site::kPeerPort), authority->fingerprint,
      deadline);
  if (!stream) co_return std::string(stream.error().reason());
  const auto answer =
      co_await peer::ask_once(c.env(), std::move(*stream), kind, std::move(body), deadline);
  co_return answer ? "ok" : std::string(answer.error().reason());
}

Task<void> as_stranger(Cluster& c, Site& leader) {
  for (const auto& [kind, body] :
       {std::pair(RequestKind::kPropose, token_command()),
        std::pair(RequestKind::kMembership, replica::encode(transfer_to(2))),
        std::pair(RequestKind::kRenew, renewal(c))}) {
    // It is hung up on without an answer.
    EXPECT_EQ(co_await ask_as_stranger(c, leader, kind, body), "peer_closed")
        << static_cast<int>(kind);
  }
  v1::EnrolRequest request;
  request.set_token_id(77);
  request.set_secret("guessed");
  request.set_name("n9");
  request.set_peer_address("10.9.9.9:7481");
  request.set_certificate_request(c.env().security.make_request()->request);
  EXPECT_EQ(co_await ask_as_stranger(c, leader, RequestKind::kEnrol, request.SerializeAsString()),
            "token_refused");
}

Task<void> as_server(Cluster& c, Site& leader) {
  using Kind = replica::MembershipChange::Kind;
  Impostor server(c, c.site(3), NodeId(3));
  server.turn_to(leader, id_of(leader));
  EXPECT_EQ(co_await server.ask(RequestKind::kPropose, token_command()), "ok");
  EXPECT_EQ(co_await server.propose(address_command(4)), "ok");
  EXPECT_EQ(co_await server.change(change_of(Kind::kPromote, 4)), "not_a_server");
  EXPECT_EQ(co_await server.change(transfer_to(id_of(leader).value)), "ok");
  co_await server.stop();
}

Task<void> everybody(Cluster& c) {
  Site* leader = co_await prepare(c);
  CO_ASSERT(leader != nullptr, << "nobody leads");
  co_await as_stranger(c, *leader);
  co_await as_removed(c, *leader);
  co_await as_worker(c, *leader);
  co_await as_server(c, *leader);
  co_await c.until_members(c.site(1), "n1:voter n2:voter n3:voter n4:learner");
}

TEST(Rights, OfStrangersRemovedWorkersAndServers) {
  Cluster cluster(11, 5);
  cluster.run(everybody);
}

// A worker that has a machine's token passes for nobody a machine would tell it to.
Task<void> worker_as_seed(Cluster& c) {
  co_await c.form(1);
  c.site(2).join = co_await c.join_of(c.site(1), R"({"role":"worker"})");
  c.start(c.site(2));
  co_await c.ready(c.site(2));
  const std::string token = co_await c.token(c.site(1));
  Site& machine = c.site(3);
  machine.join = token + "@" + c.site(2).peer_address();
  c.start(machine);
  EXPECT_EQ(co_await c.end_of(machine), "certificate_refused");
  EXPECT_TRUE(machine.ended_message.contains("a worker's, which lets nobody in"))
      << machine.ended_message;
  Cluster::crash(machine);
  machine.join = token + "@" + c.site(1).peer_address();
  c.start(machine);
  co_await c.ready(machine);
  co_await c.until_members(c.site(1), "n1:voter n2:learner n3:voter");
}

// A server whose state is empty knows no roles: whom it hears is in the certificates.
Task<void> worker_as_leader(Cluster& c) {
  co_await c.form(1);
  c.site(2).join = co_await c.join_of(c.site(1), R"({"role":"worker"})");
  c.start(c.site(2));
  co_await c.ready(c.site(2));
  Cluster::crash(c.site(2));
  Site& machine = c.site(3);
  machine.join = co_await c.join_of(c.site(1));
  c.start(machine);
  EXPECT_TRUE(co_await c.until([&] { return !machine.file("node.json").empty(); }));
  // It has its id, and the leader does not get through to it.
  Cluster::crash(machine);
  c.isolate(machine);
  c.start(machine);
  Impostor worker(c, c.site(2), NodeId(2));
  worker.turn_to(machine, NodeId(3));
  EXPECT_EQ(co_await worker.ask(RequestKind::kPropose, token_command()), "not_leader");
  EXPECT_EQ(co_await worker.usurp(Term(1000), LogIndex(100'000)), "servers_only");
  EXPECT_FALSE(machine.ready);
  c.heal(machine);
  co_await c.ready(machine);
  co_await c.until_members(c.site(1), "n1:voter n2:learner n3:voter");
  const Reply reply = co_await c.ask(machine, Method::kGet, "/v1/cluster");
  EXPECT_LT(reply.number("term"), 1000) << text_of(reply);
  co_await worker.stop();
}

TEST(Rights, AWorkerLeadsNoMachineThatKnowsNobodyYet) {
  Cluster cluster(13, 3);
  cluster.run(worker_as_leader);
}

TEST(Rights, AWorkerLetsNoMachineIn) {
  Cluster cluster(12, 3);
  cluster.run(worker_as_seed);
}

}  // namespace
}  // namespace blixard
