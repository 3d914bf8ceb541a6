#pragma once

// What chance finds rarely, brought about on purpose: the situations in which a known fault of
// consensus shows. A script leaves the details (payloads, delays, who of several) to the seed; the
// same invariants are checked as in every run. In the hard mix one seed in kScriptedOneIn begins
// with one.

#include <cstdint>
#include <span>

#include "test/conformance/raft/core_sim.h"

namespace blixard::core_sim {

inline constexpr std::uint64_t kScriptedOneIn = 10;

struct Script {
  const char* name;
  std::uint64_t voters = 3;
  std::uint64_t learners = 0;
  bool one_entry_a_message = false;
  bool applies_before_durable = true;
  bool goes_on = true;  // faults by chance afterwards, in the hard mix
  void (*play)(Sim& sim) = nullptr;
};

[[nodiscard]] std::span<const Script> scripts();
[[nodiscard]] const Script* find_script(const char* name);
// What the script needs of the plan: members, limits, a network without chance.
void adjust(Plan& plan, const Script& script);
// A script alone.
[[nodiscard]] Summary run(const Script& script, std::uint64_t seed);

}  // namespace blixard::core_sim
