#include "app/vopr/command_line.h"

#include <malloc.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <functional>
#include <map>

#include <CLI/CLI.hpp>

#include "app/version.h"
#include "app/vopr/commands.h"

namespace blixard::app {
namespace {

constexpr std::uint64_t kJobsMost = 256;
constexpr std::uint64_t kSeedsUnlessTold = 200;

// A run frees all that it took; the next one wants it again, and not from the kernel.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 256 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 16 << 20);
}

constexpr const char* kFooter =
    R"(Examples:
  blixard-vopr fuzz --scenario test/scenarios --time 5m
  blixard-vopr run --scenario test/scenarios/partitions.toml --seed 7 --trace
  blixard-vopr shrink --scenario test/scenarios/partitions.toml --seed 7
  blixard-vopr replay failed.toml --html timeline.html
More of each: blixard-vopr run --help)";

constexpr const char* kRunFooter =
    R"(Exit codes: 0 every checker is content, 1 a violation, 2 bad input.
Examples:
  blixard-vopr run --scenario test/scenarios/partitions.toml --seed 7
  blixard-vopr run --scenario test/scenarios/disks.toml --seed 7 --until 10m --output json
  blixard-vopr run --scenario test/scenarios/disks.toml --seed 7 --trace | grep ' n2 '
  blixard-vopr run --scenario test/scenarios/vms.toml --seed 7 --log debug --html timeline.html)";

constexpr const char* kReplayFooter =
    R"(Exit codes: 0 every checker is content, 1 a violation, 2 bad input.
Examples:
  blixard-vopr replay vopr-failures/one-copy-4711.toml
  blixard-vopr replay one-copy-4711-small.toml --trace --log info --html timeline.html)";

constexpr const char* kFuzzFooter =
    R"(Every failing plan is saved, with the command that runs it again. With --state a run that was
stopped goes on where it was: the same command again.
Exit codes: 0 nothing failed, 1 something did, 2 bad input, 130 stopped by Ctrl-C.
Examples:
  blixard-vopr fuzz --scenario test/scenarios --seeds 200
  blixard-vopr fuzz --scenario test/scenarios --time 2h --guided --keep-going --state soak.json
  blixard-vopr fuzz --scenario test/scenarios/disks.toml --from 1000 --seeds 50 --twice)";

constexpr const char* kShrinkFooter =
    R"(Exit codes: 0 a smaller run was saved, 2 bad input, or the plan does not fail.
Examples:
  blixard-vopr shrink vopr-failures/one-copy-4711.toml
  blixard-vopr shrink --scenario test/scenarios/partitions.toml --seed 7 --out small.toml)";

constexpr const char* kShowFooter =
    R"(Exit codes: 0 every checker is content, 1 a violation, 2 bad input.
Examples:
  blixard-vopr show one-copy-4711-small.toml
  blixard-vopr show --scenario test/scenarios/partitions.toml --seed 7 --out seven.html)";

constexpr const char* kSuiteFooter =
    R"(A line is a scenario (a file, or its name beside FILE) and a seed; # begins a comment. Saved
plans in the folder that is named like FILE (failed/ for failed.txt) belong to it too.
Exit codes: 0 every checker is content, 1 a violation, 2 bad input.
Example:
  blixard-vopr suite test/scenarios/failed.txt)";

constexpr const char* kCheckFooter =
    R"(Exit codes: 0 all are linearizable, 1 one is not, 2 bad input, 3 the time was up.
Examples:
  blixard-vopr check --model vm --format blixard-json clients.jsonl
  blixard-vopr check --model cas-register --format porcupine-etcd etcd_*.log
  blixard-vopr check --model kv --format porcupine-kv --html why.html history.txt
  blixard-vopr check --model cas-register --format jepsen-edn --output json history.edn)";

template <class Names>
std::vector<std::string> words(const Names& names) {
  return {names.begin(), names.end()};
}

