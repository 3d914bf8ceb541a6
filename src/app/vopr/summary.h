#pragma once

// What a run, or many of them, came to: for people and for programs.

#include <string>

#include <boost/json/object.hpp>

#include "app/vopr/command_line.h"
#include "vopr/plan.h"
#include "vopr/report.h"

namespace blixard::app {

void add(vopr::Counts& sum, const vopr::Counts& counts);

// "45.2 s", "3.1 hours", "12.0 days", "2.05 years".
std::string long_time_text(Duration length);

// Lines of what was carried out and how often, only what is above 0, three in a line.
std::string steps_table(const vopr::Counts& counts, bool faults);

// The counts, the violation with the commands to type next, and the trace's hash.
std::string summary_text(const PlanSource& source, const vopr::Plan& plan,
                         const vopr::Report& report);
boost::json::object summary_json(const PlanSource& source, const vopr::Plan& plan,
                                 const vopr::Report& report);

}  // namespace blixard::app
