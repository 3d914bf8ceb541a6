#include "observe/view.h"

#include <deque>
#include <memory>
#include <set>
#include <string>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace blixard::observe {
namespace {

// Counts the living, so that a test sees what is freed and when.
class Counted {
 public:
  Counted(std::multiset<int>& living, int number) : living_(&living), number_(number) {
    living_->insert(number_);
  }
  Counted(Counted&& other) noexcept
      : living_(std::exchange(other.living_, nullptr)), number_(other.number_) {}
  Counted(const Counted&) = delete;
  ~Counted() {
    if (living_ != nullptr) living_->erase(living_->find(number_));
  }
  [[nodiscard]] int number() const { return number_; }

 private:
  std::multiset<int>* living_;
  int number_;
};

TEST(View, AReaderSeesTheFirstValueAndEachNewOne) {
  View<std::string> view("first");
  View<std::string>::Reader reader(view);
  EXPECT_EQ(reader.read(), "first");
  EXPECT_EQ(reader.number(), 1U);
  view.publish("second");
  view.publish("third");
  EXPECT_EQ(reader.read(), "third");
  EXPECT_EQ(reader.number(), 3U);
  EXPECT_EQ(view.latest(), "third");
}

TEST(View, ReadingTheSameValueAgainRefreshesNothing) {
  View<int> view(1);
  View<int>::Reader reader(view);
  const int* first = &reader.read();
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(&reader.read(), first);
  EXPECT_EQ(reader.refreshes(), 1U);
  view.publish(2);
  EXPECT_EQ(reader.read(), 2);
  EXPECT_EQ(reader.refreshes(), 2U);
}

TEST(View, WhatAReaderPinsOutlivesManyPublishes) {
  std::multiset<int> living;
  View<Counted> view(Counted(living, 0));
  View<Counted>::Reader slow(view);
  const Counted& pinned = slow.read();
  for (int i = 1; i <= 100; ++i)
    view.publish(Counted(living, i));
  EXPECT_EQ(living, (std::multiset<int>{0, 100}));
  EXPECT_EQ(pinned.number(), 0);
  EXPECT_EQ(slow.read().number(), 100);
  view.free_unpinned();
  EXPECT_EQ(living, (std::multiset<int>{100}));
}

TEST(View, AReaderThatEndedPinsNothingAndItsPlaceIsTakenAgain) {
  std::multiset<int> living;
  View<Counted> view(Counted(living, 0));
  // More, one after the other, than there may be at once.
  for (std::size_t i = 0; i < 2 * limits::kViewReaders; ++i) {
    const View<Counted>::Reader reader(view);
  }
  view.publish(Counted(living, 1));
  EXPECT_EQ(living, (std::multiset<int>{1}));
}

TEST(View, FreesAllOfItAtTheEnd) {
  std::multiset<int> living;
  {
    View<Counted> view(Counted(living, 0));
    const View<Counted>::Reader reader(view);
    view.publish(Counted(living, 1));
    EXPECT_EQ(living.size(), 2U);
  }
  EXPECT_TRUE(living.empty());
}

// Whatever readers come, read and go between the publishes: each sees the newest, and exactly what
// is pinned or newest lives.
RC_GTEST_PROP(View, LivingValuesAreThoseThatAReaderLastSaw, ()) {
  struct Looker {
    explicit Looker(View<Counted>& view) : reader(view), seen(reader.read().number()) {}
    View<Counted>::Reader reader;
    int seen;
  };
  std::multiset<int> living;
  View<Counted> view(Counted(living, 0));
  std::deque<std::unique_ptr<Looker>> lookers;
  int newest = 0;
  for (const int step : *rc::gen::container<std::vector<int>>(200, rc::gen::inRange(0, 10))) {
    if (step == 0) {
      lookers.push_back(std::make_unique<Looker>(view));
    } else if (step == 1 && !lookers.empty()) {
      lookers.pop_front();
    } else if (step < 6 && !lookers.empty()) {
      Looker& looker = *lookers[static_cast<std::size_t>(step) % lookers.size()];
      const int seen = looker.reader.read().number();
      RC_ASSERT(seen == newest);
      RC_ASSERT(seen >= looker.seen);
      looker.seen = seen;
    } else {
      view.publish(Counted(living, ++newest));
      std::set<int> expected{newest};
      for (const auto& looker : lookers)
        expected.insert(looker->seen);
      RC_ASSERT(living == std::multiset<int>(expected.begin(), expected.end()));
      RC_ASSERT(view.retired() <= lookers.size());
      RC_ASSERT(view.number() == static_cast<std::uint64_t>(newest) + 1);
    }
  }
}

}  // namespace
}  // namespace blixard::observe
