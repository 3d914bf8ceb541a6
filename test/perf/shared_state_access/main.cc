// How other threads can look at what one thread changes, and what it costs them: the immutable view
// (observe/view.h) beside a map that is copied or visited under a shared lock, and oneTBB's
// concurrent_hash_map.

#include "test/perf/shared_state_access/cases.h"

int main(int argc, char** argv) {
  blixard::perf::Report report("shared_state_access");
  blixard::perf::add_cluster_cases(report);
  blixard::perf::add_waiting_cases(report);
  blixard::perf::add_settings_cases(report);
  blixard::perf::add_registry_cases(report);
  return report.main(argc, argv);
}
