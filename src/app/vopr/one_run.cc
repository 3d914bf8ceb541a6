// `run`, `replay` and `show`: one plan, carried out in this process.

#include <cstdio>

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "app/output.h"
#include "app/vopr/commands.h"
#include "app/vopr/plan_files.h"
#include "app/vopr/summary.h"
#include "vopr/timeline.h"

namespace blixard::app {
namespace {

int refuse(const Error& error) {
  fmt::print(stderr, "blixard-vopr: {}\n",
             printable(error.detail().empty() ? error.reason() : error.detail()));
  return kExitBadInput;
}

// The default for a run that names no seed.
PlanSource with_seed(PlanSource source, const vopr::Plan& plan) {
  if (!source.seed && plan.steps.empty()) source.seed = plan.seed;
  return source;
}

void print_lines(const RunPlan& command, const vopr::Report& report) {
  for (const std::string& line : report.log)
    fmt::print("{}\n", printable(line));
  if (!command.trace) return;
  fmt::print("{}\n", vopr::trace_header());
  for (const vopr::TraceEvent& event : report.events)
    fmt::print("{}\n", vopr::trace_line(event));
}

Result<void> write_files(const RunPlan& command, const vopr::Plan& plan,
                         const vopr::Report& report) {
  if (!command.history.empty()) BLX_TRY(write_text(command.history, report.history));
  if (!command.html.empty()) BLX_TRY(write_text(command.html, vopr::timeline_page(plan, report)));
  return {};
}

}  // namespace

int run_plan(const RunPlan& command, const Runner& runner) {
  const auto plan = read_plan(command.source);
  if (!plan) return refuse(plan.error());
  vopr::RunOptions options;
  options.keep_log = command.log.has_value();
  if (command.log) options.log_level = *command.log;
  const vopr::Report report = runner(*plan, options);
  print_lines(command, report);
  const PlanSource source = with_seed(command.source, *plan);
  if (command.output == OutputFormat::kJson) {
    fmt::print("{}\n", boost::json::serialize(summary_json(source, *plan, report)));
  } else {
    fmt::print("{}", summary_text(source, *plan, report));
  }
  if (const auto written = write_files(command, *plan, report); !written)
    return refuse(written.error());
  return report.violation ? kExitViolation : kExitDone;
}

int show_plan(const ShowPlan& command, const Runner& runner) {
  const auto plan = read_plan(command.source);
  if (!plan) return refuse(plan.error());
  const vopr::Report report = runner(*plan, {});
  const std::string page = vopr::timeline_page(*plan, report);
  if (command.out == "-") {
    fmt::print("{}", page);
  } else if (const auto written = write_text(command.out, page); !written) {
    return refuse(written.error());
  } else {
    const std::string verdict =
        report.violation ? "violation: " + printable(report.violation->checker) : "content";
    fmt::print("{} ({})\n", command.out, verdict);
  }
  return report.violation ? kExitViolation : kExitDone;
}

}  // namespace blixard::app
