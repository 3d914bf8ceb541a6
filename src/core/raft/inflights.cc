#include "core/raft/inflights.h"

#include <algorithm>

#include "base/assert.h"
#include "base/bug.h"

namespace blixard::raft {

std::size_t Inflights::at(std::size_t offset) const {
  const std::size_t place = start_ + offset;
  return place < ring_.size() ? place : place - ring_.size();
}

void Inflights::grow() {
  std::vector<Sent> larger;
  larger.reserve(std::max<std::size_t>(4, ring_.size() * 2));
  for (std::size_t i = 0; i < count_; ++i)
    larger.push_back(ring_[at(i)]);
  larger.resize(larger.capacity());
  ring_ = std::move(larger);
  start_ = 0;
}

void Inflights::add(LogIndex last, std::size_t bytes) {
  BLX_ASSERT(!full());
  if (count_ == ring_.size()) grow();
  ring_[at(count_)] = {last, bytes};
  ++count_;
  bytes_ += bytes;
}

void Inflights::free_up_to(LogIndex index) {
  while (count_ > 0 && ring_[start_].last <= index) {
    bytes_ -= ring_[start_].bytes;
    start_ = at(1);
    --count_;
  }
}

void Inflights::free_first() {
  BLX_ASSERT(count_ > 0);
  free_up_to(ring_[start_].last);
}

void Inflights::clear() {
  start_ = 0;
  count_ = 0;
  bytes_ = 0;
}

bool Inflights::full() const {
  if (BLX_BUG(kUnboundedInflight)) return false;
  return count_ >= messages_max_ || (bytes_max_ != 0 && bytes_ >= bytes_max_);
}

}  // namespace blixard::raft
