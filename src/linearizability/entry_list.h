#pragma once

// The calls and returns that are left, in order, as a doubly linked list in two arrays. Lifting an
// operation takes its call and return out in constant time; putting it back is as cheap, if done
// in the opposite order.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>
#include <vector>

#include "linearizability/search.h"

namespace blixard::linearizability {

class EntryList {
 public:
  explicit EntryList(std::span<const Event> operations);

  static constexpr std::uint32_t kHead = 0;
  // After kHead comes the first entry; 0 again means the end.
  [[nodiscard]] std::uint32_t next(std::uint32_t entry) const { return next_[entry]; }
  [[nodiscard]] std::uint32_t previous(std::uint32_t entry) const { return previous_[entry]; }
  [[nodiscard]] bool is_return(std::uint32_t entry) const { return (entries_[entry] & 1) != 0; }
  [[nodiscard]] std::uint32_t operation(std::uint32_t entry) const { return entries_[entry] >> 1; }

  [[nodiscard]] std::uint32_t call(std::uint32_t operation) const { return call_[operation]; }

  [[nodiscard]] bool is_lifted(std::uint32_t operation) const {
    const std::uint32_t entry = call_[operation];
    return next_[previous_[entry]] != entry;
  }
  void lift(std::uint32_t operation) {
    unlink(call_[operation]);
    if (return_[operation] != 0) unlink(return_[operation]);
  }
  // Precondition: it is the last lifted of those not put back.
  void put_back(std::uint32_t operation) {
    if (return_[operation] != 0) link(return_[operation]);
    link(call_[operation]);
  }

 private:
  void unlink(std::uint32_t entry) {
    next_[previous_[entry]] = next_[entry];
    previous_[next_[entry]] = previous_[entry];
  }
  void link(std::uint32_t entry) {
    next_[previous_[entry]] = entry;
    previous_[next_[entry]] = entry;
  }

  std::vector<std::uint32_t> entries_;  // twice the operation, plus one for a return
  std::vector<std::uint32_t> next_;
  std::vector<std::uint32_t> previous_;
  std::vector<std::uint32_t> call_;    // an operation's entries
  std::vector<std::uint32_t> return_;  // 0: it has no end
};

inline EntryList::EntryList(std::span<const Event> operations)
    : call_(operations.size()), return_(operations.size()) {
  entries_.push_back(0);
  for (std::uint32_t i = 0; i < operations.size(); ++i) {
    entries_.push_back(2 * i);
    if (operations[i].returned != kNever) entries_.push_back(2 * i + 1);
  }
  // Calls before returns of the same position: these overlap.
  const auto place = [&](std::uint32_t entry) {
    const Event& operation = operations[entry >> 1];
    const bool returns = (entry & 1) != 0;
    return std::tuple(returns ? operation.returned : operation.invoked, returns, entry);
  };
  std::ranges::sort(entries_.begin() + 1, entries_.end(), {}, place);
  const auto count = static_cast<std::uint32_t>(entries_.size());
  next_.resize(count);
  previous_.resize(count);
  for (std::uint32_t entry = 0; entry < count; ++entry) {
    next_[entry] = (entry + 1) % count;
    previous_[entry] = (entry + count - 1) % count;
    if (entry == kHead) continue;
    (is_return(entry) ? return_ : call_)[operation(entry)] = entry;
  }
}

}  // namespace blixard::linearizability
