// Replication and commitment: the paper's sections 5.3, 5.4 and 7, flow control, snapshots.

#include <gtest/gtest.h>

#include "core/raft/core.h"
#include "core/raft/test_cluster.h"

namespace blixard::raft {
namespace {

using Commands = std::vector<std::string>;

Message append(std::uint64_t term, std::uint64_t prev, std::uint64_t prev_term,
               std::vector<std::uint64_t> terms, std::uint64_t commit) {
  Message message{.type = MessageType::kAppend, .from = NodeId(2), .to = NodeId(1)};
  message.term = Term(term);
  message.index = LogIndex(prev);
  message.log_term = Term(prev_term);
  message.commit = LogIndex(commit);
  for (const std::uint64_t entry_term : terms)
    message.entries.push_back({Term(entry_term), LogIndex(++prev)});
  return message;
}

// A follower with entries of these terms, durable, at indices from 1.
TestCluster follower_with(std::vector<std::uint64_t> terms, std::uint64_t commit = 0) {
  TestCluster cluster(voters({1, 2, 3}));
  Append written;
  std::uint64_t index = 0;
  for (const std::uint64_t term : terms)
    written.entries.push_back({Term(term), LogIndex(++index)});
  cluster[1].storage.write(written);
  cluster[1].storage.hard_state = {Term(terms.empty() ? 0 : terms.back()), NodeId(),
                                   LogIndex(commit)};
  cluster.restart(1);
  return cluster;
}

Message answer_to(TestCluster& cluster, const Message& message) {
  EXPECT_TRUE(cluster.core(1).step(message));
  cluster.network.clear();
  cluster.complete(1);
  EXPECT_EQ(cluster.network.size(), 1u);
  return cluster.network.empty() ? Message{} : cluster.network.front();
}

TEST(Follower, AnswersWhatWasCompared) {
  // Its log is longer than what the message speaks of: the rest is not vouched for.
  TestCluster cluster = follower_with({1, 1, 1, 1, 1});
  Message answer = answer_to(cluster, append(2, 2, 1, {}, 0));
  EXPECT_FALSE(answer.reject);
  EXPECT_EQ(answer.index, LogIndex(2));
  answer = answer_to(cluster, append(2, 2, 1, {1}, 0));
  EXPECT_EQ(answer.index, LogIndex(3));
}

TEST(Follower, CommitsNoFurtherThanTheMessage) {
  TestCluster cluster = follower_with({1, 1, 1, 1, 1});
  answer_to(cluster, append(2, 2, 1, {1}, 5));
  EXPECT_EQ(cluster.core(1).commit(), LogIndex(3));
}

TEST(Follower, ReplacesWhatContradicts) {
  TestCluster cluster = follower_with({1, 1, 2, 2});
  const Message answer = answer_to(cluster, append(3, 2, 1, {3}, 0));
  EXPECT_EQ(answer.index, LogIndex(3));
  EXPECT_EQ(cluster.core(1).last_index(), LogIndex(3));
  EXPECT_EQ(cluster[1].storage.last(), LogIndex(3));
  EXPECT_EQ(cluster[1].storage.term(LogIndex(3)), Term(3));
}

TEST(Follower, KeepsWhatAnOldMessageDoesNotKnow) {
  TestCluster cluster = follower_with({1, 1, 1, 1});
  answer_to(cluster, append(1, 1, 1, {1}, 0));  // arrived late
  EXPECT_EQ(cluster.core(1).last_index(), LogIndex(4));
}

TEST(Follower, TellsWhereTheLogsMayMeet) {
  struct Case {
    std::vector<std::uint64_t> terms;
    Message message;
    std::uint64_t hint;
    std::uint64_t hint_term;
  };
  const Case cases[] = {
      {{1, 1}, append(2, 5, 2, {2}, 0), 2, 1},
      {{1, 1, 2, 2, 2}, append(4, 4, 1, {4}, 0), 2, 1},
      {{1, 3, 3, 4, 4, 5, 5, 5, 6}, append(7, 8, 3, {7}, 0), 3, 3},
      {{}, append(1, 3, 1, {1}, 0), 0, 0},
  };
  for (const Case& one : cases) {
    TestCluster cluster = follower_with(one.terms);
    Message message = one.message;
    message.term = Term(9);
    const Message answer = answer_to(cluster, message);
    EXPECT_TRUE(answer.reject);
    EXPECT_EQ(answer.index, message.index);
    EXPECT_EQ(answer.reject_hint, LogIndex(one.hint));
    EXPECT_EQ(answer.log_term, Term(one.hint_term));
  }
}

TEST(Follower, NeverGivesUpWhatIsCommitted) {
  TestCluster cluster = follower_with({1, 1, 1}, 3);
  EXPECT_EQ(answer_to(cluster, append(2, 1, 1, {2, 2}, 0)).index, LogIndex(3));
  Message equal = append(2, 0, 0, {}, 0);
  EXPECT_EQ(answer_to(cluster, equal).index, LogIndex(3));
  EXPECT_EQ(cluster.core(1).commit(), LogIndex(3));
  // A message that reaches behind the commit index cannot contradict it; one that does is refused.
  TestCluster split = follower_with({1, 1, 1}, 1);
  ASSERT_TRUE(split.core(1).step(append(1, 1, 1, {1, 1}, 3)));
  split.complete(1);
  EXPECT_EQ(split.core(1).commit(), LogIndex(3));
}

// Figure 8 of the paper: an entry of an earlier term is on a majority and still not committed.
TEST(Commit, NeverByCountingAnEarlierTerm) {
  TestCluster cluster(voters({1, 2, 3}));
  TestNode& node = cluster[1];
  node.storage.write({.entries = {{Term(1), LogIndex(1)}, {Term(2), LogIndex(2)}}});
  node.storage.hard_state = {Term(2), NodeId(), LogIndex()};
  cluster.restart(1);
  ASSERT_TRUE(cluster.core(1).campaign());
  cluster.drop = [](const Message& message) {  // the no-op reaches nobody
    return message.type == MessageType::kAppend && !message.entries.empty() &&
           message.entries.back().term == Term(3) && message.index == LogIndex(2);
  };
  cluster.settle();
  ASSERT_EQ(cluster.core(1).role(), Role::kLeader);
  Message answer{.type = MessageType::kAppendResponse, .from = NodeId(2), .to = NodeId(1)};
  answer.term = cluster.core(1).term();
  answer.index = LogIndex(2);
  ASSERT_TRUE(cluster.core(1).step(answer));
  EXPECT_EQ(cluster.core(1).commit(), LogIndex());
  answer.index = LogIndex(3);
  ASSERT_TRUE(cluster.core(1).step(answer));
  EXPECT_EQ(cluster.core(1).commit(), LogIndex(3));
}

TEST(Commit, NeedsNotTheLeadersDisk) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(1);
  ASSERT_TRUE(cluster.core(1).propose(std::vector<Entry>{command("a")}));
  cluster.take(1);  // its append stays with its disk
  for (int round = 0; round < 4; ++round) {
    cluster.deliver();
    cluster.complete(2);
    cluster.complete(3);
  }
  cluster.deliver();
  cluster.take(1);
  EXPECT_EQ(cluster[1].commands(), Commands{"a"});
  EXPECT_FALSE(cluster[1].disk.empty());
}

TEST(Commit, HandsOutOnlyDurableEntriesIfAsked) {
  TestCluster cluster(voters({1, 2, 3}),
                      [](Config& config) { config.applies_before_durable = false; });
  cluster.elect(1);
  ASSERT_TRUE(cluster.core(1).propose(std::vector<Entry>{command("a")}));
  cluster.take(1);
  for (int round = 0; round < 4; ++round) {
    cluster.deliver();
    cluster.complete(2);
    cluster.complete(3);
  }
  cluster.deliver();
  cluster.take(1);
  EXPECT_GT(cluster.core(1).commit(), LogIndex(1));
  EXPECT_TRUE(cluster[1].commands().empty());
  cluster.complete(1);
  EXPECT_EQ(cluster[1].commands(), Commands{"a"});
}

// Figure 7: whatever the followers have, the leader's log becomes theirs, with few probes.
TEST(Replication, BringsEveryLogInLine) {
  const std::vector<std::uint64_t> leader = {1, 1, 1, 4, 4, 5, 5, 6, 6, 6};
  const std::vector<std::vector<std::uint64_t>> others = {
      {1, 1, 1, 4, 4, 5, 5, 6, 6},
      {1, 1, 1, 4},
      {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6},
      {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7},
      {1, 1, 1, 4, 4, 4, 4},
      {1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3},
      {},
  };
  for (const std::vector<std::uint64_t>& other : others) {
    TestCluster cluster(voters({1, 2, 3}));
    const auto fill = [&](std::uint64_t id, const std::vector<std::uint64_t>& terms) {
      Append written;
      std::uint64_t index = 0;
      for (const std::uint64_t term : terms)
        written.entries.push_back({Term(term), LogIndex(++index)});
      cluster[id].storage.write(written);
      cluster[id].storage.hard_state = {Term(7), NodeId(), LogIndex()};
      cluster.restart(id);
    };
    fill(1, leader);
    fill(2, other);
    fill(3, leader);
    cluster.elect(1);
    EXPECT_EQ(cluster.core(2).last_index(), LogIndex(11));
    for (std::uint64_t index = 1; index <= 11; ++index) {
      EXPECT_EQ(cluster[2].storage.term(LogIndex(index)), cluster[1].storage.term(LogIndex(index)));
    }
    EXPECT_LE(cluster[1].events.count(EventKind::kAppendWasRejected), 3u);
  }
}

TEST(Replication, AFullWindowStopsEntries) {
  TestCluster cluster(voters({1, 2, 3}), [](Config& config) { config.inflight_messages_max = 3; });
  cluster.elect(1);
  cluster.isolated[NodeId(3)] = true;
  for (int at = 0; at < 10; ++at)
    cluster.propose(1, "x");
  std::size_t entries = 0;
  for (const Message& message : cluster[1].sent) {
    if (message.to == NodeId(3) && message.commit >= LogIndex(1)) entries += message.entries.size();
  }
  EXPECT_EQ(entries, 3u);
  cluster.isolated.clear();
  cluster.tick(1);
  cluster.settle();
  EXPECT_EQ(cluster[3].commands().size(), 10u);
}

TEST(Replication, AFullWindowOfBytesStopsEntries) {
  TestCluster cluster(voters({1, 2, 3}), [](Config& config) { config.inflight_bytes_max = 2500; });
  cluster.elect(1);
  cluster.isolated[NodeId(3)] = true;
  for (int at = 0; at < 10; ++at)
    cluster.propose(1, std::string(1000, 'x'));
  EXPECT_EQ(cluster.core(1).status().progress->at(NodeId(3)).inflights.bytes(), 3000u);
}

TEST(Replication, MessagesHaveALimit) {
  TestCluster cluster(voters({1, 2, 3}), [](Config& config) { config.message_bytes_max = 3000; });
  cluster.elect(1);
  cluster.isolated[NodeId(3)] = true;
  for (int at = 0; at < 10; ++at)
    cluster.propose(1, std::string(1000, 'x'));
  cluster.propose(1, std::string(9000, 'y'));  // alone it may be larger
  cluster.isolated.clear();
  cluster.core(1).report_unreachable(NodeId(3));
  cluster[1].sent.clear();
  cluster.tick(1);
  cluster.settle();
  EXPECT_EQ(cluster[3].commands().size(), 11u);
  for (const Message& message : cluster[1].sent) {
    std::size_t bytes = 0;
    for (const Entry& entry : message.entries)
      bytes += entry_bytes(entry);
    EXPECT_TRUE(bytes <= 3000 || message.entries.size() == 1);
  }
}

TEST(Replication, UncommittedBytesHaveALimit) {
  TestCluster cluster(voters({1, 2, 3}),
                      [](Config& config) { config.uncommitted_bytes_max = 1000; });
  cluster.elect(1);
  cluster.isolated[NodeId(2)] = true;
  cluster.isolated[NodeId(3)] = true;
  cluster.propose(1, std::string(900, 'x'));
  EXPECT_FALSE(cluster.core(1).propose(std::vector<Entry>{command(std::string(200, 'y'))}));
  EXPECT_TRUE(cluster.core(1).propose(std::vector<Entry>{command("")}));
  cluster.isolated.clear();
  cluster.tick(1);
  cluster.settle();
  EXPECT_TRUE(cluster.core(1).propose(std::vector<Entry>{command(std::string(200, 'y'))}));
}

TEST(Replication, CommittedBytesHandedOutHaveALimit) {
  TestCluster cluster(voters({1}), [](Config& config) { config.committed_bytes_max = 2500; });
  cluster.elect(1);
  std::vector<Entry> entries;
  for (int at = 0; at < 6; ++at)
    entries.push_back(command(std::string(1000, 'x')));
  Core& core = cluster.core(1);
  ASSERT_TRUE(core.propose(std::move(entries)));
  Output out = core.take_output();
  cluster[1].storage.write(*out.append);
  ASSERT_TRUE(core.step(out.append->responses.at(0)));
  core.appended(out.append->mark);
  out = core.take_output();
  EXPECT_EQ(out.committed.size(), 2u);
  EXPECT_FALSE(core.has_output());  // until they are applied
  core.applied(out.committed.back().index);
  EXPECT_TRUE(core.has_output());
  EXPECT_EQ(core.take_output().committed.size(), 2u);
}

TEST(Replication, ForwardsToTheLeaderIfItMay) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(1);
  cluster.propose(2, "a");
  EXPECT_EQ(cluster[3].commands(), Commands{"a"});
  TestCluster strict(voters({1, 2, 3}), [](Config& config) { config.forwards_proposals = false; });
  strict.elect(1);
  EXPECT_FALSE(strict.core(2).propose(std::vector<Entry>{command("a")}));
}

