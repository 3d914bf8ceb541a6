#pragma once

// Attributes as OTLP/JSON has them, in spans, resources and metrics alike.

#include <boost/json/array.hpp>

#include "node/trace/otlp.h"

namespace blixard::trace {

[[nodiscard]] boost::json::array attributes_json(const Attributes& attributes);

}  // namespace blixard::trace
