// Elections: the paper's sections 5.2 and 5.4.1, the thesis' 4.2.3 and 9.6.

#include <gtest/gtest.h>

#include "core/raft/core.h"
#include "core/raft/raft_log.h"
#include "core/raft/test_cluster.h"

namespace blixard::raft {
namespace {

void no_pre_vote(Config& config) {
  config.pre_vote = false;
  config.check_quorum = false;
}

Message vote_request(std::uint64_t from, std::uint64_t to, std::uint64_t term, EntryRef last) {
  Message message{.type = MessageType::kVote, .from = NodeId(from), .to = NodeId(to)};
  message.term = Term(term);
  message.index = last.index;
  message.log_term = last.term;
  return message;
}

// The one answer that waits for the disk of a node.
Message answer_of(TestCluster& cluster, std::uint64_t id) {
  cluster.take(id);
  EXPECT_FALSE(cluster[id].disk.empty());
  EXPECT_EQ(cluster[id].disk.back().responses.size(), 1u);
  return cluster[id].disk.back().responses.at(0);
}

TEST(Election, TimeoutStartsOne) {
  TestCluster cluster(voters({1, 2, 3}), no_pre_vote);
  const int timeout = cluster.core(1).election_timeout();
  EXPECT_GE(timeout, 10);
  EXPECT_LT(timeout, 20);
  cluster.tick(1, timeout - 1);
  EXPECT_EQ(cluster.core(1).role(), Role::kFollower);
  cluster.tick(1);
  EXPECT_EQ(cluster.core(1).role(), Role::kCandidate);
  EXPECT_EQ(cluster.core(1).term(), Term(1));
  cluster.settle();
  EXPECT_EQ(cluster.core(1).role(), Role::kLeader);
  EXPECT_EQ(cluster.core(2).leader(), NodeId(1));
}

TEST(Election, TimeoutsDifferBySeed) {
  std::map<int, int> seen;
  for (std::uint64_t seed = 0; seed < 64; ++seed) {
    TestCluster cluster(voters({1}), [&](Config& config) { config.seed = seed; });
    ++seen[cluster.core(1).election_timeout()];
  }
  EXPECT_EQ(seen.size(), 10u);
}

TEST(Election, OneVoteATerm) {
  TestCluster cluster(voters({1, 2, 3}), no_pre_vote);
  ASSERT_TRUE(cluster.core(1).step(vote_request(2, 1, 1, {})));
  EXPECT_FALSE(answer_of(cluster, 1).reject);
  cluster.complete(1);
  ASSERT_TRUE(cluster.core(1).step(vote_request(3, 1, 1, {})));
  EXPECT_TRUE(answer_of(cluster, 1).reject);
  cluster.complete(1);
  ASSERT_TRUE(cluster.core(1).step(vote_request(2, 1, 1, {})));  // again: it was lost
  EXPECT_FALSE(answer_of(cluster, 1).reject);
}

TEST(Election, AVoteSurvivesARestart) {
  TestCluster cluster(voters({1, 2, 3}), no_pre_vote);
  ASSERT_TRUE(cluster.core(1).step(vote_request(2, 1, 1, {})));
  cluster.complete(1);
  cluster.restart(1);
  ASSERT_TRUE(cluster.core(1).step(vote_request(3, 1, 1, {})));
  EXPECT_TRUE(answer_of(cluster, 1).reject);
}

TEST(Election, AVoteLeavesOnlyWhenItIsDurable) {
  TestCluster cluster(voters({1, 2, 3}), no_pre_vote);
  ASSERT_TRUE(cluster.core(1).step(vote_request(2, 1, 1, {})));
  cluster.take(1);
  EXPECT_TRUE(cluster.network.empty());
  ASSERT_EQ(cluster[1].disk.size(), 1u);
  EXPECT_TRUE(cluster[1].disk.front().must_sync);
  EXPECT_EQ(cluster[1].disk.front().hard_state, (HardState{Term(1), NodeId(2), LogIndex()}));
  cluster.complete_one(1);
  ASSERT_EQ(cluster.network.size(), 1u);
  EXPECT_EQ(cluster.network.front().type, MessageType::kVoteResponse);
}

// A quorum of others is not enough: who leads a term that its disk does not have could lead it
// again after a crash, with other entries at the same places.
TEST(Election, NobodyLeadsBeforeTheOwnVoteIsDurable) {
  TestCluster cluster(voters({1, 2, 3, 4, 5}), no_pre_vote);
  ASSERT_TRUE(cluster.core(1).campaign());
  cluster.take(1);
  for (int round = 0; round < 2; ++round) {
    cluster.deliver();
    for (const std::uint64_t other : {2, 3, 4, 5})
      cluster.complete(other);
  }
  cluster.deliver();
  EXPECT_EQ(cluster.core(1).role(), Role::kCandidate);  // with four votes
  cluster.complete(1);
  EXPECT_EQ(cluster.core(1).role(), Role::kLeader);
}

TEST(Election, OnlyWhoHasEverythingGetsAVote) {
  struct Case {
    EntryRef theirs;
    bool granted;
  };
  const Case cases[] = {
      {{LogIndex(), Term()}, false},   {{LogIndex(1), Term(1)}, false},
      {{LogIndex(2), Term(2)}, true},  {{LogIndex(1), Term(2)}, false},
      {{LogIndex(9), Term(1)}, false}, {{LogIndex(1), Term(3)}, true},
      {{LogIndex(3), Term(2)}, true},
  };
  for (const Case& one : cases) {
    TestCluster cluster(voters({1, 2, 3}), no_pre_vote);
    TestNode& node = cluster[1];
    node.storage.write({.entries = {{Term(1), LogIndex(1)}, {Term(2), LogIndex(2)}}});
    node.storage.hard_state = {Term(2), NodeId(), LogIndex()};
    cluster.restart(1);
    ASSERT_TRUE(node.core->step(vote_request(2, 1, 4, one.theirs)));
    EXPECT_EQ(!answer_of(cluster, 1).reject, one.granted)
        << one.theirs.index.value << " of term " << one.theirs.term.value;
  }
}

TEST(Election, ALearnerVotesButNeverCampaigns) {
  TestCluster cluster(voters({1, 2}, {3}), no_pre_vote);
  ASSERT_TRUE(cluster.core(3).step(vote_request(2, 3, 1, {})));
  EXPECT_FALSE(answer_of(cluster, 3).reject);
  cluster.tick(3, 40);
  EXPECT_EQ(cluster.core(3).role(), Role::kFollower);
  EXPECT_EQ(cluster[3].events.count(EventKind::kElectionStarted), 0u);
}

TEST(Election, PreVoteDisturbsNobody) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(1);
  const Term term = cluster.core(1).term();
  cluster.isolated[NodeId(3)] = true;
  cluster.tick(3, 100);
  cluster.settle();
  EXPECT_EQ(cluster.core(3).role(), Role::kPreCandidate);
  EXPECT_EQ(cluster.core(3).term(), term);
  cluster.isolated.clear();
  cluster.tick(3, 20);
  cluster.settle();
  EXPECT_EQ(cluster.core(1).role(), Role::kLeader);
  EXPECT_EQ(cluster.core(1).term(), term);
  cluster.tick(1);
  cluster.settle();
  EXPECT_EQ(cluster.core(3).leader(), NodeId(1));
}

TEST(Election, ALeaseProtectsALeaderThatIsHeard) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(1);
  const Term term = cluster.core(2).term();
  const LogIndex last = cluster.core(2).last_index();
  Message request = vote_request(3, 2, term.value + 1, {last, term});
  ASSERT_TRUE(cluster.core(2).step(request));
  EXPECT_EQ(cluster.core(2).term(), term);
  EXPECT_EQ(cluster[2].events.count(EventKind::kLeaseHeld), 1u);
  request.transfer = true;  // the leader itself wishes it
  ASSERT_TRUE(cluster.core(2).step(request));
  EXPECT_EQ(cluster.core(2).term(), term.next());
}