TEST(Replication, ReadsFromDiskWhenToldThatItIsThere) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(1);
  cluster.isolated[NodeId(3)] = true;
  for (int at = 0; at < 5; ++at)
    cluster.propose(1, "x");
  cluster[1].storage.on_disk_below = LogIndex(5);
  cluster.isolated.clear();
  cluster.core(1).report_unreachable(NodeId(3));
  cluster.tick(1);
  cluster.settle();
  EXPECT_TRUE(cluster[3].commands().empty());
  ASSERT_EQ(cluster.core(1).entries_wanted(), std::vector<LogIndex>{LogIndex(2)});
  cluster[1].storage.on_disk_below = LogIndex();
  cluster.core(1).entries_loaded();
  cluster.settle();
  EXPECT_EQ(cluster[3].commands().size(), 5u);
  EXPECT_TRUE(cluster.core(1).entries_wanted().empty());
}

TEST(Replication, CommittedEntriesWaitForTheirDiskToo) {
  TestCluster cluster(voters({1}));
  cluster.elect(1);
  cluster.propose(1, "a");
  cluster[1].storage.on_disk_below = LogIndex(9);
  cluster.restart(1);
  cluster.take(1);
  EXPECT_FALSE(cluster.core(1).has_output());
  EXPECT_EQ(cluster.core(1).entries_wanted(), std::vector<LogIndex>{LogIndex(1)});
  cluster[1].storage.on_disk_below = LogIndex();
  cluster.core(1).entries_loaded();
  cluster.take(1);
  EXPECT_EQ(cluster[1].commands(), Commands{"a"});
}

