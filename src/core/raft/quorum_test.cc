#include "core/raft/quorum.h"

#include <rapidcheck.h>

#include <algorithm>
#include <set>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace blixard::raft {
namespace {

class Acks : public AckedIndexes {
 public:
  explicit Acks(std::map<NodeId, LogIndex> acks) : acks_(std::move(acks)) {}
  [[nodiscard]] std::optional<LogIndex> acked(NodeId voter) const override {
    const auto found = acks_.find(voter);
    return found == acks_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  std::map<NodeId, LogIndex> acks_;
};

std::vector<NodeId> voters_of(const std::set<std::uint8_t>& ids) {
  std::vector<NodeId> voters;
  voters.reserve(ids.size());
  for (const std::uint8_t id : ids)
    voters.emplace_back(std::uint64_t{id} + 1);
  return voters;
}

std::map<NodeId, LogIndex> acks_of(const std::map<std::uint8_t, std::uint8_t>& given) {
  std::map<NodeId, LogIndex> acks;
  for (const auto& [id, index] : given)
    acks.emplace(std::uint64_t{id} + 1, std::uint64_t{index});
  return acks;
}

// By definition: the largest index for which more than half of the voters acknowledged as much.
LogIndex committed_by_definition(const std::vector<NodeId>& voters, const Acks& acks) {
  if (voters.empty()) return kEverything;
  LogIndex best;
  for (std::uint64_t index = 1; index <= 255; ++index) {
    const auto count = std::ranges::count_if(voters, [&](NodeId voter) {
      return acks.acked(voter).value_or(LogIndex()) >= LogIndex(index);
    });
    if (static_cast<std::size_t>(count) * 2 > voters.size()) best = LogIndex(index);
  }
  return best;
}

TEST(CommittedIndex, NoVotersCommitEverything) {
  EXPECT_EQ(committed_index(Voters(), Acks({})), kEverything);
  EXPECT_EQ(committed_index(Voters(), Voters(), Acks({})), kEverything);
}

TEST(CommittedIndex, MoreVotersThanFitOnTheStack) {
  std::vector<NodeId> voters;
  std::map<NodeId, LogIndex> acks;
  for (std::uint64_t i = 1; i <= 21; ++i) {
    voters.emplace_back(i);
    acks.emplace(NodeId(i), LogIndex(100 + i));
  }
  EXPECT_EQ(committed_index(voters, Acks(acks)), LogIndex(111));
}

RC_GTEST_PROP(CommittedIndex, IsWhatTheDefinitionSays,
              (const std::set<std::uint8_t>& ids,
               const std::map<std::uint8_t, std::uint8_t>& given)) {
  const auto voters = voters_of(ids);
  const Acks acks(acks_of(given));
  RC_ASSERT(committed_index(voters, acks) == committed_by_definition(voters, acks));
}

RC_GTEST_PROP(CommittedIndex, OfTwoListsIsTheSmaller,
              (const std::set<std::uint8_t>& one, const std::set<std::uint8_t>& other,
               const std::map<std::uint8_t, std::uint8_t>& given)) {
  const auto a = voters_of(one);
  const auto b = voters_of(other);
  const Acks acks(acks_of(given));
  const LogIndex both = committed_index(a, b, acks);
  RC_ASSERT(both == std::min(committed_by_definition(a, acks), committed_by_definition(b, acks)));
  RC_ASSERT(both == committed_index(b, a, acks));
}

RC_GTEST_PROP(VoteResult, IsFinalExactlyWhenTheMissingVotesCannotChangeIt,
              (const std::set<std::uint8_t>& ids, const std::map<std::uint8_t, bool>& given)) {
  const auto voters = voters_of(ids);
  Votes votes;
  for (const auto& [id, granted] : given)
    votes.emplace(NodeId(std::uint64_t{id} + 1), granted);
  const auto with_missing = [&](bool granted) {
    std::size_t yes = 0;
    for (const NodeId voter : voters) {
      const auto vote = votes.find(voter);
      yes += (vote == votes.end() ? granted : vote->second) ? 1 : 0;
    }
    return voters.empty() || yes * 2 > voters.size();
  };
  VoteResult expected = VoteResult::kPending;
  if (with_missing(false)) expected = VoteResult::kWon;
  if (!with_missing(true)) expected = VoteResult::kLost;
  RC_ASSERT(vote_result(voters, votes) == expected);
}

TEST(VoteResult, OfTwoListsNeedsBothAndIsLostByEither) {
  const std::vector<NodeId> one{NodeId(1)};
  const std::vector<NodeId> other{NodeId(2)};
  const auto result = [&](const Votes& votes) {
    const VoteResult found = vote_result(one, other, votes);
    EXPECT_EQ(found, vote_result(other, one, votes));
    return found;
  };
  EXPECT_EQ(result({}), VoteResult::kPending);
  EXPECT_EQ(result({{NodeId(1), true}}), VoteResult::kPending);
  EXPECT_EQ(result({{NodeId(1), false}}), VoteResult::kLost);
  EXPECT_EQ(result({{NodeId(1), true}, {NodeId(2), false}}), VoteResult::kLost);
  EXPECT_EQ(result({{NodeId(1), true}, {NodeId(2), true}}), VoteResult::kWon);
}

}  // namespace
}  // namespace blixard::raft
