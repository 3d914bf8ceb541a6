#pragma once

// A search in depth for an order of operations.
//
// After J. M. Wing and C. Gong, "Testing and verifying concurrent objects" (1993), and G. Lowe,
// "Testing for linearizability" (2017): calls and returns are one linked list; an operation may be
// placed next if its call stands before the first return that is left; placing it lifts its call
// and return out of the list, undoing puts them back; configurations that failed are remembered.
// What is left to do is decided by (first return, operations called and not placed, state): that
// is all a configuration consists of, so remembering it costs a few words whatever the history's
// length, and nothing is placed before a return asks for it (Lowe's just-in-time linearization).
//
// These keep the search small, and lose no order that matters:
// - An operation that never changes the state is placed as soon as the state accepts it: taking it
//   out of where another order has it, and putting it here, leaves all the rest as it was.
// - Of operations that ask and answer the same (one kind), the one to end first goes first, and of
//   those without an end the one that began first: whatever uses the other can be exchanged.
// - An operation without an end need not be placed. So a configuration is worth no more than one
//   that differs only by having more of them left.
// - What is overwritten at once, nobody sees. So whenever an overwriting one is placed, all other
//   operations that are called and that no state refuses become free: each may count as placed just
//   before it. A free one is stock like one without an end, and when its return comes it may simply
//   be let go (it is hidden).
// - What need not be placed is not placed for nothing: if an operation comes out the same without
//   the one placed just before it for the same return, that one had better stayed stock.
// - A configuration that leaves a later read without a state is not gone into (outlook.h).
// - States that no read will tell apart are one state, a dead one. While the state is dead, what
//   does not overwrite is placed only when its own return comes: before it would be for nothing.
// - What explains the next return at once, or leads to the next read, is tried first.
// All but two are exact: the last only decides how soon an order is found, and what is not gone
// into for a read that returns later makes what is stuck an earlier return than the one that the
// shortest prefix without an order ends with (`looked_ahead`).

#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>
#include <vector>

#include "linearizability/entry_list.h"
#include "linearizability/outlook.h"
#include "linearizability/search.h"
#include "linearizability/visited.h"

namespace blixard::linearizability {

class DepthFirst {
 public:
  // `initial` is the state it begins in.
  DepthFirst(std::span<const Event> operations, Transitions& transitions, const Budget& budget,
             std::uint32_t initial = 0);

  enum class Progress : std::uint8_t { kDecided, kSpent, kPaused };

  // Goes on until it is decided, the budget is spent, or that many steps were done without getting
  // further.
  Progress advance(std::uint64_t steps_in_vain);

  // Counts steps that were done elsewhere for it.
  void charge(std::uint64_t steps) {
    found_.steps += steps;
    further_at_ += steps;
  }

  // ok or violation only if it was decided. What is stuck, and the order up to it, is how far the
  // search got, also before it is decided.
  [[nodiscard]] const Found& found() const { return found_; }
  [[nodiscard]] std::uint64_t steps_in_vain() const { return found_.steps - further_at_; }
  [[nodiscard]] bool looked_ahead() const { return looked_ahead_; }

 private:
  enum class Look : std::uint8_t { kDone, kPushed, kKnown };

  // What a configuration is besides what is placed.
  struct Situation {
    std::uint32_t state = 0;
    std::uint32_t free_before = 0;  // the first return when the last overwriting one was placed:
                                    // what is never refused and was called before it is free
    // If the last step placed one that might have been stock: the first return then (else 0), the
    // state before it, and whether only another overwriting one would have made it stock, or would
    // make free what it made free.
    std::uint32_t spared_at = 0;
    std::uint32_t spared = 0;
    bool by_overwriting = false;
    bool is_dead = false;
  };
  struct Candidate {
    std::uint32_t rank = 0;  // lower first
    std::uint32_t operation = 0;
    std::uint32_t state = 0;  // after it
    bool is_hidden = false;   // let go, as if placed just before the last overwriting one
  };
  // A configuration that is being looked at.
  struct Frame {
    std::size_t placed = 0;      // how many operations were before its candidates
    std::size_t candidates = 0;  // where its candidates begin
    std::size_t next = 0;        // the one to try next
    std::uint32_t entry = 0;     // of the first return that is left
    Situation situation;
  };
  // For each operation with an end the smallest number that no other has while both are under way;
  // for the others their rank.
  struct Slots {
    std::vector<std::uint32_t> of;
    std::size_t with_end = 0;  // how many numbers are used
    std::size_t without_end = 0;
  };

  static Slots give_slots(std::span<const Event> operations, const EntryList& entries);
  Look look(Situation situation);
  Look follow(const Frame& frame, const Candidate& candidate);
  std::uint32_t open_operations(std::uint32_t state);
  void note_bits(const Situation& situation);
  void choose(const Situation& situation, std::uint32_t operation);
  void collect(const Situation& situation, std::uint32_t entry);
  void prefer_what_leads_on(std::uint32_t entry, std::size_t begin);
  void offer(const Situation& situation, std::uint32_t operation, std::uint32_t entry,
             std::uint32_t wanted);
  bool has_future(std::uint32_t state, std::uint32_t placed, std::uint32_t entry);
  [[nodiscard]] std::uint32_t wanted_after(std::uint32_t first) const;
  void place(std::uint32_t operation, std::uint32_t mark = 0);
  void take_back_to(std::size_t placed);
  void leave(const Frame& frame);
  [[nodiscard]] bool is_spent() const;
  [[nodiscard]] std::vector<std::uint32_t> listed() const;
  [[nodiscard]] bool is_free(const Situation& situation, std::uint32_t operation) const {
    const Event& event = operations_[operation];
    return event.is_optional ||
           (event.never_refused && entries_.call(operation) < situation.free_before);
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
  Outlook outlook_;
  std::uint32_t initial_;

  std::size_t left_ = 0;              // operations with an end that are not placed
  std::vector<std::uint32_t> order_;  // placed; what was let go with a mark
  std::vector<Frame> frames_;
  std::vector<Candidate> candidates_;     // of all frames, one after the other
  std::vector<std::uint32_t> open_;       // called before the first return and not placed
  bool has_bound_ = false;                // open_ has some that are never refused and not free
  std::vector<std::uint32_t> choices_;    // of open_, one of a kind
  std::vector<std::uint64_t> chosen_in_;  // by kind, twice: the step it has a choice in,
  std::vector<std::uint32_t> chosen_;     // and where
  std::tuple<std::uint64_t, std::uint64_t, std::uint64_t> furthest_;  // of leave()
  std::uint64_t further_at_ = 0;                                      // the step that got furthest
  bool has_begun_ = false;
  bool looked_ahead_ = false;
  Found found_;
};

}  // namespace blixard::linearizability
