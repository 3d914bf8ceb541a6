#include "app/vopr/summary.h"

#include <fmt/format.h>

#include "app/output.h"
#include "app/vopr/plan_files.h"

namespace blixard::app {
namespace {

using vopr::Action;

std::string seconds_of(Duration at) {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(at).count();
  return fmt::format("{}.{:06}", micros / 1'000'000, micros % 1'000'000);
}

std::uint64_t count_of(const vopr::Counts& counts, Action action) {
  return counts.steps.at(static_cast<std::size_t>(action));
}

std::string violation_text(const PlanSource& source, const vopr::Violation& violation) {
  const std::string arguments = arguments_of(source);
  return fmt::format(
      "violation: {} at {} s\n  {}\n"
      "  again:  blixard-vopr {} {}\n"
      "  small:  blixard-vopr shrink {}\n"
      "  look:   blixard-vopr show {}\n",
      printable(violation.checker), seconds_of(violation.at), printable(violation.text),
      source.seed ? "run" : "replay", arguments, arguments, arguments);
}

}  // namespace

void add(vopr::Counts& sum, const vopr::Counts& counts) {
  sum.operations += counts.operations;
  sum.uncertain += counts.uncertain;
  sum.entries += counts.entries;
  sum.elections += counts.elections;
  sum.guests += counts.guests;
  sum.events += counts.events;
  sum.skipped += counts.skipped;
  for (std::size_t i = 0; i < sum.steps.size(); ++i)
    sum.steps[i] += counts.steps[i];
}

std::string long_time_text(Duration length) {
  const double seconds = std::chrono::duration<double>(length).count();
  constexpr double kHour = 3600;
  constexpr double kDay = 24 * kHour;
  constexpr double kYear = 365.25 * kDay;
  if (seconds < 600) return fmt::format("{:.1f} s", seconds);
  if (seconds < 2 * kDay) return fmt::format("{:.1f} hours", seconds / kHour);
  if (seconds < kYear) return fmt::format("{:.1f} days", seconds / kDay);
  return fmt::format("{:.2f} years", seconds / kYear);
}

std::string steps_table(const vopr::Counts& counts, bool faults) {
  std::string text;
  std::size_t column = 0;
  for (const vopr::ActionFacts& facts : vopr::actions()) {
    const std::uint64_t count = count_of(counts, facts.action);
    if (count == 0 || vopr::is_fault(facts.action) != faults) continue;
    text += fmt::format("  {:<22} {:>8}", facts.name, count);
    if (++column % 3 == 0) text += '\n';
  }
  if (column % 3 != 0) text += '\n';
  return text;
}

std::string summary_text(const PlanSource& source, const vopr::Plan& plan,
                         const vopr::Report& report) {
  const vopr::Counts& counts = report.counts;
  std::string text = fmt::format(
      "{} seed {}: {} nodes, {} spare; {} s of virtual time, {} decisions\n"
      "{} operations ({} uncertain), {} entries, {} elections, {} guests, {} events\n",
      printable(plan.scenario), plan.seed, plan.settings.nodes, plan.settings.spares,
      seconds_of(report.elapsed), plan.steps.size(), counts.operations, counts.uncertain,
      counts.entries, counts.elections, counts.guests, counts.events);
  const std::string faults = steps_table(counts, true);
  if (!faults.empty()) text += "faults:\n" + faults;
  const std::string asked = steps_table(counts, false);
  if (!asked.empty()) text += "asked for:\n" + asked;
  if (counts.skipped != 0) text += fmt::format("skipped: {}\n", counts.skipped);
  text += report.violation ? violation_text(source, *report.violation)
                           : std::string("every checker is content\n");
  return text + fmt::format("trace hash: {:016x}\n", report.trace_hash);
}

boost::json::object summary_json(const PlanSource& source, const vopr::Plan& plan,
                                 const vopr::Report& report) {
  const vopr::Counts& counts = report.counts;
  boost::json::object steps;
  for (const vopr::ActionFacts& facts : vopr::actions()) {
    if (const auto count = count_of(counts, facts.action); count != 0) steps[facts.name] = count;
  }
  boost::json::object object{
      {"scenario", plan.scenario},
      {"seed", plan.seed},
      {"virtual_seconds", std::chrono::duration<double>(report.elapsed).count()},
      {"operations", counts.operations},
      {"uncertain", counts.uncertain},
      {"entries", counts.entries},
      {"elections", counts.elections},
      {"guests", counts.guests},
      {"events", counts.events},
      {"steps", std::move(steps)},
      {"skipped", counts.skipped},
      {"trace_hash", fmt::format("{:016x}", report.trace_hash)}};
  if (report.violation) {
    object["violation"] = {
        {"checker", report.violation->checker},
        {"text", report.violation->text},
        {"at_seconds", std::chrono::duration<double>(report.violation->at).count()},
        {"again",
         fmt::format("blixard-vopr {} {}", source.seed ? "run" : "replay", arguments_of(source))},
        {"small", "blixard-vopr shrink " + arguments_of(source)}};
  }
  return object;
}

}  // namespace blixard::app
