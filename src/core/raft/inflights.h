#pragma once

// The window of appends that a follower has not acknowledged yet, bounded in messages and bytes.
//
// A ring that grows up to its limit as it is used, so that idle followers cost nothing. Each entry
// is the last index of one message and its bytes; indices are added in increasing order, an
// acknowledgement frees all up to its index.

#include <cstddef>
#include <vector>

#include "base/ids.h"

namespace blixard::raft {

class Inflights {
 public:
  Inflights() = default;
  // `bytes_max` 0: not limited. The message that passes it is still taken, the next is not.
  explicit Inflights(std::size_t messages_max, std::size_t bytes_max = 0)
      : messages_max_(messages_max), bytes_max_(bytes_max) {}

  // Precondition: not full().
  void add(LogIndex last, std::size_t bytes);
  void free_up_to(LogIndex index);
  // What a heartbeat's answer is taken for by series 3.4. Precondition: count() > 0.
  void free_first();
  void clear();

  [[nodiscard]] bool full() const;
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  struct Sent {
    LogIndex last;
    std::size_t bytes = 0;
  };
  [[nodiscard]] std::size_t at(std::size_t offset) const;
  void grow();

  std::size_t messages_max_ = 0;
  std::size_t bytes_max_ = 0;
  std::vector<Sent> ring_;
  std::size_t start_ = 0;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;  // of all in the window
};

}  // namespace blixard::raft
