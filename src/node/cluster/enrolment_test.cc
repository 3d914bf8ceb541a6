// Both sides of enrolment: what a server gives to whom, and what a machine takes for an answer.

#include "node/cluster/enrolment.h"

#include <functional>
#include <memory>
#include <utility>

#include <gtest/gtest.h>

#include "blixard/v1/enrol.pb.h"
#include "core/cluster/codec.h"
#include "core/cluster/scenario.h"
#include "core/image/digest.h"
#include "sim/test_rare.h"
#include "sim/world.h"

namespace blixard::membership {
namespace {

using cluster::Scenario;
using env::Task;

constexpr std::int64_t kTokenMs = 3'600'000;

std::string reason_of(const auto& result) {
  return result ? "ok" : std::string(result.error().reason());
}

// A cluster of one that applies what it is proposed, and counts it.
class OneReplica final : public replica::Replica {
 public:
  explicit OneReplica(env::Env env) : env_(env), applied_(env.executor) {}

  Task<Result<cluster::Outcome>> propose(v1::Command command) override {
    ++proposals;
    if (const auto before = std::exchange(before_next, nullptr)) before();
    command.set_version(cluster::kModelVersion);
    command.set_time_unix_ms(env_.clock.wall().unix_ms);
    co_return cluster.apply(std::move(command));
  }
  Task<Result<void>> read_barrier() override { co_return Result<void>(); }
  Task<Result<cluster::Outcome>> change_membership(replica::MembershipChange /*change*/) override {
    co_return fail(Code::kUnimplemented, "not_here");
  }
  Task<Result<void>> transfer_leader(NodeId /*to*/) override { co_return Result<void>(); }
  const cluster::State& state() const override { return cluster.state; }
  replica::ClusterView& cluster_view() override {
    view_.follow(cluster.state);
    return view_;
  }
  replica::Status status() const override { return {}; }
  bool is_leader() const override { return true; }
  std::vector<replica::MemberProgress> members() const override { return {}; }
  env::Signal& applied() override { return applied_; }
  Result<std::vector<cluster::Change>> changes(std::uint64_t /*since*/) const override {
    return std::vector<cluster::Change>();
  }
  Task<Result<void>> failed() override { co_return Result<void>(); }
  Task<void> stop() override { co_return; }

  Scenario cluster = Scenario::founded();
  int proposals = 0;
  std::function<void()> before_next;  // what gets into the log in front of the next proposal

 private:
  env::Env env_;
  env::Signal applied_;
  replica::ClusterView view_;
};

class EnrolmentTest : public testing::Test {
 protected:
  EnrolmentTest() {
    authority_ = *security().make_authority(cluster_name(), env().clock.wall(), kAuthorityLifetime);
    fingerprint_ = security().inspect(authority_.certificate)->fingerprint;
    enroller_ = std::make_unique<Enroller>(env(), replica_, authority_);
    key_ = *security().make_request();
  }

  [[nodiscard]] env::Env env() { return machine_.env(); }
  [[nodiscard]] env::Security& security() { return env().security; }
  [[nodiscard]] std::string cluster_name() const { return replica_.state().cluster().text(); }

  // Made by a server, so it does not count.
  JoinToken make_token(cluster::NodeRole role = cluster::NodeRole::kServer) {
    const JoinToken token = JoinToken::make("key", env().random.uuid(), fingerprint_);
    v1::Command command;
    command.set_version(cluster::kModelVersion);
    command.set_time_unix_ms(env().clock.wall().unix_ms);
    auto& create = *command.mutable_create_token();
    create.set_token_id(token.id.value);
    create.set_secret_hash(cluster::write_digest(hash_of(token.secret)));
    create.set_role(cluster::write_role(role));
    create.set_lifetime_ms(kTokenMs);
    EXPECT_TRUE(replica_.cluster.apply(std::move(command)));
    return token;
  }
  v1::EnrolRequest request_of(const JoinToken& token, const std::string& name) {
    v1::EnrolRequest request;
    request.set_token_id(token.id.value);
    request.set_secret(token.secret);
    request.set_name(name);
    request.set_peer_address("10.0.0.2:7481");
    request.set_certificate_request(key_.request);
    return request;
  }
  // The bytes of the answer.
  Result<std::string> enrol(const v1::EnrolRequest& request) {
    Result<std::string> answer = fail(Code::kInternal, "did_not_run");
    EXPECT_TRUE(world_.run(enrol_into(Payload(request.SerializeAsString()), answer)));
    return answer;
  }
  Task<void> enrol_into(Payload body, Result<std::string>& answer) {
    answer = co_await enroller_->enrol(std::move(body));
  }
  Result<Enrolment> read(const JoinToken& token, std::string_view bytes) {
    return read_answer(env(), token, key_, bytes);
  }

