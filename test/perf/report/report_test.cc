#include "test/perf/report/report.h"

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <boost/json.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/perf/report/latencies.h"

namespace blixard::perf {
namespace {

// Gives one value after the other.
Measure series(std::vector<double> values) {
  return
      [values = std::move(values), next = std::size_t{0}]() mutable { return values.at(next++); };
}

TEST(Report, MediansAreOfTheRoundsAndRatiosOfWhatWasMeasuredTogether) {
  Report report("trial");
  // The second round is slow for both: its ratio is as that of the others.
  report.add({.name = "add",
              .unit = "ns",
              .measure = series({2, 20, 3}),
              .baselines = {{"rival", series({8, 80, 12})}}});
  const auto outcomes = report.run({.rounds = 3});
  EXPECT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes.at(0).value, 3);
  EXPECT_EQ(outcomes.at(0).baselines.at("rival"), 12);
  EXPECT_EQ(outcomes.at(0).ratios.at("rival"), 4);
}  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): it loses sight of a std::function

TEST(Report, RivalsAreMeasuredInTurns) {
  std::string order;
  const auto note = [&order](char who) {
    return [&order, who] {
      order += who;
      return 1.0;
    };
  };
  Report report("trial");
  report.add({.name = "a",
              .unit = "ns",
              .measure = note('a'),
              .baselines = {{"b", note('b')}, {"c", note('c')}}});
  report.add({.name = "x", .unit = "ns", .measure = note('x')});
  EXPECT_EQ(report.run({.rounds = 3}).size(), 2u);
  EXPECT_EQ(order,
            "abcx"
            "cbax"
            "abcx");
}

TEST(Report, WhereMoreIsBetterTheRatioIsTheOtherWayRound) {
  Report report("trial");
  report.add({.name = "proposals",
              .unit = "/s",
              .better = Better::kHigher,
              .measure = [] { return 300.0; },
              .baselines = {{"rival", [] { return 100.0; }}},
              .targets = {at_least(200)}});
  const auto outcomes = report.run({.rounds = 1});
  EXPECT_EQ(outcomes.at(0).ratios.at("rival"), 3);
  EXPECT_EQ(outcomes[0].target, ">= 200 /s");
  EXPECT_TRUE(outcomes[0].met);
}

TEST(Report, NothingIsNoNumberOfTimesBetter) {
  Report report("trial");
  report.add({.name = "wait",
              .unit = "ns",
              .measure = [] { return 0.0; },
              .baselines = {{"rival", [] { return 12.0; }}},
              .targets = {at_most(0)}});
  const auto outcomes = report.run({.rounds = 2});
  EXPECT_TRUE(outcomes.at(0).ratios.empty());
  EXPECT_TRUE(outcomes[0].met);
  EXPECT_EQ(table_of(outcomes),
            "case     value    times better  allocations  target\n"
            "wait     0 ns                                <= 0 ns  met\n"
            "  rival  12.0 ns\n");
}

struct TargetCase {
  Target target;
  const char* text;
  bool met;
};

TEST(Report, ATargetIsMetOrMissed) {
  const std::vector<TargetCase> targets{
      {at_most(2), "<= 2 ns", true},
      {at_most(1.5), "<= 1.5 ns", false},
      {better_than("rival", 8), ">= 8x rival", true},
      {better_than("rival", 9), ">= 9x rival", false},
      {better_than("nobody", 1), ">= 1x nobody", false},
      {allocations_at_most(3), "<= 3 allocations", true},
      {allocations_at_most(2), "<= 2 allocations", false},
  };
  for (const TargetCase& each : targets) {
    Report report("trial");
    report.add({.name = "add",
                .unit = "ns",
                .measure = [] { return 2.0; },
                .baselines = {{"rival", [] { return 16.0; }}},
                .allocations = [] { return 3.0; },
                .targets = {each.target}});
    const auto outcomes = report.run({.rounds = 1});
    EXPECT_EQ(outcomes.at(0).target, each.text);
    EXPECT_EQ(outcomes[0].met, each.met) << each.text;
  }
}

TEST(Report, OneOfSeveralTargetsMissedIsAMiss) {
  Report report("trial");
  report.add({.name = "add",
              .unit = "ns",
              .measure = [] { return 2.0; },
              .targets = {at_most(1), at_most(3)}});
  const auto outcomes = report.run({.rounds = 1});
  EXPECT_FALSE(outcomes.at(0).met);
  EXPECT_EQ(outcomes[0].target, "<= 1 ns; <= 3 ns");
  EXPECT_THAT(table_of(outcomes), testing::HasSubstr("MISSED"));
}

TEST(Report, AllocationsNotCountedMeetNoTarget) {
  Report report("trial");
  report.add({.name = "add",
              .unit = "ns",
              .measure = [] { return 2.0; },
              .targets = {allocations_at_most(0)}});
  EXPECT_FALSE(report.run({.rounds = 1}).at(0).met);
}

