#include "base/ring.h"

#include <deque>
#include <memory>

#include <gtest/gtest.h>

namespace blixard {
namespace {

TEST(RingTest, DoesWhatADequeDoes) {
  Ring<int> ring;
  std::deque<int> model;
  std::uint64_t state = 1;
  for (int step = 0; step < 20'000; ++step) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    const auto choice = (state >> 33) % 8;
    if (choice < 4) {
      ring.push_back(step);
      model.push_back(step);
    } else if (choice < 6 && !model.empty()) {
      ring.pop_front();
      model.pop_front();
    } else if (choice == 6 && !model.empty()) {
      ring.pop_back();
      model.pop_back();
    } else if (choice == 7) {
      const auto at = static_cast<std::ptrdiff_t>((state >> 40) % (model.size() + 1));
      ring.insert(ring.begin() + at, step);
      model.insert(model.begin() + at, step);
    }
    if (step % 1000 == 999) {
      ring.erase_if([](int item) { return item % 3 == 0; });
      std::erase_if(model, [](int item) { return item % 3 == 0; });
    }
    ASSERT_EQ(ring.size(), model.size());
    ASSERT_TRUE(std::equal(ring.begin(), ring.end(), model.begin(), model.end()));
  }
  EXPECT_GT(ring.size(), 0u);
}

TEST(RingTest, KeepsItsMemory) {
  Ring<std::unique_ptr<int>> ring;
  for (int i = 0; i < 100; ++i)
    ring.push_back(std::make_unique<int>(i));
  const std::size_t capacity = ring.capacity();
  for (int i = 0; i < 10'000; ++i) {
    EXPECT_EQ(*ring.front(), i);
    ring.pop_front();
    ring.push_back(std::make_unique<int>(i + 100));
  }
  EXPECT_EQ(ring.capacity(), capacity);
  EXPECT_LT(capacity, 200u);
}

}  // namespace
}  // namespace blixard
