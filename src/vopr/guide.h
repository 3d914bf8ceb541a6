#pragma once

// Chooses what is run next: plans drawn afresh, and variations of those that showed something new
// (a state of coverage nobody had seen), as coverage-guided fuzzers do it. Deterministic: the same
// scenarios, first seed and reports give the same plans.

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "vopr/guide_reach.h"
#include "vopr/plan.h"
#include "vopr/report.h"
#include "vopr/scenario.h"

namespace blixard::vopr {

class Guide {
 public:
  explicit Guide(std::vector<Scenario> scenarios) : scenarios_(std::move(scenarios)) {}

  // Of this seed. Without `guided` it is draw() of one of the scenarios and nothing else, so that
  // the seed alone says what was run.
  [[nodiscard]] Plan next(std::uint64_t seed, bool guided);
  void learn(const Plan& plan, const Coverage& coverage);

  [[nodiscard]] const Coverage& seen() const { return seen_; }
  [[nodiscard]] std::size_t kept() const { return kept_.size(); }

  // Of what runs of the scenarios can show, what none showed; for people.
  [[nodiscard]] Unreached never_reached(std::size_t lines_max) const {
    return unreached(reach_of(scenarios_), reach_of(seen_), lines_max);
  }

 private:
  std::vector<Scenario> scenarios_;
  std::vector<Plan> kept_;  // each showed something that those before it did not
  Coverage seen_;
};

}  // namespace blixard::vopr
