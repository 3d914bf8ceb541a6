#include "linearizability/visited.h"

#include <algorithm>

namespace blixard::linearizability {
namespace {

// Whether all bits of `part` are in `whole`.
bool contains(Words whole, Words part) {
  for (std::size_t i = 0; i < whole.size(); ++i) {
    if ((part[i] & ~whole[i]) != 0) return false;
  }
  return true;
}

}  // namespace

Visited::Visited(std::size_t slot_words, std::size_t stock_words)
    : key_words_(slot_words + 1),
      stock_words_(stock_words),
      next_stock_(1),
      probe_(key_words_),
      index_(0, Hash{this}, Equal{this}) {
  stocks_.resize(stock_words_);
}

// Numbers of our own making, so mixing well is enough (the finalizer of splitmix64).
std::size_t Visited::Hash::operator()(Words key) const {
  std::uint64_t hash = 0;
  for (const std::uint64_t word : key) {
    hash = (hash ^ word) + 0x9e3779b97f4a7c15;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
    hash ^= hash >> 31;
  }
  return hash;
}

bool Visited::same(Words a, Words b) { return std::ranges::equal(a, b); }

bool Visited::add(std::uint32_t first_return, std::uint32_t state, Words slots, Words stock) {
  probe_[0] = (std::uint64_t{first_return} << 32) | state;
  std::ranges::copy(slots, probe_.begin() + 1);
  const auto known = index_.find(Words(probe_));
  if (known != index_.end()) return stock_words_ != 0 && add_stock(*known, stock);
  const auto index = static_cast<std::uint32_t>(first_stock_.size());
  keys_.insert(keys_.end(), probe_.begin(), probe_.end());
  first_stock_.push_back(0);
  index_.insert(index);
  if (stock_words_ != 0) add_stock(index, stock);
  return true;
}

bool Visited::add_stock(std::uint32_t index, Words stock) {
  const auto stock_at = [&](std::uint32_t at) {
    return std::span(stocks_).subspan(at * stock_words_, stock_words_);
  };
  std::uint32_t* link = &first_stock_[index];
  std::uint32_t reused = 0;
  while (*link != 0) {
    const std::uint32_t at = *link;
    if (contains(stock_at(at), stock)) return false;
    if (contains(stock, stock_at(at))) {
      *link = next_stock_[at];
      reused = at;
      continue;
    }
    link = &next_stock_[at];
  }
  if (reused == 0) {
    reused = static_cast<std::uint32_t>(next_stock_.size());
    next_stock_.push_back(0);
    stocks_.resize(stocks_.size() + stock_words_);
  }
  std::ranges::copy(stock, stock_at(reused).begin());
  next_stock_[reused] = first_stock_[index];
  first_stock_[index] = reused;
  return true;
}

std::size_t Visited::bytes() const {
  return 8 * (keys_.capacity() + stocks_.capacity()) +
         4 * (first_stock_.capacity() + next_stock_.capacity()) + 5 * index_.bucket_count();
}

}  // namespace blixard::linearizability