TEST(Election, ALeaderWithoutQuorumStepsDown) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(1);
  cluster.tick(1, 10);  // the first check: everybody was heard
  EXPECT_EQ(cluster.core(1).role(), Role::kLeader);
  cluster.tick(1, 10);
  EXPECT_EQ(cluster.core(1).role(), Role::kFollower);
  EXPECT_EQ(cluster.core(1).leader(), NodeId());
  EXPECT_EQ(cluster[1].events.count(EventKind::kQuorumLost), 1u);
}

TEST(Election, AnOldTermIsToldTheNewOne) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(1);
  Message request{.type = MessageType::kPreVote, .from = NodeId(9), .to = NodeId(1)};
  request.term = Term(0);
  EXPECT_FALSE(cluster.core(1).step(request));  // term 0 is no term
  TestCluster other(voters({1, 2, 3}));
  other[1].storage.hard_state = {Term(5), NodeId(), LogIndex()};
  other.restart(1);
  request.from = NodeId(2);
  request.term = Term(3);
  ASSERT_TRUE(other.core(1).step(request));
  const Message answer = answer_of(other, 1);
  EXPECT_TRUE(answer.reject);
  EXPECT_EQ(answer.term, Term(5));
}

TEST(Election, NotWithUnappliedChanges) {
  TestCluster cluster(voters({1, 2, 3}), no_pre_vote);
  TestNode& node = cluster[1];
  Entry change{Term(1), LogIndex(1), EntryKind::kConfiguration,
               encode_conf_change({.changes = {{ConfChangeType::kAddVoter, NodeId(4)}}})};
  node.storage.write({.entries = {change}});
  node.storage.hard_state = {Term(1), NodeId(), LogIndex(1)};
  cluster.restart(1);
  ASSERT_TRUE(cluster.core(1).campaign());
  EXPECT_EQ(cluster.core(1).role(), Role::kFollower);
  EXPECT_EQ(node.events.count(EventKind::kCampaignBlocked), 1u);
  cluster.take(1);  // applies it
  ASSERT_TRUE(cluster.core(1).campaign());
  EXPECT_EQ(cluster.core(1).role(), Role::kCandidate);
}

