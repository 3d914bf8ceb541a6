// `fuzz`: many seeds in child processes. A child says which plan it is going to run before it runs
// it, so that a plan that kills it is known.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>

#include <fmt/format.h>

#include "app/output.h"
#include "app/vopr/commands.h"
#include "app/vopr/fuzz_state.h"
#include "app/vopr/plan_files.h"
#include "app/vopr/pool.h"
#include "app/vopr/summary.h"
#include "vopr/guide.h"

namespace blixard::app {
namespace {

using std::chrono::steady_clock;

constexpr Duration kStateEvery = 5s;
constexpr Duration kProgressEvery = 500ms;    // on a terminal
constexpr Duration kProgressLineEvery = 15s;  // elsewhere
constexpr std::size_t kNeverReachedLines = 40;
constexpr std::size_t kTextShown = 600;
constexpr std::size_t kSlowestShown = 3;

int refuse(const Error& error) {
  fmt::print(stderr, "blixard-vopr: {}\n",
             printable(error.detail().empty() ? error.reason() : error.detail()));
  return kExitBadInput;
}

std::uint64_t present_second() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count());
}

class Fuzz {
 public:
  Fuzz(const FuzzPlans& command, const Runner& runner, std::vector<vopr::Scenario> scenarios)
      : command_(command), runner_(runner), scenarios_(std::move(scenarios)), guide_(scenarios_) {}

  Result<void> begin() {
    for (const vopr::Scenario& scenario : scenarios_)
      state_.scenarios.push_back(scenario.name);
    state_.guided = command_.guided;
    state_.from = command_.from.value_or(present_second());
    state_.next = state_.from;
    std::error_code error;
    if (!command_.state.empty() && std::filesystem::exists(command_.state, error))
      BLX_TRY(resume());
    before_ = state_;
    fmt::print("seeds from {} on, {} scenarios, {} processes{}\n", state_.from, scenarios_.size(),
               command_.jobs, command_.guided ? ", guided" : "");
    if (state_.done != 0) fmt::print("{} seeds are done already\n", state_.done);
    return {};
  }

  int run() {
    PoolOrders orders;
    orders.jobs = command_.jobs;
    orders.piece_limit = command_.run_limit;
    orders.next = [this] { return next(); };
    orders.finished = [this](const Finished& finished) { take(finished); };
    orders.tick = [this] { tick(); };
    orders.work = [this](std::uint64_t seed, const auto& send) { work(seed, send); };
    const bool whole = run_pool(orders);
    clear_line();
    keep_state();
    print_end(whole);
    if (const auto written = keep_hashes(); !written) return refuse(written.error());
    if (state_.failed != 0) return kExitViolation;
    return whole ? kExitDone : kExitInterrupted;
  }

 private:
  Result<void> resume() {
    BLX_TRY(const std::string text, read_text(command_.state));
    BLX_TRY(FuzzState state, parse_state(text));
    if (state.scenarios != state_.scenarios || state.guided != state_.guided ||
        (command_.from && *command_.from != state.from)) {
      return fail(Code::kInvalidArgument, "state_of_another_run",
                  command_.state +
                      " is of a run with other scenarios or seeds; give it another "
                      "name, or remove it");
    }
    state_ = std::move(state);
    for (const std::uint64_t seed : state_.running)
      undone_.insert(seed);
    guide_.learn({}, state_.coverage);
    return {};
  }

  std::optional<std::uint64_t> next() {
    if (state_.failed != before_.failed && !command_.keep_going) return std::nullopt;
    if (command_.time != Duration{} && real_now() >= command_.time) return std::nullopt;
    if (!undone_.empty()) return undone_.extract(undone_.begin()).value();
    if (command_.seeds != 0 && state_.next - state_.from >= command_.seeds) return std::nullopt;
    state_.running.insert(state_.next);
    return state_.next++;
  }

  // In a child, whose copy of the guide is its own from now on.
  void work(std::uint64_t seed, const std::function<void(std::string_view)>& send) {
    const vopr::Plan plan = guide_.next(seed, command_.guided);
    send(vopr::scenario_text(plan));
    const bool twice =
        command_.twice_every != 0 && (seed - state_.from) % command_.twice_every == 0;
    RunResult result = run_checked(plan, runner_, twice);
    if (result.coverage) {
      const bool is_new = result.coverage->beyond(guide_.seen()) != 0;
      guide_.learn(plan, *result.coverage);
      if (!is_new) result.coverage.reset();
    }
    send(line_of(result));
  }

  void take(const Finished& finished) {
    const RunResult result = outcome_of(finished);
    state_.take(finished.piece, result);
    if (!command_.hashes.empty()) hashes_[finished.piece] = result.hash;
    slowest_.emplace(finished.took, finished.piece);
    if (slowest_.size() > kSlowestShown) slowest_.erase(slowest_.begin());
    if (result.coverage) guide_.learn({}, *result.coverage);
    if (result.violation) save(finished, *result.violation);
  }