CLI::Option* add_time(CLI::App& app, const std::string& name, Duration& value,
                      const std::string& what) {
  return app
      .add_option_function<std::string>(
          name,
          [&value](const std::string& text) {
            const auto parsed = parse_time_limit(text);
            if (!parsed) throw CLI::ValidationError(std::string(parsed.error().detail()));
            value = *parsed;
          },
          what)
      ->type_name("TIME");
}

// CLI11 would read -3 as a very large number.
CLI::Option* add_number(CLI::App& app, const std::string& name,
                        const std::function<void(std::uint64_t)>& take, const std::string& what) {
  return app.add_option_function<std::string>(
      name,
      [take, name](const std::string& text) {
        std::uint64_t number = 0;
        const char* const last = text.data() + text.size();
        const auto [end, error] = std::from_chars(text.data(), last, number);
        if (error != std::errc() || end != last)
          throw CLI::ValidationError(name + ": '" + text + "' is not a number of this kind");
        take(number);
      },
      what);
}

void add_output(CLI::App& app, OutputFormat& output) {
  const std::map<std::string, OutputFormat> forms{{"text", OutputFormat::kTable},
                                                  {"json", OutputFormat::kJson}};
  app.add_option("--output,-o", output, "Form of what is printed: text or json")
      ->transform(CLI::CheckedTransformer(forms).description(""))
      ->type_name("FORM");
}

class CommandLine {
 public:
  CommandLine() {
    app_.name("blixard-vopr");
    app_.set_version_flag("--version", std::string(kVersion));
    app_.require_subcommand(1);
    app_.get_formatter()->column_width(34);
    app_.footer(kFooter);
    add_run();
    add_replay();
    add_fuzz();
    add_shrink();
    add_show();
    add_suite();
    add_check();
    place_.add_to(app_);
  }

  CLI::App& app() { return app_; }

  VoprCommand finish() {
    const std::string chosen = app_.get_subcommands().front()->get_name();
    if (chosen == "run" || chosen == "replay") return finish_run();
    if (chosen == "show") return finish_show();
    if (chosen == "shrink") return finish_shrink();
    if (chosen == "suite") return suite_;
    if (chosen == "fuzz") return finish_fuzz();
    if (chosen == "place") return place_.finish();
    check_.model = *linearizability::parse_model(model_);
    check_.format = *linearizability::parse_format(format_);
    return check_;
  }

 private:
  void add_seeded(CLI::App& app, bool required) {
    auto* scenario =
        app.add_option("--scenario", source_.file, "What the run is made of")->type_name("FILE");
    auto* seed =
        add_number(
            app, "--seed", [this](std::uint64_t seed) { source_.seed = seed; }, "Which run")
            ->type_name("S");
    seed->needs(scenario);
    if (required) scenario->required();
    add_time(app, "--until", until_, "How long there is trouble, in virtual time");
  }

  // Of a plan that was saved, or of a scenario and a seed.
  void add_source(CLI::App& app) {
    auto* file = app.add_option("file", file_, "A saved plan")->type_name("FILE");
    add_seeded(app, false);
    file->excludes("--scenario");
    app.callback([this] {
      if (file_.empty() && source_.file.empty()) {
        throw CLI::RequiredError("a file, or --scenario and --seed,");
      }
    });
  }

  void add_reporting(CLI::App& app) {
    app.add_flag("--trace", run_.trace, "Print a line for each event");
    app.add_option("--log", log_,
                   "Print the daemons' log from this level on: debug, info, warn or "
                   "error")
        ->check(CLI::IsMember({"debug", "info", "warn", "error"}).description(""))
        ->type_name("LEVEL");
    app.add_option("--history", run_.history,
                   "Write what clients saw here, for `check --model vm --format blixard-json`")
        ->type_name("FILE");
    app.add_option("--html", run_.html, "Write the timeline here")->type_name("FILE");
    add_output(app, run_.output);
  }

  void add_run() {
    CLI::App* run = app_.add_subcommand("run", "Run one seed of a scenario");
    add_seeded(*run, true);
    add_reporting(*run);
    run->footer(kRunFooter);
  }

