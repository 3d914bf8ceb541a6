#include "vopr/faults.h"

#include <algorithm>
#include <memory>

#include <gtest/gtest.h>

#include "vopr/clients.h"

namespace blixard::vopr {
namespace {

using env::Task;

// Machines without daemons, on which faults overlap.
class FaultsTest : public ::testing::Test {
 protected:
  FaultsTest()
      : world_(std::make_unique<sim::World>(3)),
        recorder_([this] { return world_->elapsed(); },
                  [this](std::uint32_t site) { return cluster_->standing(site); }),
        judge_([this](std::string_view checker, const std::string& text) {
          recorder_.fail(std::string(checker), text);
        }) {
    cluster_ = std::make_unique<Cluster>(plan_, *world_, recorder_, judge_);
    clients_ = std::make_unique<Clients>(*cluster_);
    operator_ = std::make_unique<Operator>(*cluster_, *clients_);
    faults_ = std::make_unique<Faults>(*cluster_, *operator_);
  }
  ~FaultsTest() override {
    recorder_.close();
    world_.reset();
  }

  // Strikes all at once, then calls `look` every second of so many.
  template <class Look>
  void play(const std::vector<Step>& steps, int seconds, Look look) {
    const auto scene = [&]() -> Task<void> {
      auto listener = co_await site(2).machine->env().network.listen(there());
      EXPECT_TRUE(listener);
      env::Scope scope(cluster_->env().executor, co_await env::this_cancellation());
      for (const Step& step : steps)
        faults_->strike(step, scope);
      EXPECT_TRUE(co_await cluster_->pause(1ms));
      const Instant begin = cluster_->now();
      for (int second = 0; second < seconds; ++second) {
        co_await look(second);
        const Duration left = begin + (second + 1) * 1s - cluster_->now();
        if (left > 0s) EXPECT_TRUE(co_await cluster_->pause(left));
      }
      co_await scope.join();
    };
    ASSERT_TRUE(world_->run(scene()));
  }

  Site& site(std::uint32_t number) { return *cluster_->sites().at(number - 1); }
  env::Endpoint there() { return env::Endpoint::tcp(site(2).machine->address(), 9); }

  // How long it takes from 1 to 2 and back, at most `limit`.
  Task<Duration> round_trip(Duration limit) {
    env::Env env = site(1).machine->env();
    const Instant begin = env.clock.monotonic();
    const auto stream = co_await env.network.dial(there(), begin + limit);
    co_return env.clock.monotonic() - begin;
  }
  Task<bool> passes() { co_return co_await round_trip(500ms) < 500ms; }
  Task<Duration> slowest_of_some() {
    Duration slowest{};
    for (int i = 0; i < 5; ++i)
      slowest = std::max(slowest, co_await round_trip(150ms));
    co_return slowest;
  }

  // Whether something passes in each of so many seconds.
  void expect_passes(const std::vector<Step>& steps, const std::vector<bool>& expected) {
    play(steps, static_cast<int>(expected.size()), [&](int second) -> Task<void> {
      EXPECT_EQ(co_await passes(), expected.at(static_cast<std::size_t>(second))) << second;
    });
  }

