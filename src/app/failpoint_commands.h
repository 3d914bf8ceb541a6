#pragma once

// Failpoints of a daemon that are armed from the start, by BLIXARD_FAILPOINTS.

#include "base/result.h"
#include "observe/log.h"

namespace blixard::app {

// Says loudly in the log which are armed: such a daemon does what nobody expects of it. Errors:
// those of observe::arm_failpoints().
Result<void> arm_failpoints_of_environment(observe::LogSink& log);

}  // namespace blixard::app
