#include "core/raft/read_index.h"

#include <utility>

namespace blixard::raft {

ReadId ReadQueue::newest() const { return queue_.empty() ? ReadId{} : queue_.back().read; }

void ReadQueue::add(ReadId read, NodeId from, LogIndex commit) {
  if (!positions_.emplace(read, confirmed_ + queue_.size()).second) return;
  queue_.push_back({.read = read, .from = from, .index = commit, .acks = {}});
}

const Votes* ReadQueue::acknowledge(NodeId node, ReadId read) {
  const auto found = positions_.find(read);
  if (found == positions_.end()) return nullptr;
  Votes& acks = queue_[found->second - confirmed_].acks;
  acks[node] = true;
  return &acks;
}

std::vector<PendingRead> ReadQueue::confirm(ReadId read) {
  std::vector<PendingRead> confirmed;
  const auto found = positions_.find(read);
  if (found == positions_.end()) return confirmed;
  const std::uint64_t end = found->second + 1;
  confirmed.reserve(end - confirmed_);
  for (; confirmed_ < end; ++confirmed_) {
    positions_.erase(queue_.front().read);
    confirmed.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return confirmed;
}

void ReadQueue::clear() {
  confirmed_ += queue_.size();
  queue_.clear();
  positions_.clear();
}

}  // namespace blixard::raft