  void add_replay() {
    CLI::App* replay = app_.add_subcommand("replay", "Run a plan that was saved");
    replay->add_option("file", file_, "The plan")->required()->type_name("FILE");
    add_reporting(*replay);
    replay->footer(kReplayFooter);
  }

  void add_show() {
    CLI::App* show = app_.add_subcommand("show", "Draw a run as a page for the browser");
    add_source(*show);
    show->add_option("--out", show_.out, "Where to; - is standard output")
        ->type_name("FILE")
        ->capture_default_str();
    show->footer(kShowFooter);
  }

  void add_shrink() {
    CLI::App* shrink =
        app_.add_subcommand("shrink", "Find the smallest run that still fails the same way");
    add_source(*shrink);
    shrink->add_option("--out", shrink_.out, "Where the small plan goes")->type_name("FILE");
    shrink->add_option("--runs", shrink_.runs, "How many runs it may take")
        ->check(CLI::Range(1, 1'000'000).description(""))
        ->type_name("N")
        ->capture_default_str();
    add_time(*shrink, "--run-limit", shrink_.run_limit, "A run of more real time hangs (120s)");
    shrink->footer(kShrinkFooter);
  }

  void add_fuzz() {
    CLI::App* fuzz = app_.add_subcommand("fuzz", "Run many seeds, and say what was never reached");
    fuzz->add_option("--scenario", fuzz_.scenarios, "Files, or folders of them")
        ->required()
        ->type_name("FILE");
    add_number(
        *fuzz, "--seeds", [this](std::uint64_t seeds) { fuzz_.seeds = seeds; },
        "How many; without it and --time: 200")
        ->type_name("N");
    add_jobs(*fuzz, fuzz_.jobs);
    add_time(*fuzz, "--time", fuzz_.time, "How long, in real time: 5m");
    add_number(
        *fuzz, "--from", [this](std::uint64_t from) { fuzz_.from = from; },
        "The first seed; without it the present second")
        ->type_name("S");
    auto* guided = fuzz->add_flag("--guided", fuzz_.guided, "Vary what showed something new");
    fuzz->add_option("--hashes", fuzz_.hashes, "Write scenario, seed and trace hash of each run")
        ->excludes(guided)
        ->type_name("FILE");
    fuzz->add_option("--save", fuzz_.save, "Where failing plans go")
        ->type_name("DIR")
        ->capture_default_str();
    fuzz->add_option("--state", fuzz_.state, "Keep what is done here, and go on from it")
        ->type_name("FILE");
    fuzz->add_flag("--keep-going", fuzz_.keep_going, "Do not end with the first failure");
    auto* twice = fuzz->add_flag_callback(
        "--twice", [this] { fuzz_.twice_every = 1; },
        "Run every seed twice: both must do the same");
    add_number(
        *fuzz, "--twice-every", [this](std::uint64_t every) { fuzz_.twice_every = every; },
        "Run one in so many seeds twice")
        ->excludes(twice)
        ->type_name("N");
    add_time(*fuzz, "--run-limit", fuzz_.run_limit, "A run of more real time hangs (120s)");
    fuzz->footer(kFuzzFooter);
  }

  void add_suite() {
    CLI::App* suite = app_.add_subcommand("suite", "Run the seeds that are listed in a file");
    suite->add_option("file", suite_.file, "The list")->required()->type_name("FILE");
    add_jobs(*suite, suite_.jobs);
    add_time(*suite, "--run-limit", suite_.run_limit, "A run of more real time hangs (120s)");
    suite->footer(kSuiteFooter);
  }

  static void add_jobs(CLI::App& app, std::uint64_t& jobs) {
    app.add_option("--jobs,-j", jobs, "Processes")
        ->check(CLI::Range(std::uint64_t{1}, kJobsMost).description(""))
        ->type_name("J")
        ->capture_default_str();
  }

