#pragma once

#include <time.h>

#include <cstdint>

#include "test/perf/report/report.h"

namespace blixard::perf {

void add_instrument_cases(Report& report);  // counters, gauges, histograms; by threads
void add_product_cases(Report& report);     // the five functions of node/telemetry

inline double thread_cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// Of this thread's CPU time, which others that want the CPU do not lengthen.
template <class Call>
double cpu_ns_per_call(std::uint64_t calls, Call&& call) {
  const double begin = thread_cpu_ns();
  for (std::uint64_t i = 0; i < calls; ++i)
    call();
  return (thread_cpu_ns() - begin) / static_cast<double>(calls);
}

}  // namespace blixard::perf
