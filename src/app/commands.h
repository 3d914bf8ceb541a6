#pragma once

// Carries out a parsed command: against the daemon's API, or by itself (node, doctor, build).

#include "app/cli.h"

namespace blixard::app {

// Returns the exit code.
int carry_out(const Command& command);

}  // namespace blixard::app
