#pragma once

// What the words of `blixard-vopr` do. Each prints for people (or JSON where that was asked for)
// and returns the exit code. What runs a plan is given, so that tests can run something else.

#include <functional>

#include "app/vopr/command_line.h"
#include "vopr/plan.h"
#include "vopr/report.h"
#include "vopr/run.h"

namespace blixard::app {

using Runner = std::function<vopr::Report(const vopr::Plan&, const vopr::RunOptions&)>;

int run_plan(const RunPlan& command, const Runner& runner);
int show_plan(const ShowPlan& command, const Runner& runner);
int shrink_plan(const ShrinkPlan& command, const Runner& runner);
int fuzz_plans(const FuzzPlans& command, const Runner& runner);
int run_suite(const RunSuite& command, const Runner& runner);

}  // namespace blixard::app
