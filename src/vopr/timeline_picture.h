#pragma once

// The drawing of a run: an SVG whose colours come from the page's style sheet.

#include <optional>
#include <string>
#include <string_view>

#include "vopr/plan.h"
#include "vopr/report.h"
#include "vopr/timeline_tracks.h"

namespace blixard::vopr {

// For HTML and SVG, attributes included. Control characters become spaces, but newlines stay.
[[nodiscard]] std::string escaped(std::string_view text);
// At most so many bytes, cut between characters.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t bytes);
[[nodiscard]] std::string seconds_text(Duration at);  // "12.345"

[[nodiscard]] std::string timeline_picture(const Plan& plan, const Report& report, Tracks& tracks);

}  // namespace blixard::vopr
