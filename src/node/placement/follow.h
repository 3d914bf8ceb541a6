#pragma once

// A planner that is kept between plans, brought to the replica's state of now.

#include <span>

#include "core/sched/place.h"
#include "node/replica/replica.h"

namespace blixard::placement {

inline void follow(sched::Planner& planner, const replica::Replica& replica) {
  const auto changes = replica.changes(planner.revision());
  if (changes) {
    planner.follow(replica.state(), std::span(*changes));
  } else {
    planner.follow(replica.state());
  }
}

}  // namespace blixard::placement