  void save(const Finished& finished, const vopr::Violation& violation) {
    const std::string file =
        (std::filesystem::path(command_.save) / plan_file_name(violation.checker, finished.piece))
            .string();
    const std::string plan = finished.messages.empty() ? "" : finished.messages.front();
    const auto written = write_text(file, plan);
    clear_line();
    fmt::print("seed {} FAILED: {}\n  {}\n", finished.piece, printable(violation.checker),
               printable(violation.text.substr(0, kTextShown)));
    if (!written || plan.empty()) {
      fmt::print("  its plan could not be saved as {}\n", file);
    } else {
      fmt::print("  again:  blixard-vopr replay {0}\n  small:  blixard-vopr shrink {0}\n", file);
      if (!state_.failures.empty() && state_.failures.back().seed == finished.piece)
        state_.failures.back().file = file;
    }
    std::fflush(stdout);
  }

  [[nodiscard]] Duration real_now() const { return steady_clock::now() - began_; }

  void tick() {
    const Duration now = real_now();
    if (now - state_kept_ >= kStateEvery) keep_state();
    const bool terminal = isatty(STDOUT_FILENO) != 0;
    if (now - progress_shown_ < (terminal ? kProgressEvery : kProgressLineEvery)) return;
    progress_shown_ = now;
    fmt::print("{}{}{}", terminal ? "\r\x1b[K" : "", progress(), terminal ? "" : "\n");
    line_is_open_ = terminal;
    std::fflush(stdout);
  }

  [[nodiscard]] std::string progress() const {
    return progress_text(state_, real_now(), state_.done - before_.done,
                         state_.virtual_time - before_.virtual_time, command_.jobs);
  }

  void clear_line() {
    if (line_is_open_) fmt::print("\r\x1b[K");
    line_is_open_ = false;
  }

  void keep_state() {
    state_kept_ = real_now();
    if (command_.state.empty()) return;
    state_.real_time = before_.real_time + state_kept_;
    if (const auto written = write_text(command_.state, state_text(state_)); !written) {
      clear_line();
      refuse(written.error());
    }
  }

  // By seed, whatever came first. Compared with those of another process.
  [[nodiscard]] Result<void> keep_hashes() const {
    if (command_.hashes.empty()) return {};
    std::string text;
    for (const auto& [seed, hash] : hashes_)
      text += fmt::format("{} {} {:016x}\n", scenarios_[seed % scenarios_.size()].name, seed, hash);
    return write_text(command_.hashes, text);
  }

  void print_end(bool whole) {
    if (!whole) fmt::print("stopped\n");
    fmt::print("{}\n", progress());
    fmt::print("faults:\n{}asked for:\n{}skipped: {}\n", steps_table(state_.counts, true),
               steps_table(state_.counts, false), state_.counts.skipped);
    fmt::print("{} states of coverage\n", state_.coverage.count());
    for (const auto& [took, seed] : slowest_)
      fmt::print("slow: seed {} took {}\n", seed, long_time_text(took));
    print_never_reached();
    std::map<std::string, std::size_t> by_checker;
    for (const Failure& failure : state_.failures)
      ++by_checker[failure.checker];
    for (const auto& [checker, count] : by_checker)
      fmt::print("failed: {} {}\n", printable(checker), count);
    if (state_.failed == 0) fmt::print("nothing failed\n");
    fmt::print("hash of all traces: {:016x}\n", state_.hash);
    if (!whole && !command_.state.empty()) fmt::print("the same command again goes on\n");
  }

  void print_never_reached() const {
    const vopr::Unreached missing = guide_.never_reached(kNeverReachedLines);
    if (!missing.lines.empty()) fmt::print("never reached:\n");
    for (const std::string& line : missing.lines)
      fmt::print("  {}\n", line);
    fmt::print("reached: {} of {} actions, events and pairs of both\n", missing.reached,
               missing.possible);
  }

  const FuzzPlans& command_;
  const Runner& runner_;
  std::vector<vopr::Scenario> scenarios_;
  vopr::Guide guide_;
  FuzzState state_;
  FuzzState before_;  // as this run found it
  std::set<std::uint64_t> undone_;
  std::map<std::uint64_t, std::uint64_t> hashes_;  // of what this run did, by seed
  std::set<std::pair<Duration, std::uint64_t>> slowest_;
  steady_clock::time_point began_ = steady_clock::now();
  Duration state_kept_{};
  Duration progress_shown_{};
  bool line_is_open_ = false;
};

}  // namespace

int fuzz_plans(const FuzzPlans& command, const Runner& runner) {
  auto scenarios = read_scenarios(command.scenarios);
  if (!scenarios) return refuse(scenarios.error());
  Fuzz fuzz(command, runner, *std::move(scenarios));
  if (const auto begun = fuzz.begin(); !begun) return refuse(begun.error());
  return fuzz.run();
}

}  // namespace blixard::app
