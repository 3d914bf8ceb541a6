#pragma once

// A queue that keeps its memory: what passes through it at a steady rate allocates nothing, where
// std::deque would make and free a block for every few elements. Grows by doubling and never
// shrinks, so it is for queues whose length has a limit.
//
// Iterators and references are good until an element is added.

#include <algorithm>
#include <cstddef>
#include <utility>

#include <boost/circular_buffer.hpp>

namespace blixard {

template <class T>
class Ring {
 public:
  using value_type = T;  // NOLINT(readability-identifier-naming): the language's names
  using iterator = typename boost::circular_buffer<T>::iterator;              // NOLINT
  using const_iterator = typename boost::circular_buffer<T>::const_iterator;  // NOLINT

  [[nodiscard]] bool empty() const { return items_.empty(); }
  [[nodiscard]] std::size_t size() const { return items_.size(); }
  [[nodiscard]] std::size_t capacity() const { return items_.capacity(); }

  T& front() { return items_.front(); }
  T& back() { return items_.back(); }
  T& operator[](std::size_t i) { return items_[i]; }
  [[nodiscard]] const T& front() const { return items_.front(); }
  [[nodiscard]] const T& back() const { return items_.back(); }
  [[nodiscard]] const T& operator[](std::size_t i) const { return items_[i]; }

  iterator begin() { return items_.begin(); }
  iterator end() { return items_.end(); }
  [[nodiscard]] const_iterator begin() const { return items_.begin(); }
  [[nodiscard]] const_iterator end() const { return items_.end(); }

  void push_back(T item) {
    grow_if_full();
    items_.push_back(std::move(item));
  }
  void insert(iterator before, T item) {
    const auto at = before - items_.begin();
    grow_if_full();
    items_.insert(items_.begin() + at, std::move(item));
  }
  void pop_front() { items_.pop_front(); }
  void pop_back() { items_.pop_back(); }
  void clear() { items_.clear(); }

  template <class Gone>
  void erase_if(Gone gone) {
    items_.erase(std::remove_if(items_.begin(), items_.end(), gone), items_.end());
  }

  friend bool operator==(const Ring& a, const Ring& b) { return a.items_ == b.items_; }

 private:
  static constexpr std::size_t kFirstCapacity = 16;

  void grow_if_full() {
    if (items_.full()) items_.set_capacity(std::max(kFirstCapacity, 2 * items_.capacity()));
  }

  boost::circular_buffer<T> items_;
};

}  // namespace blixard
