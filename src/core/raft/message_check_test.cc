// Whatever a message holds, it does no harm.

#include "core/raft/message_check.h"

#include <cstdint>

#include <gtest/gtest.h>

#include "core/raft/test_cluster.h"

namespace blixard::raft {
namespace {

Message sound_append() {
  Message message{.type = MessageType::kAppend, .from = NodeId(2), .to = NodeId(1)};
  message.term = Term(5);
  message.index = LogIndex(3);
  message.log_term = Term(2);
  message.entries = {{Term(2), LogIndex(4)}, {Term(5), LogIndex(5)}};
  return message;
}

Message sound_snapshot() {
  Message message{.type = MessageType::kSnapshot, .from = NodeId(2), .to = NodeId(1)};
  message.term = Term(5);
  message.snapshot = SnapshotMeta{LogIndex(9), Term(4), voters({1, 2, 3})};
  return message;
}

using Spoil = void (*)(Message&);

TEST(Check, RefusesWhatNoCorrectNodeSends) {
  ASSERT_TRUE(check_message(sound_append(), NodeId(1)));
  ASSERT_TRUE(check_message(sound_snapshot(), NodeId(1)));
  const Spoil appends[] = {
      [](Message& m) { m.type = static_cast<MessageType>(0); },
      [](Message& m) { m.type = static_cast<MessageType>(200); },
      [](Message& m) { m.type = MessageType::kCampaign; },
      [](Message& m) { m.type = MessageType::kForgetLeader; },
      [](Message& m) { m.from = NodeId(); },
      [](Message& m) { m.from = NodeId(1); },
      [](Message& m) { m.to = NodeId(3); },
      [](Message& m) { m.term = Term(); },
      [](Message& m) { m.term = Term(~std::uint64_t{0}); },
      [](Message& m) { m.index = LogIndex(~std::uint64_t{0}); },
      [](Message& m) { m.commit = LogIndex(~std::uint64_t{0}); },
      [](Message& m) { m.log_term = Term(6); },
      [](Message& m) { m.log_term = Term(); },
      [](Message& m) { m.entries[0].index = LogIndex(5); },
      [](Message& m) { m.entries[1].index = LogIndex(4); },
      [](Message& m) { m.entries[0].term = Term(1); },
      [](Message& m) { m.entries[0].term = Term(); },
      [](Message& m) { m.entries[1].term = Term(6); },
      [](Message& m) { m.entries[0].kind = static_cast<EntryKind>(9); },
      [](Message& m) { m.type = MessageType::kHeartbeat; },  // with entries
      [](Message& m) { m.type = MessageType::kPropose; },    // with a term
      [](Message& m) { m.type = MessageType::kReadIndexResponse; },
      [](Message& m) { m.snapshot = SnapshotMeta{LogIndex(1), Term(1), voters({1})}; },
  };
  std::size_t at = 0;
  for (const Spoil spoil : appends) {
    Message message = sound_append();
    spoil(message);
    EXPECT_FALSE(check_message(message, NodeId(1))) << at;
    ++at;
  }
  const Spoil snapshots[] = {
      [](Message& m) { m.snapshot.reset(); },
      [](Message& m) { m.snapshot->index = LogIndex(); },
      [](Message& m) { m.snapshot->index = LogIndex(~std::uint64_t{0}); },
      [](Message& m) { m.snapshot->term = Term(); },
      [](Message& m) { m.snapshot->term = Term(6); },
      [](Message& m) { m.snapshot->configuration = {}; },
      [](Message& m) { m.snapshot->configuration.voters = {NodeId(2), NodeId(1)}; },
      [](Message& m) { m.snapshot->configuration.voters[0] = NodeId(); },
      [](Message& m) { m.snapshot->configuration.learners = {NodeId(1)}; },
  };
  at = 0;
  for (const Spoil spoil : snapshots) {
    Message message = sound_snapshot();
    spoil(message);
    EXPECT_FALSE(check_message(message, NodeId(1))) << at;
    ++at;
  }
}

TEST(Hostile, AnswersOfStrangersAreRefused) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(1);
  Message answer{.type = MessageType::kAppendResponse, .from = NodeId(9), .to = NodeId(1)};
  answer.term = Term(1'000'000);
  const auto refused = cluster.core(1).step(answer);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason(), "peer_unknown");
  EXPECT_EQ(cluster.core(1).role(), Role::kLeader);
}

