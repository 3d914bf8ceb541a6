// blx_planted_bugs: plants every bug, one at a time, and fails if the simulation does not find it;
// fails too if it finds anything in the sound program on the same seeds, if a bug has no switch in
// the sources, or if a source with such a switch is not among those that are built with bugs here.
//
//   blx_planted_bugs [--jobs J] [--bug NAME] [--seeds N]

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/core.h>

#include "test/conformance/planted/planted.h"
#include "test/conformance/zoo/switches.h"

namespace blixard::planted {
namespace {

struct Arguments {
  std::size_t jobs = 1;
  std::string bug;          // empty: every one, and the sound program
  std::uint64_t seeds = 0;  // 0: as the table says
};

// Whole lines, also when several processes write.
void say(const std::string& line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

int fail(const std::string& text) {
  say("FAILED: " + text);
  return 1;
}

bool is_ours(const std::string& name) {
  return std::ranges::any_of(table(), [&](const Row& row) { return row.name == name; });
}

int check_switches() {
  const std::set<std::string> built = zoo::built_with_faults(BLX_PLANTED_SOURCES);
  std::set<std::string> seen;
  int failures = 0;
  for (const auto& [source, names] : zoo::switches()) {
    if (std::ranges::none_of(names, is_ours)) continue;
    seen.insert(names.begin(), names.end());
    if (!built.contains(source)) {
      failures += fail(source + " has a switch and is not built with bugs here");
    }
  }
  for (const Row& row : table()) {
    if (!seen.contains(std::string(row.name)))
      failures += fail(fmt::format("{} has no switch in the sources", row.name));
  }
  return failures;
}

int find(const Row& row, std::uint64_t seeds) {
  const std::string scenario = scenario_named(row.scenario);
  std::map<std::string, std::uint64_t> others;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const auto finding = run_seed(row.bug, scenario, seed);
    if (!finding) continue;
    if (std::ranges::find(row.checkers, finding->checker) == row.checkers.end()) {
      ++others[finding->checker + ": " + finding->text];
      continue;
    }
    say(fmt::format("bug {} {}: found by {} at seed {} of {} ({}): {}", static_cast<int>(row.bug),
                    row.name, finding->checker, seed, seeds, row.scenario, finding->text));
    return 0;
  }
  std::string text =
      fmt::format("bug {} {}: not found by {} within {} seeds ({})", static_cast<int>(row.bug),
                  row.name, row.checkers.front(), seeds, row.scenario);
  for (const auto& [other, times] : others)
    text += fmt::format("\n  {} times {}", times, other);
  return fail(text);
}

int pass(std::string_view name, std::uint64_t seeds) {
  const std::string scenario = scenario_named(name);
  int failures = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    if (const auto finding = run_seed(Bug::kNone, scenario, seed)) {
      failures += fail(fmt::format("no bug: {} accuses the sound program at seed {} ({}): {}",
                                   finding->checker, seed, name, finding->text));
    }
  }
  if (failures == 0) say(fmt::format("no bug: nothing is found in {} seeds ({})", seeds, name));
  return failures;
}

// Every `of`-th task from `first` on.
int work(const Arguments& arguments, std::size_t first, std::size_t of) {
  int failures = 0;
  std::size_t task = 0;
  const auto is_mine = [&] { return task++ % of == first; };
  std::map<std::string_view, std::uint64_t> widest;
  for (const Row& row : table()) {
    const std::uint64_t seeds = arguments.seeds != 0 ? arguments.seeds : row.seeds;
    widest[row.scenario] = std::max(widest[row.scenario], seeds);
    if (!arguments.bug.empty() && arguments.bug != row.name) continue;
    if (is_mine()) failures += find(row, seeds);
  }
  for (const auto& [scenario, seeds] : widest) {
    if (arguments.bug.empty() && is_mine()) failures += pass(scenario, seeds);
  }
  return failures;
}

int run(const Arguments& arguments) {
  int failures = check_switches();
  std::vector<pid_t> workers;
  for (std::size_t i = 0; i < arguments.jobs; ++i) {
    const pid_t worker = ::fork();
    if (worker < 0) std::abort();
    if (worker == 0) ::_exit(std::min(work(arguments, i, arguments.jobs), 100));
    workers.push_back(worker);
  }
  for (const pid_t worker : workers) {
    int status = 0;
    ::waitpid(worker, &status, 0);
    failures += WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  }
  say(fmt::format("{} bugs, {} failures", table().size(), failures));
  return failures == 0 ? 0 : 1;
}

int main_with(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view option = words[i];
    const char* value = words[i + 1];
    if (option == "--jobs") {
      arguments.jobs = std::clamp<std::size_t>(std::strtoull(value, nullptr, 10), 1, 64);
    } else if (option == "--bug") {
      arguments.bug = value;
    } else if (option == "--seeds") {
      arguments.seeds = std::strtoull(value, nullptr, 10);
    } else {
      return fail(fmt::format("unknown option {}", option));
    }
  }
  if (!arguments.bug.empty() && !is_ours(arguments.bug)) return fail("no bug is named so");
  return run(arguments);
}

}  // namespace
}  // namespace blixard::planted

int main(int count, char** words) { return blixard::planted::main_with(count, words); }
