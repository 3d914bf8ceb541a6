#pragma once

// One request, one decision: the node that is best for it, or none.
//
// Exact: the best of all nodes, found through the scores that are kept for the request's shape.
// Sampled: the best of some nodes that have room, taken from all over the fleet; where they begin
// follows from the seed, the request's name and how many VMs there are, so that the same question
// has the same answer. It
// is what fleets of more than kExactNodes get: keeping the scores of every shape at all of them
// costs more than it brings. Both find a node whenever there is one.

#include <cstdint>
#include <optional>
#include <span>

#include "core/resources/room.h"
#include "core/sched/circumstances.h"
#include "core/sched/fleet.h"
#include "core/sched/request.h"
#include "core/sched/score_index.h"

namespace blixard::sched {

inline constexpr std::size_t kExactNodes = 2048;
inline constexpr std::size_t kCandidates = 32;  // of a sampled decision

enum class Search : std::uint8_t { kBySize, kExact, kSampled };

struct Situation {
  const Circumstances* circumstances = nullptr;  // null: no other VM matters but for its room
  Search search = Search::kBySize;
  std::uint64_t seed = 0;
  // Not chosen, and as they are for all else: so the next best is found.
  std::span<const NodeIndex> passed_over;
};

struct Decision {
  NodeIndex at = kNoNode;  // none: no node can take it
  resources::DeviceNumbers devices;
  Score score = kNoScore;
  [[nodiscard]] bool is_placed() const { return at != kNoNode; }
};

// Takes nothing: the caller does, with Fleet::take().
Decision decide(Fleet& fleet, const Request& request, const Situation& situation = {});

// The same of one node.
Decision decide_on(Fleet& fleet, NodeIndex at, const Request& request,
                   const Situation& situation = {});

}  // namespace blixard::sched
