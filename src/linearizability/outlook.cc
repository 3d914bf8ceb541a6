#include "linearizability/outlook.h"

#include <algorithm>

namespace blixard::linearizability {
namespace {

constexpr std::size_t kReturnsAhead = 48;      // that a configuration is held against
constexpr std::size_t kReturnsScanned = 4096;  // for one that a state leads to
constexpr std::uint32_t kUnknown = kRefused;

}  // namespace

Outlook::Outlook(std::span<const Event> operations, const EntryList& entries,
                 Transitions& transitions)
    : operations_(operations),
      entries_(entries),
      transitions_(transitions),
      knows_(transitions.knows_where_it_leads()) {
  if (!knows_) return;
  std::uint32_t kinds = 0;
  for (std::uint32_t i = 0; i < operations.size(); ++i) {
    kinds = std::max(kinds, operations[i].kind + 1);
    if (operations[i].overwrites) overwrites_.push_back(i);
    if (!operations[i].never_refused && operations[i].returned == kNever) may_die_ = false;
  }
  supports_.resize(kinds);
  is_supported_.resize(kinds);
  for (std::uint32_t entry = entries.next(EntryList::kHead); entry != EntryList::kHead;
       entry = entries.next(entry)) {
    const Event& event = operations[entries.operation(entry)];
    if (entries.is_return(entry) && !event.never_refused)
      returns_.push_back({.entry = entry, .kind = event.kind});
  }
}

bool Outlook::has_support(std::uint32_t operation, std::uint32_t placed) {
  const Event& event = operations_[operation];
  std::vector<std::uint32_t>& supports = supports_[event.kind];
  if (!is_supported_[event.kind]) {
    is_supported_[event.kind] = true;
    for (const std::uint32_t overwriting : overwrites_) {
      const std::uint32_t after = transitions_.step(0, operations_[overwriting].kind);
      if (transitions_.leads_to(after, event.kind)) supports.push_back(overwriting);
    }
    bytes_ += sizeof(std::uint32_t) * supports.capacity();
  }
  return std::ranges::any_of(supports, [&](std::uint32_t overwriting) {
    return overwriting != placed && !entries_.is_lifted(overwriting) &&
           operations_[overwriting].invoked <= event.returned;
  });
}

Outlook::Future Outlook::future_of(std::uint32_t state, std::uint32_t placed, std::uint32_t entry) {
  if (!knows_) return Future::kOpen;
  const std::uint32_t first = entry;
  for (std::size_t seen = 0; seen < kReturnsAhead && entry != EntryList::kHead;
       entry = entries_.next(entry)) {
    if (!entries_.is_return(entry)) continue;
    ++seen;
    const std::uint32_t operation = entries_.operation(entry);
    if (operation == placed || operations_[operation].never_refused) continue;
    if (transitions_.leads_to(state, operations_[operation].kind)) continue;
    if (!has_support(operation, placed))
      return entry == first ? Future::kClosedNow : Future::kClosedLater;
  }
  return Future::kOpen;
}

bool Outlook::is_dead(std::uint32_t state, std::uint32_t entry) {
  if (!knows_ || !may_die_) return false;
  if (alive_.size() <= state) {
    alive_.resize(std::max<std::size_t>(state + 1, 2 * alive_.size()), kUnknown);
  }
  if (alive_[state] == kUnknown) {
    std::size_t at = returns_.size();
    const std::size_t until = at - std::min(at, kReturnsScanned);
    while (at != until && !transitions_.leads_to(state, returns_[at - 1].kind))
      --at;
    alive_[state] = at == 0 ? EntryList::kHead : returns_[at - 1].entry;
  }
  return alive_[state] < entry;
}

}  // namespace blixard::linearizability
