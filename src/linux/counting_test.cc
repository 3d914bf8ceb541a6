// Instruments counted with by many threads while somebody reads: nothing is lost, nothing goes
// back. Here, because only this folder may have threads.

#include <algorithm>
#include <array>
#include <atomic>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "observe/metrics.h"
#include "observe/text.h"

namespace blixard {
namespace {

constexpr int kThreads = 4;
constexpr std::uint64_t kCounts = 100'000;
constexpr std::uint64_t kCountsOfLevel = 1000;  // which take a locked instruction

struct Counted {
  observe::Metrics metrics;
  observe::Counter events = metrics.counter("test_events_total", "Events.");
  observe::Histogram taken =
      metrics.histogram("test_taken_seconds", "Time.", observe::HistogramShape::seconds(1us, 1s));
  observe::Gauge level = metrics.gauge("test_level", "Level.");

  void count() const {
    for (std::uint64_t i = 0; i < kCounts; ++i) {
      events.add();
      taken.observe(Duration(i));
    }
    for (std::uint64_t i = 0; i < kCountsOfLevel; ++i) {
      level.add(2);
      level.add(-1);
    }
  }
};

TEST(Counting, ManyThreadsLoseNothing) {
  const Counted counted;
  std::atomic<bool> done{false};
  std::thread reader([&] {
    std::uint64_t before = 0;
    std::string text;
    while (!done.load()) {
      const std::uint64_t now = counted.events.value();
      EXPECT_GE(now, before);
      before = now;
      text.clear();
      observe::write_text(counted.metrics, observe::TextFormat::kPrometheus, text);
      EXPECT_NE(text.find("test_events_total "), std::string::npos);
    }
  });
  // All at once, or they would hardly meet.
  std::latch begin(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      begin.arrive_and_wait();
      counted.count();
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  done.store(true);
  reader.join();
  EXPECT_EQ(counted.events.value(), kThreads * kCounts);
  const auto reading = counted.taken.read();
  EXPECT_EQ(reading.count, kThreads * kCounts);
  EXPECT_EQ(reading.sum, kThreads * (kCounts * (kCounts - 1) / 2));
  EXPECT_EQ(counted.level.value(), kThreads * kCountsOfLevel);
}

// Whether two of them meet in one cell is chance on a busy machine; this is not.
TEST(Counting, ThreadsAtOnceHaveCellsOfTheirOwn) {
  const Counted counted;
  std::latch all_count(kThreads);
  std::array<std::uint64_t*, kThreads> cells{};
  std::vector<std::thread> threads;
  for (auto& mine : cells) {
    threads.emplace_back([&] {
      counted.events.add();
      mine = observe::cells::own;
      all_count.arrive_and_wait();
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  std::ranges::sort(cells);
  EXPECT_NE(cells.front(), nullptr);
  EXPECT_EQ(std::ranges::adjacent_find(cells), cells.end());
}

// The cells of a thread are handed on to a later one, with what is in them.
TEST(Counting, ThreadsThatEndLeaveTheirCounts) {
  const Counted counted;
  for (int i = 0; i < 100; ++i) {
    std::thread thread([&] { counted.events.add(3); });
    thread.join();
    ASSERT_EQ(counted.events.value(), 3 * (static_cast<std::uint64_t>(i) + 1));
  }
}

// And are zero for whoever gets the same slots after this registry.
TEST(Counting, ANewRegistryBeginsAtZeroInAllThreads) {
  for (int i = 0; i < 50; ++i) {
    const Counted counted;
    ASSERT_EQ(counted.events.value(), 0);
    ASSERT_EQ(counted.taken.read().count, 0);
    std::thread first([&] { counted.events.add(); });
    std::thread second([&] { counted.taken.observe(1ms); });
    first.join();
    second.join();
    ASSERT_EQ(counted.events.value(), 1);
  }
}

struct CountsWhenItsThreadEnds {
  const observe::Counter* counter = nullptr;
  ~CountsWhenItsThreadEnds() {
    if (counter != nullptr) counter->add();
  }
};

// A thread's last words may come after its cells were handed on: they are dropped, no more.
TEST(Counting, WhatEndsWithItsThreadMayCount) {
  const Counted counted;
  std::thread thread([&] {
    thread_local CountsWhenItsThreadEnds last;
    last.counter = &counted.events;
    counted.events.add(5);
  });
  thread.join();
  EXPECT_GE(counted.events.value(), 5);
  EXPECT_LE(counted.events.value(), 6);
}

}  // namespace
}  // namespace blixard
