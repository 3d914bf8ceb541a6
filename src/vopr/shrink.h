#pragma once

// Makes a failing run small: leaves out steps, nodes, clients, VMs and time, and takes the usual
// settings and the first names where any will do, as long as the same checker still fails. Delta
// debugging (Zeller and Hildebrandt, 2002) on the list of decisions.

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "vopr/plan.h"
#include "vopr/report.h"

namespace blixard::vopr {

struct ShrinkProgress {
  std::size_t runs = 0;
  std::size_t steps = 0;  // of the smallest failing plan so far
};

struct Shrunk {
  Plan plan;
  Violation violation;
  std::size_t runs = 0;
};

// `fails` runs a plan and gives its violation. `plan` fails with `violation`. At most `runs_max`
// runs; the smallest so far is the answer whatever the reason to stop.
[[nodiscard]] Shrunk shrink(Plan plan, Violation violation,
                            const std::function<std::optional<Violation>(const Plan&)>& fails,
                            std::size_t runs_max,
                            const std::function<void(const ShrinkProgress&)>& on_progress);

}  // namespace blixard::vopr