TEST(Report, TheFileHasWhatWasMeasured) {
  std::string path = testing::TempDir() + "report_test.XXXXXX";
  const int file = ::mkstemp(path.data());
  ASSERT_GE(file, 0);
  ::close(file);
  Report report("trial");
  report.add({.name = "say \"add\"",
              .unit = "ns",
              .items = {"S5", "X3"},
              .measure = [] { return 2.5; },
              .baselines = {{"rival", [] { return 10.0; }}},
              .allocations = [] { return 0.0; },
              .targets = {at_most(3)}});
  const char* arguments[] = {"trial", "--rounds", "3", "--json", path.c_str()};
  EXPECT_EQ(report.main(5, arguments), 0);
  std::ifstream written(path);
  const std::string text{std::istreambuf_iterator<char>(written), {}};
  std::remove(path.c_str());
  const auto document = boost::json::parse(text).as_object();
  EXPECT_EQ(document.at("bench").as_string(), "trial");
  EXPECT_EQ(document.at("rounds").to_number<int>(), 3);
  EXPECT_FALSE(document.at("machine").as_string().empty());
  EXPECT_EQ(document.at("cases").as_array().at(0),
            boost::json::parse(R"({"name": "say \"add\"", "value": 2.5, "unit": "ns",
                "better": "lower", "allocations": 0.0, "baselines": {"rival": 10.0},
                "ratios": {"rival": 4.0}, "target": "<= 3 ns", "met": true,
                "items": ["S5", "X3"]})"));
}

TEST(Report, WhatVariesByChanceIsSaid) {
  Report report("trial");
  report.add({.name = "wait", .unit = "ns", .measure = [] { return 1.0; }, .varies = true});
  report.add({.name = "add", .unit = "ns", .measure = [] { return 1.0; }});
  const auto outcomes = report.run({.rounds = 1});
  EXPECT_TRUE(outcomes.at(0).varies);
  EXPECT_THAT(json_of("trial", 1, {outcomes.at(0)}), testing::HasSubstr(R"("varies":true)"));
  EXPECT_THAT(json_of("trial", 1, {outcomes.at(1)}), testing::Not(testing::HasSubstr("varies")));
}

TEST(Report, StrictFailsForAMissAndOthersOnlySay) {
  Report report("trial");
  report.add({.name = "add", .unit = "ns", .measure = [] { return 2.0; }, .targets = {at_most(1)}});
  const char* arguments[] = {"trial", "--strict"};
  EXPECT_EQ(report.main(1, arguments), 0);
  EXPECT_EQ(report.main(2, arguments), 1);
}

TEST(Report, WrongArgumentsAreRefused) {
  Report report("trial");
  report.add({.name = "add", .unit = "ns", .measure = [] { return 2.0; }});
  for (const auto& words : std::vector<std::vector<const char*>>{{"--rounds"},
                                                                 {"--rounds", "0"},
                                                                 {"--rounds", "3x"},
                                                                 {"--rounds", "1001"},
                                                                 {"--fast"},
                                                                 {"--only", "subtract"}}) {
    std::vector<const char*> arguments{"trial"};
    arguments.insert(arguments.end(), words.begin(), words.end());
    EXPECT_EQ(report.main(static_cast<int>(arguments.size()), arguments.data()), 2) << words[0];
  }
  const char* help[] = {"trial", "--help"};
  EXPECT_EQ(report.main(2, help), 0);
}

TEST(Report, TheMedianOfAnEvenNumberIsBetweenTheMiddleTwo) {
  EXPECT_EQ(median({}), 0);
  EXPECT_EQ(median({7}), 7);
  EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
}

TEST(Latencies, ArePreciseToOnePercentOverTheWholeRange) {
  for (const std::int64_t ns : {1L, 127L, 128L, 1000L, 999'999L, 12'345'678L, 60'000'000'000L}) {
    Latencies latencies;
    latencies.add(Duration(ns));
    const double us = static_cast<double>(ns) / 1000;
    EXPECT_NEAR(latencies.us_at(0.5), us, us / 100) << ns;
    EXPECT_EQ(latencies.us_max(), us);
  }
}

TEST(Latencies, QuantilesCountFromTheShortest) {
  Latencies latencies;
  for (int ms = 1; ms <= 1000; ++ms)
    latencies.add(std::chrono::milliseconds(ms));
  EXPECT_NEAR(latencies.us_at(0.5), 500'000, 5'000);
  EXPECT_NEAR(latencies.us_at(0.99), 990'000, 10'000);
  EXPECT_NEAR(latencies.us_at(0.999), 1'000'000, 10'000);
  Latencies both;
  both.add(latencies);
  both.add(std::chrono::seconds(5));
  EXPECT_EQ(both.count(), 1001u);
  EXPECT_EQ(both.us_max(), 5'000'000);
  EXPECT_EQ(Latencies().us_at(0.99), 0);
}

}  // namespace
}  // namespace blixard::perf
