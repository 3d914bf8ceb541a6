#include "core/raft/progress.h"

#include <gtest/gtest.h>

namespace blixard::raft {
namespace {

Progress at(ProgressState state, std::uint64_t match, std::uint64_t next) {
  Progress progress;
  progress.state = state;
  progress.match = LogIndex(match);
  progress.next = LogIndex(next);
  progress.inflights = Inflights(2);
  return progress;
}

TEST(Progress, ProbesBehindWhatMatched) {
  Progress progress = at(ProgressState::kReplicate, 3, 9);
  progress.sent_commit = LogIndex(7);
  progress.sent_entries(1, 10);
  progress.become_probe();
  EXPECT_EQ(progress.state, ProgressState::kProbe);
  EXPECT_EQ(progress.next, LogIndex(4));
  EXPECT_EQ(progress.sent_commit, LogIndex(3));
  EXPECT_EQ(progress.inflights.count(), 0U);
}

TEST(Progress, ProbesBehindTheSnapshotThatWasSent) {
  Progress progress = at(ProgressState::kProbe, 3, 4);
  progress.become_snapshot(LogIndex(10));
  EXPECT_EQ(progress.next, LogIndex(11));
  EXPECT_EQ(progress.sent_commit, LogIndex(10));
  EXPECT_TRUE(progress.is_paused());
  progress.become_probe();
  EXPECT_EQ(progress.next, LogIndex(11));
  EXPECT_EQ(progress.pending_snapshot, LogIndex());
}

TEST(Progress, ProbesBehindWhatMatchedWhenTheSnapshotFailed) {
  Progress progress = at(ProgressState::kProbe, 3, 4);
  progress.become_snapshot(LogIndex(10));
  progress.pending_snapshot = LogIndex();
  progress.become_probe();
  EXPECT_EQ(progress.next, LogIndex(4));
}

TEST(Progress, OlderSeriesKeepsNextWhenItSendsASnapshot) {
  Progress progress = at(ProgressState::kProbe, 3, 4);
  progress.become_snapshot(LogIndex(10), ProgressRules::v3_4());
  EXPECT_EQ(progress.next, LogIndex(4));
  EXPECT_EQ(progress.pending_snapshot, LogIndex(10));
}

TEST(Progress, OneProbeAtATime) {
  Progress progress = at(ProgressState::kProbe, 0, 1);
  progress.sent_entries(0, 0);
  EXPECT_FALSE(progress.is_paused());
  progress.sent_entries(2, 50);
  EXPECT_TRUE(progress.is_paused());
  EXPECT_EQ(progress.next, LogIndex(1)) << "a probe does not move it";
  EXPECT_TRUE(progress.acknowledged(LogIndex(2)));
  EXPECT_FALSE(progress.is_paused());
  EXPECT_EQ(progress.next, LogIndex(3));
}

TEST(Progress, ReplicationStopsWhenTheWindowIsFull) {
  for (const ProgressRules rules : {ProgressRules(), ProgressRules::v3_4()}) {
    Progress progress = at(ProgressState::kReplicate, 0, 1);
    progress.sent_entries(3, 50, rules);
    EXPECT_EQ(progress.next, LogIndex(4));
    EXPECT_FALSE(progress.is_paused(rules));
    progress.sent_entries(1, 50, rules);
    EXPECT_EQ(progress.next, LogIndex(5));
    EXPECT_TRUE(progress.is_paused(rules));
  }
}

TEST(Progress, AnAnswerOpensAFullWindowForEmptyAppendsOnly) {
  Progress progress = at(ProgressState::kReplicate, 0, 1);
  progress.sent_entries(1, 1);
  progress.sent_entries(1, 1);
  progress.flow_paused = false;  // as a heartbeat's answer does
  EXPECT_FALSE(progress.is_paused());
  EXPECT_TRUE(progress.is_paused(ProgressRules::v3_4()));
  progress.sent_entries(0, 0);
  EXPECT_TRUE(progress.is_paused());
}

TEST(Progress, OldAcknowledgementsSayNothing) {
  Progress progress = at(ProgressState::kReplicate, 5, 9);
  EXPECT_FALSE(progress.acknowledged(LogIndex(5)));
  EXPECT_FALSE(progress.acknowledged(LogIndex(4)));
  EXPECT_EQ(progress.match, LogIndex(5));
  EXPECT_TRUE(progress.acknowledged(LogIndex(6)));
  EXPECT_EQ(progress.next, LogIndex(9));
  EXPECT_TRUE(progress.acknowledged(LogIndex(12)));
  EXPECT_EQ(progress.next, LogIndex(13));
}

TEST(Progress, TellsACommitOnce) {
  Progress progress = at(ProgressState::kReplicate, 5, 9);
  EXPECT_TRUE(progress.can_bump_commit(LogIndex(6)));
  progress.sent_commit_index(LogIndex(6));
  EXPECT_FALSE(progress.can_bump_commit(LogIndex(6)));
  EXPECT_TRUE(progress.can_bump_commit(LogIndex(7)));
  progress.sent_commit_index(LogIndex(8));
  EXPECT_FALSE(progress.can_bump_commit(LogIndex(20))) << "it has nothing behind 8 to commit";
}

struct Rejection {
  ProgressState state;
  std::uint64_t match, next, rejected, hint;
  bool genuine;
  std::uint64_t next_after, next_after_v3_4;
};

class ProgressRejected : public testing::TestWithParam<Rejection> {};

TEST_P(ProgressRejected, MovesNext) {
  const Rejection& given = GetParam();
  for (const bool older : {false, true}) {
    const ProgressRules rules = older ? ProgressRules::v3_4() : ProgressRules();
    Progress progress = at(given.state, given.match, given.next);
    progress.flow_paused = given.state == ProgressState::kProbe;
    progress.sent_commit = LogIndex(given.next - 1);
    EXPECT_EQ(progress.rejected(LogIndex(given.rejected), LogIndex(given.hint), rules),
              given.genuine);
    EXPECT_EQ(progress.next, LogIndex(older ? given.next_after_v3_4 : given.next_after));
    EXPECT_EQ(progress.flow_paused, given.state == ProgressState::kProbe && !given.genuine);
    EXPECT_LT(progress.sent_commit, progress.next);
    EXPECT_EQ(progress.match, LogIndex(given.match));
  }
}

constexpr auto kProbe = ProgressState::kProbe;
constexpr auto kReplicate = ProgressState::kReplicate;

INSTANTIATE_TEST_SUITE_P(All, ProgressRejected,
                         testing::Values(Rejection{kReplicate, 5, 10, 5, 5, false, 10, 10},
                                         Rejection{kReplicate, 5, 10, 4, 4, false, 10, 10},
                                         Rejection{kReplicate, 5, 10, 9, 9, true, 6, 6},
                                         Rejection{kProbe, 0, 1, 7, 2, false, 1, 1},
                                         Rejection{kProbe, 0, 10, 5, 5, false, 10, 10},
                                         Rejection{kProbe, 0, 10, 9, 9, true, 9, 9},
                                         Rejection{kProbe, 0, 10, 9, 2, true, 3, 3},
                                         Rejection{kProbe, 0, 10, 9, 0, true, 1, 1},
                                         Rejection{kProbe, 0, 2, 1, 5, true, 1, 1},
                                         Rejection{kProbe, 6, 10, 9, 2, true, 7, 3},
                                         Rejection{kProbe, 6, 7, 6, 6, true, 7, 6}));

}  // namespace
}  // namespace blixard::raft
