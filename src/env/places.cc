#include "env/places.h"

#include <algorithm>

namespace blixard::env {

Places::Place* Places::enter(Cancellation* parent) {
  if (held_ >= most_) {
    const auto oldest = std::ranges::find_if(
        places_, [](const Place& place) { return !place.settled && !place.displaced; });
    if (oldest == places_.end()) return nullptr;
    oldest->displaced = true;
    --held_;
    oldest->cancellation.request();
  }
  ++held_;
  return &places_.emplace_back(parent);
}

void Places::leave(Place& place) {
  if (!place.displaced) --held_;
  const auto found =
      std::ranges::find_if(places_, [&](const Place& other) { return &other == &place; });
  BLX_ASSERT(found != places_.end());
  places_.erase(found);
}

}  // namespace blixard::env
