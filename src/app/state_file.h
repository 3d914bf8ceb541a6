#pragma once

// A cluster's state in a file, to plan on: a line that says what it is, how long and its hash, and
// then the state as snapshots have it.

#include <string>
#include <string_view>

#include "base/result.h"
#include "core/cluster/state.h"

namespace blixard::app {

// Of an encoded state.
std::string state_file_text(std::string_view encoded);
// Errors: kDataLoss "state_file_invalid" of what is none, or damaged; kFailedPrecondition
// "model_too_new" of a newer program's.
Result<cluster::State> read_state_file(std::string_view text);

}  // namespace blixard::app
