#pragma once

// What runs of some scenarios can show at all, and what of it was shown: so that "never reached"
// names only what is worth a thought. What is drawn is found out by drawing, so that no list here
// has to follow the workloads; what events that can bring about is said here.

#include <array>
#include <bitset>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "vopr/report.h"
#include "vopr/scenario.h"

namespace blixard::vopr {

struct Reach {
  std::bitset<kActions> actions;
  std::bitset<kEvents> events;
  // Of each event: what may be there while it happens, faults and what operators do (Recorder).
  std::array<std::bitset<kActions>, kEvents> pairs;

  [[nodiscard]] std::size_t count() const;
};

[[nodiscard]] Reach reach_of(std::span<const Scenario> scenarios);
[[nodiscard]] Reach reach_of(const Coverage& coverage);  // whatever the role

struct Unreached {
  std::size_t reached = 0;
  std::size_t possible = 0;
  // "event uncertain", "action rotate", then "vm-failed with bit-rot, wall-jump" of events and
  // actions that were seen, but never together.
  std::vector<std::string> lines;
};

// At most `lines_max` lines; the last then says how many more there are.
[[nodiscard]] Unreached unreached(const Reach& possible, const Reach& seen, std::size_t lines_max);

}  // namespace blixard::vopr
