// Who belongs to the cluster: tokens, enrolment, removal.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "core/cluster/scenario.h"
#include "core/cluster/state.h"

namespace blixard::cluster {
namespace {

constexpr std::int64_t kLater = 1'000'000;

std::string_view reason_of(const Result<Outcome>& outcome) {
  return outcome ? "success" : outcome.error().reason();
}

TEST(Member, TheFounderIsNodeOneAndItsOnlyVoter) {
  const Scenario cluster = Scenario::founded();
  ASSERT_EQ(cluster.state.nodes().size(), 1u);
  const Node& founder = cluster.state.nodes().at(NodeId(1));
  EXPECT_EQ(founder.name, "n1");
  EXPECT_EQ(founder.role, NodeRole::kServer);
  EXPECT_EQ(cluster.state.configuration().voters, std::vector{NodeId(1)});
  EXPECT_EQ(cluster.state.find_node("n1"), &founder);
  EXPECT_FALSE(State::found({.cluster = {}, .name = "N", .peer_address = "a:1"}));
  for (const char* address : {"", "a", "a:", ":1", "a:x", "a:123456", "a\n:1"}) {
    EXPECT_FALSE(State::found({.cluster = {}, .name = "n", .peer_address = address})) << address;
  }
}

TEST(Member, RegistersOnlyWhenItIsOne) {
  Scenario cluster = Scenario::founded();
  EXPECT_TRUE(cluster.add_node(1, 4, 1024));
  EXPECT_EQ(cluster.state.find_node(NodeId(1))->peer_address, "10.0.0.1:7481");
  EXPECT_EQ(reason_of(cluster.add_node(2, 4, 1024)), "node_not_found");
}

TEST(Member, EntersWithATokenOnce) {
  Scenario cluster = Scenario::founded();
  ASSERT_TRUE(cluster.apply(Scenario::token_command(5, kLater, v1::NODE_ROLE_WORKER)));
  const auto enrolled = cluster.enrol(5, "w");
  ASSERT_TRUE(enrolled);
  EXPECT_EQ(enrolled->object_id, 2u);
  const Node* node = cluster.state.find_node("w");
  EXPECT_EQ(node->role, NodeRole::kWorker);
  EXPECT_EQ(node->peer_address, "10.0.0.2:7481");
  EXPECT_EQ(cluster.state.membership(node->id), Membership::kNone);
  EXPECT_EQ(cluster.state.tokens().at(TokenId(5)).used_by, NodeId(2));
  EXPECT_EQ(reason_of(cluster.enrol(5, "other", 'z')), "token_used");
  EXPECT_EQ(cluster.state.nodes().size(), 2u);
}

// It lost the answer, and perhaps the cluster forgot its request: the key proves who asks.
TEST(Member, ComesAgainWithTheSameKeyAndIsTheSameNode) {
  Scenario cluster = Scenario::founded();
  ASSERT_TRUE(cluster.apply(Scenario::token_command(5, kLater)));
  ASSERT_EQ(cluster.enrol(5, "n2")->object_id, 2u);
  auto again = Scenario::enrol_command(5, "n2");
  again.mutable_enrol_node()->set_peer_address("10.0.0.9:7481");
  again.set_time_unix_ms(2 * kLater);
  const auto may = cluster.state.may_enrol(again.enrol_node(), WallTime{2 * kLater});
  ASSERT_TRUE(may);
  EXPECT_EQ(*may, cluster.state.find_node(NodeId(2)));
  EXPECT_EQ((*may)->peer_address, "10.0.0.2:7481");  // it only looks
  ASSERT_EQ(cluster.apply(again)->object_id, 2u);
  EXPECT_EQ(cluster.state.find_node(NodeId(2))->peer_address, "10.0.0.9:7481");
  EXPECT_EQ(cluster.state.nodes().size(), 2u);
}

TEST(Member, RetryByRequestIdActsOnce) {
  Scenario cluster = Scenario::founded();
  auto token = Scenario::token_command(5, kLater);
  token.set_request_id("tttttttttttttttt");
  ASSERT_EQ(cluster.apply(token)->object_id, 5u);
  token.mutable_create_token()->set_token_id(6);  // a server makes it anew
  ASSERT_EQ(cluster.apply(token)->object_id, 5u);
  EXPECT_EQ(cluster.state.tokens().size(), 1u);
  auto enrol = Scenario::enrol_command(5, "n2");
  enrol.set_request_id("eeeeeeeeeeeeeeee");
  ASSERT_EQ(cluster.apply(enrol)->object_id, 2u);
  ASSERT_EQ(cluster.apply(enrol)->object_id, 2u);
  EXPECT_EQ(cluster.state.nodes().size(), 2u);
}

TEST(Member, IsRefusedWithoutAGoodTokenNameAddressOrKey) {
  Scenario cluster = Scenario::founded();
  ASSERT_TRUE(cluster.apply(Scenario::token_command(5, kLater)));
  using E = v1::EnrolNode;
  const std::pair<std::string_view, std::function<void(E&)>> faults[] = {
      {"token_refused", [](E& e) { e.set_token_id(6); }},
      {"token_refused", [](E& e) { e.set_secret_hash(std::string(32, '?')); }},
      {"token_refused", [](E& e) { e.set_secret_hash("short"); }},
      {"name_invalid", [](E& e) { e.set_name("N"); }},
      {"node_exists", [](E& e) { e.set_name("n1"); }},
      {"node_invalid", [](E& e) { e.set_peer_address("nowhere"); }},
      {"node_invalid", [](E& e) { e.clear_key_digest(); }},
      {"node_invalid", [](E& e) { e.set_key_digest(std::string(32, '\0')); }},
  };
  for (const auto& [expected, damage] : faults) {
    auto command = Scenario::enrol_command(5, "n2");
    damage(*command.mutable_enrol_node());
    const std::string before = cluster.state.hash();
    const auto may = cluster.state.may_enrol(command.enrol_node(), WallTime{1});
    EXPECT_EQ(may ? "success" : may.error().reason(), expected);
    EXPECT_EQ(reason_of(cluster.apply(command)), expected);
    EXPECT_EQ(cluster.state.hash(), before) << expected;
  }
  auto late = Scenario::enrol_command(5, "n2");
  late.set_time_unix_ms(kLater + 1000);
  EXPECT_EQ(reason_of(cluster.apply(late)), "token_expired");
  ASSERT_TRUE(cluster.apply("revoke_token { token_id: 5 }"));
  EXPECT_EQ(reason_of(cluster.enrol(5, "n2")), "token_refused");
  EXPECT_EQ(reason_of(cluster.apply("revoke_token { token_id: 5 }")), "token_not_found");
}

TEST(Member, TokensAreBoundedAndExpiredOnesMakeRoom) {
  Scenario cluster = Scenario::founded();
  for (std::uint64_t id = 1; id <= limits::kTokens; ++id) {
    auto command = Scenario::token_command(id, kLater);
    command.set_time_unix_ms(1);
    ASSERT_TRUE(cluster.apply(command));
  }
  auto more = Scenario::token_command(limits::kTokens + 1, 2 * kLater);
  more.set_time_unix_ms(kLater);
  EXPECT_EQ(reason_of(cluster.apply(more)), "too_many_tokens");
  more.set_time_unix_ms(kLater + 1);
  EXPECT_TRUE(cluster.apply(more));
  EXPECT_EQ(cluster.state.tokens().size(), 1u);
  EXPECT_EQ(reason_of(cluster.apply(more)), "token_exists");
  EXPECT_EQ(reason_of(cluster.apply(Scenario::token_command(3, 0))), "token_invalid");
}

TEST(Member, LeavesInTwoStepsAndItsIdIsNeverUsedAgain) {
  Scenario cluster = Scenario::founded();
  for (const std::uint64_t token : {1, 2})
    ASSERT_TRUE(cluster.apply(Scenario::token_command(token, kLater)));
  ASSERT_TRUE(cluster.enrol(1, "n2"));
  ASSERT_TRUE(cluster.configure({NodeId(1), NodeId(2)}));
  EXPECT_EQ(reason_of(cluster.apply("drop_node { node_id: 2 }")), "node_not_leaving");
  ASSERT_TRUE(cluster.apply("remove_node { node_id: 2 }"));
  EXPECT_TRUE(cluster.state.find_node(NodeId(2))->leaving);
  ASSERT_TRUE(cluster.apply("remove_node { node_id: 2 }"));
  const auto drop = Scenario::command("drop_node { node_id: 2 }");
  cluster.changes.clear();
  ASSERT_TRUE(cluster.configure({NodeId(1)}, {}, &drop));
  EXPECT_EQ(cluster.changes.back().kind, Change::Kind::kNodeRemoved);
  EXPECT_EQ(cluster.state.find_node("n2"), nullptr);
  EXPECT_TRUE(cluster.state.was_removed(NodeId(2)));
  EXPECT_FALSE(cluster.state.was_removed(NodeId(3)));
  EXPECT_FALSE(cluster.state.was_removed(NodeId(1)));
  EXPECT_TRUE(cluster.apply(drop));
  EXPECT_EQ(reason_of(cluster.enrol(1, "n2")), "token_used");
  EXPECT_EQ(cluster.enrol(2, "n2")->object_id, 3u);
  EXPECT_TRUE(cluster.state.was_removed(NodeId(2)));
  EXPECT_EQ(reason_of(cluster.apply("remove_node { node_id: 2 }")), "node_not_found");
}

TEST(Member, OneVoterAlwaysStays) {
  Scenario cluster = Scenario::founded();
  EXPECT_EQ(reason_of(cluster.apply("remove_node { node_id: 1 }")), "last_voter");
  ASSERT_TRUE(cluster.apply(Scenario::token_command(1, kLater)));
  ASSERT_TRUE(cluster.enrol(1, "n2"));
  ASSERT_TRUE(cluster.configure({NodeId(1)}, {NodeId(2)}));
  EXPECT_EQ(reason_of(cluster.apply("remove_node { node_id: 1 force: true }")), "last_voter");
  ASSERT_TRUE(cluster.configure({NodeId(1), NodeId(2)}));
  ASSERT_TRUE(cluster.apply("remove_node { node_id: 1 }"));
  EXPECT_EQ(reason_of(cluster.apply("remove_node { node_id: 2 }")), "last_voter");
}

class MemberWithVms : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(cluster_.add_image("alpine"));
    ASSERT_TRUE(cluster_.apply(Scenario::token_command(1, kLater)));
    ASSERT_TRUE(cluster_.enrol(1, "n2"));
    ASSERT_TRUE(cluster_.add_node(1, 4, 1024));
    ASSERT_TRUE(cluster_.add_node(2, 4, 1024));
    for (const char* name : {"web", "going"}) {
      ASSERT_TRUE(cluster_.create(name, 1, 128, name[0] == 'w' ? 8080 : 0));
      ASSERT_TRUE(cluster_.place(name, 2));
    }
    ASSERT_TRUE(cluster_.report("web", v1::VM_STATE_STARTING));
    ASSERT_TRUE(cluster_.desire("going", v1::VM_DESIRED_DELETED));
  }
  Scenario cluster_ = Scenario::founded();
};

