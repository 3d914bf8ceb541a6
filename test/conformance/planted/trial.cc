// One seed, in a process of its own.

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include <fmt/core.h>

#include "test/conformance/planted/planted.h"
#include "vopr/run.h"
#include "vopr/scenario.h"

namespace blixard::planted {
namespace {

constexpr std::size_t kTextMax = 2000;
constexpr unsigned kSecondsMax = 60;  // of real time; a run takes less than one

vopr::Scenario parsed(const std::string& text) {
  auto scenario = vopr::parse_scenario(text);
  if (scenario) return *std::move(scenario);
  std::cerr << scenario.error().message() << "\n";
  std::exit(2);
}

std::string read_all(int input) {
  std::string all;
  char buffer[4096];
  for (ssize_t count = 0; (count = ::read(input, buffer, sizeof buffer)) > 0;)
    all.append(buffer, static_cast<std::size_t>(count));
  return all;
}

[[noreturn]] void run_and_tell(Bug bug, const vopr::Scenario& scenario, std::uint64_t seed,
                               int output) {
  ::alarm(kSecondsMax);
  active_bug = bug;
  const vopr::Report report = vopr::run(vopr::draw(scenario, seed), {});
  std::string told;
  if (report.violation) {
    told = report.violation->checker + "\n" + report.violation->text.substr(0, kTextMax);
  }
  const bool written =
      ::write(output, told.data(), told.size()) == static_cast<ssize_t>(told.size());
  ::_exit(written ? 0 : 1);
}

}  // namespace

std::string scenario_named(std::string_view name) {
  std::ifstream file(fmt::format("{}/test/conformance/planted/{}.toml", BLX_SOURCE_DIR, name));
  std::ostringstream text;
  text << file.rdbuf();
  parsed(text.str());
  return text.str();
}

std::optional<Finding> run_seed(Bug bug, const std::string& scenario, std::uint64_t seed) {
  const vopr::Scenario what = parsed(scenario);
  int ends[2];
  if (::pipe(ends) != 0) std::abort();
  const pid_t process = ::fork();
  if (process < 0) std::abort();
  if (process == 0) {
    ::close(ends[0]);
    run_and_tell(bug, what, seed, ends[1]);
  }
  ::close(ends[1]);
  const std::string told = read_all(ends[0]);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(process, &status, 0);
  if (status != 0) return Finding{"assertion", fmt::format("it ends with status {}", status)};
  if (told.empty()) return std::nullopt;
  const std::size_t line = told.find('\n');
  return Finding{told.substr(0, line), told.substr(line + 1)};
}

}  // namespace blixard::planted
