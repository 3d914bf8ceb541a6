#pragma once

// What a child process says of a run, as a line of JSON; and a run in a process of its own.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <boost/json/value.hpp>

#include "app/vopr/commands.h"
#include "app/vopr/pool.h"
#include "base/result.h"
#include "vopr/plan.h"
#include "vopr/report.h"

namespace blixard::app {

struct RunResult {
  std::uint64_t hash = 0;
  Duration elapsed{};
  vopr::Counts counts;
  std::optional<vopr::Violation> violation;
  std::optional<vopr::Coverage> coverage;  // none: it showed nothing new
};

RunResult result_of(const vopr::Report& report);

std::string line_of(const RunResult& result);
Result<RunResult> parse_result(std::string_view line);

boost::json::value json_of(const vopr::Counts& counts);
vopr::Counts counts_of(const boost::json::value& value);
std::string bits_of(const vopr::Coverage& coverage);
vopr::Coverage coverage_of(std::string_view bits);

// Runs it, twice if asked: then it is a violation if the two differ.
RunResult run_checked(const vopr::Plan& plan, const Runner& runner, bool twice);

// What a piece of a pool came to whose last message is the result's line: also of a child that died
// ("died") or was killed ("hangs").
RunResult outcome_of(const Finished& finished);

}  // namespace blixard::app
