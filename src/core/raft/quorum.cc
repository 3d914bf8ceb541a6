#include "core/raft/quorum.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

namespace blixard::raft {
namespace {

// The largest index that a majority of the values reaches; reorders them.
LogIndex majority_of(std::span<LogIndex> acked) {
  const auto at = acked.begin() + static_cast<std::ptrdiff_t>((acked.size() - 1) / 2);
  std::ranges::nth_element(acked, at);
  return *at;
}

}  // namespace

LogIndex committed_index(Voters voters, const AckedIndexes& acked) {
  if (voters.empty()) return kEverything;
  std::array<LogIndex, kVotersWithoutAllocation> few{};
  std::vector<LogIndex> many;
  std::span<LogIndex> indexes = few;
  if (voters.size() > few.size()) {
    many.resize(voters.size());
    indexes = many;
  }
  indexes = indexes.first(voters.size());
  std::ranges::transform(voters, indexes.begin(),
                         [&](NodeId voter) { return acked.acked(voter).value_or(LogIndex()); });
  return majority_of(indexes);
}

LogIndex committed_index(Voters incoming, Voters outgoing, const AckedIndexes& acked) {
  return std::min(committed_index(incoming, acked), committed_index(outgoing, acked));
}

VoteResult vote_result(Voters voters, const Votes& votes) {
  if (voters.empty()) return VoteResult::kWon;
  std::size_t granted = 0;
  std::size_t missing = 0;
  for (const NodeId voter : voters) {
    const auto vote = votes.find(voter);
    if (vote == votes.end()) {
      ++missing;
    } else if (vote->second) {
      ++granted;
    }
  }
  const std::size_t quorum = voters.size() / 2 + 1;
  if (granted >= quorum) return VoteResult::kWon;
  return granted + missing >= quorum ? VoteResult::kPending : VoteResult::kLost;
}

VoteResult vote_result(Voters incoming, Voters outgoing, const Votes& votes) {
  const VoteResult one = vote_result(incoming, votes);
  const VoteResult other = vote_result(outgoing, votes);
  if (one == other) return one;
  const bool lost = one == VoteResult::kLost || other == VoteResult::kLost;
  return lost ? VoteResult::kLost : VoteResult::kPending;
}

}  // namespace blixard::raft
