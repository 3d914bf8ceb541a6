#pragma once

// A run as one HTML page without any outside reference: nodes as lanes over time, who leads, what
// is cut off, crashes, guests and VMs, what clients asked, and the violation marked.

#include <string>

#include "vopr/plan.h"
#include "vopr/report.h"

namespace blixard::vopr {

[[nodiscard]] std::string timeline_page(const Plan& plan, const Report& report);

}  // namespace blixard::vopr