class Snapshots : public ::testing::Test {
 protected:
  Snapshots() : cluster(voters({1, 2, 3})) {
    cluster.elect(1);
    cluster.isolated[NodeId(3)] = true;
    for (int at = 0; at < 5; ++at)
      cluster.propose(1, "x");
    cluster[1].storage.compact(cluster.core(1).commit(), voters({1, 2, 3}));
    cluster.isolated.clear();
    cluster.core(1).report_unreachable(NodeId(3));
  }
  [[nodiscard]] const Progress& of_3() { return cluster.core(1).status().progress->at(NodeId(3)); }
  TestCluster cluster;
};

TEST_F(Snapshots, BringWhoFellBehindTheLog) {
  cluster.tick(1);
  cluster.settle();
  EXPECT_EQ(cluster[3].storage.first(), LogIndex(7));
  EXPECT_EQ(cluster.core(3).commit(), LogIndex(6));
  cluster.propose(1, "y");
  EXPECT_EQ(cluster[3].commands(), Commands{"y"});
}

TEST_F(Snapshots, AreAcknowledgedWhenTheyAreDurable) {
  cluster.tick(1);
  cluster.take(1);
  cluster.deliver();  // heartbeats
  cluster.take(3);
  cluster.deliver();  // answers
  cluster.take(1);
  cluster.deliver();  // the snapshot
  cluster.network.clear();
  cluster.take(3);
  ASSERT_FALSE(cluster[3].disk.empty());
  EXPECT_TRUE(cluster.network.empty());
  EXPECT_TRUE(cluster[3].disk.back().snapshot.has_value());
  EXPECT_EQ(cluster[3].disk.back().mark.snapshot, LogIndex(6));
  cluster.complete(3);
  ASSERT_EQ(cluster.network.size(), 1u);
  EXPECT_EQ(cluster.network.front().index, LogIndex(6));
  EXPECT_EQ(cluster.core(3).status().applied, LogIndex(6));
}

