#pragma once

// A bounded number of places for those who have proven nothing yet, such as connections in their
// handshake. When none is free, the one that has held its place longest without getting anywhere
// makes room: whoever keeps silent never keeps others out, however many of them there are.
//
// Invariants: whoever entered leaves; at most `most` places are held by those who were not told to
// leave, and those end as soon as they run.

#include <cstddef>
#include <list>

#include "env/scope.h"

namespace blixard::env {

class Places {
 public:
  struct Place {
    explicit Place(Cancellation* parent) : cancellation(parent) {}

    Cancellation cancellation;  // under which its holder does what may be cut short
    bool settled = false;       // by its holder, who got somewhere: it makes room for nobody
    bool displaced = false;     // it made room
  };

  explicit Places(std::size_t most) : most_(most) {}

  // Null: all are held by those who are settled. Valid until leave().
  Place* enter(Cancellation* parent);
  void leave(Place& place);

 private:
  std::size_t most_;
  std::size_t held_ = 0;     // without those that were displaced
  std::list<Place> places_;  // the oldest first
};

}  // namespace blixard::env