  Plan plan_;
  std::unique_ptr<sim::World> world_;
  Recorder recorder_;
  Judge judge_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<Clients> clients_;
  std::unique_ptr<Operator> operator_;
  std::unique_ptr<Faults> faults_;
};

TEST_F(FaultsTest, ALinkIsCutUntilTheLastThatCutsItEnds) {
  expect_passes({{.action = Action::kCut, .node = 1, .other = 2, .length = 1s},
                 {.action = Action::kIsolate, .node = 2, .length = 3s},
                 {.action = Action::kCut, .node = 2, .other = 1, .length = 2s}},
                {false, false, false, true});
}

TEST_F(FaultsTest, TheEndOfASplitLeavesOtherCuts) {
  expect_passes({{.action = Action::kCutOneWay, .node = 1, .other = 2, .length = 2s},
                 {.action = Action::kSplit, .length = 1s, .amount = 0b0101}},
                {false, false, true});
}

TEST_F(FaultsTest, OneDirectionThatHealsLeavesTheOtherCut) {
  expect_passes({{.action = Action::kCutOneWay, .node = 1, .other = 2, .length = 2s},
                 {.action = Action::kCutOneWay, .node = 2, .other = 1, .length = 1s}},
                {false, false, true});
}

TEST_F(FaultsTest, ACutThatEndsLeavesTheSpeedOfTheLink) {
  play({{.action = Action::kSlowLink, .node = 1, .other = 2, .length = 2s, .amount = 2000},
        {.action = Action::kCut, .node = 1, .other = 2, .length = 1s}},
       3, [&](int second) -> Task<void> {
         const Duration slowest = co_await slowest_of_some();
         if (second < 2)
           EXPECT_EQ(slowest, 150ms) << second;
         else
           EXPECT_LT(slowest, 5ms);
       });
}

TEST_F(FaultsTest, AnotherFaultOfTheLinkThatEndsLeavesItSlow) {
  play({{.action = Action::kSlowLink, .node = 1, .other = 2, .length = 5s, .amount = 2000},
        {.action = Action::kLossyLink, .node = 1, .other = 2, .length = 1s, .amount = 1},
        {.action = Action::kNarrowLink, .node = 1, .other = 2, .length = 2s, .amount = 1024},
        {.action = Action::kDamagedBytes, .node = 1, .other = 2, .length = 3s, .amount = 1000},
        {.action = Action::kClog, .node = 1, .other = 2, .length = 4s}},
       6, [&](int second) -> Task<void> {
         const Duration slowest = co_await slowest_of_some();
         if (second < 5)
           EXPECT_EQ(slowest, 150ms) << second;
         else
           EXPECT_LT(slowest, 5ms);
       });
}

TEST_F(FaultsTest, OfTwoThatSetTheSameTheNewestThatIsStillThereCounts) {
  play({{.action = Action::kSlowDisk, .node = 1, .length = 2s, .amount = 50},
        {.action = Action::kSlowDisk, .node = 1, .length = 1s, .amount = 7},
        {.action = Action::kSlowDisk, .node = 2, .length = 1s, .amount = 9},
        {.action = Action::kWeather, .length = 1s, .amount = 30},
        {.action = Action::kWeather, .node = 2, .length = 2s, .amount = 4}},
       3, [&](int second) -> Task<void> {
         const auto times = [&](std::uint32_t number) {
           return site(number).machine->disk_faults().slowdown;
         };
         EXPECT_EQ(times(1), second == 0 ? 7U : second == 1 ? 50U : 1U);
         EXPECT_EQ(times(2), second == 0 ? 9U : 1U);
         EXPECT_EQ(cluster_->weather().lost_percent, second < 2 ? 4U : 0U);
         co_return;
       });
}

Task<void> sleep_for_ever(env::Env env) {
  while (co_await env.clock.sleep(1h)) {
  }
}

TEST_F(FaultsTest, AFrozenDaemonThatIsStoppedEndsWhenItThaws) {
  site(1).machine->start(sleep_for_ever(site(1).machine->env()));
  site(1).belongs = site(1).running = true;
  play({{.action = Action::kFreeze, .node = 1, .length = 2s}}, 1, [&](int) -> Task<void> {
    co_await cluster_->stop(site(1));
    EXPECT_GE(world_->elapsed(), 2s);
    EXPECT_LE(world_->elapsed(), 2100ms);
  });
}

TEST_F(FaultsTest, HealingEndsAllOfThem) {
  play({{.action = Action::kCut, .node = 1, .other = 2, .length = 1h},
        {.action = Action::kIsolate, .node = 1, .length = 1h},
        {.action = Action::kSlowLink, .node = 1, .other = 2, .length = 1h, .amount = 2000},
        {.action = Action::kSlowLink, .node = 1, .other = 2, .length = 1h, .amount = 1000},
        {.action = Action::kSlowDisk, .node = 1, .length = 1h, .amount = 50}},
       1, [&](int) -> Task<void> {
         EXPECT_FALSE(co_await passes());
         faults_->heal();
         EXPECT_LT(co_await slowest_of_some(), 5ms);
         EXPECT_EQ(site(1).machine->disk_faults().slowdown, 1U);
       });
}

}  // namespace
}  // namespace blixard::vopr
