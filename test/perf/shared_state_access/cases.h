#pragma once

// The cases of the benchmark, by what is shared.

#include "test/perf/report/report.h"

namespace blixard::perf {

// The cluster's members, by threads and by how many there are.
void add_cluster_cases(Report& report);
// Who holds up whom: locks held by readers, reads beside a busy writer, and how old what is read
// may be.
void add_waiting_cases(Report& report);
// Values of the configuration while it is read anew.
void add_settings_cases(Report& report);
// What has one owner and stays with it: VMs, proposals under way.
void add_registry_cases(Report& report);

}  // namespace blixard::perf
