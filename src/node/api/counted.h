#pragma once

// Counts something that is under way while it lives, for a bound on how many there are.

#include <cstddef>

namespace blixard::api {

class Counted {
 public:
  explicit Counted(std::size_t& count) : count_(count) { ++count_; }
  ~Counted() { --count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  std::size_t& count_;
};

}  // namespace blixard::api
