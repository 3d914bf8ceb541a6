#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <map>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/vopr/commands.h"
#include "app/vopr/fuzz_state.h"
#include "app/vopr/plan_files.h"
#include "app/vopr/pool.h"
#include "app/vopr/run_result.h"
#include "app/vopr/suite.h"
#include "app/vopr/summary.h"

namespace blixard::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr std::string_view kScenario = R"(
name = "quiet"
until = "5s"
[[workload]]
kind = "vms"
gap = ["500ms", "1s"]
)";

template <class Command>
std::optional<Command> parsed(std::vector<const char*> words) {
  words.insert(words.begin(), "blixard-vopr");
  const auto command = parse_vopr_command_line(static_cast<int>(words.size()), words.data());
  if (!command || !std::holds_alternative<Command>(*command)) return std::nullopt;
  return std::get<Command>(*command);
}

int refused(std::vector<const char*> words) {
  words.insert(words.begin(), "blixard-vopr");
  testing::internal::CaptureStderr();
  const auto command = parse_vopr_command_line(static_cast<int>(words.size()), words.data());
  testing::internal::GetCapturedStderr();
  return command ? -1 : command.error();
}

TEST(VoprCommandLine, Run) {
  const auto run = parsed<RunPlan>({"run", "--scenario", "a.toml", "--seed", "18446744073709551615",
                                    "--until", "10m", "--trace", "--log", "warn", "-o", "json",
                                    "--history", "h", "--html", "p"});
  ASSERT_TRUE(run);
  EXPECT_EQ(run->source.file, "a.toml");
  EXPECT_EQ(run->source.seed, 18446744073709551615U);
  EXPECT_EQ(run->source.until, 10min);
  EXPECT_TRUE(run->trace);
  EXPECT_EQ(run->log, observe::Level::kWarn);
  EXPECT_EQ(run->output, OutputFormat::kJson);
  EXPECT_EQ(run->history, "h");
  EXPECT_EQ(run->html, "p");
  const auto replay = parsed<RunPlan>({"replay", "saved.toml"});
  ASSERT_TRUE(replay);
  EXPECT_EQ(replay->source.file, "saved.toml");
  EXPECT_FALSE(replay->source.seed);
  EXPECT_FALSE(replay->log);
}

TEST(VoprCommandLine, Fuzz) {
  const auto fuzz = parsed<FuzzPlans>({"fuzz",
                                       "--scenario",
                                       "a.toml",
                                       "--scenario",
                                       "b",
                                       "--seeds",
                                       "9",
                                       "-j",
                                       "3",
                                       "--time",
                                       "2h",
                                       "--from",
                                       "7",
                                       "--guided",
                                       "--save",
                                       "d",
                                       "--state",
                                       "s",
                                       "--keep-going",
                                       "--twice",
                                       "--run-limit",
                                       "30s"});
  ASSERT_TRUE(fuzz);
  EXPECT_THAT(fuzz->scenarios, ElementsAre("a.toml", "b"));
  EXPECT_EQ(fuzz->seeds, 9U);
  EXPECT_EQ(fuzz->jobs, 3U);
  EXPECT_EQ(fuzz->time, 2h);
  EXPECT_EQ(fuzz->from, 7U);
  EXPECT_TRUE(fuzz->guided && fuzz->keep_going);
  EXPECT_EQ(fuzz->twice_every, 1U);
  EXPECT_EQ(fuzz->run_limit, 30s);
  EXPECT_EQ(parsed<FuzzPlans>({"fuzz", "--scenario", "a"})->seeds, 200U);
  EXPECT_EQ(parsed<FuzzPlans>({"fuzz", "--scenario", "a", "--time", "1m"})->seeds, 0U);
  EXPECT_EQ(parsed<FuzzPlans>({"fuzz", "--scenario", "a", "--twice-every", "10"})->twice_every,
            10U);
  EXPECT_EQ(parsed<FuzzPlans>({"fuzz", "--scenario", "a", "--hashes", "h"})->hashes, "h");
  EXPECT_FALSE(parsed<FuzzPlans>({"fuzz", "--scenario", "a", "--hashes", "h", "--guided"}));
}

