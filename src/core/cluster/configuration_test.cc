// Who takes part in consensus, as part of the replicated state.

#include <gtest/gtest.h>

#include "core/cluster/scenario.h"
#include "core/cluster/state.h"

namespace blixard::cluster {
namespace {

raft::ConfState of(std::vector<NodeId> voters, std::vector<NodeId> learners = {}) {
  return {.voters = std::move(voters), .learners = std::move(learners)};
}

TEST(Configuration, IsPartOfTheStateItsBytesAndItsHash) {
  Scenario cluster;
  EXPECT_TRUE(cluster.add_node(1, 4, 1024));
  const std::string before = cluster.state.hash();
  const raft::ConfState joint{.voters = {NodeId(1), NodeId(2)},
                              .learners = {NodeId(4)},
                              .voters_outgoing = {NodeId(1), NodeId(3)},
                              .learners_next = {NodeId(3)},
                              .auto_leave = true};
  const auto outcome = cluster.state.apply_configuration(LogIndex(9), joint, "", {});
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->index, LogIndex(9));
  EXPECT_EQ(cluster.state.configuration(), joint);
  EXPECT_NE(cluster.state.hash(), before);
  const auto restored = State::decode(cluster.state.encode());
  ASSERT_TRUE(restored) << restored.error().message();
  EXPECT_EQ(restored->configuration(), joint);
  EXPECT_TRUE(*restored == cluster.state);
  EXPECT_EQ(restored->membership(NodeId(3)), Membership::kVoter);
  EXPECT_EQ(restored->membership(NodeId(4)), Membership::kLearner);
  EXPECT_EQ(restored->membership(NodeId(5)), Membership::kNone);
}

TEST(Configuration, TheCommandThatCameWithItIsApplied) {
  Scenario cluster;
  const auto image = Scenario::command(
      "add_image { name: 'a' files { name: 'f' bytes: 1 "
      "digest: '01234567890123456789012345678901' } }");
  const auto outcome = cluster.state.apply_configuration(LogIndex(3), of({NodeId(1)}),
                                                         image.SerializeAsString(), {});
  ASSERT_TRUE(outcome);
  EXPECT_NE(cluster.state.find_image("a"), nullptr);
  EXPECT_EQ(outcome->object_id, cluster.state.find_image("a")->id.value);
}

TEST(Configuration, ChangesThoughItsCommandIsRefusedOrDamaged) {
  Scenario cluster;
  const auto none = Scenario::command("remove_image { name: 'none' }").SerializeAsString();
  const auto refused = cluster.state.apply_configuration(LogIndex(3), of({NodeId(1)}), none, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason(), "image_not_found");
  EXPECT_EQ(cluster.state.configuration(), of({NodeId(1)}));
  const auto damaged =
      cluster.state.apply_configuration(LogIndex(4), of({NodeId(2)}), "\xff\xff", {});
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code(), Code::kDataLoss);
  EXPECT_EQ(cluster.state.configuration(), of({NodeId(2)}));
}

TEST(Configuration, ItsChangesAreToldOfTheNodesTheyConcern) {
  Scenario cluster;
  EXPECT_TRUE(cluster.add_node(1, 4, 1024));
  EXPECT_TRUE(cluster.add_node(2, 4, 1024));
  cluster.changes.clear();
  const auto keep = [&](const Change& change) { cluster.changes.push_back(change); };
  EXPECT_TRUE(cluster.state.apply_configuration(LogIndex(9), of({NodeId(1)}), "", keep));
  ASSERT_EQ(cluster.changes.size(), 1u);
  EXPECT_EQ(cluster.changes[0].object_id, 1u);
  EXPECT_TRUE(
      cluster.state.apply_configuration(LogIndex(10), of({NodeId(1)}, {NodeId(2)}), "", keep));
  ASSERT_EQ(cluster.changes.size(), 2u);
  EXPECT_EQ(cluster.changes[1].name, "n2");
  EXPECT_EQ(cluster.changes[1].kind, Change::Kind::kNodeChanged);
  EXPECT_EQ(cluster.changes[1].revision, cluster.state.revision());
}

TEST(Configuration, OneThatCannotBeIsRefusedFromASnapshot) {
  Scenario cluster;
  v1::StateSnapshot snapshot;
  ASSERT_TRUE(snapshot.ParseFromString(cluster.state.encode()));
  const auto refuses = [](v1::StateSnapshot bad) {
    return !State::decode(bad.SerializeAsString());
  };
  auto unsorted = snapshot;
  unsorted.mutable_configuration()->add_voters(2);
  unsorted.mutable_configuration()->add_voters(1);
  EXPECT_TRUE(refuses(unsorted));
  auto zero = snapshot;
  zero.mutable_configuration()->add_voters(0);
  EXPECT_TRUE(refuses(zero));
  auto both = snapshot;
  both.mutable_configuration()->add_voters(1);
  both.mutable_configuration()->add_learners(1);
  EXPECT_TRUE(refuses(both));
}

}  // namespace
}  // namespace blixard::cluster
