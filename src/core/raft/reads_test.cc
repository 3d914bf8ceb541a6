// Linearizable reads: the thesis' section 6.4.

#include <gtest/gtest.h>

#include "core/raft/core.h"
#include "core/raft/test_cluster.h"

namespace blixard::raft {
namespace {

constexpr ReadId kRead{7, 1};
constexpr ReadId kNext{7, 2};

TEST(Reads, NeedAQuorum) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(1);
  cluster.propose(1, "a");
  cluster.core(1).read_index(kRead);
  cluster.take(1);
  EXPECT_TRUE(cluster[1].reads.empty());
  cluster.settle();
  EXPECT_EQ(cluster[1].reads, (std::vector<ReadState>{{kRead, LogIndex(2)}}));
  cluster.isolated[NodeId(2)] = true;
  cluster.isolated[NodeId(3)] = true;
  cluster.core(1).read_index(kNext);
  cluster.settle();
  EXPECT_EQ(cluster[1].reads.size(), 1u);
}

TEST(Reads, OfFollowersAreAnsweredByTheLeader) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(1);
  cluster.core(2).read_index(kRead);
  cluster.settle();
  EXPECT_EQ(cluster[2].reads, (std::vector<ReadState>{{kRead, LogIndex(1)}}));
  EXPECT_TRUE(cluster[1].reads.empty());
}

TEST(Reads, WaitForACommitInTheTerm) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.drop = [](const Message& message) { return message.type == MessageType::kAppend; };
  ASSERT_TRUE(cluster.core(1).campaign());
  cluster.settle();
  ASSERT_EQ(cluster.core(1).role(), Role::kLeader);
  cluster.core(1).read_index(kRead);
  cluster.settle();
  EXPECT_TRUE(cluster[1].reads.empty());
  cluster.drop = nullptr;
  cluster.tick(1);
  cluster.settle();
  EXPECT_EQ(cluster[1].reads, (std::vector<ReadState>{{kRead, LogIndex(1)}}));
}

TEST(Reads, OfOneVoterWaitForACommitInTheTerm) {
  TestCluster cluster(voters({1}));
  TestNode& node = cluster[1];
  // Acknowledged in an earlier life; the commit index was not durable.
  node.storage.write({.entries = {{Term(1), LogIndex(1)}}});
  node.storage.hard_state = {Term(1), NodeId(1), LogIndex()};
  cluster.restart(1);
  ASSERT_TRUE(cluster.core(1).campaign());
  while (cluster.core(1).role() != Role::kLeader) {
    cluster.take(1);
    cluster.complete_one(1);
  }
  cluster.core(1).read_index(kRead);
  cluster.take(1);
  EXPECT_TRUE(node.reads.empty());
  cluster.complete(1);
  EXPECT_EQ(node.reads, (std::vector<ReadState>{{kRead, LogIndex(2)}}));
}

TEST(Reads, OneRoundConfirmsAllBeforeIt) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(1);
  cluster.core(1).read_index(kRead);
  cluster.core(1).read_index(kNext);
  cluster.take(1);
  cluster.drop = [](const Message& message) { return message.read == kRead; };
  cluster.settle();
  EXPECT_EQ(cluster[1].reads.size(), 2u);
}

TEST(Reads, OfADeposedLeaderAreRefused) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(1);
  cluster.isolated[NodeId(1)] = true;
  cluster.core(1).read_index(kRead);
  cluster.settle();
  cluster.tick(1, 20);
  cluster.take(1);
  EXPECT_EQ(cluster[1].refused, std::vector<ReadId>{kRead});
  cluster.core(1).read_index(kNext);  // nobody leads
  cluster.take(1);
  EXPECT_EQ(cluster[1].refused, (std::vector<ReadId>{kRead, kNext}));
  EXPECT_TRUE(cluster[1].reads.empty());
}

TEST(Reads, HaveALimit) {
  TestCluster cluster(voters({1, 2, 3}), [](Config& config) { config.pending_reads_max = 2; });
  cluster.elect(1);
  for (std::uint64_t sequence = 1; sequence <= 3; ++sequence)
    cluster.core(1).read_index({7, sequence});
  cluster.take(1);
  EXPECT_EQ(cluster[1].refused, (std::vector<ReadId>{{7, 3}}));
  cluster.settle();
  EXPECT_EQ(cluster[1].reads.size(), 2u);
}

TEST(Reads, ByLeaseNeedNoRound) {
  TestCluster cluster(voters({1, 2, 3}), [](Config& config) { config.lease_reads = true; });
  cluster.elect(1);
  cluster.core(1).read_index(kRead);
  cluster.take(1);
  EXPECT_EQ(cluster[1].reads.size(), 1u);
}

}  // namespace
}  // namespace blixard::raft
