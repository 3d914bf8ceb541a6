#pragma once

// What later reads say about a configuration now.
//
// For models that can tell where no growth leads (`leads_to`). A read that is still to be placed
// will be accepted only if the state now leads to it, or if an overwriting operation that is left
// and is called before the read returns does. A configuration with a read for which neither is true
// has no future. And a state that leads to no read any more is as good as any other such state: it
// is dead, nobody will ever tell what it was.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "linearizability/entry_list.h"
#include "linearizability/search.h"

namespace blixard::linearizability {

class Outlook {
 public:
  Outlook(std::span<const Event> operations, const EntryList& entries, Transitions& transitions);

  enum class Future : std::uint8_t { kOpen, kClosedNow, kClosedLater };

  // Whether all reads among the entries from `entry` on, as far as it looks, can still be accepted
  // after that operation was placed and led to that state. Closed now: the first of them cannot.
  Future future_of(std::uint32_t state, std::uint32_t placed, std::uint32_t entry);
  // Whether no operation that returns at or after `entry` can tell the state.
  bool is_dead(std::uint32_t state, std::uint32_t entry);
  [[nodiscard]] bool knows() const { return knows_; }
  [[nodiscard]] std::size_t bytes() const {
    return bytes_ + sizeof(std::uint32_t) * alive_.capacity();
  }

 private:
  struct Return {
    std::uint32_t entry = 0;
    std::uint32_t kind = 0;
  };
  bool has_support(std::uint32_t operation, std::uint32_t placed);

  std::span<const Event> operations_;
  const EntryList& entries_;
  Transitions& transitions_;
  bool knows_ = false;
  bool may_die_ = true;                               // all that may be refused is known to end
  std::vector<Return> returns_;                       // of what may be refused, in order
  std::vector<std::uint32_t> overwrites_;             // operations
  std::vector<std::vector<std::uint32_t>> supports_;  // by kind: of them those that lead to it
  std::vector<bool> is_supported_;                    // by kind: supports_ is known
  std::vector<std::uint32_t> alive_;  // by state: the entry of the last return that it leads to
  std::size_t bytes_ = 0;
};

}  // namespace blixard::linearizability
