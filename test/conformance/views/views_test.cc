// One owner publishes while threads read, come and go: nobody sees a value that is torn, freed, or
// older than one it has seen, and what lives is bounded by the readers.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "observe/view.h"

namespace blixard::observe {
namespace {

constexpr std::uint64_t kPublishes = 20'000;
constexpr std::size_t kReaders = 6;

// All of its numbers are the same while it lives, and none is when it has ended.
class Whole {
 public:
  Whole(std::atomic<std::int64_t>& living, std::uint64_t number)
      : living_(&living), numbers_(std::make_unique<std::vector<std::uint64_t>>(64, number)) {
    living_->fetch_add(1);
  }
  Whole(Whole&& other) noexcept
      : living_(std::exchange(other.living_, nullptr)), numbers_(std::move(other.numbers_)) {}
  Whole(const Whole&) = delete;
  ~Whole() {
    if (living_ == nullptr) return;
    std::ranges::fill(*numbers_, ~std::uint64_t{0});
    living_->fetch_sub(1);
  }
  // Its number; 0 of one that is torn or has ended.
  [[nodiscard]] std::uint64_t number() const {
    const std::uint64_t first = numbers_->front();
    if (first == ~std::uint64_t{0}) return 0;
    for (const std::uint64_t each : *numbers_) {
      if (each != first) return 0;
    }
    return first;
  }
  [[nodiscard]] std::size_t size() const { return numbers_->size(); }

 private:
  std::atomic<std::int64_t>* living_;
  std::unique_ptr<std::vector<std::uint64_t>> numbers_;
};

struct Findings {
  std::uint64_t reads = 0;
  std::uint64_t refreshes = 0;
  std::uint64_t torn = 0;
  std::uint64_t older = 0;  // than seen before, or than was published before the read began
};

class Race {
 public:
  // Each reader ends after so many reads, and its thread makes another one.
  explicit Race(std::uint64_t reads_of_one) : reads_of_one_(reads_of_one) {}

  std::vector<Findings> go() {
    std::vector<Findings> findings(kReaders);
    std::vector<std::thread> threads;
    threads.reserve(kReaders);
    for (Findings& mine : findings)
      threads.emplace_back([this, &mine] { look(mine); });
    while (begun_.load() < kReaders)
      std::this_thread::yield();
    for (std::uint64_t number = 2; number <= kPublishes; ++number) {
      view_.publish(Whole(living_, number));
      published_.store(number, std::memory_order_release);
      most_ = std::max(most_, living_.load());
      if (number % 64 == 0) std::this_thread::yield();
    }
    done_.store(true);
    for (std::thread& thread : threads)
      thread.join();
    view_.free_unpinned();
    return findings;
  }
  [[nodiscard]] std::int64_t most_living() const { return most_; }
  [[nodiscard]] std::int64_t living() const { return living_.load(); }

 private:
  void look(Findings& mine) {
    std::uint64_t seen = 0;
    while (!done_.load(std::memory_order_relaxed)) {
      View<Whole>::Reader reader(view_);
      for (std::uint64_t i = 0; i < reads_of_one_; ++i) {
        if (done_.load(std::memory_order_relaxed)) break;
        const std::uint64_t at_least = published_.load(std::memory_order_acquire);
        const Whole& whole = reader.read();
        const std::uint64_t number = whole.number();
        mine.torn += number == 0 || whole.size() != 64 ? 1 : 0;
        mine.older += number < seen || number < at_least ? 1 : 0;
        EXPECT_EQ(number, reader.number());
        seen = number;
        if (++mine.reads == 1) begun_.fetch_add(1);
      }
      mine.refreshes += reader.refreshes();
    }
  }

  const std::uint64_t reads_of_one_;
  std::atomic<std::int64_t> living_{0};
  View<Whole> view_{Whole(living_, 1)};
  std::atomic<std::uint64_t> published_{1};
  std::atomic<std::size_t> begun_{0};
  std::atomic<bool> done_{false};
  std::int64_t most_ = 0;
};

void expect_right(Race& race) {
  const auto findings = race.go();
  for (const Findings& each : findings) {
    EXPECT_GT(each.reads, 0U);
    EXPECT_GT(each.refreshes, 0U);
    EXPECT_EQ(each.torn, 0U);
    EXPECT_EQ(each.older, 0U);
  }
  // The newest, and one for each reader.
  EXPECT_LE(race.most_living(), static_cast<std::int64_t>(kReaders) + 1);
  EXPECT_EQ(race.living(), 1);
}

TEST(Views, ReadersSeeWholeValuesThatNeverGetOlder) {
  Race race(kPublishes * 1'000);
  expect_right(race);
}

TEST(Views, ReadersThatComeAndGoSeeTheSame) {
  Race race(3);
  expect_right(race);
}

}  // namespace
}  // namespace blixard::observe
