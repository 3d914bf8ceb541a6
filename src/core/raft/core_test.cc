#include "core/raft/core.h"

#include <gtest/gtest.h>

#include "core/raft/test_cluster.h"

namespace blixard::raft {
namespace {

using Commands = std::vector<std::string>;

TEST(Replication, CommitsOnEveryNode) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(1);
  cluster.propose(1, "a");
  cluster.propose(1, "b");
  for (const std::uint64_t id : {1u, 2u, 3u}) {
    EXPECT_EQ(cluster[id].commands(), (Commands{"a", "b"}));
    EXPECT_EQ(cluster.core(id).leader(), NodeId(1));
  }
}

TEST(Replication, OneVoterNeedsItsDisk) {
  TestCluster cluster(voters({1}));
  ASSERT_TRUE(cluster.core(1).campaign());
  cluster.take(1);
  EXPECT_EQ(cluster.core(1).role(), Role::kPreCandidate);
  cluster.settle();
  EXPECT_EQ(cluster.core(1).role(), Role::kLeader);
  ASSERT_TRUE(cluster.core(1).propose(std::vector<Entry>{command("a")}));
  cluster.take(1);
  EXPECT_TRUE(cluster[1].commands().empty());
  cluster.complete(1);
  EXPECT_EQ(cluster[1].commands(), Commands{"a"});
}

}  // namespace
}  // namespace blixard::raft
