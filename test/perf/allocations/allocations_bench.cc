// What the counting operator new costs beside malloc itself: on, off, with a tag, and read.

#include "observe/allocations.h"

#include <array>
#include <cstdlib>

#include "test/perf/report/report.h"

namespace blixard::perf {
namespace {

constexpr std::uint64_t kCalls = 4'000'000;
constexpr std::size_t kBytes = 64;

double pairs_of_malloc() {
  return ns_per_call(kCalls, [] {
    void* memory = std::malloc(kBytes);
    keep(memory);
    std::free(memory);
  });
}

double pairs_of_new() {
  return ns_per_call(kCalls, [] {
    void* memory = ::operator new(kBytes);
    keep(memory);
    ::operator delete(memory);
  });
}

double pairs_uncounted() {
  observe::count_allocations(false);
  const double ns = pairs_of_new();
  observe::count_allocations(true);
  return ns;
}

double tags() {
  return ns_per_call(kCalls, [] {
    const observe::AllocationTag tag(observe::Subsystem::kRaft);
    keep(tag);
  });
}

int run(int argc, const char* const* argv) {
  Report report("allocations");
  report.add({.name = "new and delete, counted",
              .unit = "ns",
              .items = {"S42", "S45"},
              .measure = pairs_of_new,
              .baselines = {{"malloc and free", pairs_of_malloc}},
              .targets = {better_than("malloc and free", 0.5)}});
  report.add({.name = "new and delete, counting off",
              .unit = "ns",
              .items = {"S42", "S45"},
              .measure = pairs_uncounted,
              .baselines = {{"malloc and free", pairs_of_malloc}},
              .targets = {better_than("malloc and free", 0.7)}});
  report.add({.name = "a tag", .unit = "ns", .items = {"S42"}, .measure = tags});
  report.add({.name = "counts of all threads, read",
              .unit = "ns",
              .items = {"S45"},
              .measure =
                  [] {
                    return ns_per_call(2'000,
                                       [] { keep(observe::all_allocations()[0].allocations); });
                  },
              .allocations =
                  [] {
                    const observe::AllocationMeter meter;
                    keep(observe::all_allocations()[0].allocations);
                    return static_cast<double>(meter.spent().allocations);
                  },
              .targets = {allocations_at_most(0)}});
  return report.main(argc, argv);
}

}  // namespace
}  // namespace blixard::perf

int main(int argc, char** argv) { return blixard::perf::run(argc, argv); }
