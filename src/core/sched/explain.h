#pragma once

// Why a VM is where it is, would go where it would go, or goes nowhere: what each node says to it,
// the score of the one that is chosen, who comes next, and what keeps it out by the least.
//
// Of a VM that waits: as if it were the next to be placed, with the room left alone that others
// before it have made others leave for. Of one that is placed: as if it were not there yet, its own
// node included.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/name.h"
#include "core/cluster/state.h"
#include "core/sched/misses.h"
#include "core/sched/place.h"
#include "core/sched/refusals.h"
#include "core/sched/strategy.h"

namespace blixard::sched {

inline constexpr std::size_t kAlternatives = 3;
inline constexpr std::size_t kRefusedNodes = 100;  // that are named
inline constexpr std::size_t kMisses = 8;

struct Explanation {
  // One that takes it, and how good it is. Parts make up the score; none of a node that a VM is on
  // and that would not take it now.
  struct Candidate {
    NodeId node;
    Name name;
    Score score = 0;
    std::vector<ScorePart> parts;
  };
  struct Refused {
    Name node;
    std::string why;  // as Refusals has it
  };
  // A group whose gang is not complete.
  struct Gang {
    Name group;
    std::uint32_t wanted = 0;
    std::uint32_t placed = 0;
    std::uint32_t waiting = 0;
  };

  std::string verdict;  // one line
  cluster::Strategy strategy{};
  cluster::Strategy scored_by{};
  std::uint64_t nodes = 0;
  std::uint64_t fitting = 0;  // would take it
  std::vector<Refusals::Cause> causes;
  std::vector<Refused> refused;         // by id, at most kRefusedNodes
  std::optional<Candidate> chosen;      // of a placed VM its node
  std::vector<Candidate> alternatives;  // in the order in which they would be chosen
  std::vector<Misses::Miss> misses;     // only where nothing takes it; the nearest first
  std::vector<Name> leaving;            // VMs that are told to leave for it
  std::vector<Gang> gangs;
  std::uint64_t ahead = 0;  // VMs that wait and come before it
};

// Precondition: the fleet follows that state, of which the VM is. O(nodes). It is left as it was.
Explanation explain(const cluster::State& state, StateFleet& fleet, const cluster::Vm& vm);

}  // namespace blixard::sched
