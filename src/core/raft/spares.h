#pragma once

// Emptied vectors whose memory the next ones use: what a core hands out and takes in at each turn
// has about the same size as the turn before.

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

namespace blixard::raft {

template <class T>
class Spares {
 public:
  // What is large, or one too many, is let go.
  void give(std::vector<T>&& used) {
    if (used.capacity() == 0 || used.capacity() > kPlacesMost || count_ == kept_.size()) return;
    kept_[count_] = std::move(used);
    kept_[count_++].clear();
  }
  // Empty; without memory of its own when there is none.
  std::vector<T> take() {
    return count_ == 0 ? std::vector<T>() : std::exchange(kept_[--count_], {});
  }

 private:
  static constexpr std::size_t kPlacesMost = 1024;

  std::array<std::vector<T>, 4> kept_;
  std::size_t count_ = 0;
};

}  // namespace blixard::raft
