#include "linearizability/depth_first.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

namespace blixard::linearizability {
namespace {

constexpr std::uint64_t kStepsBetweenQuestions = 512;
constexpr std::size_t kLookAhead = 64;                     // entries looked at for the next read
constexpr std::uint32_t kHidden = std::uint32_t{1} << 31;  // marks an operation in the order
constexpr std::uint32_t kDead = kRefused;                  // stands for all dead states

}  // namespace

DepthFirst::Slots DepthFirst::give_slots(std::span<const Event> operations,
                                         const EntryList& entries) {
  Slots slots{.of = std::vector<std::uint32_t>(operations.size())};
  std::priority_queue<std::uint32_t, std::vector<std::uint32_t>, std::greater<>> free;
  for (std::uint32_t entry = entries.next(EntryList::kHead); entry != EntryList::kHead;
       entry = entries.next(entry)) {
    const std::uint32_t operation = entries.operation(entry);
    if (entries.is_return(entry)) {
      free.push(slots.of[operation]);
    } else if (operations[operation].returned == kNever) {
      slots.of[operation] = static_cast<std::uint32_t>(slots.without_end++);
    } else if (free.empty()) {
      slots.of[operation] = static_cast<std::uint32_t>(slots.with_end++);
    } else {
      slots.of[operation] = free.top();
      free.pop();
    }
  }
  return slots;
}

DepthFirst::DepthFirst(std::span<const Event> operations, Transitions& transitions,
                       const Budget& budget, std::uint32_t initial)
    : operations_(operations),
      transitions_(transitions),
      budget_(budget),
      entries_(operations),
      slots_(give_slots(operations, entries_)),
      must_bits_((slots_.with_end + 63) / 64),
      stock_bits_((slots_.without_end + 63) / 64 + must_bits_.size()),
      visited_(must_bits_.size(), stock_bits_.size()),
      outlook_(operations, entries_, transitions),
      initial_(initial) {
  std::size_t kinds = 0;
  for (const Event& operation : operations) {
    kinds = std::max(kinds, std::size_t{operation.kind} + 1);
    if (operation.returned != kNever) ++left_;
  }
  chosen_.resize(2 * kinds);
  chosen_in_.resize(2 * kinds);
}

void DepthFirst::place(std::uint32_t operation, std::uint32_t mark) {
  entries_.lift(operation);
  order_.push_back(operation | mark);
  if (has_end(operation)) --left_;
}

void DepthFirst::take_back_to(std::size_t placed) {
  while (order_.size() > placed) {
    const std::uint32_t operation = order_.back() & ~kHidden;
    if (has_end(operation)) ++left_;
    entries_.put_back(operation);
    order_.pop_back();
  }
}

// The order, with what was let go before the overwriting operation that hides it.
std::vector<std::uint32_t> DepthFirst::listed() const {
  std::vector<std::uint32_t> list;
  std::size_t hiding = 0;
  for (const std::uint32_t placed : order_) {
    if ((placed & kHidden) != 0) {
      list.insert(list.begin() + static_cast<std::ptrdiff_t>(hiding), placed & ~kHidden);
      ++hiding;
      continue;
    }
    if (operations_[placed].overwrites) hiding = list.size();
    list.push_back(placed);
  }
  return list;
}

// Places what changes nothing; leaves in `open_` what else is called before the first return, and
// gives that entry (the head if none is left).
std::uint32_t DepthFirst::open_operations(std::uint32_t state) {
  open_.clear();
  std::uint32_t entry = entries_.next(EntryList::kHead);
  while (entry != EntryList::kHead && !entries_.is_return(entry)) {
    const std::uint32_t operation = entries_.operation(entry);
    const Event& event = operations_[operation];
    if (event.read_only && has_end(operation) && transitions_.step(state, event.kind) != kRefused) {
      const std::uint32_t before = entries_.previous(entry);
      place(operation);
      entry = entries_.next(before);
      continue;
    }
    open_.push_back(operation);
    entry = entries_.next(entry);
  }
  return entry;
}

void DepthFirst::note_bits(const Situation& situation) {
  std::ranges::fill(must_bits_, 0);
  std::ranges::fill(stock_bits_, 0);
  const std::size_t slots_begin = 64 * (stock_bits_.size() - must_bits_.size());
  const auto set = [](std::vector<std::uint64_t>& bits, std::size_t at) {
    bits[at / 64] |= std::uint64_t{1} << (at % 64);
  };
  for (const std::uint32_t operation : open_) {
    const std::size_t slot = slots_.of[operation];
    if (!has_end(operation)) {
      set(stock_bits_, slot);
    } else if (is_free(situation, operation)) {
      set(stock_bits_, slots_begin + slot);
    } else {
      set(must_bits_, slot);
    }
  }
}

// Of one kind the one to end first, and else the one that began first. What need not be placed
// before its end is no match for what must, if it ends earlier: unless placing both at once is the
// same, both are chosen.
void DepthFirst::choose(const Situation& situation, std::uint32_t operation) {
  const Event& event = operations_[operation];
  const bool apart = has_end(operation) && !event.overwrites && is_free(situation, operation);
  const std::size_t at = 2 * std::size_t{event.kind} + (apart ? 1 : 0);
  if (chosen_in_[at] != found_.steps) {
    chosen_in_[at] = found_.steps;
    chosen_[at] = static_cast<std::uint32_t>(choices_.size());
    choices_.push_back(operation);
    return;
  }
  std::uint32_t& other = choices_[chosen_[at]];
  if (event.returned < operations_[other].returned) other = operation;
}

// What should be explained next: the first return, or if that may be let go the first read that
// is refused now.
std::uint32_t DepthFirst::wanted_after(std::uint32_t first) const {
  std::uint32_t wanted = first;
  for (const std::uint32_t operation : open_) {
    if (!operations_[operation].read_only || !has_end(operation)) continue;
    if (wanted == first || operations_[operation].returned < operations_[wanted].returned)
      wanted = operation;
  }
  return wanted;
}

bool DepthFirst::has_future(std::uint32_t state, std::uint32_t placed, std::uint32_t entry) {
  const Outlook::Future future = outlook_.future_of(state, placed, entry);
  if (future == Outlook::Future::kClosedLater) looked_ahead_ = true;
  return future == Outlook::Future::kOpen;
}

void DepthFirst::offer(const Situation& situation, std::uint32_t operation, std::uint32_t entry,
                       std::uint32_t wanted) {
  const std::uint32_t first = entries_.operation(entry);
  const Event& event = operations_[operation];
  // A dead state is as good as any other.
  const bool stays = situation.is_dead && event.never_refused && !event.overwrites;
  if (situation.is_dead && !event.overwrites && operation != first) return;
  const std::uint32_t after =
      stays ? situation.state : transitions_.step(situation.state, event.kind);
  if (after == kRefused) return;
  const bool must = has_end(operation) && !is_free(situation, operation);
  // It would change nothing, unless it makes others free.
  if (!must && after == situation.state && !(event.overwrites && has_bound_)) return;
  // Without the last step it would come out the same, and make as many free.
  if (situation.spared_at != 0 && (event.overwrites || !situation.by_overwriting) &&
      transitions_.step(situation.spared, event.kind) == after) {
    return;
  }
  if (!has_future(after, operation, entry)) return;
  const bool explains = transitions_.step(after, operations_[wanted].kind) != kRefused;
  std::uint32_t rank = (explains ? 1U : 3U) + (has_end(operation) ? 0U : 1U);
  if (operation == first) rank = must || (explains && wanted != first) ? 0 : 5;
  candidates_.push_back({.rank = rank, .operation = operation, .state = after, .is_hidden = false});
}

// What leads to the read that ends next goes before what does not.
void DepthFirst::prefer_what_leads_on(std::uint32_t entry, std::size_t begin) {
  constexpr std::uint32_t kElsewhere = 10;
  for (std::size_t seen = 0; seen < kLookAhead && entry != EntryList::kHead; ++seen) {
    const Event& event = operations_[entries_.operation(entry)];
    if (entries_.is_return(entry) && event.read_only) {
      for (std::size_t i = begin; i < candidates_.size(); ++i) {
        if (!transitions_.leads_to(candidates_[i].state, event.kind))
          candidates_[i].rank += kElsewhere;
      }
      return;
    }
    entry = entries_.next(entry);
  }
}

void DepthFirst::collect(const Situation& situation, std::uint32_t entry) {
  const std::uint32_t first = entries_.operation(entry);
  const std::size_t begin = candidates_.size();
  choices_.clear();
  has_bound_ = false;
  for (const std::uint32_t operation : open_) {
    const Event& event = operations_[operation];
    has_bound_ =
        has_bound_ || (event.never_refused && has_end(operation) && !is_free(situation, operation));
    // A read that is left is refused here.
    if (!event.read_only) choose(situation, operation);
  }
  const bool may_let_go = is_free(situation, first);
  const std::uint32_t wanted = may_let_go ? wanted_after(first) : first;
  for (const std::uint32_t operation : choices_)
    offer(situation, operation, entry, wanted);
  if (may_let_go && has_future(situation.state, first, entry)) {
    candidates_.push_back(
        {.rank = 1, .operation = first, .state = situation.state, .is_hidden = true});
  }
  if (candidates_.size() - begin > 1) prefer_what_leads_on(entry, begin);
  // Those to end first go first; the order of the calls decides between those without an end.
  const auto before = [&](const Candidate& a, const Candidate& b) {
    return std::tuple(a.rank, operations_[a.operation].returned, operations_[a.operation].invoked) <
           std::tuple(b.rank, operations_[b.operation].returned, operations_[b.operation].invoked);
  };
  std::sort(candidates_.begin() + static_cast<std::ptrdiff_t>(begin), candidates_.end(), before);
}

// Goes into the configuration that what is placed and the situation make.
DepthFirst::Look DepthFirst::look(Situation situation) {
  ++found_.steps;
  const std::size_t placed = order_.size();
  const std::uint32_t entry = open_operations(situation.state);
  if (left_ == 0) return Look::kDone;
  note_bits(situation);
  situation.is_dead = outlook_.is_dead(situation.state, entry);
  if (!visited_.add(entry, situation.is_dead ? kDead : situation.state, must_bits_, stock_bits_))
    return Look::kKnown;
  const std::size_t begin = candidates_.size();
  if (situation.spared_at != entry || order_.size() != placed) situation.spared_at = 0;
  collect(situation, entry);
  frames_.push_back({.placed = order_.size(),
                     .candidates = begin,
                     .next = begin,
                     .entry = entry,
                     .situation = situation});
  return Look::kPushed;
}

DepthFirst::Look DepthFirst::follow(const Frame& frame, const Candidate& candidate) {
  Situation next{.state = candidate.state, .free_before = frame.situation.free_before};
  if (candidate.is_hidden) {
    place(candidate.operation, kHidden);
  } else {
    const Event& event = operations_[candidate.operation];
    const bool is_stock =
        !has_end(candidate.operation) || is_free(frame.situation, candidate.operation);
    if (!event.is_unlimited) place(candidate.operation);
    if (event.overwrites) next.free_before = frame.entry;
    if (event.never_refused || is_stock) {
      next.spared_at = frame.entry;
      next.spared = frame.situation.state;
      next.by_overwriting = event.overwrites || !is_stock;
    }
  }
  return look(next);
}

// Keeps the order if nothing got further: to a later return, with more operations that have an end,
// with fewer that have none (those were only tried).
void DepthFirst::leave(const Frame& frame) {
  const std::uint32_t first = entries_.operation(frame.entry);
  const std::tuple reached(operations_[first].returned, without(left_), without(order_.size()));
  if (found_.stuck && reached <= furthest_) return;
  furthest_ = reached;
  further_at_ = found_.steps;
  found_.stuck = first;
  found_.order = listed();
}

bool DepthFirst::is_spent() const {
  if (found_.steps >= budget_.steps_max) return true;
  if (found_.steps % kStepsBetweenQuestions != 0) return false;
  return visited_.bytes() + outlook_.bytes() + transitions_.bytes() > budget_.bytes_max ||
         (budget_.is_over && budget_.is_over());
}

DepthFirst::Progress DepthFirst::advance(std::uint64_t steps_in_vain) {
  Look last = Look::kKnown;
  if (!has_begun_) last = look({.state = initial_});
  has_begun_ = true;
  while (last != Look::kDone) {
    if (is_spent()) return Progress::kSpent;
    if (frames_.empty()) {
      found_.verdict = Verdict::kViolation;
      return Progress::kDecided;
    }
    if (found_.steps - further_at_ >= steps_in_vain && found_.stuck) return Progress::kPaused;
    Frame& frame = frames_.back();
    take_back_to(frame.placed);
    if (frame.next == candidates_.size()) {
      leave(frame);
      candidates_.resize(frame.candidates);
      frames_.pop_back();
      continue;
    }
    const Candidate candidate = candidates_[frame.next++];
    last = follow(Frame(frame), candidate);
  }
  found_.verdict = Verdict::kOk;
  found_.order = listed();
  found_.stuck.reset();
  return Progress::kDecided;
}

}  // namespace blixard::linearizability
