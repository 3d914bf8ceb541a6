#include <memory>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "env/scope.h"
#include "node/http/server.h"
#include "sim/world.h"
#include "test/perf/load/fleet.h"
#include "test/perf/load/generator.h"

namespace blixard::load {
namespace {

class FleetTest : public testing::Test {
 protected:
  sim::World world_{1};
  env::Random& random_ = world_.add_machine("a").env().random;
  Fleet fleet_{"load-"};
};

TEST_F(FleetTest, AVmIsAskedForOneThingAtATime) {
  for (int i = 0; i < 10; ++i)
    fleet_.adopt("load-" + std::to_string(i), i % 2 == 0);
  std::set<std::string> asked;
  for (int i = 0; i < 200; ++i) {
    const Choice choice = fleet_.choose(random_, kUsualMix);
    if (choice.operation == Operation::kList || choice.operation == Operation::kStatus) continue;
    EXPECT_TRUE(asked.insert(choice.vm).second) << choice.vm;
  }
  EXPECT_GT(asked.size(), 10u);  // those that are there, and new ones
}

TEST_F(FleetTest, OnlyWhatIsPossibleIsAskedFor) {
  fleet_.adopt("load-1", true);
  const Mix only_start{0, 0, 0, 1, 0, 0, 0};
  const Choice choice = fleet_.choose(random_, only_start);
  EXPECT_EQ(choice.operation, Operation::kStop);
  fleet_.answered(choice, Fleet::Answer::kDone);
  EXPECT_FALSE(fleet_.wanted().at("load-1"));
  EXPECT_EQ(fleet_.choose(random_, only_start).operation, Operation::kStart);
  EXPECT_EQ(fleet_.choose(random_, only_start).operation, Operation::kCreate);
}

TEST_F(FleetTest, WhatWasAcknowledgedIsWhatIsWanted) {
  const Choice made = fleet_.choose_create();
  EXPECT_EQ(fleet_.size(), 0u);
  fleet_.answered(made, Fleet::Answer::kDone);
  EXPECT_TRUE(fleet_.wanted().at(made.vm));
  fleet_.answered({.operation = Operation::kStop, .vm = made.vm}, Fleet::Answer::kRefused);
  EXPECT_TRUE(fleet_.wanted().at(made.vm));
  const Choice refused = fleet_.choose_create();
  fleet_.answered(refused, Fleet::Answer::kRefused);
  EXPECT_EQ(fleet_.size(), 1u);
  const Choice lost = fleet_.choose_create();
  fleet_.answered(lost, Fleet::Answer::kUnknown);
  EXPECT_TRUE(fleet_.uncertain().contains(lost.vm));
  fleet_.answered({.operation = Operation::kDelete, .vm = made.vm}, Fleet::Answer::kDone);
  EXPECT_EQ(fleet_.size(), 0u);
}

// Answers each request at once, but for a standstill of a second.
class Standing final : public http::Handler {
 public:
  explicit Standing(env::Env env) : env_(env) {}

  env::Task<http::Response> handle(const http::Request& request) override {
    ++requests;
    keys += request.header("Idempotency-Key") != nullptr ? 1 : 0;
    const Instant now = env_.clock.monotonic();
    if (now >= begin && now < end) ignore(co_await env_.clock.sleep(end - now), "it ends");
    co_return http::Response{.status = request.path == "/v1/status" ? refusal : 200,
                             .content_type = "application/json",
                             .body = R"({"vms":[],"code":"not_ready"})"};
  }

  Instant begin = Instant::never();
  Instant end = Instant::never();
  int refusal = 200;
  std::uint64_t requests = 0;
  std::uint64_t keys = 0;

 private:
  env::Env env_;
};

Outcome load_on(Standing& handler, sim::World& world, sim::Machine& machine, const Mix& mix) {
  const env::Env env = machine.env();
  Outcome outcome;
  // It outlives the run. NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines)
  const auto main = [&]() -> env::Task<void> {
    const auto place = env::Endpoint::tcp("127.0.0.1", 7480);
    auto listener = co_await env.network.listen(place);
    http::Server server(env, handler);
    env::Scope scope(env.executor, co_await env::this_cancellation());
    const auto serve = [](http::Server& serving,
                          std::unique_ptr<env::Listener> on) -> env::Task<void> {
      ignore(co_await serving.serve(std::move(on)), "it ends with the server");
    };
    scope.spawn(serve(server, *std::move(listener)));
    Plan plan;
    plan.nodes.push_back({.endpoint = place, .token = "t"});
    plan.rate = 100;
    plan.length = 10s;
    plan.mix = mix;
    {
      Generator generator(env, plan);
      if (handler.begin != Instant::never()) {
        handler.begin = env.clock.monotonic() + 3s;
        handler.end = handler.begin + 1s;
      }
      outcome = co_await generator.run();
    }
    co_await server.stop(env.clock.monotonic() + 1s);
    scope.cancel();
    co_await scope.join();
  };
  EXPECT_TRUE(world.run(main()));
  return outcome;
}

// The hundred who would have asked during the standstill have all waited, half a second on average:
// a closed loop with one client would have seen one slow answer in a thousand.
TEST(Generator, AStandstillIsSeenByAllWhoWouldHaveAsked) {
  sim::World world(1);
  sim::Machine& machine = world.add_machine("a");
  Standing handler(machine.env());
  handler.begin = Instant{};
  const Outcome outcome = load_on(handler, world, machine, {0, 0, 0, 0, 0, 0, 1});
  const Counted& counted = outcome.operations.at(static_cast<std::size_t>(Operation::kStatus));
  EXPECT_EQ(outcome.intended, 1000u);
  EXPECT_EQ(counted.latencies.count(), 1000u);
  EXPECT_EQ(counted.failed, 0u);
  EXPECT_LT(counted.latencies.us_at(0.85), 50'000);
  EXPECT_GT(counted.latencies.us_at(0.95), 300'000);
  EXPECT_GT(counted.latencies.us_at(0.99), 800'000);
  EXPECT_LE(outcome.over_time.size(), 10u);
}

TEST(Generator, ErrorsAreCountedByReasonAndSlowNothingDown) {
  sim::World world(1);
  sim::Machine& machine = world.add_machine("a");
  Standing handler(machine.env());
  handler.refusal = 503;
  const Outcome outcome = load_on(handler, world, machine, {0, 0, 1, 0, 0, 0, 1});
  const Counted& refused = outcome.operations.at(static_cast<std::size_t>(Operation::kStatus));
  const Counted& created = outcome.operations.at(static_cast<std::size_t>(Operation::kCreate));
  EXPECT_EQ(refused.latencies.count(), 0u);
  EXPECT_EQ(refused.errors.at("not_ready"), refused.failed);
  EXPECT_EQ(refused.failed + created.latencies.count(), 1000u);
  EXPECT_GT(refused.failed, 400u);
  // Every change has a request id, what only asks has none.
  EXPECT_EQ(handler.keys, created.latencies.count());
  EXPECT_NEAR(outcome.seconds, 10, 0.2);
}

}  // namespace
}  // namespace blixard::load
