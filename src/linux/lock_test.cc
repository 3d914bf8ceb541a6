#include "linux/lock.h"

#include <chrono>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "env/scope.h"
#include "linux/event_loop.h"
#include "linux/pool.h"

namespace blixard::linux_side {
namespace {

using namespace std::chrono_literals;

struct Reading {
  std::uint64_t taken = 0;
  std::uint64_t contended = 0;
  std::uint64_t wait_ns = 0;
  std::uint64_t holds = 0;
  std::uint64_t hold_ns = 0;
};

Reading read() {
  const observe::LockFigures& figures = observe::lock_figures(observe::LockName::kPool);
  return {figures.taken, figures.contended, figures.wait_ns, figures.holds_measured,
          figures.hold_ns};
}

void spin(std::chrono::nanoseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
  }
}

TEST(LockTest, MeasuresWaitsAndHolds) {
  const Reading before = read();
  Lock lock(observe::LockName::kPool, 1);
  lock.lock();
  EXPECT_FALSE(lock.try_lock());
  std::thread other([&] {
    const std::lock_guard held(lock);
    spin(2ms);
  });
  // Until it waits, or has been about to for long.
  spin(20ms);
  lock.unlock();
  other.join();
  const Reading after = read();
  EXPECT_EQ(after.taken - before.taken, 2u);
  EXPECT_EQ(after.holds - before.holds, 2u);
  EXPECT_GE(after.hold_ns - before.hold_ns, 22'000'000u);
  // The other thread may have begun late, but not after the lock was free unless the machine is
  // overloaded beyond measure; so no number is asked of its wait.
  EXPECT_EQ(after.contended - before.contended, after.wait_ns > before.wait_ns ? 1u : 0u);
}

TEST(LockTest, AWaitOnAConditionIsNoHold) {
  const Reading before = read();
  Lock lock(observe::LockName::kPool, 1);
  std::condition_variable changed;
  bool ready = false;
  std::thread other([&] {
    spin(20ms);
    const std::lock_guard held(lock);
    ready = true;
    changed.notify_one();
  });
  {
    const std::unique_lock held(lock);
    while (!ready)
      lock.wait(changed);
  }
  other.join();
  EXPECT_LT(read().hold_ns - before.hold_ns, 20'000'000u);
}

TEST(LockTest, MeasuresOneHoldOfMany) {
  const Reading before = read();
  Lock lock(observe::LockName::kPool);
  for (std::uint64_t i = 0; i < 10 * Lock::kHoldsBetweenMeasured; ++i)
    const std::lock_guard held(lock);
  EXPECT_EQ(read().holds - before.holds, 10u);
  EXPECT_EQ(read().taken - before.taken, 10 * Lock::kHoldsBetweenMeasured);
}

// The budget: what the pool does under its lock is a few pointers, whatever its jobs do.
TEST(LockTest, ThePoolHoldsItsLockBriefly) {
  constexpr int kJobs = 20'000;
  constexpr std::uint64_t kHoldMeanNs = 20'000;
  const Reading before = read();
  Loop loop;
  {
    Pool pool(loop);
    env::Scope scope(loop, nullptr);
    int done = 0;
    const auto work = [&]() -> env::Task<void> {
      for (int i = 0; i < kJobs / 8; ++i) {
        const auto result = co_await pool.run([]() -> Result<int> {
          spin(60us);
          return 1;
        });
        EXPECT_TRUE(result);
        if (++done == kJobs) loop.stop();
      }
    };
    for (int i = 0; i < 8; ++i)
      scope.spawn(work());
    loop.run();
    EXPECT_EQ(done, kJobs);
    EXPECT_EQ(scope.running(), 0u);
  }
  const Reading after = read();
  const std::uint64_t holds = after.holds - before.holds;
  ASSERT_GT(holds, kJobs / Lock::kHoldsBetweenMeasured);
  const std::uint64_t mean = (after.hold_ns - before.hold_ns) / holds;
  RecordProperty("hold_mean_ns", static_cast<int>(mean));
  RecordProperty("contended", static_cast<int>(after.contended - before.contended));
  EXPECT_LT(mean, kHoldMeanNs);
}

}  // namespace
}  // namespace blixard::linux_side
