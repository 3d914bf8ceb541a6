#pragma once

// The drawing of a run: an SVG whose colours come from the page's style sheet.

#include <optional>
#include <string>

#include "vopr/plan.h"
#include "vopr/report.h"
#include "vopr/timeline_tracks.h"

namespace blixard::vopr {

[[nodiscard]] std::string seconds_text(Duration at);  // "12.345"

[[nodiscard]] std::string timeline_picture(const Plan& plan, const Report& report, Tracks& tracks);

}  // namespace blixard::vopr
