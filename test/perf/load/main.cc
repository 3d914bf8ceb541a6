// A load on a cluster of this machine: load.py starts the nodes, watches them and writes the
// report; this program asks them.
//
//   load_bench [OPTIONS]         runs load.py (--help says what it takes)
//   load_bench generate PLAN     PLAN is a file of JSON; prints the outcome as JSON

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <boost/json.hpp>
#include <fmt/format.h>

#include "linux/runtime.h"
#include "test/perf/load/generator.h"
#include "test/perf/report/on_linux.h"

namespace blixard::load {
namespace {

namespace json = boost::json;

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "load_bench: %s\n", what.c_str());
  std::exit(1);
}

Duration seconds_of(const json::value& value) {
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(value.to_number<double>()));
}

Plan read_plan(const std::string& path) {
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  boost::system::error_code error;
  const json::value document = json::parse(text, error);
  if (error || !document.is_object()) die("no plan in " + path);
  const json::object& object = document.get_object();
  Plan plan;
  for (const json::value& node : object.at("nodes").as_array()) {
    const auto endpoint = env::Endpoint::parse(std::string_view(node.at("address").as_string()));
    if (!endpoint) die(endpoint.error().message());
    plan.nodes.push_back(
        {.endpoint = *endpoint, .token = std::string(node.at("token").as_string())});
  }
  plan.vms = object.at("vms").to_number<std::size_t>();
  plan.rate = object.at("rate").to_number<double>();
  plan.warm_up = seconds_of(object.at("warm_up"));
  plan.length = seconds_of(object.at("seconds"));
  plan.settle_max = seconds_of(object.at("settle_max"));
  plan.image = object.at("image").as_string();
  return plan;
}

json::object figures_of(const Counted& counted) {
  const Latencies& latencies = counted.latencies;
  json::object errors;
  for (const auto& [reason, number] : counted.errors)
    errors[reason] = number;
  return {{"done", latencies.count()},         {"failed", counted.failed},
          {"errors", std::move(errors)},       {"p50_us", latencies.us_at(0.5)},
          {"p95_us", latencies.us_at(0.95)},   {"p99_us", latencies.us_at(0.99)},
          {"p999_us", latencies.us_at(0.999)}, {"max_us", latencies.us_max()}};
}

json::object report_of(const Plan& plan, const Outcome& outcome, const Verdict& verdict,
                       const http::ClientPool::Counters& connections) {
  json::object operations;
  Counted all;
  for (std::size_t i = 0; i < kOperations; ++i) {
    const Counted& counted = outcome.operations.at(i);
    all.latencies.add(counted.latencies);
    all.failed += counted.failed;
    for (const auto& [reason, number] : counted.errors)
      all.errors[reason] += number;
    operations[operation_name(static_cast<Operation>(i))] = figures_of(counted);
  }
  json::array over_time;
  for (const auto& second : outcome.over_time) {
    json::object figures = figures_of(second->counted);
    figures["intended"] = second->intended;
    over_time.push_back(std::move(figures));
  }
  const double length = std::chrono::duration<double>(plan.length).count();
  return {{"intended", outcome.intended},
          {"intended_rate", plan.rate},
          // By what was asked for in its time: answers that come after the end count, errors not.
          {"rate", static_cast<double>(all.latencies.count()) / std::max(length, outcome.seconds)},
          {"seconds", outcome.seconds},
          {"all", figures_of(all)},
          {"operations", std::move(operations)},
          {"over_time", std::move(over_time)},
          {"connections",
           {{"requests", connections.requests},
            {"connects", connections.connects},
            {"reused", connections.reused},
            {"retried", connections.retried}}},
          {"verdict",
           {{"good", verdict.good()},
            {"expected", verdict.expected},
            {"found", verdict.found},
            {"missing", verdict.missing},
            {"unasked", verdict.unasked},
            {"differing", verdict.differing},
            {"unsettled", verdict.unsettled},
            {"uncertain", verdict.uncertain},
            {"seconds", verdict.seconds}}}};
}

void say(const char* what) {
  std::printf("%s\n", what);
  std::fflush(stdout);
}

env::Task<void> generate(env::Env env, Plan plan) {
  Generator generator(env, plan);
  if (const auto ready = co_await generator.prepare(); !ready) die(ready.error().message());
  say("prepared");
  const Outcome outcome = co_await generator.run();
  say("asked");
  const auto verdict = co_await generator.verify();
  if (!verdict) die(verdict.error().message());
  say(json::serialize(report_of(plan, outcome, *verdict, generator.connections())).c_str());
}

int run(int argc, char** argv) {
  if (argc != 3 || std::string_view(argv[1]) != "generate") {
    perf::become_script("load/load.py", argc, argv);
  }
  perf::Warnings log;
  linux_side::Runtime runtime({.log = &log});
  runtime.run(generate(runtime.env(), read_plan(argv[2])));
  return 0;
}

}  // namespace
}  // namespace blixard::load

int main(int argc, char** argv) {
  return blixard::perf::run_on_linux(argc, argv, blixard::load::run);
}
