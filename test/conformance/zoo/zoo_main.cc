// blx_bug_zoo: puts every fault back, one at a time, and fails if nobody notices; fails too if a
// judge speaks against the code without faults, if a fault has no switch in the sources, or if a
// source with a switch is not among those that are built with faults here.

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "test/conformance/zoo/switches.h"
#include "test/conformance/zoo/zoo.h"

namespace blixard::zoo {
namespace {

constexpr int kBugs = static_cast<int>(Bug::kAppliesWithClock);

int fail(const std::string& text) {
  fmt::print("FAILED: {}\n", text);
  return 1;
}

// Others are of whole clusters, and are not built here.
bool is_ours(const std::string& name) {
  for (int bug = 1; bug <= kBugs; ++bug) {
    if (row_of(static_cast<Bug>(bug)).name == name) return true;
  }
  return false;
}

int check_switches() {
  const std::set<std::string> built = built_with_faults(BLX_ZOO_SOURCES);
  std::set<std::string> seen;
  int failures = 0;
  for (const auto& [source, names] : switches()) {
    if (std::ranges::none_of(names, is_ours)) continue;
    seen.insert(names.begin(), names.end());
    if (source.ends_with(".cc") && !built.contains(source))
      failures += fail(source + " has a switch and is not built with faults in the zoo");
  }
  for (int bug = 1; bug <= kBugs; ++bug) {
    const std::string name(row_of(static_cast<Bug>(bug)).name);
    if (name.empty() || !seen.contains(name))
      failures += fail(fmt::format("trap {} {} has no switch in the sources", bug, name));
  }
  return failures;
}

int check_catches(int number, const Row& row, const Test& test) {
  active_bug = row.bug;
  for (std::uint64_t seed = 0; seed < test.seeds; ++seed) {
    const std::optional<Finding> finding = test.run(seed);
    if (!finding || finding->checker != test.checker) continue;
    active_bug = Bug::kNone;
    fmt::print("trap {:2} {}: caught by {} at seed {} of {} ({}): {}\n", number, row.name,
               test.checker, seed, test.seeds, test.judge, finding->text);
    return 0;
  }
  active_bug = Bug::kNone;
  return fail(fmt::format("trap {} {}: not caught by {} within {} seeds ({})", number, row.name,
                          test.checker, test.seeds, test.judge));
}

// All seeds that any row gives a judge, without a fault.
int check_sound(const std::map<std::string_view, Test>& judges) {
  int failures = 0;
  for (const auto& [name, test] : judges) {
    for (std::uint64_t seed = 0; seed < test.seeds; ++seed) {
      if (const std::optional<Finding> finding = test.run(seed)) {
        failures += fail(fmt::format("{} accuses the code without a fault at seed {}: {}: {}", name,
                                     seed, finding->checker, finding->text));
      }
    }
    fmt::print("no fault: {} finds nothing in {} seeds\n", name, test.seeds);
  }
  return failures;
}

int run() {
  int failures = check_switches();
  std::map<std::string_view, Test> judges;
  for (int bug = 1; bug <= kBugs; ++bug) {
    const Row row = row_of(static_cast<Bug>(bug));
    if (row.tests.empty()) failures += fail(fmt::format("trap {} has no test", bug));
    for (const Test& test : row.tests) {
      Test& widest = judges.emplace(test.judge, test).first->second;
      widest.seeds = std::max(widest.seeds, test.seeds);
    }
  }
  failures += check_sound(judges);
  for (int bug = 1; bug <= kBugs; ++bug) {
    const Row row = row_of(static_cast<Bug>(bug));
    for (const Test& test : row.tests)
      failures += check_catches(bug, row, test);
  }
  fmt::print("{} traps, {} failures\n", kBugs, failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace blixard::zoo

int main() { return blixard::zoo::run(); }