  void add_check() {
    CLI::App* check =
        app_.add_subcommand("check", "Say of recorded histories whether they are linearizable");
    check->add_option("--model", model_, "What the clients used")
        ->required()
        ->check(CLI::IsMember(words(linearizability::kModelNames)));
    check->add_option("--format", format_, "How the files are written")
        ->required()
        ->check(CLI::IsMember(words(linearizability::kFormatNames)));
    add_time(*check, "--time-limit", check_.time_limit, "For each file, as in 500ms or 2m (10s)");
    check->add_option("--html", check_.html,
                      "Write a picture here: of the first file that is not ok, else of the first");
    add_output(*check, check_.output);
    check->add_option("files", check_.files, "Histories; - is standard input")->required();
    check->footer(kCheckFooter);
  }

  PlanSource finish_source() {
    if (source_.file.empty()) source_.file = file_;
    if (until_ != Duration{}) source_.until = until_;
    return source_;
  }

  RunPlan finish_run() {
    run_.source = finish_source();
    using observe::Level;
    for (const Level level : {Level::kDebug, Level::kInfo, Level::kWarn, Level::kError}) {
      if (log_ == observe::level_name(level)) run_.log = level;
    }
    return run_;
  }

  ShowPlan finish_show() {
    show_.source = finish_source();
    return show_;
  }

  ShrinkPlan finish_shrink() {
    shrink_.source = finish_source();
    return shrink_;
  }

  FuzzPlans finish_fuzz() {
    if (fuzz_.seeds == 0 && fuzz_.time == Duration{}) fuzz_.seeds = kSeedsUnlessTold;
    return fuzz_;
  }

  CLI::App app_{"Puts Blixard to the test: whole clusters in virtual time, and what clients saw"};
  CheckHistories check_;
  std::string model_;
  std::string format_;
  PlanSource source_;
  std::string file_;
  Duration until_{};
  RunPlan run_;
  std::string log_;
  ShowPlan show_;
  ShrinkPlan shrink_;
  FuzzPlans fuzz_;
  RunSuite suite_;
  PlaceOptions place_;
};

}  // namespace

Result<Duration> parse_time_limit(const std::string& text) {
  struct Unit {
    std::string_view suffix;
    Duration length;
  };
  constexpr std::array<Unit, 4> kUnits{{{"ms", 1ms}, {"s", 1s}, {"m", 1min}, {"h", 1h}}};
  constexpr std::int64_t kMost = 1'000'000;
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.suffix)) continue;
    const char* const last = text.data() + text.size() - unit.suffix.size();
    std::int64_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), last, count);
    if (error != std::errc() || end != last || count < 1 || count > kMost) break;
    return unit.length * count;
  }
  return fail(Code::kInvalidArgument, "time_invalid",
              "'" + text + "' is not a time; write it as 500ms, 10s, 2m or 3h");
}

std::expected<VoprCommand, int> parse_vopr_command_line(int argc, const char* const* argv) {
  CommandLine line;
  try {
    line.app().parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return std::unexpected(line.app().exit(error) == 0 ? kExitDone : kExitUsage);
  }
  return line.finish();
}

int run_vopr_command_line(int argc, char** argv) {
  const auto command = parse_vopr_command_line(argc, argv);
  if (!command) return command.error();
  keep_freed_memory();
  const Runner& runner = vopr::run;
  struct CarryOut {
    const Runner& runner;
    int operator()(const CheckHistories& check) const { return check_histories(check); }
    int operator()(const RunPlan& run) const { return run_plan(run, runner); }
    int operator()(const ShowPlan& show) const { return show_plan(show, runner); }
    int operator()(const ShrinkPlan& shrink) const { return shrink_plan(shrink, runner); }
    int operator()(const FuzzPlans& fuzz) const { return fuzz_plans(fuzz, runner); }
    int operator()(const RunSuite& suite) const { return run_suite(suite, runner); }
    int operator()(const PlaceCommand& command) const { return place(command); }
  };
  return std::visit(CarryOut{runner}, *command);
}

}  // namespace blixard::app
