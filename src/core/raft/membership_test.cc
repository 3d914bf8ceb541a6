// Changes of the configuration: the thesis' chapter 4.

#include <gtest/gtest.h>

#include "core/raft/core.h"
#include "core/raft/test_cluster.h"

namespace blixard::raft {
namespace {

ConfChange one(ConfChangeType type, std::uint64_t node) {
  return {.changes = {{type, NodeId(node)}}};
}
ConfChange add(std::uint64_t node) { return one(ConfChangeType::kAddVoter, node); }
ConfChange add_learner(std::uint64_t node) { return one(ConfChangeType::kAddLearner, node); }
ConfChange remove(std::uint64_t node) { return one(ConfChangeType::kRemove, node); }

class Membership : public ::testing::Test {
 protected:
  Membership() : cluster(voters({1, 2, 3})) { cluster.elect(1); }
  void change(const ConfChange& what, EntryKind kind = EntryKind::kConfiguration) {
    ASSERT_TRUE(cluster.core(1).propose(what, kind));
    cluster.settle();
  }
  TestCluster cluster;
};

TEST_F(Membership, ALearnerCatchesUpAndIsPromoted) {
  cluster.propose(1, "a");
  cluster.add(4, voters({1, 2, 3}));
  change(add_learner(4));
  cluster.tick(1);
  cluster.settle();
  EXPECT_EQ(cluster.core(4).status().configuration, voters({1, 2, 3}, {4}));
  EXPECT_EQ(cluster[4].commands(), std::vector<std::string>{"a"});
  change(add(4));
  for (const std::uint64_t id : {1u, 2u, 3u, 4u})
    EXPECT_EQ(cluster.core(id).status().configuration, voters({1, 2, 3, 4}));
}

TEST_F(Membership, ALearnerDoesNotCount) {
  change(add_learner(4));
  cluster.isolated[NodeId(2)] = true;
  cluster.isolated[NodeId(3)] = true;
  cluster.add(4, voters({1, 2, 3}));
  const LogIndex commit = cluster.core(1).commit();
  cluster.propose(1, "a");
  EXPECT_EQ(cluster.core(1).commit(), commit);
}

TEST_F(Membership, OneChangeAtATime) {
  ASSERT_TRUE(cluster.core(1).propose(add_learner(4)));
  ASSERT_TRUE(cluster.core(1).propose(add_learner(5)));
  EXPECT_EQ(cluster[1].events.count(EventKind::kConfChangeRefused), 1u);
  cluster.settle();
  EXPECT_EQ(cluster.core(1).status().configuration, voters({1, 2, 3}, {4}));
  change(add_learner(5));
  EXPECT_EQ(cluster.core(1).status().configuration, voters({1, 2, 3}, {4, 5}));
}

TEST_F(Membership, TwoInOneProposalAreOneToo) {
  std::vector<Entry> entries(2);
  entries[0] = {{}, {}, EntryKind::kConfiguration, encode_conf_change(add_learner(4))};
  entries[1] = {{}, {}, EntryKind::kConfiguration, encode_conf_change(add_learner(5))};
  ASSERT_TRUE(cluster.core(1).propose(std::move(entries)));
  cluster.settle();
  EXPECT_EQ(cluster.core(1).status().configuration, voters({1, 2, 3}, {4}));
}

TEST_F(Membership, NoneBeforeEarlierEntriesAreApplied) {
  cluster.isolated[NodeId(1)] = true;
  ASSERT_TRUE(cluster.core(2).forget_leader());
  ASSERT_TRUE(cluster.core(3).forget_leader());
  // Node 2 leads with an entry that it cannot have applied.
  ASSERT_TRUE(cluster.core(1).propose(std::vector<Entry>{command("x")}));
  TestCluster other(voters({1, 2, 3}));
  other[1].storage.write({.entries = {{Term(1), LogIndex(1)}}});
  other[1].storage.hard_state = {Term(1), NodeId(), LogIndex()};
  other.restart(1);
  other.drop = [](const Message& message) { return message.type == MessageType::kAppend; };
  ASSERT_TRUE(other.core(1).campaign());
  other.settle();
  ASSERT_EQ(other.core(1).role(), Role::kLeader);
  ASSERT_TRUE(other.core(1).propose(add_learner(4)));
  EXPECT_EQ(other[1].events.count(EventKind::kConfChangeRefused), 1u);
}

TEST_F(Membership, LeavingWhatIsNotJointIsRefused) {
  change({});
  EXPECT_EQ(cluster[1].events.count(EventKind::kConfChangeRefused), 1u);
  EXPECT_EQ(cluster.core(1).status().configuration, voters({1, 2, 3}));
}

TEST_F(Membership, AJointChangeLeavesByItself) {
  ConfChange change_of_two;
  change_of_two.changes = {{ConfChangeType::kAddVoter, NodeId(4)},
                           {ConfChangeType::kRemove, NodeId(3)}};
  cluster.add(4, voters({1, 2, 3}));
  change(change_of_two);
  cluster.tick(1);
  cluster.settle();
  EXPECT_EQ(cluster[1].events.count(EventKind::kAutoLeave), 1u);
  EXPECT_EQ(cluster.core(1).status().configuration, voters({1, 2, 4}));
  EXPECT_EQ(cluster.core(4).status().configuration, voters({1, 2, 4}));
}

TEST_F(Membership, AnExplicitJointChangeWaits) {
  ConfChange joint = add(4);
  joint.transition = ConfTransition::kJointExplicit;
  cluster.add(4, voters({1, 2, 3}));
  change(joint);
  cluster.tick(1);
  cluster.settle();
  EXPECT_TRUE(is_joint(cluster.core(1).status().configuration));
  change(remove(2));
  EXPECT_TRUE(is_joint(cluster.core(1).status().configuration));
  change({});
  EXPECT_EQ(cluster.core(1).status().configuration, voters({1, 2, 3, 4}));
}

TEST_F(Membership, AJointConfigurationNeedsBothMajorities) {
  ConfChange joint;
  joint.transition = ConfTransition::kJointExplicit;
  joint.changes = {{ConfChangeType::kAddVoter, NodeId(4)},
                   {ConfChangeType::kRemove, NodeId(2)},
                   {ConfChangeType::kRemove, NodeId(3)}};
  change(joint);  // node 4 does not exist yet
  const LogIndex commit = cluster.core(1).commit();
  cluster.propose(1, "a");  // the old majority alone is not enough
  EXPECT_EQ(cluster.core(1).commit(), commit);
  cluster.add(4, voters({1, 2, 3}));
  cluster.tick(1);
  cluster.settle();
  EXPECT_GT(cluster.core(1).commit(), commit);
}

TEST_F(Membership, ARemovedLeaderStepsDown) {
  change(remove(1));
  EXPECT_EQ(cluster.core(1).role(), Role::kFollower);
  cluster.tick(1, 50);
  EXPECT_EQ(cluster.core(1).role(), Role::kFollower);
  ASSERT_TRUE(cluster.core(2).forget_leader());
  ASSERT_TRUE(cluster.core(3).forget_leader());
  cluster.elect(2);
  EXPECT_EQ(cluster.core(3).leader(), NodeId(2));
}

TEST_F(Membership, ARemovedLeaderMayStayIfTold) {
  TestCluster other(voters({1, 2, 3}), [](Config& config) { config.step_down_on_removal = false; });
  other.elect(1);
  ASSERT_TRUE(other.core(1).propose(remove(1)));
  other.settle();
  EXPECT_EQ(other.core(1).role(), Role::kLeader);
  EXPECT_FALSE(other.core(1).propose(std::vector<Entry>{command("x")}));
}

TEST_F(Membership, ATransferToWhoIsRemovedEnds) {
  cluster.drop = [](const Message& message) { return message.type == MessageType::kTimeoutNow; };
  ASSERT_TRUE(cluster.core(1).propose(remove(3)));
  cluster.core(1).transfer_leader(NodeId(3));
  cluster.settle();
  EXPECT_EQ(cluster.core(1).status().transferee, NodeId());
}

TEST_F(Membership, ASmallerQuorumMayHaveMore) {
  TestCluster other(voters({1, 2}));
  other.elect(1);
  ASSERT_TRUE(other.core(1).propose(remove(2)));
  ASSERT_TRUE(other.core(1).propose(std::vector<Entry>{command("x")}));
  other.drop = [](const Message& message) {  // node 2 gets the change and nothing behind it
    return message.to == NodeId(2) && !message.entries.empty() && message.index >= LogIndex(2);
  };
  other.settle();
  EXPECT_EQ(other[1].commands(), std::vector<std::string>{"x"});
}

TEST_F(Membership, AChangeThatCannotBeChangesNothing) {
  const auto refused =
      cluster.core(1).apply_conf_change({.changes = {{ConfChangeType::kRemove, NodeId(1)},
                                                     {ConfChangeType::kRemove, NodeId(2)},
                                                     {ConfChangeType::kRemove, NodeId(3)}}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason(), "conf_change_invalid");
  EXPECT_EQ(cluster.core(1).status().configuration, voters({1, 2, 3}));
  EXPECT_EQ(cluster.core(1).apply_conf_change({}), voters({1, 2, 3}));
}

TEST_F(Membership, AProposalThatIsNoChangeIsRefused) {
  std::vector<Entry> entries(1);
  entries[0] = {{}, {}, EntryKind::kConfiguration, Payload(std::string("nonsense"))};
  const LogIndex last = cluster.core(1).last_index();
  EXPECT_FALSE(cluster.core(1).propose(entries));
  entries[0] = {{}, {}, EntryKind::kConfigurationV1, encode_conf_change({})};
  EXPECT_FALSE(cluster.core(1).propose(entries));
  EXPECT_EQ(cluster.core(1).last_index(), last);
  ConfChange large;
  large.changes.resize(10'000);
  EXPECT_FALSE(cluster.core(1).propose(large));
}

}  // namespace
}  // namespace blixard::raft
