#pragma once

// Carries out a plan: a cluster of whole nodes on simulated machines, its clients, its operator and
// what goes wrong, with every checker on. After the trouble everything heals, and within kSettle
// every request must have ended and what is observed must be what is desired.

#include <cstdint>

#include "observe/log.h"
#include "vopr/plan.h"
#include "vopr/report.h"

namespace blixard::vopr {

inline constexpr Duration kSettle = 5min;

struct RunOptions {
  bool keep_log = false;  // Report::log
  observe::Level log_level = observe::Level::kInfo;
};

// The same plan gives the same report, trace hash included, whatever the options.
[[nodiscard]] Report run(const Plan& plan, const RunOptions& options);

}  // namespace blixard::vopr