TEST(VoprCommandLine, PlansComeFromAFileOrASeed) {
  const auto saved = parsed<ShrinkPlan>({"shrink", "x.toml", "--runs", "5"});
  ASSERT_TRUE(saved);
  EXPECT_EQ(saved->source.file, "x.toml");
  EXPECT_EQ(saved->runs, 5U);
  const auto drawn = parsed<ShowPlan>({"show", "--scenario", "y.toml", "--seed", "3"});
  ASSERT_TRUE(drawn);
  EXPECT_EQ(drawn->source.file, "y.toml");
  EXPECT_EQ(drawn->source.seed, 3U);
  EXPECT_EQ(drawn->out, "timeline.html");
}

TEST(VoprCommandLine, WhatIsWrongIsRefused) {
  EXPECT_EQ(refused({}), kExitUsage);
  EXPECT_EQ(refused({"run"}), kExitUsage);
  EXPECT_EQ(refused({"run", "--seed", "3"}), kExitUsage);
  EXPECT_EQ(refused({"run", "--scenario", "a", "--seed", "-3"}), kExitUsage);
  EXPECT_EQ(refused({"run", "--scenario", "a", "--until", "3"}), kExitUsage);
  EXPECT_EQ(refused({"run", "--scenario", "a", "--output", "xml"}), kExitUsage);
  EXPECT_EQ(refused({"fuzz"}), kExitUsage);
  EXPECT_EQ(refused({"fuzz", "--scenario", "a", "-j", "0"}), kExitUsage);
  EXPECT_EQ(refused({"show"}), kExitUsage);
  EXPECT_EQ(refused({"shrink", "x.toml", "--scenario", "y.toml"}), kExitUsage);
  EXPECT_EQ(refused({"suite"}), kExitUsage);
}

TEST(VoprCommandLine, Times) {
  EXPECT_EQ(parse_time_limit("500ms"), 500ms);
  EXPECT_EQ(parse_time_limit("10s"), 10s);
  EXPECT_EQ(parse_time_limit("2m"), 2min);
  EXPECT_EQ(parse_time_limit("3h"), 3h);
  for (const char* wrong : {"", "s", "0s", "-1s", "1.5s", "10", "99999999999s", "1 s", "1d"})
    EXPECT_FALSE(parse_time_limit(wrong)) << wrong;
}

TEST(Suite, LinesAreScenariosAndSeeds) {
  const auto sources = parse_suite("# all\nvms 7\n\n  other.toml 8 # why\n/x/y.toml 9\r\n",
                                   "test/scenarios/failed.txt");
  ASSERT_TRUE(sources);
  ASSERT_THAT(*sources, SizeIs(3));
  EXPECT_EQ((*sources)[0].file, "test/scenarios/vms.toml");
  EXPECT_EQ((*sources)[0].seed, 7U);
  EXPECT_EQ((*sources)[1].file, "test/scenarios/other.toml");
  EXPECT_EQ((*sources)[2].file, "/x/y.toml");
  EXPECT_EQ((*sources)[2].seed, 9U);
  for (const char* wrong : {"vms", "vms x", "vms 7 8", "vms -7", "vms 99999999999999999999"}) {
    const auto refusal = parse_suite(wrong, "f.txt");
    ASSERT_FALSE(refusal) << wrong;
    EXPECT_THAT(std::string(refusal.error().detail()), HasSubstr("f.txt:1"));
  }
}

vopr::Coverage some_coverage() {
  vopr::Coverage coverage;
  coverage.see(vopr::Role::kDown, vopr::Event::kStep, vopr::Action::kNone);
  coverage.see(vopr::Role::kLeader, vopr::Event::kReady, vopr::Action::kCrash);
  coverage.see(vopr::Role::kLeader, vopr::Event::kViolation, vopr::Action::kDigest);
  return coverage;
}

RunResult some_result() {
  RunResult result{.hash = 0xffff'ffff'ffff'fffe, .elapsed = 12'345ms};
  result.counts.operations = 7;
  result.counts.skipped = 3;
  result.counts.steps.back() = 9;
  result.violation = {.checker = "one-copy", .text = "a \"b\"\n\x01", .at = 5s};
  result.coverage = some_coverage();
  return result;
}

TEST(RunResult, SurvivesThePipe) {
  const RunResult sent = some_result();
  const std::string line = line_of(sent);
  EXPECT_THAT(line, Not(HasSubstr("\n")));
  const auto got = parse_result(line);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->hash, sent.hash);
  EXPECT_EQ(got->elapsed, sent.elapsed);
  EXPECT_EQ(got->counts.steps, sent.counts.steps);
  EXPECT_EQ(got->counts.operations, 7U);
  EXPECT_EQ(got->counts.skipped, 3U);
  ASSERT_TRUE(got->violation);
  EXPECT_EQ(got->violation->text, sent.violation->text);
  EXPECT_EQ(got->violation->at, 5s);
  EXPECT_EQ(got->coverage, sent.coverage);
  for (const char* wrong : {"", "{", "[]", R"({"violation":3})"})
    EXPECT_FALSE(parse_result(wrong)) << wrong;
}

