#include "core/raft/inflights.h"

#include <rapidcheck.h>

#include <deque>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace blixard::raft {
namespace {

TEST(Inflights, FullByMessages) {
  Inflights window(2);
  EXPECT_FALSE(window.full());
  window.add(LogIndex(1), 100);
  EXPECT_FALSE(window.full());
  window.add(LogIndex(2), 100);
  EXPECT_TRUE(window.full());
  EXPECT_EQ(window.bytes(), 200U);
}

TEST(Inflights, FullByBytesWithTheMessageThatPassesTheLimit) {
  Inflights window(100, 150);
  window.add(LogIndex(1), 149);
  EXPECT_FALSE(window.full());
  window.add(LogIndex(2), 1000);
  EXPECT_TRUE(window.full());
  window.free_up_to(LogIndex(1));
  EXPECT_TRUE(window.full());
  window.free_up_to(LogIndex(2));
  EXPECT_FALSE(window.full());
  EXPECT_EQ(window.bytes(), 0U);
}

TEST(Inflights, NothingFitsInAWindowOfNothing) { EXPECT_TRUE(Inflights(0).full()); }

TEST(Inflights, FreesTheFirst) {
  Inflights window(3);
  window.add(LogIndex(4), 1);
  window.add(LogIndex(9), 2);
  window.free_first();
  EXPECT_EQ(window.count(), 1U);
  EXPECT_EQ(window.bytes(), 2U);
  window.free_up_to(LogIndex(8));
  EXPECT_EQ(window.count(), 1U);
}

TEST(Inflights, ClearedOneIsEmpty) {
  Inflights window(1, 1);
  window.add(LogIndex(4), 1);
  window.clear();
  EXPECT_FALSE(window.full());
  EXPECT_EQ(window.count(), 0U);
  EXPECT_EQ(window.bytes(), 0U);
}

// Against a plain queue, so long that the ring turns and grows.
RC_GTEST_PROP(Inflights, BehaveAsAQueue, (const std::vector<std::uint8_t>& steps)) {
  struct Sent {
    std::uint64_t last;
    std::size_t bytes;
  };
  Inflights window(23, 400);
  std::deque<Sent> model;
  std::uint64_t last = 0;
  for (const std::uint8_t step : steps) {
    std::size_t bytes = 0;
    for (const Sent& sent : model)
      bytes += sent.bytes;
    RC_ASSERT(window.count() == model.size());
    RC_ASSERT(window.bytes() == bytes);
    RC_ASSERT(window.full() == (model.size() >= 23 || bytes >= 400));
    if (step % 4 != 0 && !window.full()) {
      last += 1 + step % 3;
      window.add(LogIndex(last), step / 4U);
      model.push_back({last, step / 4U});
    } else {
      const std::uint64_t to = last - std::min<std::uint64_t>(last, step % 64);
      window.free_up_to(LogIndex(to));
      while (!model.empty() && model.front().last <= to)
        model.pop_front();
    }
  }
}

}  // namespace
}  // namespace blixard::raft