TEST_F(MemberWithVms, IsNotRemovedUnlessForced) {
  EXPECT_EQ(reason_of(cluster_.apply("remove_node { node_id: 2 }")), "node_has_vms");
  EXPECT_FALSE(cluster_.state.find_node(NodeId(2))->leaving);
  const Vm before = *cluster_.state.find_vm("web");
  ASSERT_TRUE(cluster_.apply("remove_node { node_id: 2 force: true }"));
  EXPECT_EQ(cluster_.state.find_vm("going"), nullptr);
  const Vm* web = cluster_.state.find_vm("web");
  EXPECT_EQ(web->state, VmState::kPending);
  EXPECT_FALSE(web->node);
  EXPECT_EQ(web->generation, before.generation.next());
  EXPECT_EQ(web->reason, "node n2 was removed");
}

TEST_F(MemberWithVms, WhatAForcedOneStillSaysIsStale) {
  const Vm before = *cluster_.state.find_vm("web");
  ASSERT_TRUE(cluster_.apply("remove_node { node_id: 2 force: true }"));
  EXPECT_EQ(reason_of(cluster_.place("web", 2)), "node_leaving");
  ASSERT_TRUE(cluster_.place("web", 1));
  const Vm placed = *cluster_.state.find_vm("web");
  auto late = Scenario::command("report_vms { node_id: 2 reports { state: VM_STATE_RUNNING } }");
  late.mutable_report_vms()->mutable_reports(0)->set_vm_id(before.id.value);
  late.mutable_report_vms()->mutable_reports(0)->set_generation(before.generation.value);
  EXPECT_TRUE(cluster_.apply(late));
  EXPECT_EQ(*cluster_.state.find_vm("web"), placed);
  EXPECT_GT(placed.generation, before.generation.next());
}

