#include "core/cluster/members.h"

#include <gtest/gtest.h>

#include "core/cluster/scenario.h"

namespace blixard::cluster {
namespace {

const std::vector<std::string> kAddresses{"10.0.0.1:7481", "10.0.0.2:7481", "10.0.0.3:7481"};

TEST(Members, SayWhatTheStateSays) {
  Scenario cluster;
  cluster.state = Scenario::first_state(kAddresses, 2);
  ASSERT_TRUE(cluster.apply("remove_node { node_id: 3 }"));
  const Members members(cluster.state, {});
  ASSERT_EQ(members.size(), cluster.state.nodes().size());
  for (const auto& [id, node] : cluster.state.nodes()) {
    const Member* member = members.find(id);
    ASSERT_NE(member, nullptr);
    EXPECT_EQ(member->peer->id, id);
    EXPECT_EQ(member->peer->name, node.name);
    EXPECT_EQ(member->peer->address, node.peer_address);
    EXPECT_EQ(member->peer->role, node.role);
    EXPECT_EQ(member->membership, cluster.state.membership(id));
    EXPECT_EQ(member->leaving, node.leaving);
  }
  EXPECT_EQ(members.find(NodeId(4)), nullptr);
  EXPECT_EQ(members.name_of(NodeId(2)), "n2");
  EXPECT_EQ(members.name_of(NodeId(4)), "");
  EXPECT_TRUE(members.find(NodeId(3))->leaving);
}

TEST(Members, MembershipIsTheConfigurations) {
  Scenario cluster;
  cluster.state = Scenario::first_state(kAddresses, 1);
  const auto joint = cluster.state.apply_configuration(
      LogIndex(2), {.voters = {NodeId(1)}, .learners = {NodeId(3)}, .voters_outgoing = {NodeId(2)}},
      {}, nullptr);
  ASSERT_TRUE(joint);
  const Members members(cluster.state, {});
  EXPECT_EQ(members.find(NodeId(1))->membership, Membership::kVoter);
  EXPECT_EQ(members.find(NodeId(2))->membership, Membership::kVoter);
  EXPECT_EQ(members.find(NodeId(3))->membership, Membership::kLearner);
}

TEST(Members, WhatDidNotChangeIsTheSameRecord) {
  Scenario cluster;
  cluster.state = Scenario::first_state(kAddresses, 3);
  const Members before(cluster.state, {});
  ASSERT_TRUE(cluster.apply(R"(update_node_address { node_id: 2 peer_address: "10.0.0.9:7481" })"));
  const Members after(cluster.state, before);
  EXPECT_NE(after, before);
  EXPECT_EQ(after.find(NodeId(1))->peer.get(), before.find(NodeId(1))->peer.get());
  EXPECT_EQ(after.find(NodeId(3))->peer.get(), before.find(NodeId(3))->peer.get());
  EXPECT_EQ(before.find(NodeId(2))->peer->address, "10.0.0.2:7481");
  EXPECT_EQ(after.find(NodeId(2))->peer->address, "10.0.0.9:7481");
}

// Ids grow and are never given out again, so members leave holes.
TEST(Members, AreFoundAmongHoles) {
  Scenario cluster;
  for (const std::uint64_t id : {2U, 3U, 7U, 9U, 40U})
    ASSERT_TRUE(cluster.add_node(id, 1, 1024));
  const Members members(cluster.state, {});
  for (std::uint64_t id = 0; id < 50; ++id) {
    const Member* found = members.find(NodeId(id));
    EXPECT_EQ(found != nullptr, cluster.state.find_node(NodeId(id)) != nullptr) << id;
    if (found != nullptr) EXPECT_EQ(found->peer->id, NodeId(id));
  }
  EXPECT_EQ(Members().find(NodeId(1)), nullptr);
}

// What a node tells of its capacity is no news to who wants to reach it.
TEST(Members, AreEqualWhereNothingOfTheirsChanged) {
  Scenario cluster;
  cluster.state = Scenario::first_state(kAddresses, 3);
  const Members before(cluster.state, {});
  ASSERT_TRUE(cluster.add_node(2, 8, 4096));
  EXPECT_EQ(Members(cluster.state, before), before);
}

}  // namespace
}  // namespace blixard::cluster
