// raft_core_sim --seeds N --from S --jobs J --mix calm|hard
//
// Runs N seeds of a mix on J threads. The last line sums up; the hash does not depend on J. A seed
// that fails is named with what it violated; --seeds 1 --from SEED replays it.

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/core.h>

#include "test/conformance/raft/core_sim.h"

namespace blixard::core_sim {
namespace {

constexpr std::uint64_t kShownViolations = 10;
constexpr std::uint64_t kBlock = 16;

struct Arguments {
  std::uint64_t seeds = 1000;
  std::uint64_t from = 0;
  std::uint64_t jobs = 1;
  Mix mix = Mix::kHard;
};

struct Total {
  Summary sum;
  std::uint64_t violations = 0;
  std::uint64_t slowest_finish = 0;
};

thread_local std::uint64_t current_seed = 0;

// An assertion of the core ends the program; the seed must not be lost with it.
void name_seed(int /*signal*/) {
  char text[64];
  const int length = std::snprintf(text, sizeof text, "in seed %llu\n",
                                   static_cast<unsigned long long>(current_seed));
  std::fwrite(text, 1, static_cast<std::size_t>(length), stderr);
  std::fflush(stderr);
}

void add(Total& total, const Summary& one, std::uint64_t seed) {
  Summary& sum = total.sum;
  sum.ticks += one.ticks;
  sum.events += one.events;
  sum.elections += one.elections;
  sum.commits += one.commits;
  sum.reads += one.reads;
  sum.changes += one.changes;
  sum.installs += one.installs;
  for (std::size_t at = 0; at < sum.faults.size(); ++at)
    sum.faults[at] += one.faults[at];
  sum.hash += mixed(mixed(seed, 3), one.hash);  // in any order
  total.slowest_finish = std::max(total.slowest_finish, one.finish_ticks);
  if (!one.violation) return;
  if (++total.violations <= kShownViolations) {
    fmt::print("seed {}: {} at {}: {}\n", seed, one.violation->checker, one.violated_at,
               one.violation->text);
  }
}

bool parse(int count, char** texts, Arguments& arguments) {
  for (int at = 1; at + 1 < count; at += 2) {
    const std::string_view name = texts[at];
    const std::string_view value = texts[at + 1];
    if (name == "--mix") {
      if (value != "calm" && value != "hard") return false;
      arguments.mix = value == "calm" ? Mix::kCalm : Mix::kHard;
      continue;
    }
    std::uint64_t* number = name == "--seeds"  ? &arguments.seeds
                            : name == "--from" ? &arguments.from
                            : name == "--jobs" ? &arguments.jobs
                                               : nullptr;
    if (number == nullptr) return false;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), *number);
    if (error != std::errc() || end != value.data() + value.size()) return false;
  }
  return count % 2 == 1 && arguments.jobs > 0 && arguments.jobs <= 64;
}

class Runner {
 public:
  explicit Runner(const Arguments& arguments) : arguments_(arguments) {}

  Total run() {
    std::vector<std::thread> threads;
    for (std::uint64_t job = 0; job < arguments_.jobs; ++job)
      threads.emplace_back([this] { work(); });
    for (std::thread& thread : threads)
      thread.join();
    return total_;
  }
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
  }

 private:
  void work() {
    while (true) {
      const std::uint64_t begin = next_.fetch_add(kBlock);
      if (begin >= arguments_.seeds) return;
      for (std::uint64_t at = begin; at < std::min(begin + kBlock, arguments_.seeds); ++at) {
        current_seed = arguments_.from + at;
        const Summary one = core_sim::run(arguments_.mix, current_seed);
        const std::lock_guard lock(mutex_);
        add(total_, one, current_seed);
        if (++done_ % 5000 == 0) {
          fmt::print("{} seeds, {} violations, {:.0f} s\n", done_, total_.violations, seconds());
          std::fflush(stdout);
        }
      }
    }
  }

  Arguments arguments_;
  std::atomic<std::uint64_t> next_{0};
  std::mutex mutex_;
  Total total_;
  std::uint64_t done_ = 0;
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

int run_program(int count, char** texts) {
  Arguments arguments;
  if (!parse(count, texts, arguments)) {
    fmt::print(stderr,
               "usage: raft_core_sim [--seeds N] [--from S] [--jobs J] "
               "[--mix calm|hard]\n");
    return 2;
  }
  std::signal(SIGABRT, name_seed);
  Runner runner(arguments);
  const Total total = runner.run();
  const Summary& sum = total.sum;
  fmt::print("faults:");
  for (std::size_t at = 0; at < sum.faults.size(); ++at)
    fmt::print(" {} {}", name_of(static_cast<Fault>(at)), sum.faults[at]);
  fmt::print(
      "\n{} seeds from {}, {} violations; {} ticks of nodes, {} events, {} elections, "
      "{} commits, {} reads, {} changes applied, {} snapshots installed; slowest end {} "
      "ticks\n",
      arguments.seeds, arguments.from, total.violations, sum.ticks, sum.events, sum.elections,
      sum.commits, sum.reads, sum.changes, sum.installs, total.slowest_finish);
  fmt::print("{:.1f} s, {:.0f} seeds/s, hash {:016x}\n", runner.seconds(),
             static_cast<double>(arguments.seeds) / runner.seconds(), sum.hash);
  return total.violations == 0 ? 0 : 1;
}

}  // namespace
}  // namespace blixard::core_sim

int main(int count, char** texts) { return blixard::core_sim::run_program(count, texts); }
