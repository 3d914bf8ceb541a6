#include "app/vopr/suite.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include "app/output.h"
#include "app/vopr/commands.h"
#include "app/vopr/plan_files.h"
#include "app/vopr/pool.h"
#include "app/vopr/run_result.h"

namespace blixard::app {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kRunsMost = 100'000;

std::string_view next_word(std::string_view& line) {
  const auto begin = line.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) {
    line = {};
    return {};
  }
  line.remove_prefix(begin);
  const std::string_view word = line.substr(0, line.find_first_of(" \t\r"));
  line.remove_prefix(word.size());
  return word;
}

std::string scenario_file(std::string_view word, const fs::path& folder) {
  if (word.contains('/')) return std::string(word);
  const std::string name =
      word.ends_with(".toml") ? std::string(word) : std::string(word) + ".toml";
  return (folder / name).string();
}

// Those in failed/ belong to failed.txt.
std::vector<PlanSource> saved_plans(const std::string& file) {
  std::vector<std::string> found;
  const fs::path folder = fs::path(file).replace_extension();
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->path().extension() == ".toml") found.push_back(at->path().string());
  }
  std::ranges::sort(found);
  std::vector<PlanSource> sources;
  for (const std::string& path : found)
    sources.push_back({.file = path, .seed = {}, .until = {}});
  return sources;
}

class Suite {
 public:
  Suite(std::vector<PlanSource> sources, std::vector<vopr::Plan> plans, const Runner& runner)
      : sources_(std::move(sources)), plans_(std::move(plans)), runner_(runner) {}

  int run(const RunSuite& command) {
    PoolOrders orders;
    orders.jobs = command.jobs;
    orders.piece_limit = command.run_limit;
    orders.next = [this]() -> std::optional<std::uint64_t> {
      if (next_ == plans_.size()) return std::nullopt;
      return next_++;
    };
    orders.tick = [] {};
    orders.work = [this](std::uint64_t piece, const auto& send) {
      send(line_of(run_checked(plans_.at(piece), runner_, false)));
    };
    orders.finished = [this](const Finished& finished) { take(finished); };
    const bool whole = run_pool(orders);
    fmt::print("{} of {} runs, {} failed{}\n", done_, plans_.size(), failed_,
               whole ? "" : "; stopped");
    if (failed_ != 0) return kExitViolation;
    return whole ? kExitDone : kExitInterrupted;
  }

 private:
  void take(const Finished& finished) {
    const RunResult result = outcome_of(finished);
    const std::string arguments = arguments_of(sources_.at(finished.piece));
    ++done_;
    if (!result.violation) {
      fmt::print("ok      {}\n", arguments);
    } else {
      ++failed_;
      fmt::print("FAILED  {}\n  {}: {}\n  again:  blixard-vopr {} {}\n", arguments,
                 printable(result.violation->checker), printable(result.violation->text),
                 sources_.at(finished.piece).seed ? "run" : "replay", arguments);
    }
    std::fflush(stdout);
  }

  std::vector<PlanSource> sources_;
  std::vector<vopr::Plan> plans_;
  const Runner& runner_;
  std::size_t next_ = 0;
  std::size_t done_ = 0;
  std::size_t failed_ = 0;
};

int refuse(const Error& error) {
  fmt::print(stderr, "blixard-vopr: {}\n", printable(error.detail()));
  return kExitBadInput;
}

}  // namespace

Result<std::vector<PlanSource>> parse_suite(std::string_view text, const std::string& file) {
  std::vector<PlanSource> sources;
  const fs::path folder = fs::path(file).parent_path();
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    line = line.substr(0, line.find('#'));
    const std::string_view scenario = next_word(line);
    if (scenario.empty()) continue;
    const std::string_view seed = next_word(line);
    std::uint64_t value = 0;
    const auto [last, error] = std::from_chars(seed.data(), seed.data() + seed.size(), value);
    if (seed.empty() || error != std::errc() || last != seed.data() + seed.size() ||
        !next_word(line).empty()) {
      return fail(Code::kInvalidArgument, "suite_invalid",
                  fmt::format("{}:{}: a line is a scenario and a seed", file, number));
    }
    if (sources.size() == kRunsMost)
      return fail(Code::kResourceExhausted, "suite_too_long", file + " has too many lines");
    sources.push_back({.file = scenario_file(scenario, folder), .seed = value, .until = {}});
  }
  return sources;
}

int run_suite(const RunSuite& command, const Runner& runner) {
  const auto text = read_text(command.file);
  if (!text) return refuse(text.error());
  auto sources = parse_suite(*text, command.file);
  if (!sources) return refuse(sources.error());
  for (PlanSource& saved : saved_plans(command.file))
    sources->push_back(std::move(saved));
  std::vector<vopr::Plan> plans;
  for (const PlanSource& source : *sources) {
    auto plan = read_plan(source);
    if (!plan) return refuse(plan.error());
    plans.push_back(*std::move(plan));
  }
  return Suite(*std::move(sources), std::move(plans), runner).run(command);
}

}  // namespace blixard::app
