#pragma once

// What the leader does next so that the configuration of consensus follows the model: members are
// taken in as learners, servers that have caught up become voters, and those that leave are taken
// out. A pure decision; one step at a time, since consensus makes one change at a time.

#include <cstdint>
#include <map>
#include <optional>

#include "base/ids.h"
#include "base/units.h"
#include "core/cluster/state.h"

namespace blixard::membership {

// A learner has caught up when it is this close to the commit index, for this long: a machine that
// only touches the end of the log now and then would cost the quorum its speed.
inline constexpr std::uint64_t kLagMax = 256;
inline constexpr Duration kCloseFor = 2s;

struct Step {
  enum class Kind : std::uint8_t {
    kAddLearner,
    kPromote,
    kRemove,    // from the configuration, and from the model in the same entry
    kDrop,      // from the model only: the configuration never had it
    kHandOver,  // lead no longer: this node itself leaves
  };
  Kind kind = Kind::kAddLearner;
  NodeId node;
  friend bool operator==(const Step&, const Step&) = default;
};

// Since when each learner has been close; a learner that is not close is not in it.
using CloseSince = std::map<NodeId, Instant>;

// None: there is nothing to do. Precondition: `self` leads.
std::optional<Step> next_step(const cluster::State& state, NodeId self, const CloseSince& close,
                              Instant now);

}  // namespace blixard::membership
