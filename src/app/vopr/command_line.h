#pragma once

// The command line of `blixard-vopr`, the program that puts Blixard to the test: parsed here,
// carried out by the files beside it.

#include <cstdint>
#include <string>
#include <vector>

#include "app/cli.h"
#include "base/result.h"
#include "base/units.h"
#include "linearizability/formats.h"
#include "linearizability/judgement.h"

namespace blixard::app {

// Exit codes of `check`: 0 all is linearizable.
inline constexpr int kExitViolation = 1;
inline constexpr int kExitBadInput = 2;  // or the command line is wrong
inline constexpr int kExitUnknown = 3;   // the time was up before an answer was found

struct CheckHistories {
  linearizability::ModelName model{};
  linearizability::Format format{};
  Duration time_limit = 10s;  // for each file
  std::string html;           // where to; "": no picture
  OutputFormat output = OutputFormat::kTable;
  std::vector<std::string> files;
};

// The whole program.
int run_vopr_command_line(int argc, char** argv);

// "500ms", "10s" or "2m". Errors: kInvalidArgument.
Result<Duration> parse_time_limit(const std::string& text);

// Judges each file and prints what was found. Returns the exit code: a violation in any file goes
// before bad input, that before what is unknown.
int check_histories(const CheckHistories& check);

}  // namespace blixard::app
