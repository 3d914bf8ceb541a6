#include "node/log/entry_index.h"

#include <algorithm>
#include <iterator>

namespace blixard::log {

const Place* EntryIndex::find(LogIndex index) const {
  if (index <= base_ || index > last()) return nullptr;
  return &places_[index.value - base_.value - 1];
}

std::optional<Term> EntryIndex::term(LogIndex index) const {
  if (index == base_) return base_term_;
  if (index < base_ || index > last()) return std::nullopt;
  const auto behind = std::ranges::upper_bound(terms_, index, {}, &Stretch::first);
  return std::prev(behind)->term;
}

bool EntryIndex::put(LogIndex index, Term term, const Place& place) {
  if (!index || index.value > last().value + 1) return false;
  if (index <= base_) {
    reset(LogIndex(index.value - 1), std::nullopt);
  } else {
    places_.resize(index.value - base_.value - 1);
  }
  while (!terms_.empty() && terms_.back().first >= index)
    terms_.pop_back();
  if (terms_.empty() || terms_.back().term != term) terms_.push_back({index, term});
  places_.push_back(place);
  return true;
}

void EntryIndex::reset(LogIndex base, std::optional<Term> base_term) {
  base_ = base;
  base_term_ = base_term;
  places_.clear();
  terms_.clear();
}

void EntryIndex::drop_before(std::uint64_t segment) {
  while (!places_.empty() && places_.front().segment < segment)
    drop_first();
}

void EntryIndex::drop_first() {
  base_ = base_.next();
  base_term_ = terms_.front().term;
  places_.pop_front();
  if (places_.empty() || (terms_.size() > 1 && terms_[1].first == base_.next())) {
    terms_.pop_front();
  } else {
    terms_.front().first = base_.next();
  }
}

}  // namespace blixard::log