TEST(Member, AnAddressCanChange) {
  Scenario cluster = Scenario::founded();
  EXPECT_TRUE(cluster.apply("update_node_address { node_id: 1 peer_address: 'db:9' }"));
  EXPECT_EQ(cluster.state.find_node(NodeId(1))->peer_address, "db:9");
  EXPECT_FALSE(cluster.apply("update_node_address { node_id: 1 peer_address: 'db' }"));
  EXPECT_FALSE(cluster.apply("update_node_address { node_id: 2 peer_address: 'db:9' }"));
}

// What is said is in a version that every node knows, so that none has to stop.
TEST(Member, SpeakTheNewestModelThatAllKnow) {
  Scenario cluster = Scenario::founded();
  cluster.version = 3;
  const auto tell = [&](int node, int version) {
    return cluster.apply(fmt::format(
        R"(register_node {{ node_id: {} name: "n{}" model_version: {} }})", node, node, version));
  };
  const auto said = [&] { return cluster.state.model_version(); };
  EXPECT_EQ(said(), kUntoldModelVersion);
  ASSERT_TRUE(tell(1, 3));
  EXPECT_EQ(said(), 3u);
  for (int node : {2, 3}) {
    ASSERT_TRUE(cluster.apply(Scenario::token_command(static_cast<std::uint64_t>(node), kLater)));
    ASSERT_TRUE(cluster.enrol(static_cast<std::uint64_t>(node), "n" + std::to_string(node)));
  }
  ASSERT_TRUE(tell(1, 7));
  ASSERT_TRUE(tell(2, 8));
  EXPECT_EQ(said(), 3u) << "the third has said nothing yet";
  ASSERT_TRUE(tell(3, 7));
  EXPECT_EQ(said(), 7u);
  ASSERT_TRUE(tell(1, 8));
  EXPECT_EQ(said(), 7u);
  const auto restored = State::decode(cluster.state.encode());
  ASSERT_FALSE(restored) << "of a program that knows more";
  EXPECT_EQ(restored.error().reason(), "model_too_new");
  ASSERT_TRUE(cluster.apply("remove_node { node_id: 3 }"));
  EXPECT_EQ(said(), 7u);
  ASSERT_TRUE(cluster.apply("drop_node { node_id: 3 }"));
  EXPECT_EQ(said(), 8u);
  ASSERT_TRUE(tell(2, 4));
  EXPECT_EQ(said(), 8u) << "it never falls";
  EXPECT_EQ(reason_of(tell(2, 1)), "success");  // said nothing, as programs of before
  EXPECT_EQ(reason_of(tell(2, 2'000'000)), "node_invalid");
}

TEST(Member, TheModelsVersionIsInSnapshots) {
  Scenario cluster = Scenario::founded();
  EXPECT_EQ(State::decode(cluster.state.encode())->model_version(), kUntoldModelVersion);
  ASSERT_TRUE(cluster.apply(fmt::format(
      R"(register_node {{ node_id: 1 name: "n1" model_version: {} }})", kModelVersion)));
  const auto restored = State::decode(cluster.state.encode());
  ASSERT_TRUE(restored);
  EXPECT_EQ(restored->model_version(), kModelVersion);
  EXPECT_EQ(restored->find_node(NodeId(1))->model_version, kModelVersion);
  EXPECT_EQ(restored->hash(), cluster.state.hash());
}

}  // namespace
}  // namespace blixard::cluster
