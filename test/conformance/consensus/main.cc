// consensus_sim: simulates whole clusters, one seed after the other, and judges them.
//
//   consensus_sim --seeds N [--from S] [--jobs J] [--mix calm|hard] [--nodes 3|5] [--until SECONDS]
//   consensus_sim --from S --mix hard --trace          one seed with its log
//   consensus_sim --suite FILE [--jobs J]              what a build runs: FILE names seeds that
//                                                      failed once
//
// Each job is a process of its own, so that a failed assertion is a violation like the others and
// names its seed. A violation prints the seed, the virtual time, the end of the log and the command
// that shows it again.

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/bug.h"
#include "test/conformance/consensus/simulation.h"

namespace blixard::consensus_sim {
namespace {

struct Run {
  std::uint64_t seed = 1;
  Mix mix = Mix::kHard;
  std::size_t nodes = 0;  // 0: by the seed
  Duration until{};
};

struct Arguments {
  std::uint64_t from = 1;
  std::uint64_t seeds = 1;
  std::size_t jobs = 1;
  Mix mix = Mix::kHard;
  std::size_t nodes = 0;
  Duration until = 15s;
  bool trace = false;
  bool stops_at_first = false;
  int bug = 0;
  std::string suite;
};

std::string command_of(const Run& run) {
  return fmt::format("consensus_sim --mix {} --nodes {} --until {} --from {} --trace",
                     run.mix == Mix::kHard ? "hard" : "calm", run.nodes, run.until / 1s, run.seed);
}

// What a job tells of one seed, as a line.
struct Report {
  std::uint64_t number = 0;
  bool violated = false;
  std::uint64_t hash = 0;
  std::int64_t elapsed_ms = 0;
  std::int64_t recovery_ms = 0;
  std::uint64_t elections = 0;
  std::uint64_t requests = 0;
  std::uint64_t repeated = 0;
  std::uint64_t reads = 0;
  std::array<std::uint64_t, kFaults> faults{};
};

std::string encode(const Report& report) {
  std::string line =
      fmt::format("{} {} {} {} {} {} {} {} {}", report.number, report.violated ? 1 : 0, report.hash,
                  report.elapsed_ms, report.recovery_ms, report.elections, report.requests,
                  report.repeated, report.reads);
  for (const std::uint64_t count : report.faults)
    line += fmt::format(" {}", count);
  return line + "\n";
}

Report decode(const std::string& line) {
  Report report;
  std::istringstream in(line);
  in >> report.number >> report.violated >> report.hash >> report.elapsed_ms >>
      report.recovery_ms >> report.elections >> report.requests >> report.repeated >> report.reads;
  for (std::uint64_t& count : report.faults)
    in >> count;
  return report;
}

Outcome play(const Run& run, LogLines lines) {
  return simulate(Settings::draw(run.seed, run.mix, run.nodes, run.until), lines);
}

void print_violation(const Run& run, const Violation& violation) {
  std::string text;
  for (const std::string& line : violation.lines)
    text += line + "\n";
  text +=
      fmt::format("VIOLATION seed {} at {:.3f} s: {}\n  again: {}\n", run.seed,
                  static_cast<double>(violation.at / 1us) / 1e6, violation.text, command_of(run));
  std::cout << text << std::flush;
}

Report report_of(std::uint64_t number, const Run& run) {
  const Outcome outcome = play(run, LogLines::kNone);
  if (outcome.violation) {
    const Outcome again = play(run, LogLines::kInfo);
    print_violation(run, again.violation ? *again.violation : *outcome.violation);
  }
  return {.number = number,
          .violated = outcome.violation.has_value(),
          .hash = outcome.trace_hash,
          .elapsed_ms = outcome.elapsed / 1ms,
          .recovery_ms = outcome.recovery / 1ms,
          .elections = outcome.elections,
          .requests = outcome.requests,
          .repeated = outcome.repeated,
          .reads = outcome.counts.reads,
          .faults = outcome.faults};
}

// Numbers of runs are dealt to jobs by turns.
struct Job {
  pid_t process = -1;
  int output = -1;
  std::uint64_t next = 0;  // the run it is at
  std::string unread;
};

class Jobs {
 public:
  Jobs(const std::vector<Run>& runs, std::size_t jobs, bool stops_at_first, bool quiet)
      : runs_(runs), stops_at_first_(stops_at_first), quiet_(quiet), jobs_(jobs) {}

  // The reports by number of the run.
  const std::vector<Report>& go() {
    reports_.resize(runs_.size());
    started_ = ::time(nullptr);
    for (std::size_t i = 0; i < jobs_.size(); ++i)
      begin(jobs_[i], i);
    while (reads_some()) {
    }
    progress();
    return reports_;
  }
  [[nodiscard]] std::uint64_t violations() const { return violations_; }

