#include "vopr/scenario.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "env/env.h"
#include "linux/runtime.h"
#include "vopr/scenario_steps.h"
#include "vopr/scenario_words.h"

namespace blixard::vopr {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

std::string error_of(std::string_view text) {
  const auto scenario = parse_scenario(text);
  if (scenario) return "it was taken";
  EXPECT_EQ(scenario.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(scenario.error().reason(), "scenario_invalid");
  return std::string(scenario.error().detail());
}

Scenario scenario_of(std::string_view text) {
  auto scenario = parse_scenario(text);
  EXPECT_TRUE(scenario) << scenario.error().message();
  return scenario ? *std::move(scenario) : Scenario{};
}

// Text by name of the file, in the order of the names.
env::Task<void> collect(env::Env env, std::map<std::string, std::string>& texts) {
  const std::string path = std::string(BLX_SOURCE_DIR) + "/test/scenarios";
  const auto entries = co_await env.disk.list(path);
  EXPECT_TRUE(entries.has_value()) << path;
  if (!entries) co_return;
  for (const auto& entry : *entries) {
    if (!entry.name.ends_with(".toml")) continue;
    auto text = co_await env.disk.read_file(path + "/" + entry.name, kScenarioBytes);
    EXPECT_TRUE(text.has_value()) << entry.name;
    if (text) texts[entry.name] = *std::move(text);
  }
}

std::vector<Scenario> shipped() {
  std::map<std::string, std::string> texts;
  linux_side::Runtime runtime({});
  runtime.run(collect(runtime.env(), texts));
  std::vector<Scenario> scenarios;
  for (const auto& [file, text] : texts) {
    auto scenario = parse_scenario(text);
    EXPECT_TRUE(scenario) << file << ": " << scenario.error().message();
    if (!scenario) continue;
    EXPECT_EQ(scenario->name + ".toml", file);
    EXPECT_THAT(text, StartsWith("# ")) << file << " does not say what it is for";
    scenarios.push_back(*std::move(scenario));
  }
  return scenarios;
}

constexpr std::string_view kEverything = R"(
name = "everything"
until = "20s"
nodes = [1, 5]
spares = [0, 2]
clients = [0, 4]
vms = [0, 5]
templates_mib = [0, 3]
[[workload]]
kind = "vms"
gap = ["50ms", "1s"]
noisy_percent = 20
vanishing_percent = 10
[[workload]]
kind = "reads"
gap = ["50ms", "1s"]
[[workload]]
kind = "images"
gap = ["1s", "5s"]
[[workload]]
kind = "membership"
gap = ["100ms", "5s"]
[[workload]]
kind = "leadership"
gap = ["100ms", "5s"]
[[workload]]
kind = "restarts"
gap = ["100ms", "5s"]
[[workload]]
kind = "upgrades"
gap = ["100ms", "5s"]
[[workload]]
kind = "certificates"
gap = ["100ms", "5s"]
[[workload]]
kind = "intruders"
gap = ["100ms", "5s"]
[[workload]]
kind = "wishes"
gap = ["50ms", "1s"]
[[workload]]
kind = "placement"
gap = ["100ms", "5s"]
[[workload]]
kind = "drains"
gap = ["100ms", "5s"]
[[workload]]
kind = "saves"
gap = ["50ms", "1s"]
[faults]
gap = ["50ms", "3s"]
length = ["1ms", "9s"]
)";

TEST(Times, AreReadAndWritten) {
  const auto table =
      std::to_array<std::pair<std::string_view, Duration>>({{"0s", 0s},
                                                            {"250ms", 250ms},
                                                            {"1.25s", 1250ms},
                                                            {"0.5ms", 500us},
                                                            {"1250us", 1250us},
                                                            {"2m", 2min},
                                                            {"1.5m", 90s},
                                                            {"1h", 1h},
                                                            {"24h", 24h},
                                                            {"7ns", 7ns},
                                                            {"1.000000001s", 1'000'000'001ns}});
  for (const auto& [text, time] : table) {
    EXPECT_EQ(parse_time(text), time) << text;
    EXPECT_EQ(parse_time(time_text(time)), time) << time_text(time);
  }
  EXPECT_EQ(time_text(1250ms), "1.25s");
  EXPECT_EQ(time_text(1250us), "1.25ms");
  EXPECT_EQ(time_text(60s), "60s");
  EXPECT_EQ(time_text(0s), "0s");
  for (const std::string_view text :
       {"", "s", "5", "-1s", "1.s", ".5s", "1..5s", "1.5.5s", "5 s", "5S", "0.5ns", "25h",
        "99999999999999999999h", "1.0000000001s", "1e3s"})
    EXPECT_EQ(parse_time(text), std::nullopt) << text;
}

TEST(ParseScenario, ReadsWhatItSays) {
  const Scenario scenario = scenario_of(R"(
name = "some"
until = "2m"
nodes = [3, 5]
spares = 2
tick = "40ms"
boot = ["1s", "2s"]
version = [1, 2]
templates_mib = [0, 512]
[[workload]]
kind = "vms"
gap = "300ms"
noisy_percent = 7
[faults]
gap = ["1s", "2s"]
of = ["cut", "crash"]
)");
  EXPECT_EQ(scenario.name, "some");
  EXPECT_EQ(scenario.until, 2min);
  EXPECT_EQ(scenario.nodes, (NumberRange{3, 5}));
  EXPECT_EQ(scenario.spares, (NumberRange{2, 2}));
  EXPECT_EQ(scenario.clients, Scenario{}.clients);
  EXPECT_EQ(scenario.tick, (TimeRange{40ms, 40ms}));
  EXPECT_EQ(scenario.boot, (TimeRange{1s, 2s}));
  EXPECT_EQ(scenario.version, (NumberRange{1, 2}));
  EXPECT_EQ(scenario.templates_mib, (NumberRange{0, 512}));
  EXPECT_THAT(scenario.workloads,
              ElementsAre(Workload{.kind = "vms", .gap = {300ms, 300ms}, .noisy_percent = 7}));
  EXPECT_EQ(scenario.faults.gap, (TimeRange{1s, 2s}));
  EXPECT_THAT(scenario.faults.of, ElementsAre(Action::kCut, Action::kCrash));
}

TEST(ParseScenario, ReadsStepsAndPutsThemInOrder) {
  const Scenario scenario = scenario_of(R"(
name = "steps"
nodes = 3
clients = 2
vms = 3
seed = 9
[[step]]
at = "3s"
do = "create"
client = 2
vm = 3
node = 1
amount = 17
manner = "noisy"
[[step]]
at = "1.25s"
do = "cut"
node = 1
other = 2
for = "800ms"
)");
  EXPECT_EQ(scenario.seed, 9U);
  EXPECT_THAT(
      scenario.steps,
      ElementsAre(
          Step{.at = 1250ms, .action = Action::kCut, .node = 1, .other = 2, .length = 800ms},
          Step{.at = 3s,
               .action = Action::kCreate,
               .node = 1,
               .amount = 17,
               .client = 2,
               .vm = 3,
               .manner = Manner::kNoisy}));
  EXPECT_EQ(draw(scenario, 1234).steps, scenario.steps);
  EXPECT_EQ(draw(scenario, 1234).seed, 9U);
}

struct Wrong {
  std::string_view text;
  std::string_view line;
  std::string_view says;
};

constexpr auto kWrong = std::to_array<Wrong>({
    {"", "line 1: ", "no name; instead: name ="},
    {"name = 3", "line 1: ", "name is not a text"},
    {"name = \"\"", "line 1: ", "1 to 64"},
    {"name = \"a\\nb\"", "line 1: ", "no name: \"a?b\""},
    {"name = \"a\"\nnode = 3", "line 2: ", "unknown key \"node\" of a scenario; instead: name"},
    {"name = \"a\"\nnodes = \"3\"", "line 2: ", "nodes is not a number; instead: from 1 to 7"},
    {"name = \"a\"\nnodes = 0", "line 2: ", "from 1 to 7"},
    {"name = \"a\"\nnodes = 8", "line 2: ", "from 1 to 7"},
    {"name = \"a\"\nnodes = -1", "line 2: ", "from 1 to 7"},
    {"name = \"a\"\nnodes = 3.0", "line 2: ", "nodes is not a number"},
    {"name = \"a\"\nnodes = [5, 3]", "line 2: ", "upside down; instead: [3, 5]"},
    {"name = \"a\"\nnodes = [1, 3, 5]", "line 2: ", "not a range"},
    {"name = \"a\"\nnodes = []", "line 2: ", "not a range"},
    {"name = \"a\"\nspares = 9", "line 2: ", "from 0 to 8"},
    {"name = \"a\"\nclients = 17", "line 2: ", "from 0 to 16"},
    {"name = \"a\"\nvms = 27", "line 2: ", "from 0 to 26"},
    {"name = \"a\"\nrare_percent = 101", "line 2: ", "from 0 to 100"},
    {"name = \"a\"\ntick = \"1ms\"", "line 2: ", "from \"10ms\" to \"10s\""},
    {"name = \"a\"\nuntil = 30", "line 2: ", "until is not a text; instead: a time"},
    {"name = \"a\"\nuntil = \"30\"", "line 2: ", "until is not a time: \"30\""},
    {"name = \"a\"\nuntil = \"25h\"", "line 2: ", "until is not a time"},
    {"name = \"a\"\nseed = 0", "line 2: ", "a number from 1 on"},
    {"name = \"a\"\nseed = \"x\"", "line 2: ", "a number from 1 on"},
    {"name = \"a\"\nname = \"b\"", "line 2: ", "; instead: TOML"},
    {"name = \"a\"\n=", "line 2: ", "; instead: TOML"},
    // What toml++ 3.3 does not expect.
    {"name = \"a\"\nx = [ }", "line 1: ", "not TOML, here or below; instead: TOML"},
    {"name = \"a\"\n[faults]\nof = [\"cut\",\n}", "line 1: ", "not TOML, here or below"},
    {"name = \"a\"\nx = [ 1, { y = [ } ] } ]", "line 1: ", "not TOML, here or below"},
    {"name = \"a\"\n[[#]]", "line 2: ", "a table without a name; instead: [table]"},
    {"name = \"a\"\n\t[\n", "line 2: ", "a table without a name"},
    {"name = \"a\"\n[[[0, 20]", "line 2: ", "a table without a name"},
    {"name = \"a\"\n[ [ ] ]", "line 2: ", "a table without a name"},
    {"\xef\xbb\xbf[!]", "line 1: ", "there is more than ASCII"},
    {"name = \"a\" # \xc3\xbc", "line 1: ", "there is more than ASCII"},
    {"name = \"\"\"\n#\"\"\"", "line 1: ", "a text of several lines"},
    {"name = '''a'''", "line 1: ", "a text of several lines"},
    {"name = \"a\"\nworkload = 3", "line 2: ", "not a list of tables"},
    {"name = \"a\"\nworkload = [3]", "line 2: ", "is not a table"},
    {"name = \"a\"\n[[workload]]\ngap = \"1s\"", "line 2: ", "no kind; instead: vms, reads"},
    {"name = \"a\"\n[[workload]]\nkind = \"vm\"", "line 3: ", "workload \"vm\"; instead: vms"},
    {"name = \"a\"\n[[workload]]\nkind = \"vms\"", "line 2: ", "the workload has no gap"},
    {"name = \"a\"\n[[workload]]\nkind = \"vms\"\ngap = \"0s\"", "line 4: ", "from \"1ms\""},
    {"name = \"a\"\n[[workload]]\nkind = \"vms\"\nrate = 3", "line 4: ", "\"rate\" of a workload"},
    {"name = \"a\"\n[[workload]]\nkind = \"vms\"\ngap = \"1s\"\nnoisy_percent = 60\n"
     "vanishing_percent = 60",
     "line 2: ", "100 together"},
    {"name = \"a\"\nfaults = 1", "line 2: ", "[faults]"},
    {"name = \"a\"\n[faults]\nof = [\"cut\"]", "line 2: ", "faults have no gap"},
    {"name = \"a\"\n[faults]\ngap = \"1s\"\nof = \"cut\"", "line 4: ", "of is not a list"},
    {"name = \"a\"\n[faults]\ngap = \"1s\"\nof = [\n\"cut\",\n\"crush\"]",
     "line 6: ", "unknown action \"crush\"; instead: crash, "},
    {"name = \"a\"\n[faults]\ngap = \"1s\"\nof = [\"create\"]", "line 4: ", "create is no fault"},
    {"name = \"a\"\n[faults]\ngap = \"1s\"\nof = [\"cut\", \"cut\"]", "line 4: ", "twice"},
    {"name = \"a\"\n[[step]]\nat = \"1s\"", "line 2: ", "the step does nothing"},
    {"name = \"a\"\n[[step]]\ndo = \"crash\"", "line 2: ", "the step has no time"},
    {"name = \"a\"\n[[step]]\ndo = \"isolated\"\nat = \"1s\"",
     "line 3: ", "unknown action \"isolated\"; instead: isolate, "},
    {"name = \"a\"\n[[step]]\ndo = \"crash\"\nat = \"31s\"", "line 4: ", "at is out of bounds"},
    {"name = \"a\"\n[[step]]\ndo = \"crash\"\nat = \"1s\"\nnode = 5", "line 5: ", "from 0 to 4"},
    {"name = \"a\"\n[[step]]\ndo = \"crash\"\nat = \"1s\"\nother = 2",
     "line 5: ", "crash knows no other"},
    {"name = \"a\"\n[[step]]\ndo = \"crash\"\nat = \"1s\"\nmanner = \"noisy\"",
     "line 5: ", "crash knows no manner"},
    {"name = \"a\"\n[[step]]\ndo = \"cut\"\nat = \"1s\"\nnode = 2\nother = 2",
     "line 2: ", "node and other are the same"},
    {"name = \"a\"\n[[step]]\ndo = \"weather\"\nat = \"1s\"\namount = 31",
     "line 5: ", "from 1 to 30"},
    {"name = \"a\"\n[[step]]\ndo = \"get\"\nat = \"1s\"\nvm = 3", "line 5: ", "from 1 to 2"},
    {"name = \"a\"\n[[step]]\ndo = \"get\"\nat = \"1s\"\nclient = 0", "line 5: ", "from 1 to 1"},
    {"name = \"a\"\n[[step]]\ndo = \"get\"\nat = \"1s\"\nmanner = \"loud\"",
     "line 5: ", "patient, noisy, vanishing"},
    {"name = \"a\"\nclients = 0\n[[step]]\ndo = \"list\"\nat = \"1s\"",
     "line 3: ", "list needs a client"},
    {"name = \"a\"\nvms = 0\n[[step]]\ndo = \"get\"\nat = \"1s\"", "line 3: ", "get needs a VM"},
    {"name = \"a\"\n[faults]\ngap = \"1s\"\n[[step]]\ndo = \"crash\"\nat = \"1s\"", "line ",
     "either steps, or workloads and faults"},
});

TEST(ParseScenario, SaysWhatIsWrongWhereAndWhatInstead) {
  for (const Wrong& wrong : kWrong)
    EXPECT_THAT(error_of(wrong.text), AllOf(StartsWith(wrong.line), HasSubstr(wrong.says)))
        << wrong.text;
}

TEST(ParseScenario, IsBounded) {
  std::string large = "name = \"a\"\n";
  large.resize(kScenarioBytes + 1, '\n');
  EXPECT_THAT(error_of(large), HasSubstr("too large"));

  std::string workloads = "name = \"a\"\n";
  for (std::size_t i = 0; i <= kWorkloadsMost; ++i)
    workloads += "[[workload]]\nkind = \"vms\"\ngap = \"1s\"\n";
  EXPECT_THAT(error_of(workloads), HasSubstr("too many of workload; instead: at most 16"));

  std::string steps = "name = \"a\"\nstep = [\n";
  for (std::size_t i = 0; i <= kStepsMost; ++i)
    steps += "{ at = \"1s\", do = \"crash\" },\n";
  EXPECT_THAT(error_of(steps + "]"), HasSubstr("too many of step; instead: at most 100000"));

  // Tables in tables in tables are taken apart by recursion.
  std::string deep = "a";
  for (int i = 0; i < 1'000'000; ++i)
    deep += ".a";
  EXPECT_THAT(error_of("name = \"a\"\n" + deep + " = 1"), StartsWith("line 2: the line is full"));
  EXPECT_THAT(error_of("name = " + std::string(100'000, '[')), HasSubstr("instead: TOML"));
  EXPECT_THAT(error_of("name = \"a\"\n# \xc3\xbc" + std::string(100, '.') + "\n"), "it was taken");
}

TEST(Draw, TheSameSeedGivesTheSamePlanAndAnotherAnother) {
  const Scenario scenario = scenario_of(kEverything);
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    EXPECT_EQ(draw(scenario, seed), draw(scenario, seed));
    EXPECT_NE(draw(scenario, seed).steps, draw(scenario, seed + 1).steps);
  }
  EXPECT_EQ(draw(scenario, 0), draw(scenario, 1));
}

bool is_within(const Step& step, const Plan& plan) {
  const Settings& settings = plan.settings;
  const ActionFacts& facts = facts_of(step.action);
  const std::size_t machines = settings.nodes + settings.spares;
  const bool client = facts.group == Group::kClient;
  return step.at >= Duration(0) && step.at <= plan.until && step.node <= machines &&
         step.other <= machines && (!facts.uses.other || step.node != step.other) &&
         (facts.uses.length || step.length == Duration(0)) && step.amount >= facts.amount_min &&
         step.amount <= facts.amount_max && (facts.uses.amount || step.amount == 0) &&
         (client ? step.client >= 1 && step.client <= settings.clients : step.client == 0) &&
         (facts.uses.vm ? step.vm >= 1 && step.vm <= settings.vms : step.vm == 0);
}

TEST(Draw, EveryPlanIsWithinItsSettingsAndCanBeWrittenAndReadAgain) {
  const Scenario scenario = scenario_of(kEverything);
  std::set<Action> seen;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    // Large seeds too: TOML's numbers end at 2^63.
    const Plan plan = draw(scenario, seed % 2 == 0 ? seed : ~seed);
    EXPECT_TRUE(std::ranges::is_sorted(plan.steps, {}, &Step::at));
    for (const Step& step : plan.steps) {
      ASSERT_TRUE(is_within(step, plan)) << seed << ": " << facts_of(step.action).name;
      seen.insert(step.action);
    }
    const std::string text = scenario_text(plan);
    const auto again = parse_scenario(text);
    ASSERT_TRUE(again) << again.error().message() << "\n" << text;
    ASSERT_EQ(draw(*again, seed + 7), plan) << text;
    ASSERT_EQ(scenario_text(draw(*again, 0)), text);
  }
  EXPECT_THAT(seen, SizeIs(kActions - 1)) << "some action is never drawn";
}

TEST(Draw, APlanWithoutStepsStaysWithout) {
  const Plan plan{.scenario = "quoted \" and \\", .seed = 3, .until = 1ns};
  EXPECT_EQ(draw(scenario_of(scenario_text(plan)), 4), plan);
}

TEST(Draw, AWorkloadDoesNotChangeTheChoicesOfAnother) {
  Scenario all = scenario_of(kEverything);
  all.clients = {2, 2};
  all.vms = {3, 3};
  Scenario scenario = all;
  for (std::size_t left_out = 0; left_out < all.workloads.size(); ++left_out) {
    scenario.workloads = all.workloads;
    scenario.workloads.erase(scenario.workloads.begin() + static_cast<std::ptrdiff_t>(left_out));
    const Plan without = draw(scenario, 11);
    const Plan with = draw(all, 11);
    EXPECT_EQ(without.settings, with.settings);
    EXPECT_LT(without.steps.size(), with.steps.size());
    // Every step of the smaller plan is in the larger one, in the same order.
    auto place = with.steps.begin();
    for (const Step& step : without.steps) {
      place = std::find(place, with.steps.end(), step);
      ASSERT_NE(place, with.steps.end()) << all.workloads[left_out].kind;
      ++place;
    }
  }
}

TEST(Draw, EachSeedHasItsOwnChoiceOfFaults) {
  Scenario scenario{.name = "faults"};
  scenario.faults = {.gap = {50ms, 500ms}, .length = {10ms, 2s}};
  std::set<std::set<Action>> choices;
  std::size_t narrow = 0;
  std::size_t at_the_leader = 0;
  std::size_t at_nodes = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    const Plan plan = draw(scenario, seed);
    std::set<Action> choice;
    for (const Step& step : plan.steps) {
      choice.insert(step.action);
      if (!facts_of(step.action).uses.node) continue;
      ++at_nodes;
      at_the_leader += step.node == 0 ? 1 : 0;
    }
    narrow += choice.size() == 1 ? 1 : 0;
    choices.insert(choice);
  }
  EXPECT_GT(choices.size(), 90U);
  EXPECT_GT(narrow, 2U) << "no run is hit by one kind only";
  EXPECT_LT(narrow, 30U);
  EXPECT_GT(at_the_leader * 4, at_nodes);
  EXPECT_LT(at_the_leader * 5, at_nodes * 2);
}

TEST(Draw, OnlyTheFaultsThatWereAskedForAndThatArePossible) {
  Scenario scenario = scenario_of(R"(
name = "alone"
nodes = 1
spares = 0
vms = 0
[faults]
gap = ["50ms", "500ms"]
of = ["cut", "kill-guest", "crash", "drift"]
)");
  for (std::uint64_t seed = 1; seed <= 50; ++seed)
    for (const Step& step : draw(scenario, seed).steps)
      ASSERT_TRUE(step.action == Action::kCrash || step.action == Action::kDrift);
  scenario.faults.of = {Action::kCut};
  EXPECT_THAT(draw(scenario, 1).steps, SizeIs(0));
}

TEST(Draw, HasAnEnd) {
  Scenario scenario{.name = "long", .until = 24h, .clients = {2, 2}};
  scenario.workloads.push_back({.kind = "vms", .gap = {1ms, 1ms}});
  scenario.faults = {.gap = {1ms, 1ms}, .length = {1ms, 1ms}};
  EXPECT_THAT(draw(scenario, 1).steps, SizeIs(kStepsMost));
}

TEST(Draw, AmountsAreOftenSmallAndReachTheirEnds) {
  sim::SeededRandom random(5);
  std::size_t small = 0;
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 4000; ++i) {
    const std::uint64_t drawn = draw_by_size(random, NumberRange{3, 1'000'000});
    ASSERT_GE(drawn, 3U);
    ASSERT_LE(drawn, 1'000'000U);
    small += drawn < 1000 ? 1 : 0;
    seen.insert(draw_by_size(random, NumberRange{0, 5}));
  }
  EXPECT_GT(small, 1000U);
  EXPECT_THAT(seen, ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(draw_by_size(random, NumberRange{0, 0}), 0U);
  EXPECT_GE(draw_by_size(random, NumberRange{~std::uint64_t{0}, ~std::uint64_t{0}}),
            ~std::uint64_t{0});
}

TEST(ShippedScenarios, AreValidAndDraw) {
  const std::vector<Scenario> scenarios = shipped();
  EXPECT_GE(scenarios.size(), 12U);
  for (const Scenario& scenario : scenarios) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      const Plan plan = draw(scenario, seed);
      EXPECT_GT(plan.steps.size(), 5U) << scenario.name;
      const auto again = parse_scenario(scenario_text(plan));
      ASSERT_TRUE(again) << scenario.name << again.error().message();
      EXPECT_EQ(draw(*again, seed), plan) << scenario.name;
    }
  }
}

}  // namespace
}  // namespace blixard::vopr
