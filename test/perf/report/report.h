#pragma once

// What every benchmark program of ours is made of: cases, each measured beside its rivals.
//
// Times mean little on a machine that is shared, so a figure is compared with a rival's of the same
// run: a round measures every case and each of its baselines once, in turns (every other round
// backwards), and what is reported is the median over the rounds, of values and of the ratios
// within a round. Allocations are counted, not timed: exact, and measured once.
//
//   int main(int argc, char** argv) {
//     perf::Report report("metrics_recording");
//     report.add({.name = "counter", .unit = "ns", .items = {"S5", "X3"},
//                 .measure = [&] { return perf::ns_per_call(1'000'000, [&] { counter.add(); }); },
//                 .baselines = {{"prometheus-cpp", [&] { ... }}},
//                 .allocations = [&] { return allocations_of_one_add(); },
//                 .targets = {perf::at_most(1.5), perf::better_than("prometheus-cpp", 8),
//                             perf::allocations_at_most(0)}});
//     return report.main(argc, argv);
//   }
//
// It stands in test/perf/NAME/ with `blx_bench(NAME SOURCES ... DEPS ...)` in its CMakeLists.txt (a
// line in test/CMakeLists.txt), and ./do bench NAME runs it.
//
// The program prints a table and, with --json FILE, writes
//   {"bench", "rounds", "machine", "cases": [{"name", "value", "unit", "better": "lower|higher",
//    "allocations", "baselines": {NAME: value}, "ratios": {NAME: how many times better we are},
//    "target": "<= 1.5 ns; >= 8x prometheus-cpp", "met", "varies", "items"}]}
// `./do bench NAME` compares that with test/perf/accepted/NAME.json. A target that is missed is
// shown and stored; the program fails for it only with --strict.

#include <time.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace blixard::perf {

enum class Better : std::uint8_t { kLower, kHigher };

// Measures once and returns the value in the unit of the case.
using Measure = std::function<double()>;

struct Baseline {
  std::string name;
  Measure measure;
};

struct Target {
  enum class Kind : std::uint8_t { kValue, kRatio, kAllocations };
  Kind kind = Kind::kValue;
  double limit = 0;
  std::string baseline;  // of kRatio
};

Target at_most(double value);   // in the unit of the case; at least, where higher is better
Target at_least(double value);  // the same, to be read aloud with rates
Target better_than(std::string baseline, double times);
Target allocations_at_most(double count);

struct Case {
  std::string name;
  std::string unit;                // "ns", "/s"
  Better better = Better::kLower;  // of two values in this unit
  std::vector<std::string> items;  // rows of docs/performance.md that it answers: "S5"
  Measure measure;
  std::vector<Baseline> baselines;
  Measure allocations;  // of one operation of ours, exact; none: not counted
  std::vector<Target> targets;
  // By who runs when, or by the disk: its ratios are told, and not compared with accepted ones.
  bool varies = false;
};

struct Options {
  std::size_t rounds = 5;
  std::string json;  // where to write; empty: nowhere
  std::string only;  // cases whose name contains it
  bool strict = false;
};

// A case that was measured.
struct Outcome {
  std::string name;
  std::string unit;
  Better better = Better::kLower;
  std::vector<std::string> items;
  double value = 0;
  std::optional<double> allocations;
  std::map<std::string, double> baselines;
  std::map<std::string, double> ratios;  // times that we are better: above 1 is good
  std::string target;                    // as text; empty: none
  bool met = true;
  bool varies = false;
};

class Report {
 public:
  explicit Report(std::string name) : name_(std::move(name)) {}

  void add(Case each) { cases_.push_back(std::move(each)); }

  // Parses the arguments, measures, prints, writes. Returns what main() returns.
  int main(int argc, const char* const* argv);

  [[nodiscard]] std::vector<Outcome> run(const Options& options) const;

 private:
  std::string name_;
  std::vector<Case> cases_;
};

std::string table_of(const std::vector<Outcome>& outcomes);
std::string json_of(std::string_view bench, std::size_t rounds,
                    const std::vector<Outcome>& outcomes);
std::string machine();  // "2 CPUs (AMD EPYC), x86_64, Linux 6.18.44"

double median(std::vector<double> values);  // of none: 0

// Nanoseconds of one call, over `calls` of them in one loop.
template <class Call>
double ns_per_call(std::uint64_t calls, Call&& call) {
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint64_t i = 0; i < calls; ++i)
    call();
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  return took.count() / static_cast<double>(calls);
}

// Processor time of the calling thread: what others take of a shared machine is not in it, nor is
// waiting.
inline double thread_cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

template <class Call>
double cpu_ns_per_call(std::uint64_t calls, Call&& call) {
  const double begin = thread_cpu_ns();
  for (std::uint64_t i = 0; i < calls; ++i)
    call();
  return (thread_cpu_ns() - begin) / static_cast<double>(calls);
}

// Makes the compiler believe that the value is used, and that memory may have changed.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

}  // namespace blixard::perf
