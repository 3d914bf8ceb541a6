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
};

// A configuration that is being looked at.
struct Frame {
  std::size_t placed = 0;      // how many operations were before its candidates
  std::size_t candidates = 0;  // where its candidates begin
  std::size_t next = 0;        // the one to try next
  std::uint32_t first_return = 0;
};

class Search {
 public:
  Search(std::span<const Event> operations, Transitions& transitions, const Budget& budget)
      : operations_(operations),
        transitions_(transitions),
        budget_(budget),
        entries_(operations),
        slots_(give_slots(operations, entries_)),
        visited_((slots_.with_end + 63) / 64, (slots_.without_end + 63) / 64),
        slot_bits_((slots_.with_end + 63) / 64),
        stock_bits_((slots_.without_end + 63) / 64) {
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

  Look look(std::uint32_t state);
  std::uint32_t open_operations(std::uint32_t state);
  void collect(std::uint32_t state, std::uint32_t first_return);
  void consider(std::uint32_t operation, std::uint32_t state, std::uint32_t first);
  void place(std::uint32_t operation);
  void take_back_to(std::size_t placed);
  void leave(const Frame& frame);
  [[nodiscard]] bool is_spent() const;
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
  Visited visited_;

  std::size_t left_ = 0;              // operations with an end that are not placed
  std::vector<std::uint32_t> order_;  // placed
  std::vector<Frame> frames_;
  std::vector<Candidate> candidates_;  // of all frames, one after the other
  std::vector<std::uint32_t> open_;    // called before the first return and not placed
  std::vector<std::uint64_t> slot_bits_;
  std::vector<std::uint64_t> stock_bits_;
  std::vector<std::uint64_t> chosen_in_;  // by kind: the step it has a candidate in,
  std::vector<std::uint32_t> chosen_;     // and which
  std::tuple<std::uint64_t, std::uint64_t, std::uint64_t> furthest_;  // of leave()
  Found found_;
};

void Search::place(std::uint32_t operation) {
  entries_.lift(operation);
  order_.push_back(operation);
  if (has_end(operation)) --left_;
}

void Search::take_back_to(std::size_t placed) {
  while (order_.size() > placed) {
    if (has_end(order_.back())) ++left_;
    entries_.put_back(order_.back());
    order_.pop_back();
  }
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

void Search::consider(std::uint32_t operation, std::uint32_t state, std::uint32_t first) {
  const Event& event = operations_[operation];
  if (event.read_only) return;  // refused here, or it would have been placed
  const bool ends = has_end(operation);
  if (chosen_in_[event.kind] == found_.steps) {
    Candidate& other = candidates_[chosen_[event.kind]];
    if (ends && event.returned < operations_[other.operation].returned) {
      other.operation = operation;
      if (operation == first) other.rank = 0;
    }
    return;
  }
  const std::uint32_t after = transitions_.step(state, event.kind);
  if (after == kRefused || (!ends && after == state)) return;
  chosen_in_[event.kind] = found_.steps;
  chosen_[event.kind] = static_cast<std::uint32_t>(candidates_.size());
  const bool explains = transitions_.step(after, operations_[first].kind) != kRefused;
  const std::uint32_t rank = operation == first ? 0 : (explains ? 1U : 3U) + (ends ? 0U : 1U);
  candidates_.push_back({.rank = rank, .operation = operation, .state = after});
}

void Search::collect(std::uint32_t state, std::uint32_t first_return) {
  const std::size_t begin = candidates_.size();
  for (const std::uint32_t operation : open_)
    consider(operation, state, first_return);
  // Those to end first go first; the order of the calls decides between those without an end.
  const auto before = [&](const Candidate& a, const Candidate& b) {
    return std::tuple(a.rank, operations_[a.operation].returned, operations_[a.operation].invoked) <
           std::tuple(b.rank, operations_[b.operation].returned, operations_[b.operation].invoked);
  };
  std::sort(candidates_.begin() + static_cast<std::ptrdiff_t>(begin), candidates_.end(), before);
}

// Goes into the configuration that what is placed and `state` make.
Search::Look Search::look(std::uint32_t state) {
  ++found_.steps;
  const std::uint32_t entry = open_operations(state);
  if (left_ == 0) return Look::kDone;
  const std::uint32_t first_return = entries_.operation(entry);
  std::ranges::fill(slot_bits_, 0);
  std::ranges::fill(stock_bits_, 0);
  for (const std::uint32_t operation : open_) {
    const std::uint32_t slot = slots_.of[operation];
    auto& bits = has_end(operation) ? slot_bits_ : stock_bits_;
    bits[slot / 64] |= std::uint64_t{1} << (slot % 64);
  }
  if (!visited_.add(entry, state, slot_bits_, stock_bits_)) return Look::kKnown;
  const std::size_t begin = candidates_.size();
  collect(state, first_return);
  frames_.push_back(
      {.placed = order_.size(), .candidates = begin, .next = begin, .first_return = first_return});
  return Look::kPushed;
}

// Keeps the order if nothing got further: to a later return, with more operations that have an end,
// with fewer that have none (those were only tried).
void Search::leave(const Frame& frame) {
  const std::tuple reached(operations_[frame.first_return].returned, without(left_),
                           without(order_.size()));
  if (found_.stuck && reached <= furthest_) return;
  furthest_ = reached;
  found_.stuck = frame.first_return;
  found_.order = order_;
}

bool Search::is_spent() const {
  if (found_.steps >= budget_.steps_max) return true;
  if (found_.steps % kStepsBetweenQuestions != 0) return false;
  return visited_.bytes() + transitions_.bytes() > budget_.bytes_max ||
         (budget_.is_over && budget_.is_over());
}

Found Search::run() {
  Look last = look(0);
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
    place(candidate.operation);
    last = look(candidate.state);
  }
  found_.verdict = Verdict::kOk;
  found_.order = std::move(order_);
  found_.stuck.reset();
  return std::move(found_);
}

}  // namespace

Found find_order(std::span<const Event> operations, Transitions& transitions,
                 const Budget& budget) {
  return Search(operations, transitions, budget).run();
}

}  // namespace blixard::linearizability