TEST(Election, ForgettingALeaderLetsOthersBeElected) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(1);
  cluster.isolated[NodeId(1)] = true;
  ASSERT_TRUE(cluster.core(2).forget_leader());
  ASSERT_TRUE(cluster.core(3).forget_leader());
  ASSERT_TRUE(cluster.core(2).campaign());
  cluster.settle();
  EXPECT_EQ(cluster.core(2).role(), Role::kLeader);
}

// Thesis, section 3.10.
TEST(Transfer, GoesToWhoHasEverything) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(1);
  cluster.core(1).transfer_leader(NodeId(2));
  EXPECT_EQ(cluster.core(1).status().transferee, NodeId(2));
  cluster.settle();
  EXPECT_EQ(cluster.core(2).role(), Role::kLeader);
  EXPECT_EQ(cluster.core(1).role(), Role::kFollower);
}

TEST(Transfer, WaitsForTheLastEntry) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(1);
  cluster.isolated[NodeId(2)] = true;
  cluster.propose(1, "a");
  cluster.isolated.clear();
  cluster.core(1).transfer_leader(NodeId(2));
  cluster.take(1);
  for (const Message& message : cluster.network)
    EXPECT_NE(message.type, MessageType::kTimeoutNow);
  cluster.tick(1);  // a heartbeat ends the pause
  cluster.settle();
  EXPECT_EQ(cluster.core(2).role(), Role::kLeader);
  EXPECT_EQ(cluster[2].commands(), std::vector<std::string>{"a"});
}

TEST(Transfer, StopsProposalsAndTimesOut) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(1);
  cluster.isolated[NodeId(2)] = true;
  cluster.core(1).transfer_leader(NodeId(2));
  const auto refused = cluster.core(1).propose(std::vector<Entry>{command("a")});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason(), "proposal_dropped");
  for (int tick = 0; tick < 10; ++tick) {
    cluster.tick(1);
    cluster.settle();
  }
  EXPECT_EQ(cluster.core(1).status().transferee, NodeId());
  EXPECT_TRUE(cluster.core(1).propose(std::vector<Entry>{command("b")}));
}

TEST(Transfer, NeverToALearner) {
  TestCluster cluster(voters({1, 2}, {3}));
  cluster.elect(1);
  cluster.core(1).transfer_leader(NodeId(3));
  EXPECT_EQ(cluster.core(1).status().transferee, NodeId());
  EXPECT_EQ(cluster[1].events.count(EventKind::kTransferToLearner), 1u);
}

}  // namespace
}  // namespace blixard::raft