 private:
  void begin(Job& job, std::uint64_t first) {
    job.output = -1;
    job.next = first;
    if (first >= runs_.size() || (stops_at_first_ && violations_ > 0)) return;
    int ends[2];
    if (::pipe(ends) != 0) std::abort();
    job.process = ::fork();
    if (job.process < 0) std::abort();
    if (job.process == 0) {
      ::close(ends[0]);
      for (std::uint64_t i = first; i < runs_.size(); i += jobs_.size()) {
        const std::string line = encode(report_of(i, runs_[i]));
        if (::write(ends[1], line.data(), line.size()) < 0) ::_exit(1);
      }
      ::_exit(0);
    }
    ::close(ends[1]);
    job.output = ends[0];
  }

  bool reads_some() {
    std::vector<pollfd> waiting;
    std::vector<Job*> jobs;
    for (Job& job : jobs_) {
      if (job.output < 0) continue;
      waiting.push_back({.fd = job.output, .events = POLLIN, .revents = 0});
      jobs.push_back(&job);
    }
    if (waiting.empty()) return false;
    if (::poll(waiting.data(), waiting.size(), 1000) < 0) return false;
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      if (waiting[i].revents != 0) read(*jobs[i]);
    }
    if (::time(nullptr) >= shown_ + 30) progress();
    return true;
  }

  void read(Job& job) {
    char buffer[4096];
    const ssize_t count = ::read(job.output, buffer, sizeof(buffer));
    if (count <= 0) {
      end(job);
      return;
    }
    job.unread.append(buffer, static_cast<std::size_t>(count));
    for (std::size_t at = 0; (at = job.unread.find('\n')) != std::string::npos;) {
      take(decode(job.unread.substr(0, at)));
      job.unread.erase(0, at + 1);
      job.next += jobs_.size();
    }
  }

  void end(Job& job) {
    ::close(job.output);
    int status = 0;
    ::waitpid(job.process, &status, 0);
    const std::uint64_t at = job.next;
    if (status == 0) {
      job.output = -1;
      return;
    }
    print_violation(runs_[at], {.text = fmt::format("the program ends with status {}", status)});
    take({.number = at, .violated = true});
    begin(job, at + jobs_.size());
  }

  void take(const Report& report) {
    reports_[report.number] = report;
    ++done_;
    if (report.violated) ++violations_;
    elapsed_ms_ += report.elapsed_ms;
    recovery_ms_max_ = std::max(recovery_ms_max_, report.recovery_ms);
    elections_ += report.elections;
    requests_ += report.requests;
    repeated_ += report.repeated;
    reads_ += report.reads;
    for (std::size_t i = 0; i < kFaults; ++i)
      faults_[i] += report.faults[i];
    if (report.violated && stops_at_first_) {
      for (Job& job : jobs_) {
        if (job.output >= 0) ::kill(job.process, SIGTERM);
      }
    }
  }

  void progress() {
    shown_ = ::time(nullptr);
    if (quiet_) return;
    std::string line = fmt::format(
        "{} of {} seeds, {} s, {:.2f} virtual hours, {} elections, {} commands ({} seen again), "
        "{} reads, slowest recovery {} ms, {} violations; faults:",
        done_, runs_.size(), shown_ - started_, static_cast<double>(elapsed_ms_) / 3.6e6,
        elections_, requests_, repeated_, reads_, recovery_ms_max_, violations_);
    for (std::size_t i = 0; i < kFaults; ++i)
      line += fmt::format(" {} {}", name(static_cast<Fault>(i)), faults_[i]);
    std::cout << line << std::endl;
  }

