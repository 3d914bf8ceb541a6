// Clocks that run fast or slow.

#include <gtest/gtest.h>

#include "env/scope.h"
#include "sim/world.h"

namespace blixard::sim {
namespace {

using env::Env;
using env::Task;

struct Slept {
  Duration local{};
  Duration world{};
};

Task<void> sleep(World& world, Env env, Duration duration, Slept& slept) {
  const Instant begin = env.clock.monotonic();
  const Duration begin_of_world = world.elapsed();
  EXPECT_TRUE(co_await env.clock.sleep(duration));
  slept = {env.clock.monotonic() - begin, world.elapsed() - begin_of_world};
}

class ClockTest : public testing::Test {
 protected:
  ClockTest() : world(1), a(world.add_machine("a")), b(world.add_machine("b")) {}

  Slept sleep_on(Machine& machine, Duration duration) {
    Slept slept;
    EXPECT_TRUE(world.run(sleep(world, machine.env(), duration, slept), 100h));
    return slept;
  }

  World world;
  Machine& a;
  Machine& b;
};

TEST_F(ClockTest, AFastClockSleepsLess) {
  a.set_drift(100'000);
  b.set_drift(-50'000);
  const Slept fast = sleep_on(a, 11h);
  EXPECT_EQ(fast.local, 11h);
  EXPECT_EQ(fast.world, 10h);
  const Slept slow = sleep_on(b, 19s);
  EXPECT_EQ(slow.local, 19s);
  EXPECT_EQ(slow.world, 20s);
}

TEST_F(ClockTest, NeitherClockJumpsWhenTheDriftChanges) {
  SeededRandom random(5);
  Instant monotonic = a.env().clock.monotonic();
  WallTime wall = a.env().clock.wall();
  for (int i = 0; i < 200; ++i) {
    const int ppm = static_cast<int>(random.below(200'001)) - 100'000;
    a.set_drift(ppm);
    EXPECT_EQ(a.env().clock.monotonic(), monotonic);
    EXPECT_EQ(a.env().clock.wall(), wall);
    const Duration slept = sleep_on(a, random.between(1ns, 10s)).local;
    monotonic = a.env().clock.monotonic();
    const Duration of_wall = (a.env().clock.wall().unix_ms - wall.unix_ms) * 1ms;
    EXPECT_LE(of_wall - slept, 2ms);
    EXPECT_LE(slept - of_wall, 2ms);
    wall = a.env().clock.wall();
  }
}

Task<void> change_drift(Env env, Machine& machine, Duration after, int ppm) {
  EXPECT_TRUE(co_await env.clock.sleep(after));
  machine.set_drift(ppm);
}

// Five seconds at the world's pace, then five at 1.1 times that.
TEST_F(ClockTest, ASleepThatBeganBeforeEndsByTheNewPace) {
  b.start(change_drift(b.env(), a, 5s, 100'000));
  const Slept slept = sleep_on(a, Duration(10'500ms));
  EXPECT_EQ(slept.local, Duration(10'500ms));
  EXPECT_EQ(slept.world, 10s);
  b.start(change_drift(b.env(), a, 5s, -100'000));
  const Slept slower = sleep_on(a, Duration(10s));
  EXPECT_EQ(slower.local, 10s);
  EXPECT_EQ(slower.world, 10s);  // 5.5 s, then 4.5 s
}

Task<void> dial_nobody(Env env, Duration& took) {
  const Instant begin = env.clock.monotonic();
  const auto stream =
      co_await env.network.dial(env::Endpoint::tcp("10.0.0.77", 1), begin + Duration(10s));
  EXPECT_FALSE(stream);
  took = env.clock.monotonic() - begin;
}

TEST_F(ClockTest, DeadlinesOfDialsAreOfTheMachinesClock) {
  b.start(change_drift(b.env(), a, 1s, 100'000));
  Duration took{};
  ASSERT_TRUE(world.run(dial_nobody(a.env(), took)));
  EXPECT_EQ(took, 10s);
}

TEST_F(ClockTest, AWallOffsetCountsFromTheWorldsClock) {
  a.set_drift(100'000);
  sleep_on(a, 1h);
  EXPECT_GT(a.env().clock.wall().unix_ms - b.env().clock.wall().unix_ms, 300'000);
  a.set_drift(0);
  a.set_wall_offset(0s);
  EXPECT_EQ(a.env().clock.wall(), b.env().clock.wall());
}

TEST_F(ClockTest, ARebootKeepsTheDrift) {
  a.set_drift(-100'000);
  a.lose_power();
  a.restart();
  EXPECT_EQ(sleep_on(a, 9s).world, 10s);
}

Task<void> sleep_forever(Env env) {
  const auto slept = co_await env.clock.sleep(Duration::max());
  EXPECT_EQ(slept.error().code(), Code::kCancelled);
}

TEST_F(ClockTest, WhoSleepsForeverWakesByNoDrift) {
  a.start(change_drift(a.env(), a, 1s, -100'000));
  EXPECT_FALSE(world.run(sleep_forever(a.env()), 100h));
  EXPECT_EQ(world.elapsed(), 1s);
}

}  // namespace
}  // namespace blixard::sim
