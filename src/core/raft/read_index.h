#pragma once

// Reads that wait for a quorum to confirm that the leader still leads (thesis, section 6.4).
//
// Each read is sent along with a round of heartbeats; a quorum that answers one confirms it and all
// that came before it. Kept in order of arrival; a read that is already here is not taken twice.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "core/raft/quorum.h"
#include "core/raft/types.h"

namespace blixard::raft {

struct PendingRead {
  ReadId read;
  NodeId from;     // none: asked here
  LogIndex index;  // committed when it came
  Votes acks;
};

class ReadQueue {
 public:
  [[nodiscard]] std::size_t size() const { return queue_.size(); }
  [[nodiscard]] const std::deque<PendingRead>& all() const { return queue_; }
  // The newest; none if none waits.
  [[nodiscard]] ReadId newest() const;

  void add(ReadId read, NodeId from, LogIndex commit);
  // `node` answered the heartbeat of that read. Returns who did so far; null: no such read.
  const Votes* acknowledge(NodeId node, ReadId read);
  // That read is confirmed: takes out all up to it, oldest first.
  std::vector<PendingRead> confirm(ReadId read);
  void clear();

 private:
  std::deque<PendingRead> queue_;
  std::map<ReadId, std::uint64_t> positions_;  // counted from the first read ever
  std::uint64_t confirmed_ = 0;                // position of queue_.front()
};

}  // namespace blixard::raft
