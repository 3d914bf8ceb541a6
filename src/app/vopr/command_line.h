#pragma once

// The command line of `blixard-vopr`, the program that puts Blixard to the test: parsed here,
// carried out by the files beside it (commands.h).

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "app/cli.h"
#include "app/vopr/place.h"
#include "base/result.h"
#include "base/units.h"
#include "linearizability/formats.h"
#include "linearizability/judgement.h"
#include "observe/log.h"

namespace blixard::app {

// Exit codes beside 0: all is well.
inline constexpr int kExitViolation = 1;
inline constexpr int kExitBadInput = 2;       // or the command line is wrong
inline constexpr int kExitUnknown = 3;        // `check`: the time was up before an answer was found
inline constexpr int kExitInterrupted = 130;  // by Ctrl-C, and nothing had failed until then

struct CheckHistories {
  linearizability::ModelName model{};
  linearizability::Format format{};
  Duration time_limit = 10s;  // for each file
  std::string html;           // where to; "": no picture
  OutputFormat output = OutputFormat::kTable;
  std::vector<std::string> files;
};

// Which plan: that of a scenario and a seed, or one that was saved.
struct PlanSource {
  std::string file;
  std::optional<std::uint64_t> seed;
  std::optional<Duration> until;
};

struct RunPlan {
  PlanSource source;
  bool trace = false;
  std::optional<observe::Level> log;
  std::string history;  // where to; "": nowhere
  std::string html;
  OutputFormat output = OutputFormat::kTable;
};

struct ShowPlan {
  PlanSource source;
  std::string out = "timeline.html";
};

struct ShrinkPlan {
  PlanSource source;
  std::string out;  // "": a name of the checker and the seed
  std::uint64_t runs = 2'000;
  Duration run_limit = 120s;
};

struct FuzzPlans {
  std::vector<std::string> scenarios;  // files, or folders of them
  std::uint64_t seeds = 0;             // 0: no limit
  std::uint64_t jobs = 2;
  Duration time{};  // 0: no limit
  std::optional<std::uint64_t> from;
  bool guided = false;
  std::string save = "vopr-failures";
  std::string state;   // "": it cannot be resumed
  std::string hashes;  // where to; "": nowhere
  bool keep_going = false;
  std::uint64_t twice_every = 0;  // so many seeds one is run twice; 0: none
  Duration run_limit = 120s;
};

struct RunSuite {
  std::string file;
  std::uint64_t jobs = 2;
  Duration run_limit = 120s;
};

using VoprCommand =
    std::variant<CheckHistories, RunPlan, ShowPlan, ShrinkPlan, FuzzPlans, RunSuite, PlaceCommand>;

// Or the exit code, after help or what is wrong was printed.
std::expected<VoprCommand, int> parse_vopr_command_line(int argc, const char* const* argv);

// The whole program.
int run_vopr_command_line(int argc, char** argv);

// "500ms", "10s", "2m" or "3h". Errors: kInvalidArgument.
Result<Duration> parse_time_limit(const std::string& text);

// Judges each file and prints what was found. Returns the exit code: a violation in any file goes
// before bad input, that before what is unknown.
int check_histories(const CheckHistories& check);

}  // namespace blixard::app
