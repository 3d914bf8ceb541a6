#pragma once

// Quorum arithmetic: what a majority, or each of two majorities, agrees on.
//
// Everything is written for a joint configuration (thesis, section 4.3): an empty list of voters
// agrees to everything, so a configuration that is not joint is a joint one whose second list is
// empty. Pure functions; lists are sorted and without repetition.

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>

#include "base/ids.h"

namespace blixard::raft {

// What an empty majority commits: everything. Of a whole configuration only when it has no voters.
inline constexpr LogIndex kEverything{std::numeric_limits<std::uint64_t>::max()};

enum class VoteResult : std::uint8_t {
  kPending,  // neither yet; it depends on the votes still missing
  kLost,
  kWon,
};

using Votes = std::map<NodeId, bool>;  // who answered, and whether yes

// How far each voter acknowledged; none of one that was not heard of, which counts as 0.
class AckedIndexes {
 public:
  virtual ~AckedIndexes() = default;
  [[nodiscard]] virtual std::optional<LogIndex> acked(NodeId voter) const = 0;
};

using Voters = std::span<const NodeId>;

// The largest index that a majority acknowledged. No allocation up to kVotersWithoutAllocation.
inline constexpr std::size_t kVotersWithoutAllocation = 8;
[[nodiscard]] LogIndex committed_index(Voters voters, const AckedIndexes& acked);
[[nodiscard]] LogIndex committed_index(Voters incoming, Voters outgoing, const AckedIndexes& acked);

// Votes of nodes that are no voters do not count.
[[nodiscard]] VoteResult vote_result(Voters voters, const Votes& votes);
[[nodiscard]] VoteResult vote_result(Voters incoming, Voters outgoing, const Votes& votes);

}  // namespace blixard::raft
