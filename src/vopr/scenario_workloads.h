#pragma once

// The kinds of workloads: each makes steps of one sort from the beginning of a run to its end. A
// workload draws from a stream of its own, so that another beside it does not change its choices.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "sim/random.h"
#include "vopr/plan.h"
#include "vopr/scenario.h"

namespace blixard::vopr {

[[nodiscard]] bool is_workload(std::string_view kind);

// Appends the steps by `workload` for a run of these settings, at most kStepsMost of each client.
// Precondition: is_workload(workload.kind).
void draw_workload(const Workload& workload, const Settings& settings, Duration until,
                   const sim::SeededRandom& random, std::vector<Step>& steps);
// About as many as that will be, to make room for them.
[[nodiscard]] std::size_t expected_steps(const Workload& workload, const Settings& settings,
                                         Duration until);

}  // namespace blixard::vopr
