#pragma once

// Metrics as text, in the two formats that Prometheus scrapes.

#include <cstdint>
#include <string>
#include <string_view>

#include "observe/metrics.h"

namespace blixard::observe {

enum class TextFormat : std::uint8_t {
  kPrometheus,   // text exposition format 0.0.4
  kOpenMetrics,  // OpenMetrics 1.0: units are told, and the end is marked
};

std::string_view content_type(TextFormat format);

// "counter", "gauge" or "histogram".
std::string_view kind_name(Kind kind);

// The format that an HTTP client asks for with `Accept`: OpenMetrics only when it wants that more.
TextFormat text_format_for(std::string_view accept);

// Appends; a buffer that is used again allocates nothing once it is large enough.
void write_text(const Metrics& metrics, TextFormat format, std::string& out);

}  // namespace blixard::observe
