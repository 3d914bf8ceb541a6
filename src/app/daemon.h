#pragma once

// `blixard node`: the daemon in the foreground. Tells systemd and the terminal when it is ready.

#include "app/cli.h"

namespace blixard::app {

// Returns the exit code, after SIGINT or SIGTERM or a fatal error.
int run_daemon(const NodeOptions& options);

}  // namespace blixard::app
