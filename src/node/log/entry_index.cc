#include "node/log/entry_index.h"

namespace blixard::log {

const Place* EntryIndex::find(LogIndex index) const {
  if (index <= base_ || index > last()) return nullptr;
  return &places_[index.value - base_.value - 1];
}

bool EntryIndex::put(LogIndex index, const Place& place) {
  if (!index || index.value > last().value + 1) return false;
  if (index <= base_) {
    reset(LogIndex(index.value - 1));
  } else {
    places_.resize(index.value - base_.value - 1);
  }
  places_.push_back(place);
  return true;
}

void EntryIndex::reset(LogIndex base) {
  base_ = base;
  places_.clear();
}

void EntryIndex::drop_before(std::uint64_t segment) {
  while (!places_.empty() && places_.front().segment < segment) {
    places_.pop_front();
    base_ = base_.next();
  }
}

}  // namespace blixard::log