TEST(Hostile, NobodyAcknowledgesWhatWasNeverSent) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(1);
  Message answer{.type = MessageType::kAppendResponse, .from = NodeId(2), .to = NodeId(1)};
  answer.term = cluster.core(1).term();
  answer.index = LogIndex(1'000);
  ASSERT_TRUE(cluster.core(1).step(answer));
  EXPECT_LE(cluster.core(1).status().progress->at(NodeId(2)).match, LogIndex(1));
  EXPECT_EQ(cluster.core(1).commit(), LogIndex(1));
}

TEST(Hostile, AHeartbeatCommitsNothingThatIsNotHere) {
  TestCluster cluster(voters({1, 2, 3}));
  Message heartbeat{.type = MessageType::kHeartbeat, .from = NodeId(2), .to = NodeId(1)};
  heartbeat.term = Term(1);
  heartbeat.commit = LogIndex(7);
  EXPECT_FALSE(cluster.core(1).step(heartbeat));
  EXPECT_EQ(cluster.core(1).commit(), LogIndex());
}

TEST(Hostile, WhatIsCommittedIsNotContradicted) {
  TestCluster cluster(voters({1, 2, 3}));
  cluster.elect(2);
  cluster.propose(2, "a");
  Message message{.type = MessageType::kAppend, .from = NodeId(2), .to = NodeId(1)};
  message.term = Term(9);
  message.index = cluster.core(1).commit();
  message.log_term = Term(8);
  message.entries = {{Term(9), message.index.next()}};
  ASSERT_TRUE(cluster.core(1).step(message));  // rejected: the logs differ before it
  EXPECT_EQ(cluster.core(1).last_index(), LogIndex(2));
}

// A splitmix of messages with plausible and absurd numbers against each role: nothing asserts, the
// commit index never falls, the log never loses what is committed.
TEST(Hostile, AnythingAtAll) {
  std::uint64_t state = 42;
  const auto random = [&](std::uint64_t below) {
    state += 0x9e3779b97f4a7c15;
    std::uint64_t mixed = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return (mixed ^ (mixed >> 31)) % below;
  };
  for (int run = 0; run < 200; ++run) {
    TestCluster cluster(voters({1, 2, 3}, {4}));
    if (run % 3 != 0) cluster.elect(run % 3 == 1 ? 1 : 2);
    for (int step = 0; step < 200; ++step) {
      Message message;
      message.type = static_cast<MessageType>(random(22));
      message.from = NodeId(random(6));
      message.to = NodeId(random(10) == 0 ? random(4) : 1);
      message.term = Term(random(8) == 0 ? random(100) : cluster.core(1).term().value + random(2));
      message.index = LogIndex(random(50) == 0 ? ~random(9) : random(12));
      message.log_term = Term(random(4) == 0 ? random(12) : message.term.value - random(2));
      message.commit = LogIndex(random(12));
      message.reject = random(2) == 0;
      message.reject_hint = LogIndex(random(12));
      message.transfer = random(4) == 0;
      message.read = {random(2), random(3)};
      if (message.type == MessageType::kPropose || message.type == MessageType::kReadIndex)
        message.term = Term();
      if (message.type == MessageType::kAppend || message.type == MessageType::kPropose) {
        for (std::uint64_t at = 1; at <= random(4); ++at) {
          message.entries.push_back({Term(message.term.value), LogIndex(message.index.value + at),
                                     static_cast<EntryKind>(random(3) + 1)});
        }
      }
      if (message.type == MessageType::kSnapshot)
        message.snapshot = SnapshotMeta{LogIndex(random(20)), Term(random(9)), voters({1, 2})};
      const LogIndex commit = cluster.core(1).commit();
      ignore(cluster.core(1).step(message), "most are refused");
      ASSERT_GE(cluster.core(1).commit(), commit);
      ASSERT_GE(cluster.core(1).last_index(), cluster.core(1).commit());
      if (random(4) == 0) cluster.complete(1);
      if (random(20) == 0) cluster.tick(1, 12);
      if (random(20) == 0) cluster.core(1).transfer_leader(NodeId(random(5)));
    }
  }
}

}  // namespace
}  // namespace blixard::raft