TEST_F(Snapshots, AreTriedAgainWhenThereIsNoneNow) {
  cluster[1].storage.snapshot_available = false;
  cluster.tick(1);
  cluster.settle();
  EXPECT_GE(cluster[1].events.count(EventKind::kSnapshotUnavailable), 1u);
  EXPECT_EQ(cluster.core(3).commit(), LogIndex(1));
  cluster[1].storage.snapshot_available = true;
  cluster.tick(1);
  cluster.settle();
  EXPECT_EQ(cluster.core(3).commit(), LogIndex(6));
}

TEST_F(Snapshots, AreSentAgainAfterAFailure) {
  cluster.drop = [](const Message& message) { return message.type == MessageType::kSnapshot; };
  cluster.tick(1);
  cluster.settle();
  EXPECT_EQ(of_3().state, ProgressState::kSnapshot);
  cluster.drop = nullptr;
  cluster.core(1).report_snapshot(NodeId(3), false);
  EXPECT_EQ(of_3().state, ProgressState::kProbe);
  cluster.tick(1);
  cluster.settle();
  EXPECT_EQ(cluster.core(3).commit(), LogIndex(6));
}

TEST_F(Snapshots, OfWhatIsThereOnlyMoveTheCommitIndex) {
  Message message{.type = MessageType::kSnapshot, .from = NodeId(1), .to = NodeId(2)};
  message.term = cluster.core(1).term();
  message.snapshot = SnapshotMeta{LogIndex(6), cluster.core(1).term(), voters({1, 2, 3})};
  ASSERT_TRUE(cluster.core(2).step(message));
  cluster.take(2);
  EXPECT_FALSE(cluster[2].disk.empty());
  EXPECT_FALSE(cluster[2].disk.back().snapshot.has_value());
  EXPECT_EQ(cluster.core(2).last_index(), LogIndex(6));
}

TEST_F(Snapshots, WithoutThisNodeAreIgnored) {
  Message message{.type = MessageType::kSnapshot, .from = NodeId(1), .to = NodeId(3)};
  message.term = cluster.core(1).term();
  message.snapshot = SnapshotMeta{LogIndex(60), cluster.core(1).term(), voters({1, 2})};
  ASSERT_TRUE(cluster.core(3).step(message));
  EXPECT_EQ(cluster.core(3).last_index(), LogIndex(1));
  EXPECT_EQ(cluster[3].events.count(EventKind::kSnapshotWithoutUs), 1u);
}

}  // namespace
}  // namespace blixard::raft
