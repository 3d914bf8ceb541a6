#pragma once

// What the program takes of its machine, as metrics: memory, processor, files, the allocator by
// subsystem, locks. Names are those that Prometheus' client libraries give every process.

#include "env/machine.h"
#include "observe/metrics.h"

namespace blixard::telemetry {

// `machine` outlives the readings; it is asked once for each. Given none, the metrics are only
// declared.
void register_program(observe::Metrics& metrics, env::Machine* machine);

}  // namespace blixard::telemetry