TEST(RunResult, RunTwiceMustBeTheSame) {
  std::uint64_t runs = 0;
  const Runner same = [&](const vopr::Plan&, const vopr::RunOptions&) {
    ++runs;
    return vopr::Report{.trace_hash = 5};
  };
  EXPECT_FALSE(run_checked({}, same, true).violation);
  EXPECT_EQ(runs, 2U);
  EXPECT_FALSE(run_checked({}, same, false).violation);
  EXPECT_EQ(runs, 3U);
  const Runner different = [&](const vopr::Plan&, const vopr::RunOptions&) {
    return vopr::Report{.trace_hash = ++runs};
  };
  const auto result = run_checked({}, different, true);
  ASSERT_TRUE(result.violation);
  EXPECT_EQ(result.violation->checker, "determinism");
}

TEST(FuzzState, SurvivesTheFile) {
  FuzzState state{.scenarios = {"a", "b"}, .guided = true, .from = 10, .next = 14};
  state.running = {12, 13};
  state.take(12, some_result());
  state.take(11, {.hash = 1, .elapsed = 1s});
  const auto got = parse_state(state_text(state));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->scenarios, state.scenarios);
  EXPECT_TRUE(got->guided);
  EXPECT_EQ(got->from, 10U);
  EXPECT_EQ(got->next, 14U);
  EXPECT_THAT(got->running, ElementsAre(13));
  EXPECT_EQ(got->done, 2U);
  EXPECT_EQ(got->virtual_time, 13'345ms);
  EXPECT_EQ(got->counts.steps, state.counts.steps);
  EXPECT_EQ(got->coverage, state.coverage);
  EXPECT_EQ(got->hash, state.hash);
  EXPECT_EQ(got->failures, state.failures);
  for (const char* wrong : {"", "{}", R"({"version":1})", R"({"version":2})"})
    EXPECT_FALSE(parse_state(wrong)) << wrong;
}

TEST(FuzzState, TheOrderOfSeedsDoesNotShowInTheHash) {
  FuzzState one;
  FuzzState other;
  one.take(1, {.hash = 7});
  one.take(2, {.hash = 8});
  other.take(2, {.hash = 8});
  other.take(1, {.hash = 7});
  EXPECT_EQ(one.hash, other.hash);
  FuzzState swapped;
  swapped.take(1, {.hash = 8});
  swapped.take(2, {.hash = 7});
  EXPECT_NE(one.hash, swapped.hash);
}

