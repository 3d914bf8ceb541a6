#include "linearizability/search.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <tuple>
#include <utility>

#include "linearizability/entry_list.h"
#include "linearizability/visited.h"

namespace blixard::linearizability {
namespace {

constexpr std::uint64_t kStepsBetweenQuestions = 512;
constexpr std::size_t kLookAhead = 64;  // entries looked at for the next read

// For each operation with an end the smallest number that no other has while both are under way;
// for the others their rank.
struct Slots {
  std::vector<std::uint32_t> of;
  std::size_t with_end = 0;  // how many numbers are used
  std::size_t without_end = 0;
};

Slots give_slots(std::span<const Event> operations, const EntryList& entries) {
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

struct Candidate {
  std::uint32_t rank = 0;  // lower first
  std::uint32_t operation = 0;
  std::uint32_t state = 0;  // after it
  bool is_hidden = false;   // let go, as if placed just before the last overwriting one
};

// What a configuration is besides what is placed.
struct Situation {
  std::uint32_t state = 0;
  std::uint32_t free_before = 0;  // the first return when the last overwriting one was placed: an
                                  // overwriting one called before it is free
  // If the last step placed one that might have been stock: the first return then (else 0), the
  // state before it, and whether it overwrote and so made others free.
  std::uint32_t spared_at = 0;
  std::uint32_t spared = 0;
  bool made_free = false;
};

// A configuration that is being looked at.
struct Frame {
  std::size_t placed = 0;      // how many operations were before its candidates
  std::size_t candidates = 0;  // where its candidates begin
  std::size_t next = 0;        // the one to try next
  std::uint32_t entry = 0;     // of the first return that is left
  Situation situation;
};

constexpr std::uint32_t kHidden = std::uint32_t{1} << 31;  // marks an operation in the order

class Search {
 public:
  Search(std::span<const Event> operations, Transitions& transitions, const Budget& budget)
      : operations_(operations),
        transitions_(transitions),
        budget_(budget),
        entries_(operations),
        slots_(give_slots(operations, entries_)),
        must_bits_((slots_.with_end + 63) / 64),
        stock_bits_((slots_.without_end + 63) / 64 + must_bits_.size()),
        visited_(must_bits_.size(), stock_bits_.size()) {
    std::uint32_t kinds = 0;
    for (const Event& operation : operations) {
      kinds = std::max(kinds, operation.kind + 1);
      if (operation.returned != kNever) ++left_;
    }
    chosen_.resize(kinds);
    chosen_in_.resize(kinds);
  }

  Found run();

 private:
  enum class Look : std::uint8_t { kDone, kPushed, kKnown };

  Look look(Situation situation);
  Look follow(const Frame& frame, const Candidate& candidate);
  std::uint32_t open_operations(std::uint32_t state);
  void note_bits(const Situation& situation);
  void choose(std::uint32_t operation);
  void collect(const Situation& situation, std::uint32_t entry);
  void prefer_what_leads_on(std::uint32_t entry, std::size_t begin);
  void offer(const Situation& situation, std::uint32_t operation, std::uint32_t first,
             std::uint32_t wanted);
  [[nodiscard]] std::uint32_t wanted_after(std::uint32_t first) const;
  void place(std::uint32_t operation, std::uint32_t mark = 0);
  void take_back_to(std::size_t placed);
  void leave(const Frame& frame);
  [[nodiscard]] bool is_spent() const;
  [[nodiscard]] std::vector<std::uint32_t> listed() const;
  [[nodiscard]] bool is_free(const Situation& situation, std::uint32_t operation) const {
    return operations_[operation].overwrites && entries_.call(operation) < situation.free_before;
  }
  // Orders fewer before more.
  static std::uint64_t without(std::size_t count) { return ~std::uint64_t{count}; }
  [[nodiscard]] bool has_end(std::uint32_t operation) const {
    return operations_[operation].returned != kNever;
  }

  std::span<const Event> operations_;
  Transitions& transitions_;
  const Budget& budget_;
  EntryList entries_;
  Slots slots_;
  std::vector<std::uint64_t> must_bits_;   // what is called and must be placed,
  std::vector<std::uint64_t> stock_bits_;  // and what may be
  Visited visited_;

  std::size_t left_ = 0;              // operations with an end that are not placed
  std::vector<std::uint32_t> order_;  // placed; what was let go with a mark
  std::vector<Frame> frames_;
  std::vector<Candidate> candidates_;     // of all frames, one after the other
  std::vector<std::uint32_t> open_;       // called before the first return and not placed
  bool has_overwrite_ = false;            // open_ has overwriting ones
  bool has_bound_ = false;                // open_ has overwriting ones that must be placed
  std::vector<std::uint32_t> choices_;    // of open_, one of a kind
  std::vector<std::uint64_t> chosen_in_;  // by kind: the step it has a choice in,
  std::vector<std::uint32_t> chosen_;     // and where
  std::tuple<std::uint64_t, std::uint64_t, std::uint64_t> furthest_;  // of leave()
  Found found_;
};

void Search::place(std::uint32_t operation, std::uint32_t mark) {
  entries_.lift(operation);
  order_.push_back(operation | mark);
  if (has_end(operation)) --left_;
}

void Search::take_back_to(std::size_t placed) {
  while (order_.size() > placed) {
    const std::uint32_t operation = order_.back() & ~kHidden;
    if (has_end(operation)) ++left_;
    entries_.put_back(operation);
    order_.pop_back();
  }
}

// The order, with what was let go before the overwriting operation that hides it.
std::vector<std::uint32_t> Search::listed() const {
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
std::uint32_t Search::open_operations(std::uint32_t state) {
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

void Search::note_bits(const Situation& situation) {
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

// Of one kind the one to end first, and else the one that began first.
void Search::choose(std::uint32_t operation) {
  const Event& event = operations_[operation];
  if (chosen_in_[event.kind] != found_.steps) {
    chosen_in_[event.kind] = found_.steps;
    chosen_[event.kind] = static_cast<std::uint32_t>(choices_.size());
    choices_.push_back(operation);
    return;
  }
  std::uint32_t& other = choices_[chosen_[event.kind]];
  if (event.returned < operations_[other].returned) other = operation;
}

// What should be explained next: the first return, or if that may be let go the first read that
// is refused now.
std::uint32_t Search::wanted_after(std::uint32_t first) const {
  std::uint32_t wanted = first;
  for (const std::uint32_t operation : open_) {
    if (!operations_[operation].read_only || !has_end(operation)) continue;
    if (wanted == first || operations_[operation].returned < operations_[wanted].returned)
      wanted = operation;
  }
  return wanted;
}

void Search::offer(const Situation& situation, std::uint32_t operation, std::uint32_t first,
                   std::uint32_t wanted) {
  const Event& event = operations_[operation];
  const std::uint32_t after = transitions_.step(situation.state, event.kind);
  if (after == kRefused) return;
  const bool must = has_end(operation) && !is_free(situation, operation);
  if (!has_overwrite_ && !transitions_.leads_to(after, operations_[first].kind)) return;
  // It would change nothing, unless it makes others free.
  if (!must && after == situation.state && !(event.overwrites && has_bound_)) return;
  // Without the last step it would come out the same, and make as many free.
  if (situation.spared_at != 0 && (event.overwrites || !situation.made_free) &&
      transitions_.step(situation.spared, event.kind) == after) {
    return;
  }
  const bool explains = transitions_.step(after, operations_[wanted].kind) != kRefused;
  std::uint32_t rank = (explains ? 1U : 3U) + (has_end(operation) ? 0U : 1U);
  if (operation == first) rank = must || (explains && wanted != first) ? 0 : 5;
  candidates_.push_back({.rank = rank, .operation = operation, .state = after, .is_hidden = false});
}

// What leads to the read that ends next goes before what does not.
void Search::prefer_what_leads_on(std::uint32_t entry, std::size_t begin) {
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

void Search::collect(const Situation& situation, std::uint32_t entry) {
  const std::uint32_t first = entries_.operation(entry);
  const std::size_t begin = candidates_.size();
  choices_.clear();
  has_bound_ = false;
  has_overwrite_ = false;
  for (const std::uint32_t operation : open_) {
    const Event& event = operations_[operation];
    has_bound_ =
        has_bound_ || (event.overwrites && has_end(operation) && !is_free(situation, operation));
    has_overwrite_ = has_overwrite_ || event.overwrites;
    // A read that is left is refused here.
    if (!event.read_only) choose(operation);
  }
  const bool may_let_go = is_free(situation, first);
  const std::uint32_t wanted = may_let_go ? wanted_after(first) : first;
  for (const std::uint32_t operation : choices_)
    offer(situation, operation, first, wanted);
  if (may_let_go) {
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
Search::Look Search::look(Situation situation) {
  ++found_.steps;
  const std::size_t placed = order_.size();
  const std::uint32_t entry = open_operations(situation.state);
  if (left_ == 0) return Look::kDone;
  note_bits(situation);
  if (!visited_.add(entry, situation.state, must_bits_, stock_bits_)) return Look::kKnown;
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

Search::Look Search::follow(const Frame& frame, const Candidate& candidate) {
  Situation next{.state = candidate.state, .free_before = frame.situation.free_before};
  if (candidate.is_hidden) {
    place(candidate.operation, kHidden);
  } else {
    const bool overwrites = operations_[candidate.operation].overwrites;
    place(candidate.operation);
    if (overwrites) next.free_before = frame.entry;
    if (overwrites || !has_end(candidate.operation)) {
      next.spared_at = frame.entry;
      next.spared = frame.situation.state;
      next.made_free = overwrites;
    }
  }
  return look(next);
}

// Keeps the order if nothing got further: to a later return, with more operations that have an end,
// with fewer that have none (those were only tried).
void Search::leave(const Frame& frame) {
  const std::uint32_t first = entries_.operation(frame.entry);
  const std::tuple reached(operations_[first].returned, without(left_), without(order_.size()));
  if (found_.stuck && reached <= furthest_) return;
  furthest_ = reached;
  found_.stuck = first;
  found_.order = listed();
}

bool Search::is_spent() const {
  if (found_.steps >= budget_.steps_max) return true;
  if (found_.steps % kStepsBetweenQuestions != 0) return false;
  return visited_.bytes() + transitions_.bytes() > budget_.bytes_max ||
         (budget_.is_over && budget_.is_over());
}

Found Search::run() {
  Look last = look({});
  while (last != Look::kDone) {
    if (is_spent()) {
      Found spent;
      spent.steps = found_.steps;
      return spent;
    }
    if (frames_.empty()) {
      found_.verdict = Verdict::kViolation;
      return std::move(found_);
    }
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
  return std::move(found_);
}

}  // namespace

Found find_order(std::span<const Event> operations, Transitions& transitions,
                 const Budget& budget) {
  return Search(operations, transitions, budget).run();
}

}  // namespace blixard::linearizability
