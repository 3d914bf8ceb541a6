// What a coroutine does at a failpoint: errors, delays by the node's clock, pauses.

#ifndef BLX_FAILPOINTS
#define BLX_FAILPOINTS
#endif

#include "env/failpoint.h"

#include <gtest/gtest.h>

#include "env/scope.h"
#include "env/sync.h"
#include "sim/world.h"

namespace blixard::env {
namespace {

using observe::ScopedFailpoint;

Task<Result<int>> read_value(Env env) {
  BLX_CO_FAILPOINT(env, "test::waits", kUnavailable, "io_error");
  co_return 7;
}

Task<std::string> into_text(Env env) {
  Result<void> done;
  BLX_CO_FAILPOINT_INTO(done, env, "test::into", kDataLoss, "rotten");
  co_return done ? "ok" : done.error().message();
}

class CoroutineFailpointTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!observe::failpoints_built()) GTEST_SKIP() << "built without failpoints";
  }
  template <class Story>
  void run(Story story) {
    EXPECT_TRUE(world_.run(story())) << world_.log_lines().back();
  }

  sim::World world_{1};
  Env env_ = world_.add_machine("a").env();
};

TEST_F(CoroutineFailpointTest, GivesErrors) {
  run([&]() -> Task<void> {
    EXPECT_EQ(*co_await read_value(env_), 7);
    const ScopedFailpoint site("test::waits", "1*error->1*error(internal,odd)->off");
    const auto first = co_await read_value(env_);
    EXPECT_TRUE(!first && first.error().reason() == "io_error");
    const auto second = co_await read_value(env_);
    EXPECT_TRUE(!second && second.error().reason() == "odd");
    EXPECT_EQ(*co_await read_value(env_), 7);
    const ScopedFailpoint other("test::into", "error");
    EXPECT_EQ(co_await into_text(env_), "rotten");
  });
}

TEST_F(CoroutineFailpointTest, DelaysByTheClockOfTheNode) {
  run([&]() -> Task<void> {
    const ScopedFailpoint site("test::waits", "delay(250ms)");
    const Instant begin = env_.clock.monotonic();
    EXPECT_EQ(*co_await read_value(env_), 7);
    EXPECT_EQ(env_.clock.monotonic() - begin, 250ms);
    const auto cut = co_await with_deadline(env_.executor, env_.clock,
                                            env_.clock.monotonic() + 100ms, read_value(env_));
    EXPECT_TRUE(!cut && cut.error().code() == Code::kDeadlineExceeded);
    EXPECT_EQ(env_.clock.monotonic() - begin, 350ms);
  });
}

TEST_F(CoroutineFailpointTest, PausesUntilDisarmedOrArmedAnew) {
  run([&]() -> Task<void> {
    ScopedFailpoint site("test::waits", "pause");
    Scope scope(env_.executor, co_await this_cancellation());
    int ended = 0;
    const auto waits = [&]() -> Task<void> {
      EXPECT_EQ(*co_await read_value(env_), 7);
      ++ended;
    };
    scope.spawn(waits());
    scope.spawn(waits());
    EXPECT_TRUE(co_await env_.clock.sleep(10s));
    EXPECT_EQ(ended, 0);
    EXPECT_EQ(site.waiting(), 2);
    site.rearm("pause");  // those who wait go on, the next one waits
    scope.spawn(waits());
    EXPECT_TRUE(co_await env_.clock.sleep(1ms));
    EXPECT_EQ(ended, 2);
    EXPECT_EQ(site.waiting(), 1);
    site.disarm();
    co_await scope.join();
    EXPECT_EQ(ended, 3);
  });
}

TEST_F(CoroutineFailpointTest, APauseIsCutShortAsEveryWaitIs) {
  run([&]() -> Task<void> {
    const ScopedFailpoint site("test::waits", "pause");
    const Instant begin = env_.clock.monotonic();
    const auto cut =
        co_await with_deadline(env_.executor, env_.clock, begin + 1s, read_value(env_));
    EXPECT_TRUE(!cut && cut.error().code() == Code::kDeadlineExceeded);
    EXPECT_EQ(env_.clock.monotonic() - begin, 1s);
    EXPECT_EQ(site.waiting(), 0);
  });
}

TEST_F(CoroutineFailpointTest, WhoWaitsMayCrash) {
  sim::Machine& machine = world_.add_machine("b");
  const ScopedFailpoint site("test::waits", "pause");
  const auto waits = [](Env env) -> Task<void> {
    ignore(co_await read_value(env), "it never comes back");
  };
  machine.start(waits(machine.env()));
  run([&]() -> Task<void> {
    EXPECT_TRUE(co_await env_.clock.sleep(1s));
    EXPECT_EQ(site.waiting(), 1);
    machine.crash_daemon();
    EXPECT_TRUE(co_await env_.clock.sleep(1s));
    EXPECT_EQ(site.waiting(), 0);
  });
}

}  // namespace
}  // namespace blixard::env