  const std::vector<Run>& runs_;
  bool stops_at_first_;
  bool quiet_;
  std::vector<Job> jobs_;
  std::vector<Report> reports_;
  std::uint64_t done_ = 0;
  std::uint64_t violations_ = 0;
  std::int64_t elapsed_ms_ = 0;
  std::int64_t recovery_ms_max_ = 0;
  std::uint64_t elections_ = 0;
  std::uint64_t requests_ = 0;
  std::uint64_t repeated_ = 0;
  std::uint64_t reads_ = 0;
  std::array<std::uint64_t, kFaults> faults_{};
  std::time_t started_ = 0;
  std::time_t shown_ = 0;
};

// Seeds that failed once: "hard 3 15 4711", with the seconds before the seed; # is a comment.
std::optional<std::vector<Run>> read_runs(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::vector<Run> runs;
  for (std::string line; std::getline(file, line);) {
    std::istringstream in(line.substr(0, line.find('#')));
    std::string mix;
    Run run;
    std::int64_t seconds = 0;
    if (!(in >> mix)) continue;
    if (!(in >> run.nodes >> seconds >> run.seed) || (mix != "calm" && mix != "hard")) {
      return std::nullopt;
    }
    run.mix = mix == "hard" ? Mix::kHard : Mix::kCalm;
    run.until = seconds * 1s;
    runs.push_back(run);
  }
  return runs;
}

int run_suite(const Arguments& arguments) {
  auto runs = read_runs(arguments.suite);
  if (!runs) {
    std::cout << "cannot read " << arguments.suite << std::endl;
    return 2;
  }
  for (std::uint64_t seed = 0; seed < arguments.seeds; ++seed) {
    runs->push_back({.seed = arguments.from + seed,
                     .mix = seed % 4 == 0 ? Mix::kCalm : Mix::kHard,
                     .nodes = 0,
                     .until = arguments.until});
  }
  // The last three once more, in processes of their own.
  std::vector<Run> twice(runs->end() - std::min<std::ptrdiff_t>(3, std::ssize(*runs)), runs->end());
  Jobs jobs(*runs, arguments.jobs, false, false);
  const std::vector<Report> reports = jobs.go();
  Jobs again(twice, twice.size(), false, true);
  const std::vector<Report>& second = again.go();
  std::uint64_t different = 0;
  for (std::size_t i = 0; i < twice.size(); ++i) {
    const Report& first = reports[reports.size() - twice.size() + i];
    if (first.hash == second[i].hash) continue;
    ++different;
    std::cout << fmt::format("seed {} has two traces: {:016x} and {:016x}\n", twice[i].seed,
                             first.hash, second[i].hash);
  }
  return jobs.violations() + again.violations() + different == 0 ? 0 : 1;
}

int show_one(const Arguments& arguments) {
  const Run run{.seed = arguments.from,
                .mix = arguments.mix,
                .nodes = arguments.nodes,
                .until = arguments.until};
  Outcome outcome = play(run, LogLines::kDebug);
  for (const std::string& line : outcome.log)
    std::cout << line << "\n";
  if (outcome.violation) {
    outcome.violation->lines.clear();
    print_violation(run, *outcome.violation);
  }
  std::cout << fmt::format(
      "seed {}: trace {:016x}, {} ms, recovery {} ms, {} elections, {} entries, {} requests\n",
      run.seed, outcome.trace_hash, outcome.elapsed / 1ms, outcome.recovery / 1ms,
      outcome.elections, outcome.entries, outcome.requests);
  return outcome.violation ? 1 : 0;
}

int run_seeds(const Arguments& arguments) {
  std::vector<Run> runs;
  for (std::uint64_t i = 0; i < arguments.seeds; ++i) {
    runs.push_back({.seed = arguments.from + i,
                    .mix = arguments.mix,
                    .nodes = arguments.nodes,
                    .until = arguments.until});
  }
  Jobs jobs(runs, arguments.jobs, arguments.stops_at_first, false);
  jobs.go();
  return jobs.violations() == 0 ? 0 : 1;
}

std::optional<Arguments> parse(int count, char** words) {
  Arguments arguments;
  const std::vector<std::string> given(words + 1, words + count);
  for (std::size_t i = 0; i < given.size(); ++i) {
    const std::string& option = given[i];
    if (option == "--trace") {
      arguments.trace = true;
      continue;
    }
    if (option == "--stop-at-first") {
      arguments.stops_at_first = true;
      continue;
    }
    if (++i == given.size()) return std::nullopt;
    const std::string& value = given[i];
    const std::uint64_t number = std::strtoull(value.c_str(), nullptr, 10);
    if (option == "--seeds") {
      arguments.seeds = number;
    } else if (option == "--from") {
      arguments.from = number;
    } else if (option == "--jobs") {
      arguments.jobs = std::max<std::size_t>(1, number);
    } else if (option == "--nodes") {
      arguments.nodes = number;
    } else if (option == "--until") {
      arguments.until = static_cast<std::int64_t>(number) * 1s;
    } else if (option == "--bug") {
      arguments.bug = static_cast<int>(number);
    } else if (option == "--suite") {
      arguments.suite = value;
    } else if (option == "--mix" && (value == "calm" || value == "hard")) {
      arguments.mix = value == "hard" ? Mix::kHard : Mix::kCalm;
    } else {
      return std::nullopt;
    }
  }
  return arguments;
}

int run(int count, char** words) {
  const auto arguments = parse(count, words);
  if (!arguments) {
    std::cout << "consensus_sim --seeds N [--from S] [--jobs J] [--mix calm|hard] [--nodes 3|5]\n"
                 "              [--until SECONDS] [--trace] [--stop-at-first] [--suite FILE]\n";
    return 2;
  }
#ifdef BLX_BUG_ZOO
  active_bug = static_cast<Bug>(arguments->bug);
#else
  if (arguments->bug != 0) {
    std::cout << "this program was built without the bug zoo\n";
    return 2;
  }
#endif
  if (arguments->trace) return show_one(*arguments);
  return arguments->suite.empty() ? run_seeds(*arguments) : run_suite(*arguments);
}

}  // namespace
}  // namespace blixard::consensus_sim

int main(int count, char** words) { return blixard::consensus_sim::run(count, words); }
