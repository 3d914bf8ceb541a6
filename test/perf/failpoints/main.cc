// What passing a failpoint costs in a build that has them, while nobody has armed it: functions
// with a site and the same ones without. In a build without failpoints there is nothing to measure:
// test/conformance/failpoints/object_code.py compares the object code, byte by byte.

#ifndef BLX_FAILPOINTS
#define BLX_FAILPOINTS
#endif

#include <string>

#include "observe/failpoint.h"
#include "test/perf/report/counting.h"
#include "test/perf/report/report.h"

namespace blixard::perf {
namespace {

constexpr std::uint64_t kCalls = 20'000'000;
constexpr const char* kBare = "without the site";

[[gnu::noinline]] Result<int> read_bare(int value) { return value * 3; }
[[gnu::noinline]] Result<int> read_with_site(int value) {
  BLX_FAILPOINT("bench::read", kUnavailable, "io_error");
  return value * 3;
}

[[gnu::noinline]] int send_bare(int value) { return value * 3; }
[[gnu::noinline]] int send_with_site(int value) {
  if (BLX_FAILPOINT_FIRES("bench::send")) value += 100;
  return value * 3;
}

// The argument is not known to the compiler, nor is the result unused.
template <auto kFunction>
void call() {
  int value = 7;
  keep(value);
  const auto result = kFunction(value);
  keep(&result);
}

template <auto kFunction>
double measured() {
  return cpu_ns_per_call(kCalls, [] { call<kFunction>(); });
}

int run(int argc, const char* const* argv) {
  Report report("failpoints");
  report.add({.name = "a function with a site for an error, not armed",
              .unit = "ns",
              .items = {"S12", "S13"},
              .measure = measured<read_with_site>,
              .baselines = {{kBare, measured<read_bare>}},
              .allocations = [] { return allocations_of([] { call<read_with_site>(); }); },
              .targets = {better_than(kBare, 0.5), allocations_at_most(0)}});
  report.add({.name = "a function with a site that triggers, not armed",
              .unit = "ns",
              .items = {"S12", "S13"},
              .measure = measured<send_with_site>,
              .baselines = {{kBare, measured<send_bare>}},
              .allocations = [] { return allocations_of([] { call<send_with_site>(); }); },
              .targets = {better_than(kBare, 0.5), allocations_at_most(0)}});
  return report.main(argc, argv);
}

}  // namespace
}  // namespace blixard::perf

int main(int argc, char** argv) { return blixard::perf::run(argc, argv); }
