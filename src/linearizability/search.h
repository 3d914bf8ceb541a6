#pragma once

// The search for an order, knowing nothing of what the operations mean: a search in depth
// (depth_first.h), and what makes sure that it does not have to try everything.
//
// What later reads say ends most of what is tried in vain (outlook.h), but an order that is given
// up because of a later read may explain more of the history up to that read than any other. So
// where a violation was found with its help, prefixes are searched until the shortest without an
// order is known: a history is linearizable exactly if all its prefixes are, and what is under way
// at the end of a prefix has no end in it.
//
// Where a search does not get on, it may be that nothing gets beyond the return that it came to.
// To know that, all that came before need not be tried: if the object could have been in any state
// some returns earlier, and what was under way then could have happened or not, and still nothing
// gets beyond, there is no order. That is tried with more and more returns before it, at first as
// if what may happen or not could happen often: then nothing needs to be known of what did.
//
// Deterministic, no recursion. What is stuck is the end of the shortest prefix without an order.
// (What is under way at that end may be placed or not, but only with the answer that it was given
// later.)

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
  // Whether leads_to() is ever false.
  [[nodiscard]] virtual bool knows_where_it_leads() const = 0;
  [[nodiscard]] virtual std::size_t bytes() const = 0;  // kept in memory, about
};

struct Event {
  std::uint32_t kind = 0;      // the same for operations that ask and answer the same
  bool read_only = false;      // wherever it is accepted, the state stays
  bool overwrites = false;     // every state accepts it, and it leads to the same from all
  bool never_refused = false;  // every state accepts it; true of what overwrites
  bool is_optional = false;    // may have happened before the history
  bool is_unlimited = false;   // may happen as often as one likes, also never
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