  sim::World world_{1};
  sim::Machine& machine_ = world_.add_machine("a");
  OneReplica replica_{machine_.env()};
  env::Authority authority_;
  std::string fingerprint_;
  env::KeyRequest key_;
  std::unique_ptr<Enroller> enroller_;
};

// At the server.

TEST_F(EnrolmentTest, TheMarkFollowsTheTokensRole) {
  for (const auto role : {cluster::NodeRole::kServer, cluster::NodeRole::kWorker}) {
    const bool server = role == cluster::NodeRole::kServer;
    key_ = *security().make_request();
    const JoinToken token = make_token(role);
    const auto answer = enrol(request_of(token, server ? "s" : "w"));
    ASSERT_TRUE(answer) << answer.error().message();
    const auto enrolment = read(token, *answer);
    ASSERT_TRUE(enrolment) << enrolment.error().message();
    EXPECT_EQ(enrolment->role, role);
    EXPECT_EQ(enrolment->authority_key, server ? authority_.key : "");
    EXPECT_EQ(security().inspect(enrolment->certificate)->subject.server, server);
    EXPECT_EQ(enrolment->members.size(), 1u);
    // And stays what it is.
    v1::RenewRequest renew;
    renew.set_certificate_request(key_.request);
    Result<std::string> renewed = fail(Code::kInternal, "did_not_run");
    const auto ask = [&]() -> Task<void> {
      renewed = co_await enroller_->renew(enrolment->id, Payload(renew.SerializeAsString()));
    };
    EXPECT_TRUE(world_.run(ask()));
    ASSERT_TRUE(renewed) << renewed.error().message();
    v1::RenewAnswer again;
    ASSERT_TRUE(again.ParseFromString(*renewed));
    const auto facts = security().inspect(again.certificate());
    ASSERT_TRUE(facts);
    EXPECT_EQ(facts->subject.server, server);
    EXPECT_EQ(facts->subject.node, enrolment->id);
  }
}

TEST_F(EnrolmentTest, WhoHasNoGoodTokenCostsNoEntry) {
  const JoinToken used = make_token();
  ASSERT_TRUE(enrol(request_of(used, "n2")));
  EXPECT_EQ(replica_.proposals, 1);
  key_ = *security().make_request();
  const JoinToken good = make_token();
  JoinToken unknown = good;
  unknown.id = cluster::TokenId(99);
  JoinToken wrong = good;
  wrong.secret.back() = static_cast<char>(wrong.secret.back() ^ 1);
  EXPECT_EQ(reason_of(enrol(request_of(used, "n3"))), "token_used");
  EXPECT_EQ(reason_of(enrol(request_of(unknown, "n3"))), "token_refused");
  EXPECT_EQ(reason_of(enrol(request_of(wrong, "n3"))), "token_refused");
  EXPECT_EQ(reason_of(enrol(request_of(good, "n2"))), "node_exists");
  EXPECT_EQ(reason_of(enrol(request_of(good, "N"))), "name_invalid");
  machine_.set_wall_offset(kTokenMs * 1ms + env::kBackdated);
  EXPECT_EQ(reason_of(enrol(request_of(good, "n3"))), "token_expired");
  EXPECT_EQ(replica_.proposals, 1);
  // Clocks may differ by as much, so this one is the leader's to decide.
  machine_.set_wall_offset(kTokenMs * 1ms + env::kBackdated / 2);
  EXPECT_EQ(reason_of(enrol(request_of(good, "n3"))), "token_expired");
  EXPECT_EQ(replica_.proposals, 2);
}

TEST_F(EnrolmentTest, ALostAnswerIsGivenAgainWithoutAnEntry) {
  const JoinToken token = make_token();
  const auto first = read(token, *enrol(request_of(token, "n2")));
  const auto again = read(token, *enrol(request_of(token, "n2")));
  ASSERT_TRUE(first && again);
  EXPECT_EQ(first->id, again->id);
  EXPECT_EQ(replica_.proposals, 1);
  auto moved = request_of(token, "n2");
  moved.set_peer_address("10.0.0.3:7481");
  EXPECT_EQ(reason_of(enrol(moved)), "ok");
  EXPECT_EQ(replica_.proposals, 2);
  EXPECT_EQ(replica_.state().find_node("n2")->peer_address, "10.0.0.3:7481");
  EXPECT_EQ(replica_.state().nodes().size(), 2u);
}

// Somebody else takes the name between the look and the entry, and gives it back.
TEST_F(EnrolmentTest, ARefusalIsNotRememberedBeyondItsCause) {
  const JoinToken token = make_token();
  replica_.before_next = [&] {
    ASSERT_TRUE(replica_.cluster.apply(Scenario::token_command(5, kTokenMs)));
    auto other = Scenario::enrol_command(5, "n2");
    ASSERT_TRUE(replica_.cluster.apply(other));
  };
  EXPECT_EQ(reason_of(enrol(request_of(token, "n2"))), "node_exists");
  EXPECT_EQ(replica_.proposals, 1);
  ASSERT_TRUE(replica_.cluster.apply("remove_node { node_id: 2 }"));
  ASSERT_TRUE(replica_.cluster.apply("drop_node { node_id: 2 }"));
  const auto enrolled = enrol(request_of(token, "n2"));
  ASSERT_EQ(reason_of(enrolled), "ok") << enrolled.error().message();
  EXPECT_EQ(replica_.state().find_node("n2")->id, NodeId(3));
}

TEST_F(EnrolmentTest, AWorkerLetsNobodyIn) {
  const JoinToken token = make_token();
  enroller_ = std::make_unique<Enroller>(env(), replica_, std::nullopt);
  EXPECT_EQ(reason_of(enrol(request_of(token, "n2"))), "not_a_server");
  EXPECT_EQ(replica_.proposals, 0);
}

TEST_F(EnrolmentTest, ALostAnswerIsGivenAgain) {
  const JoinToken token = make_token();
  {
    const sim::OnlyRare rare(world_, env::RareSite::kEnrolmentAnswerLost);
    EXPECT_EQ(reason_of(enrol(request_of(token, "n2"))), "not_ready");
    EXPECT_EQ(rare.taken(), 1u);
  }
  ASSERT_NE(replica_.state().find_node("n2"), nullptr);
  const auto answer = enrol(request_of(token, "n2"));
  ASSERT_TRUE(answer) << answer.error().message();
  const auto enrolment = read(token, *answer);
  ASSERT_TRUE(enrolment);
  EXPECT_EQ(enrolment->id, replica_.state().find_node("n2")->id);
  EXPECT_EQ(replica_.proposals, 1);
}

// At the machine.

TEST_F(EnrolmentTest, AnAnswerThatDoesNotFitIsNotTaken) {
  const JoinToken token = make_token();
  v1::EnrolAnswer good;
  ASSERT_TRUE(good.ParseFromString(*enrol(request_of(token, "n2"))));
  ASSERT_EQ(reason_of(read(token, good.SerializeAsString())), "ok");

  const WallTime now = env().clock.wall();
  // As anybody could make it who is asked: the right names, under the wrong key.
  const auto rogue = *security().make_authority(cluster_name(), now, kAuthorityLifetime);
  const auto other_key = *security().make_request();
  const auto issued = [&](const env::Authority& by, const env::KeyRequest& key, NodeId node,
                          bool server) {
    return *security().issue(by, key.request,
                             {.cluster = cluster_name(), .node = node, .server = server}, now, 1h);
  };
  using A = v1::EnrolAnswer;
  const std::pair<const char*, std::function<void(A&)>> faults[] = {
      {"another authority", [&](A& a) { a.set_authority_certificate(rogue.certificate); }},
      {"another authority's signature",
       [&](A& a) { a.set_certificate(issued(rogue, key_, NodeId(2), true)); }},
      {"another machine's key",
       [&](A& a) { a.set_certificate(issued(authority_, other_key, NodeId(2), true)); }},
      {"another node", [&](A& a) { a.set_certificate(issued(authority_, key_, NodeId(3), true)); }},
      {"no mark", [&](A& a) { a.set_certificate(issued(authority_, key_, NodeId(2), false)); }},
      {"a worker with a mark",
       [&](A& a) {
         a.set_role(v1::NODE_ROLE_WORKER);
         a.clear_authority_key();
       }},
      {"an authority as a node", [&](A& a) { a.set_certificate(authority_.certificate); }},
      {"no certificate", [](A& a) { a.clear_certificate(); }},
      {"a damaged one", [](A& a) { a.mutable_certificate()->at(40) ^= 1; }},
      {"another authority's key", [&](A& a) { a.set_authority_key(rogue.key); }},
      {"no key of the authority", [](A& a) { a.clear_authority_key(); }},
      {"another cluster", [](A& a) { a.set_cluster(std::string(16, 'c')); }},
      {"no id", [](A& a) { a.clear_node_id(); }},
      {"itself among the members", [](A& a) { a.mutable_members(0)->set_node_id(2); }},
      {"a member without id", [](A& a) { a.mutable_members(0)->clear_node_id(); }},
      {"a member on a socket",
       [](A& a) { a.mutable_members(0)->set_peer_address("unix:/run/x.sock"); }},
      {"no members", [](A& a) { a.clear_members(); }},
  };
  for (const auto& [what, damage] : faults) {
    v1::EnrolAnswer answer = good;
    damage(answer);
    const auto taken = read(token, answer.SerializeAsString());
    EXPECT_EQ(reason_of(taken), "enrolment_invalid") << what;
    if (!taken) EXPECT_EQ(taken.error().code(), Code::kDataLoss) << what;
  }
  EXPECT_EQ(reason_of(read(token, "not an answer")), "enrolment_invalid");
}

}  // namespace
}  // namespace blixard::membership
