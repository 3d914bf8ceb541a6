#pragma once

// The configurations a search has seen.
//
// A configuration is (first return, state, operations that are called and must be placed) and,
// apart, those that are called and may be placed. The second part is a stock to take from: more of
// it can do all that less of it can. So for each first part only those stocks are kept that none of
// the others contains.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <boost/unordered/unordered_flat_set.hpp>

namespace blixard::linearizability {

using Words = std::span<const std::uint64_t>;

class Visited {
 public:
  Visited(std::size_t slot_words, std::size_t stock_words);
  Visited(const Visited&) = delete;  // the set refers to the object
  Visited& operator=(const Visited&) = delete;

  // Whether it is worth looking at: false if one seen before can do all that it can.
  bool add(std::uint32_t first_return, std::uint32_t state, Words slots, Words stock);
  [[nodiscard]] std::size_t bytes() const;

 private:
  struct Hash {
    using is_transparent = void;
    const Visited* owner;
    std::size_t operator()(std::uint32_t index) const { return (*this)(owner->key(index)); }
    std::size_t operator()(Words key) const;
  };
  struct Equal {
    using is_transparent = void;
    const Visited* owner;
    bool operator()(std::uint32_t a, std::uint32_t b) const { return a == b; }
    bool operator()(Words a, std::uint32_t b) const { return same(a, owner->key(b)); }
    bool operator()(std::uint32_t a, Words b) const { return same(owner->key(a), b); }
  };
  static bool same(Words a, Words b);
  [[nodiscard]] Words key(std::uint32_t index) const {
    return Words(keys_).subspan(index * key_words_, key_words_);
  }
  bool add_stock(std::uint32_t index, Words stock);

  std::size_t key_words_;
  std::size_t stock_words_;
  std::vector<std::uint64_t> keys_;
  std::vector<std::uint32_t> first_stock_;  // of a key; 0: none
  std::vector<std::uint32_t> next_stock_;   // from 1
  std::vector<std::uint64_t> stocks_;
  std::vector<std::uint64_t> probe_;
  boost::unordered_flat_set<std::uint32_t, Hash, Equal> index_;
};

}  // namespace blixard::linearizability
