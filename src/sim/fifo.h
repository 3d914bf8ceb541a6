#pragma once

// A queue in one piece of memory that it keeps: in steady state it allocates nothing, which a
// std::deque does for every few items.

#include <cstddef>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace blixard::sim {

template <class T>
class Fifo {
 public:
  [[nodiscard]] bool empty() const { return first_ == items_.size(); }
  [[nodiscard]] std::size_t size() const { return items_.size() - first_; }
  T& operator[](std::size_t index) { return items_[first_ + index]; }
  T& front() { return items_[first_]; }
  T& back() { return items_.back(); }

  void push(T item) { items_.push_back(std::move(item)); }
  T pop() {
    BLX_ASSERT(!empty());
    T item = std::move(items_[first_++]);
    if (empty()) {
      clear();
    } else if (first_ >= kSlack && first_ * 2 >= items_.size()) {
      items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(first_));
      first_ = 0;
    }
    return item;
  }
  void clear() {
    items_.clear();
    first_ = 0;
  }

 private:
  static constexpr std::size_t kSlack = 256;

  std::vector<T> items_;
  std::size_t first_ = 0;
};

}  // namespace blixard::sim
