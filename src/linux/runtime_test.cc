#include "linux/runtime.h"

#include <signal.h>

#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "linux/test_runtime.h"

namespace blixard::linux_side {
namespace {

TEST_F(RuntimeTest, RunsAgainAndAgain) {
  int runs = 0;
  for (int i = 0; i < 3; ++i) {
    run([&](env::Env env) -> env::Task<void> {
      EXPECT_TRUE((co_await env.clock.sleep(1ms)).has_value());
      ++runs;
    });
  }
  EXPECT_EQ(runs, 3);
}

TEST_F(RuntimeTest, SleepersWakeInOrderAndNotEarly) {
  run([this](env::Env env) -> env::Task<void> {
    std::vector<int> order;
    const auto sleeper = [&](int number) -> env::Task<void> {
      const Instant until = in(number * 5ms);
      EXPECT_TRUE((co_await env.clock.sleep_until(until)).has_value());
      EXPECT_GE(env.clock.monotonic(), until);
      order.push_back(number);
    };
    env::Scope scope(env.executor, co_await env::this_cancellation());
    for (const int number : {4, 2, 0, 3, 1})
      scope.spawn(sleeper(number));
    co_await scope.join();
    EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
  });
}

TEST_F(RuntimeTest, SleepIsCancelledAlsoBeforeItBegins) {
  run([this](env::Env env) -> env::Task<void> {
    std::vector<std::string> reasons;
    const auto sleeper = [&](Duration duration) -> env::Task<void> {
      reasons.push_back(reason_of(co_await env.clock.sleep(duration)));
      reasons.push_back(reason_of(co_await env.clock.sleep(duration)));
    };
    env::Scope scope(env.executor, co_await env::this_cancellation());
    scope.spawn(sleeper(Duration::max()));
    co_await let_run();
    scope.cancel();
    scope.spawn(sleeper(0ms));
    co_await scope.join();
    EXPECT_EQ(reasons, std::vector<std::string>(4, "cancelled"));
  });
}

TEST_F(RuntimeTest, AThousandTimersAndTheirCancellation) {
  run([this](env::Env env) -> env::Task<void> {
    int cancelled = 0;
    const auto sleeper = [&]() -> env::Task<void> {
      if (!co_await env.clock.sleep(1h)) ++cancelled;
    };
    env::Scope scope(env.executor, co_await env::this_cancellation());
    for (int i = 0; i < 1000; ++i)
      scope.spawn(sleeper());
    co_await let_run();
    scope.cancel();
    co_await scope.join();
    EXPECT_EQ(cancelled, 1000);
  });
}

TEST_F(RuntimeTest, ABusyTaskDoesNotStarveTimers) {
  run([](env::Env env) -> env::Task<void> {
    bool stop = false;
    std::uint64_t turns = 0;
    const auto busy = [&]() -> env::Task<void> {
      while (!stop) {
        ++turns;
        (void)co_await env.clock.sleep(0ms);
      }
    };
    env::Scope scope(env.executor, co_await env::this_cancellation());
    scope.spawn(busy());
    EXPECT_TRUE((co_await env.clock.sleep(5ms)).has_value());
    stop = true;
    co_await scope.join();
    EXPECT_GT(turns, 10u);
  });
}

TEST_F(RuntimeTest, StopSignalsAreDelivered) {
  run([this](env::Env env) -> env::Task<void> {
    int got = 0;
    std::string reason;
    const auto waiter = [&]() -> env::Task<void> {
      const auto result = co_await runtime().wait_for_stop_signal();
      reason = reason_of(result);
      if (result) got = *result;
    };
    env::Scope scope(env.executor, co_await env::this_cancellation());
    for (const int number : {SIGTERM, SIGINT}) {
      scope.spawn(waiter());
      co_await let_run();
      EXPECT_EQ(raise(number), 0);
      co_await scope.join();
      EXPECT_EQ(got, number);
    }
    scope.spawn(waiter());
    co_await let_run();
    scope.cancel();
    co_await scope.join();
    EXPECT_EQ(reason, "cancelled");
  });
}

TEST_F(RuntimeTest, ReloadSignalsAreDeliveredAlsoThoseBetweenTwoWaits) {
  run([this](env::Env env) -> env::Task<void> {
    int got = 0;
    std::string reason;
    const auto waiter = [&]() -> env::Task<void> {
      const auto result = co_await runtime().wait_for_reload_signal();
      reason = reason_of(result);
      if (result) ++got;
    };
    env::Scope scope(env.executor, co_await env::this_cancellation());
    scope.spawn(waiter());
    co_await let_run();
    EXPECT_EQ(raise(SIGHUP), 0);
    co_await scope.join();
    EXPECT_EQ(got, 1);
    EXPECT_EQ(raise(SIGHUP), 0);
    scope.spawn(waiter());
    co_await scope.join();
    EXPECT_EQ(got, 2);
    scope.spawn(waiter());
    co_await let_run();
    scope.cancel();
    co_await scope.join();
    EXPECT_EQ(reason, "cancelled");
  });
}

TEST_F(RuntimeTest, RandomStreamsAreIndependent) {
  std::set<std::uint64_t> seen;
  const auto fork = env().random.fork("same name");
  const auto again = env().random.fork("same name");
  for (int i = 0; i < 1000; ++i) {
    seen.insert(env().random.next());
    seen.insert(fork->next());
    seen.insert(again->next());
  }
  EXPECT_EQ(seen.size(), 3000u);
}

TEST_F(RuntimeTest, WallTimeIsThisCentury) {
  EXPECT_GT(env().clock.wall().unix_ms, 1'600'000'000'000);
}

TEST(HiddenCommandTest, OtherArgumentsAreNotOurs) {
  std::string name = "blixard";
  std::string command = "vm";
  std::array<char*, 3> argv{name.data(), command.data(), nullptr};
  EXPECT_EQ(run_hidden_command(2, argv.data()), -1);
  EXPECT_EQ(run_hidden_command(1, argv.data()), -1);
}

}  // namespace
}  // namespace blixard::linux_side
