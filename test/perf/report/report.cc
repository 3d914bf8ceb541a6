#include "test/perf/report/report.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <string_view>

#include <boost/json.hpp>
#include <fmt/format.h>

namespace blixard::perf {
namespace {

constexpr std::size_t kRoundsMax = 1000;

// What the rounds of one case gave.
struct Samples {
  std::vector<double> ours;
  std::vector<std::vector<double>> baselines;
};

double times_better(Better better, double ours, double theirs) {
  const double upper = better == Better::kLower ? theirs : ours;
  const double lower = better == Better::kLower ? ours : theirs;
  return lower > 0 ? upper / lower : 0;
}

// As short as it is exact enough to be read: 0.42, 12.3, 1,234.
std::string figure(double value) {
  if (value == 0) return "0";
  const double size = std::abs(value);
  if (size < 10) return fmt::format("{:.2f}", value);
  if (size < 1000) return fmt::format("{:.1f}", value);
  std::string digits = fmt::format("{:.0f}", size);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return value < 0 ? "-" + digits : digits;
}

std::string text_of(const Target& target, const Case& of) {
  switch (target.kind) {
    case Target::Kind::kRatio:
      return fmt::format(">= {:g}x {}", target.limit, target.baseline);
    case Target::Kind::kAllocations:
      return fmt::format("<= {:g} allocations", target.limit);
    case Target::Kind::kValue:
      break;
  }
  return fmt::format("{} {:g} {}", of.better == Better::kLower ? "<=" : ">=", target.limit,
                     of.unit);
}

bool is_met(const Target& target, const Outcome& outcome) {
  switch (target.kind) {
    case Target::Kind::kRatio: {
      const auto found = outcome.ratios.find(target.baseline);
      return found != outcome.ratios.end() && found->second >= target.limit;
    }
    case Target::Kind::kAllocations:
      return outcome.allocations && *outcome.allocations <= target.limit;
    case Target::Kind::kValue:
      break;
  }
  return outcome.better == Better::kLower ? outcome.value <= target.limit
                                          : outcome.value >= target.limit;
}

Outcome outcome_of(const Case& of, const Samples& samples) {
  Outcome outcome{.name = of.name, .unit = of.unit, .better = of.better, .items = of.items};
  outcome.varies = of.varies;
  outcome.value = median(samples.ours);
  for (std::size_t i = 0; i < of.baselines.size(); ++i) {
    const std::vector<double>& theirs = samples.baselines[i];
    std::vector<double> ratios;
    ratios.reserve(theirs.size());
    for (std::size_t round = 0; round < theirs.size(); ++round)
      ratios.push_back(times_better(of.better, samples.ours[round], theirs[round]));
    outcome.baselines[of.baselines[i].name] = median(theirs);
    // How many times better nothing is than something cannot be said.
    if (of.better == Better::kHigher || outcome.value > 0)
      outcome.ratios[of.baselines[i].name] = median(std::move(ratios));
  }
  if (of.allocations) outcome.allocations = of.allocations();
  for (const Target& target : of.targets) {
    if (!outcome.target.empty()) outcome.target += "; ";
    outcome.target += text_of(target, of);
    outcome.met = is_met(target, outcome) && outcome.met;
  }
  return outcome;
}

void measure_round(const Case& of, Samples& samples, bool backwards) {
  const auto rivals = [&] {
    for (std::size_t i = 0; i < of.baselines.size(); ++i) {
      const std::size_t at = backwards ? of.baselines.size() - 1 - i : i;
      samples.baselines[at].push_back(of.baselines[at].measure());
    }
  };
  if (backwards) rivals();
  samples.ours.push_back(of.measure());
  if (!backwards) rivals();
}

void print_help(const std::string& name) {
  std::printf(
      "%s [--rounds N] [--json FILE] [--only TEXT] [--strict] [--help]\n\n"
      "  --rounds N    measure everything N times, in turns, and take medians (5)\n"
      "  --json FILE   write the results there too\n"
      "  --only TEXT   the cases whose name contains TEXT\n"
      "  --strict      exit 1 if a target is missed\n",
      name.c_str());
}

// Exit code where the program ends here.
std::optional<int> parse(const std::string& name, int argc, const char* const* argv,
                         Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const bool takes_value = word == "--rounds" || word == "--json" || word == "--only";
    if (word == "--help" || word == "-h") {
      print_help(name);
      return 0;
    }
    if (word == "--strict") {
      options.strict = true;
      continue;
    }
    if (!takes_value || i + 1 == argc) {
      std::fprintf(stderr, "%s: '%s' is not understood; see --help\n", name.c_str(), argv[i]);
      return 2;
    }
    const std::string_view value = argv[++i];
    if (word == "--json") options.json = value;
    if (word == "--only") options.only = value;
    if (word != "--rounds") continue;
    const auto [end, error] =
        std::from_chars(value.data(), value.data() + value.size(), options.rounds);
    if (error != std::errc() || end != value.data() + value.size() || options.rounds == 0 ||
        options.rounds > kRoundsMax) {
      std::fprintf(stderr, "%s: --rounds takes a number from 1 to %zu\n", name.c_str(), kRoundsMax);
      return 2;
    }
  }
  return std::nullopt;
}

boost::json::object object_of(const std::map<std::string, double>& values) {
  boost::json::object object;
  for (const auto& [name, value] : values)
    object[name] = value;
  return object;
}

std::string columns_of(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i)
      line += fmt::format("{:{}}  ", row[i], widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace

Target at_most(double value) { return {.kind = Target::Kind::kValue, .limit = value}; }
Target at_least(double value) { return at_most(value); }
Target better_than(std::string baseline, double times) {
  return {.kind = Target::Kind::kRatio, .limit = times, .baseline = std::move(baseline)};
}
Target allocations_at_most(double count) {
  return {.kind = Target::Kind::kAllocations, .limit = count};
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::string machine() {
  utsname kernel{};
  ::uname(&kernel);
  std::string model;
  std::ifstream processors("/proc/cpuinfo");
  for (std::string line; model.empty() && std::getline(processors, line);) {
    const auto colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos)
      model = line.substr(colon + 2);
  }
  return fmt::format("{} CPUs{}, {}, {} {}", ::sysconf(_SC_NPROCESSORS_ONLN),
                     model.empty() ? "" : " (" + model + ")", kernel.machine, kernel.sysname,
                     kernel.release);
}

std::vector<Outcome> Report::run(const Options& options) const {
  std::vector<const Case*> chosen;
  for (const Case& each : cases_) {
    if (each.name.contains(options.only)) chosen.push_back(&each);
  }
  std::vector<Samples> samples(chosen.size());
  for (std::size_t i = 0; i < chosen.size(); ++i)
    samples[i].baselines.resize(chosen[i]->baselines.size());
  for (std::size_t round = 0; round < options.rounds; ++round) {
    for (std::size_t i = 0; i < chosen.size(); ++i)
      measure_round(*chosen[i], samples[i], round % 2 == 1);
  }
  std::vector<Outcome> outcomes;
  outcomes.reserve(chosen.size());
  for (std::size_t i = 0; i < chosen.size(); ++i)
    outcomes.push_back(outcome_of(*chosen[i], samples[i]));
  return outcomes;
}

// Rivals stand under their case: a line for each, however many there are.
std::string table_of(const std::vector<Outcome>& outcomes) {
  std::vector<std::vector<std::string>> rows{
      {"case", "value", "times better", "allocations", "target", ""}};
  for (const Outcome& outcome : outcomes) {
    rows.push_back({outcome.name, figure(outcome.value) + " " + outcome.unit, "",
                    outcome.allocations ? figure(*outcome.allocations) : "", outcome.target,
                    outcome.target.empty() ? ""
                    : outcome.met          ? "met"
                                           : "MISSED"});
    for (const auto& [name, value] : outcome.baselines) {
      const auto ratio = outcome.ratios.find(name);
      rows.push_back({"  " + name, figure(value) + " " + outcome.unit,
                      ratio == outcome.ratios.end() ? "" : figure(ratio->second) + "x"});
    }
  }
  return columns_of(rows);
}

std::string json_of(std::string_view bench, std::size_t rounds,
                    const std::vector<Outcome>& outcomes) {
  std::string text = fmt::format("{{\"bench\": {}, \"rounds\": {}, \"machine\": {},\n \"cases\": [",
                                 boost::json::serialize(boost::json::string(bench)), rounds,
                                 boost::json::serialize(boost::json::string(machine())));
  const char* separator = "\n  ";
  for (const Outcome& outcome : outcomes) {
    boost::json::object object{{"name", outcome.name},
                               {"value", outcome.value},
                               {"unit", outcome.unit},
                               {"better", outcome.better == Better::kLower ? "lower" : "higher"}};
    if (outcome.allocations) object["allocations"] = *outcome.allocations;
    object["baselines"] = object_of(outcome.baselines);
    object["ratios"] = object_of(outcome.ratios);
    if (!outcome.target.empty()) {
      object["target"] = outcome.target;
      object["met"] = outcome.met;
    }
    if (outcome.varies) object["varies"] = true;
    object["items"] = boost::json::value_from(outcome.items);
    text += separator + boost::json::serialize(object);
    separator = ",\n  ";
  }
  return text + "\n ]}\n";
}

int Report::main(int argc, const char* const* argv) {
  Options options;
  if (const auto code = parse(name_, argc, argv, options)) return *code;
  const std::vector<Outcome> outcomes = run(options);
  if (outcomes.empty()) {
    std::fprintf(stderr, "%s: no case whose name contains '%s'\n", name_.c_str(),
                 options.only.c_str());
    return 2;
  }
  std::printf("%s: medians of %zu rounds in turns; %s\n\n%s", name_.c_str(), options.rounds,
              machine().c_str(), table_of(outcomes).c_str());
  if (!options.json.empty()) {
    std::ofstream file(options.json, std::ios::trunc);
    file << json_of(name_, options.rounds, outcomes);
    if (!file.flush()) {
      std::fprintf(stderr, "%s: cannot write %s\n", name_.c_str(), options.json.c_str());
      return 1;
    }
  }
  const bool met = std::ranges::all_of(outcomes, &Outcome::met);
  return options.strict && !met ? 1 : 0;
}

}  // namespace blixard::perf
