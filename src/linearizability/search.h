#pragma once

// The search for an order, knowing nothing of what the operations mean.
//
// After J. M. Wing and C. Gong, "Testing and verifying concurrent objects" (1993), and G. Lowe,
// "Testing for linearizability" (2017): calls and returns are one linked list; an operation may be
// placed next if its call stands before the first return that is left; placing it lifts its call
// and return out of the list, undoing puts them back; configurations that failed are remembered.
// What is left to do is decided by (first return, operations called and not placed, state): that
// is all a configuration consists of, so remembering it costs a few words whatever the history's
// length, and nothing is placed before a return asks for it (Lowe's just-in-time linearization).
//
// Seven things keep the search small, and lose no order that matters:
// - An operation that never changes the state is placed as soon as the state accepts it: taking it
//   out of where another order has it, and putting it here, leaves all the rest as it was.
// - Of operations that ask and answer the same (one kind), the one to end first goes first, and of
//   those without an end the one that began first: whatever uses the other can be exchanged.
// - An operation without an end need not be placed. So a configuration is worth no more than one
//   that differs only by having more of them left.
// - What is overwritten at once, nobody sees. So whenever an overwriting one is placed, all other
//   overwriting operations that are called become free: each may count as placed just before it. A
//   free one is stock like one without an end, and when its return comes it may simply be let go
//   (it is hidden).
// - What need not be placed is not placed for nothing: if an operation comes out the same without
//   the one placed just before it for the same return, that one had better stayed stock.
// - Where only overwriting could lead to what the next return was given, and nothing that is called
//   overwrites, nothing is tried.
// - What explains the next return at once, or leads to the next read, is tried first.
// All but the last are exact; that one only decides how soon an order is found.
//
// Deterministic, no recursion. The first return that no configuration gets beyond is the end of
// the shortest prefix without an order, since all configurations were tried when it is named. (What
// is under way at that end may be placed or not, but only with the answer that it was given later.)

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "linearizability/history.h"

namespace blixard::linearizability {

inline constexpr std::uint32_t kRefused = std::numeric_limits<std::uint32_t>::max();

// The object, as a machine over numbered states and numbered kinds of operations.
class Transitions {
 public:
  Transitions() = default;
  Transitions(const Transitions&) = delete;
  Transitions& operator=(const Transitions&) = delete;
  virtual ~Transitions() = default;

  // The state after an operation of that kind, or kRefused. The first state is 0.
  virtual std::uint32_t step(std::uint32_t state, std::uint32_t kind) = 0;
  // False only if no operations but overwriting ones lead from the state to one that accepts that
  // operation.
  virtual bool leads_to(std::uint32_t state, std::uint32_t kind) = 0;
  [[nodiscard]] virtual std::size_t bytes() const = 0;  // kept in memory, about
};

struct Event {
  std::uint32_t kind = 0;   // the same for operations that ask and answer the same
  bool read_only = false;   // wherever it is accepted, the state stays
  bool overwrites = false;  // every state accepts it, and it leads to the same from all
  std::uint64_t invoked = 0;
  std::uint64_t returned = kNever;
};

struct Found {
  Verdict verdict = Verdict::kUnknown;
  std::vector<std::uint32_t> order;    // as PartOutcome
  std::optional<std::uint32_t> stuck;  // as PartOutcome
  std::uint64_t steps = 0;
};

// Precondition: fewer than 2^31 operations.
Found find_order(std::span<const Event> operations, Transitions& transitions, const Budget& budget);

}  // namespace blixard::linearizability