TEST(Summary, TimesForPeople) {
  EXPECT_EQ(long_time_text(45'200ms), "45.2 s");
  EXPECT_EQ(long_time_text(90min), "1.5 hours");
  EXPECT_EQ(long_time_text(72h), "3.0 days");
  EXPECT_EQ(long_time_text(24h * 365 * 2), "2.00 years");
}

TEST(Summary, AViolationSaysWhatToTypeNext) {
  vopr::Report report{.violation = vopr::Violation{"one-copy", "web runs twice\x1b[2J", 5s},
                      .trace_hash = 0xabc};
  report.counts.steps[static_cast<std::size_t>(vopr::Action::kCrash)] = 4;
  const PlanSource drawn{.file = "my scenario.toml", .seed = 7, .until = 90s};
  const std::string text = summary_text(drawn, {}, report);
  EXPECT_THAT(text, HasSubstr("violation: one-copy at 5.000000 s\n  web runs twice?[2J\n"));
  EXPECT_THAT(text, HasSubstr("blixard-vopr run --scenario 'my scenario.toml' --seed 7 --until "
                              "90s\n"));
  EXPECT_THAT(text, HasSubstr("blixard-vopr shrink --scenario 'my"));
  EXPECT_THAT(text, HasSubstr("crash"));
  EXPECT_THAT(text, HasSubstr("trace hash: 0000000000000abc\n"));
  EXPECT_THAT(summary_text({.file = "saved.toml"}, {}, report),
              HasSubstr("blixard-vopr replay saved.toml\n"));
  const auto object = summary_json(drawn, {}, report);
  EXPECT_EQ(object.at("violation").at("checker"), "one-copy");
  EXPECT_EQ(object.at("steps").at("crash").to_number<int>(), 4);
}

TEST(PlanFiles, NamesAreSafe) {
  EXPECT_EQ(plan_file_name("one-copy", 7), "one-copy-7.toml");
  EXPECT_EQ(plan_file_name("../a b", 7), "---a-b-7.toml");
}

// What each piece of a pool came to.
struct Collected {
  std::map<std::uint64_t, Finished> pieces;
  std::uint64_t next = 0;

  PoolOrders orders(std::uint64_t count, std::size_t jobs) {
    return {.jobs = jobs,
            .piece_limit = 60s,
            .next = [this, count]() -> std::optional<std::uint64_t> {
              if (next == count) return std::nullopt;
              return next++;
            },
            .finished = [this](Finished done) { pieces.emplace(done.piece, std::move(done)); },
            .tick = [] {},
            .work = {}};
  }
};

TEST(Pool, EveryPieceIsDoneOnce) {
  Collected collected;
  PoolOrders orders = collected.orders(40, 3);
  orders.work = [](std::uint64_t piece, const auto& send) {
    send(std::to_string(piece));
    send(std::string(200'000, 'x'));
    send("");
  };
  EXPECT_TRUE(run_pool(orders));
  ASSERT_THAT(collected.pieces, SizeIs(40));
  for (const auto& [piece, done] : collected.pieces) {
    EXPECT_EQ(done.death, "");
    ASSERT_THAT(done.messages, SizeIs(3));
    EXPECT_EQ(done.messages[0], std::to_string(piece));
    EXPECT_THAT(done.messages[1], SizeIs(200'000));
  }
}

TEST(Pool, AChildThatDiesCostsItsPiece) {
  Collected collected;
  PoolOrders orders = collected.orders(10, 2);
  orders.work = [](std::uint64_t piece, const auto& send) {
    send("before");
    if (piece == 3) {
      fmt::print(stderr, "assertion failed: too bad\n");
      raise(SIGKILL);
    }
    if (piece == 5) _exit(9);
  };
  EXPECT_TRUE(run_pool(orders));
  ASSERT_THAT(collected.pieces, SizeIs(10));
  EXPECT_EQ(collected.pieces[3].death, "signal 9 (Killed)");
  EXPECT_THAT(collected.pieces[3].messages, ElementsAre("before"));
  EXPECT_EQ(collected.pieces[3].complaint, "assertion failed: too bad\n");
  EXPECT_FALSE(collected.pieces[3].hung);
  EXPECT_EQ(collected.pieces[5].death, "exit code 9");
  EXPECT_EQ(collected.pieces[4].death, "");
}

TEST(Pool, AChildThatHangsIsKilled) {
  Collected collected;
  PoolOrders orders = collected.orders(3, 1);
  orders.piece_limit = 300ms;
  orders.work = [](std::uint64_t piece, const auto&) {
    while (piece == 1)
      pause();
  };
  EXPECT_TRUE(run_pool(orders));
  ASSERT_THAT(collected.pieces, SizeIs(3));
  EXPECT_TRUE(collected.pieces[1].hung);
  EXPECT_GE(collected.pieces[1].took, 300ms);
  EXPECT_EQ(collected.pieces[2].death, "");
}

TEST(Pool, AnInterruptEndsItInOrder) {
  Collected collected;
  PoolOrders orders = collected.orders(3, 1);
  orders.work = [](std::uint64_t piece, const auto&) {
    while (piece == 1)
      pause();
  };
  orders.tick = [&] {
    if (collected.pieces.size() == 1) raise(SIGINT);
  };
  EXPECT_FALSE(run_pool(orders));
  EXPECT_THAT(collected.pieces, SizeIs(1));
}

// A folder with one scenario, and a runner that fails as the seed says.
class Fuzzing : public testing::Test {
 protected:
  Fuzzing() {
    std::string pattern = testing::TempDir() + "vopr-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    EXPECT_TRUE(write_text(folder_ + "/quiet.toml", kScenario));
    command_.scenarios = {folder_};
    command_.save = folder_ + "/failures";
    command_.from = 1;
    command_.seeds = 12;
    command_.jobs = 2;
    command_.keep_going = true;
    command_.run_limit = 60s;
  }
  ~Fuzzing() override { std::filesystem::remove_all(folder_); }

  static vopr::Report report(const vopr::Plan& plan, const vopr::RunOptions& /*options*/) {
    vopr::Report report{.trace_hash = plan.seed * 3, .elapsed = 10s};
    report.counts.operations = 5;
    if (plan.seed == 4) raise(SIGKILL);
    if (plan.seed == 7) report.violation = {.checker = "one-copy", .text = "twice", .at = 3s};
    return report;
  }

  std::pair<int, std::string> fuzz(const Runner& runner = report) const {
    testing::internal::CaptureStdout();
    const int code = fuzz_plans(command_, runner);
    std::fflush(stdout);
    return {code, testing::internal::GetCapturedStdout()};
  }
  [[nodiscard]] std::vector<std::string> saved() const {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& file : std::filesystem::directory_iterator(command_.save, error))
      names.push_back(file.path().filename().string());
    return names;
  }

  std::string folder_;
  FuzzPlans command_;
};

TEST_F(Fuzzing, HashesAreWrittenBySeedAndSoTellWhichDiffers) {
  command_.hashes = folder_ + "/hashes";
  command_.from = 8;
  command_.seeds = 3;
  EXPECT_EQ(fuzz().first, kExitDone);
  EXPECT_EQ(read_text(command_.hashes),
            "quiet 8 0000000000000018\nquiet 9 000000000000001b\nquiet 10 000000000000001e\n");
  command_.hashes = folder_ + "/hashes/below";
  EXPECT_EQ(fuzz().first, kExitBadInput);
}

TEST_F(Fuzzing, FailingPlansAreSavedAlsoOfAChildThatDied) {
  const auto [code, text] = fuzz();
  EXPECT_EQ(code, kExitViolation);
  EXPECT_THAT(saved(), UnorderedElementsAre("died-4.toml", "one-copy-7.toml"));
  EXPECT_THAT(text, HasSubstr("seed 4 FAILED: died\n  signal 9 (Killed)"));
  EXPECT_THAT(text, HasSubstr("blixard-vopr replay " + command_.save + "/one-copy-7.toml"));
  EXPECT_THAT(text, HasSubstr("12 seeds, 2 failed, 110.0 s of virtual time, 55 operations"));
  EXPECT_THAT(text, HasSubstr("failed: one-copy 1\n"));
  // What was saved is what was run.
  const auto again = read_plan({.file = command_.save + "/one-copy-7.toml"});
  const auto drawn = read_plan({.file = folder_ + "/quiet.toml", .seed = 7});
  ASSERT_TRUE(again && drawn);
  EXPECT_EQ(*again, *drawn);
}

TEST_F(Fuzzing, WithoutFailuresAllIsWell) {
  command_.from = 100;
  command_.twice_every = 1;
  const auto [code, text] = fuzz();
  EXPECT_EQ(code, kExitDone);
  EXPECT_THAT(text, HasSubstr("nothing failed"));
  EXPECT_TRUE(saved().empty());
}

TEST_F(Fuzzing, EndsWithTheFirstFailureUnlessToldOtherwise) {
  command_.keep_going = false;
  command_.jobs = 1;
  const auto [code, text] = fuzz();
  EXPECT_EQ(code, kExitViolation);
  EXPECT_THAT(text, HasSubstr("\n4 seeds, 1 failed"));
}

TEST_F(Fuzzing, GoesOnWhereItWasStopped) {
  command_.state = folder_ + "/state.json";
  command_.keep_going = false;
  command_.jobs = 1;
  EXPECT_THAT(fuzz().second, HasSubstr("\n4 seeds, 1 failed"));
  EXPECT_THAT(fuzz().second, HasSubstr("\n7 seeds, 2 failed"));
  const auto [code, text] = fuzz();
  EXPECT_EQ(code, kExitViolation);
  EXPECT_THAT(text, HasSubstr("7 seeds are done already"));
  EXPECT_THAT(text, HasSubstr("\n12 seeds, 2 failed"));
  const auto kept = read_text(command_.state);
  ASSERT_TRUE(kept);
  const auto state = parse_state(*kept);
  ASSERT_TRUE(state);
  EXPECT_TRUE(state->running.empty());
  ASSERT_THAT(state->failures, SizeIs(2));
  EXPECT_EQ(state->failures[1].file, command_.save + "/one-copy-7.toml");
  // The same seeds in one go.
  command_.state = folder_ + "/other.json";
  command_.keep_going = true;
  fuzz();
  const auto other = read_text(command_.state);
  ASSERT_TRUE(other);
  EXPECT_EQ(parse_state(*other)->hash, state->hash);
  // The state of another run is not gone on with.
  command_.from = 2;
  testing::internal::CaptureStderr();
  EXPECT_EQ(fuzz().first, kExitBadInput);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("other scenarios or seeds"));
}

TEST_F(Fuzzing, GuidedRunsTellTheirPlanToo) {
  command_.guided = true;
  command_.seeds = 30;
  const auto [code, text] = fuzz([](const vopr::Plan& plan, const vopr::RunOptions&) {
    vopr::Report report{.trace_hash = 1, .elapsed = 1s};
    report.coverage.see(vopr::Role::kLeader, static_cast<vopr::Event>(plan.seed % vopr::kEvents),
                        vopr::Action::kNone);
    if (plan.seed % 5 == 0) report.violation = {.checker = "made-up", .text = "x", .at = 1s};
    return report;
  });
  EXPECT_EQ(code, kExitViolation);
  ASSERT_FALSE(saved().empty());
  for (const std::string& name : saved())
    EXPECT_TRUE(read_plan({.file = command_.save + "/" + name})) << name;
}

TEST_F(Fuzzing, ASuiteRunsItsLinesAndItsSavedPlans) {
  const auto plan = read_plan({.file = folder_ + "/quiet.toml", .seed = 7});
  ASSERT_TRUE(plan);
  ASSERT_TRUE(write_text(folder_ + "/failed/a.toml", vopr::scenario_text(*plan)));
  ASSERT_TRUE(write_text(folder_ + "/failed.txt", "quiet 1\nquiet 2 # was slow\n"));
  testing::internal::CaptureStdout();
  const int code = run_suite({.file = folder_ + "/failed.txt"}, report);
  std::fflush(stdout);
  const std::string text = testing::internal::GetCapturedStdout();
  EXPECT_EQ(code, kExitViolation);
  EXPECT_THAT(text, HasSubstr("ok      --scenario " + folder_ + "/quiet.toml --seed 1\n"));
  EXPECT_THAT(text, HasSubstr("FAILED  " + folder_ + "/failed/a.toml\n  one-copy: twice\n"));
  EXPECT_THAT(text, HasSubstr("3 of 3 runs, 1 failed\n"));
}

TEST_F(Fuzzing, ARunThatKillsItsProcessCanBeMadeSmall) {
  const std::string out = folder_ + "/small.toml";
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int code = shrink_plan({.source = {.file = folder_ + "/quiet.toml", .seed = 9},
                                .out = out,
                                .runs = 200,
                                .run_limit = 60s},
                               [](const vopr::Plan& plan, const vopr::RunOptions&) {
                                 for (const vopr::Step& step : plan.steps)
                                   if (step.client != 0) raise(SIGKILL);
                                 return vopr::Report();
                               });
  std::fflush(stdout);
  const std::string text = testing::internal::GetCapturedStdout();
  testing::internal::GetCapturedStderr();
  EXPECT_EQ(code, kExitDone);
  EXPECT_THAT(text, HasSubstr("# died: signal 9 (Killed)\n"));
  EXPECT_THAT(text, HasSubstr("blixard-vopr replay " + out));
  const auto small = read_plan({.file = out});
  ASSERT_TRUE(small);
  EXPECT_THAT(small->steps, SizeIs(1));
}

TEST_F(Fuzzing, RunSaysWhatItCameTo) {
  testing::internal::CaptureStdout();
  RunPlan run{.source = {.file = folder_ + "/quiet.toml", .seed = 7}, .trace = true};
  run.html = folder_ + "/page.html";
  run.history = folder_ + "/history.jsonl";
  EXPECT_EQ(run_plan(run, report), kExitViolation);
  run.source.seed = 8;
  EXPECT_EQ(run_plan(run, report), kExitDone);
  std::fflush(stdout);
  const std::string text = testing::internal::GetCapturedStdout();
  EXPECT_THAT(text, HasSubstr("seconds node role"));
  EXPECT_THAT(text, HasSubstr("violation: one-copy"));
  EXPECT_THAT(text, HasSubstr("every checker is content"));
  EXPECT_TRUE(read_text(run.html));
  EXPECT_TRUE(read_text(run.history));
  testing::internal::CaptureStderr();
  EXPECT_EQ(run_plan({.source = {.file = folder_ + "/none.toml"}}, report), kExitBadInput);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("none.toml"));
}

}  // namespace
}  // namespace blixard::app
