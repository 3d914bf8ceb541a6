#include <cstdlib>
#include <deque>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "env/scope.h"
#include "env/sync.h"
#include "observe/allocations.h"

namespace blixard::observe {
namespace {

class AllocationHookTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!is_hooked()) GTEST_SKIP() << "a sanitizer's allocator is in use";
  }
  void TearDown() override { count_allocations(true); }
};

// The compiler may leave out a new whose memory nobody sees.
template <class T>
T* seen(T* memory) {
  asm volatile("" : "+r"(memory) : : "memory");
  return memory;
}

AllocationCounts of(const AllocationsBySubsystem& counts, Subsystem subsystem) {
  return counts[std::size_t(subsystem)];
}

TEST_F(AllocationHookTest, CountsEveryFormOfNew) {
  struct alignas(128) Wide {
    char content[128];
  };
  const AllocationMeter meter;
  {
    const std::unique_ptr<int> one(seen(new int));
    const std::unique_ptr<char[]> many(seen(new char[100]));
    const std::unique_ptr<Wide> wide(seen(new Wide));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(wide.get()) % 128, 0u);
    const std::unique_ptr<int> quiet(seen(new (std::nothrow) int));
    ASSERT_TRUE(quiet);
  }
  const AllocationCounts spent = meter.spent();
  EXPECT_EQ(spent, (AllocationCounts{4, 4 + 100 + 128 + 4, 4}));
}

TEST_F(AllocationHookTest, CountsNothingForWhatStaysInPlace) {
  const AllocationMeter meter;
  const std::string small = "fits";
  std::vector<int> empty;
  delete static_cast<int*>(nullptr);
  EXPECT_EQ(meter.spent(), AllocationCounts{}) << small << empty.size();
}

TEST_F(AllocationHookTest, CountsNothingWhileItIsOff) {
  const AllocationMeter meter;
  count_allocations(false);
  delete seen(new int);
  count_allocations(true);
  EXPECT_EQ(meter.spent(), AllocationCounts{});
  delete seen(new int);
  EXPECT_EQ(meter.spent(), (AllocationCounts{1, sizeof(int), 1}));
}

TEST_F(AllocationHookTest, CountsForTheInnermostTag) {
  const auto before = thread_allocations_by_subsystem();
  {
    const AllocationTag api(Subsystem::kApi);
    const std::unique_ptr<int> one(seen(new int));
    {
      const AllocationTag raft(Subsystem::kRaft);
      delete seen(new std::uint64_t);
    }
    delete seen(new int);
  }
  const auto after = thread_allocations_by_subsystem();
  EXPECT_EQ(of(after, Subsystem::kApi) - of(before, Subsystem::kApi), (AllocationCounts{2, 8, 2}));
  EXPECT_EQ(of(after, Subsystem::kRaft) - of(before, Subsystem::kRaft),
            (AllocationCounts{1, 8, 1}));
  EXPECT_EQ(allocation_tag(), Subsystem::kOther);
}

TEST_F(AllocationHookTest, KeepsWhatEndedThreadsCounted) {
  const auto before = all_allocations();
  const auto work = [] {
    const AllocationTag image(Subsystem::kImage);
    for (int i = 0; i < 1000; ++i)
      delete seen(new int);
  };
  // More at a time than there are blocks, and in two waves, so that blocks have a second owner.
  for (int wave = 0; wave < 2; ++wave) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 80; ++i)
      threads.emplace_back(work);
    for (std::thread& thread : threads)
      thread.join();
  }
  const auto after = all_allocations();
  EXPECT_EQ(of(after, Subsystem::kImage) - of(before, Subsystem::kImage),
            (AllocationCounts{160'000, 160'000 * sizeof(int), 160'000}));
}

TEST_F(AllocationHookTest, SaysWhenThereIsNoMemory) {
  std::set_new_handler(nullptr);
  const AllocationMeter meter;
  void* const memory = ::operator new(std::size_t{1} << 62, std::nothrow);
  EXPECT_EQ(memory, nullptr);
  EXPECT_EQ(meter.spent(), AllocationCounts{});
}

// Tasks.

class Queue final : public env::Executor {
 public:
  void post(std::coroutine_handle<> ready) override { ready_.push_back(ready); }
  void run() {
    while (!ready_.empty()) {
      const auto next = ready_.front();
      ready_.pop_front();
      next.resume();
      set_allocation_tag(Subsystem::kOther);
    }
  }

 private:
  std::deque<std::coroutine_handle<>> ready_;
};

using Seen = std::vector<Subsystem>;

env::Task<void> look(Seen& seen) {
  seen.push_back(allocation_tag());
  co_return;
}

env::Task<void> tagged(Queue& queue, env::Signal& signal, Subsystem subsystem, Seen& seen) {
  const AllocationTag tag(subsystem);
  co_await look(seen);
  ignore(co_await signal.wait(), "the test gives it");
  co_await look(seen);
  co_await env::Turn{queue};
  co_await look(seen);
}

env::Task<void> plain(Queue& queue, env::Signal& signal, Seen& seen) {
  co_await look(seen);
  ignore(co_await signal.wait(), "the test gives it");
  co_await look(seen);
  co_await env::Turn{queue};
  co_await look(seen);
}

env::Task<void> spawner(env::Scope& scope, env::Signal& signal, Queue& queue, Seen& seen) {
  const AllocationTag tag(Subsystem::kAgent);
  scope.spawn(plain(queue, signal, seen));
  co_return;
}

TEST(AllocationTagTest, ATagGoesWithItsTaskAndWithNoOther) {
  Queue queue;
  env::Signal signal(queue);
  env::Scope scope(queue, nullptr);
  Seen api;
  Seen peer;
  Seen none;
  Seen child;
  scope.spawn(tagged(queue, signal, Subsystem::kApi, api));
  scope.spawn(plain(queue, signal, none));
  scope.spawn(tagged(queue, signal, Subsystem::kPeer, peer));
  scope.spawn(spawner(scope, signal, queue, child));
  queue.run();
  {
    const AllocationTag notifier(Subsystem::kRaft);
    signal.notify_all();
  }
  queue.run();
  EXPECT_EQ(api, Seen(3, Subsystem::kApi));
  EXPECT_EQ(peer, Seen(3, Subsystem::kPeer));
  EXPECT_EQ(none, Seen(3, Subsystem::kOther));
  EXPECT_EQ(child, Seen(3, Subsystem::kAgent));
}

}  // namespace
}  // namespace blixard::observe
