#include "core/raft/tracker.h"

#include <gtest/gtest.h>

#include "core/raft/conf_change.h"

namespace blixard::raft {
namespace {

Tracker tracker_of(const ConfState& conf) {
  Tracker tracker(4, 1000);
  auto restored = restore_conf_state(tracker, conf, LogIndex(7));
  EXPECT_TRUE(restored);
  if (restored) tracker.install(restored->configuration, std::move(restored->progress));
  return tracker;
}

std::vector<NodeId> nodes(std::initializer_list<std::uint64_t> ids) {
  std::vector<NodeId> list;
  for (const std::uint64_t id : ids)
    list.emplace_back(id);
  return list;
}

TEST(Tracker, NewMembersBeginWhereTheyAreTold) {
  const Tracker tracker = tracker_of({nodes({1, 2}), nodes({3}), {}, {}, false});
  ASSERT_NE(tracker.find(NodeId(3)), nullptr);
  EXPECT_TRUE(tracker.find(NodeId(3))->is_learner);
  EXPECT_FALSE(tracker.find(NodeId(2))->is_learner);
  EXPECT_EQ(tracker.find(NodeId(2))->next, LogIndex(7));
  EXPECT_TRUE(tracker.find(NodeId(2))->recent_active);
  EXPECT_EQ(tracker.find(NodeId(4)), nullptr);
}

TEST(Tracker, LearnersDoNotCommit) {
  Tracker tracker = tracker_of({nodes({1, 2, 4}), nodes({3}), {}, {}, false});
  tracker.find(NodeId(1))->match = LogIndex(9);
  tracker.find(NodeId(3))->match = LogIndex(9);
  EXPECT_EQ(tracker.committed(), LogIndex());
  tracker.find(NodeId(2))->match = LogIndex(5);
  EXPECT_EQ(tracker.committed(), LogIndex(5));
}

TEST(Tracker, JointConfigurationNeedsBothMajorities) {
  Tracker tracker = tracker_of({nodes({1, 2, 3}), {}, nodes({1, 4, 5}), {}, false});
  for (const std::uint64_t id : {1, 2, 3})
    tracker.find(NodeId(id))->match = LogIndex(9);
  EXPECT_EQ(tracker.committed(), LogIndex());
  tracker.find(NodeId(5))->match = LogIndex(4);
  EXPECT_EQ(tracker.committed(), LogIndex(4));
}

TEST(Tracker, LearnersKeepNoQuorumActive) {
  Tracker tracker = tracker_of({nodes({1, 2, 4}), nodes({3}), {}, {}, false});
  EXPECT_TRUE(tracker.quorum_active());
  tracker.find(NodeId(1))->recent_active = false;
  EXPECT_TRUE(tracker.quorum_active());
  tracker.find(NodeId(2))->recent_active = false;
  EXPECT_FALSE(tracker.quorum_active());
}

TEST(Tracker, TheFirstVoteOfANodeCounts) {
  Tracker tracker = tracker_of({nodes({1, 2, 4}), nodes({3}), {}, {}, false});
  tracker.record_vote(NodeId(1), true);
  tracker.record_vote(NodeId(2), false);
  tracker.record_vote(NodeId(2), true);
  tracker.record_vote(NodeId(3), true);
  tracker.record_vote(NodeId(77), true);
  const Tracker::Tally tally = tracker.tally();
  EXPECT_EQ(tally.granted, 1U);
  EXPECT_EQ(tally.refused, 1U);
  EXPECT_EQ(tally.result, VoteResult::kPending);
  tracker.record_vote(NodeId(4), true);
  EXPECT_EQ(tracker.tally().result, VoteResult::kWon);
  tracker.reset_votes();
  EXPECT_EQ(tracker.tally().granted, 0U);
}

TEST(Tracker, OneVoterIsASingletonUnlessJoint) {
  EXPECT_TRUE(tracker_of({nodes({1}), nodes({2}), {}, {}, false}).is_singleton());
  EXPECT_FALSE(tracker_of({nodes({1, 2}), {}, {}, {}, false}).is_singleton());
  EXPECT_FALSE(tracker_of({nodes({1}), {}, nodes({1}), {}, false}).is_singleton());
}

}  // namespace
}  // namespace blixard::raft
