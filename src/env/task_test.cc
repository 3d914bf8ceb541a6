#include "env/task.h"

#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "env/scope.h"
#include "env/sync.h"

namespace blixard::env {
namespace {

class Queue final : public Executor {
 public:
  void post(std::coroutine_handle<> ready) override { ready_.push_back(ready); }
  void run() {
    while (!ready_.empty()) {
      const auto next = ready_.front();
      ready_.pop_front();
      next.resume();
    }
  }

 private:
  std::deque<std::coroutine_handle<>> ready_;
};

// Time moves only by advance().
class HandClock final : public Clock {
 public:
  explicit HandClock(Queue& queue) : queue_(queue) {}

  [[nodiscard]] Instant monotonic() const override { return now_; }
  [[nodiscard]] WallTime wall() const override { return {}; }
  Task<Result<void>> sleep_until(Instant deadline) override {
    if (deadline <= now_) co_return Result<void>();
    Sleep sleep(*this, deadline);
    sleeping_.insert(&sleep);
    co_return co_await sleep;
  }
  void advance(Duration duration) {
    now_ = now_ + duration;
    fire();
    queue_.run();
  }
  // Moves time and readies who slept, but lets nobody run yet.
  void advance_quietly(Duration duration) {
    now_ = now_ + duration;
    fire();
  }
  [[nodiscard]] std::size_t sleeping() const { return sleeping_.size(); }

 private:
  class Sleep final : public Parked<Result<void>> {
   public:
    Sleep(HandClock& clock, Instant until) : Parked(clock.queue_), deadline(until), clock_(clock) {}
    Instant deadline;

   private:
    void cancelled() override {
      clock_.sleeping_.erase(this);
      complete(fail(Code::kCancelled, "cancelled"));
    }
    HandClock& clock_;
  };

  void fire() {
    const std::set<Sleep*> all = sleeping_;
    for (Sleep* sleep : all) {
      if (sleep->deadline > now_) continue;
      sleeping_.erase(sleep);
      sleep->complete(Result<void>());
    }
  }

  Queue& queue_;
  Instant now_{1s};
  std::set<Sleep*> sleeping_;
};

class TaskTest : public testing::Test {
 protected:
  Queue queue_;
  HandClock clock_{queue_};
  Cancellation outside_;
  Scope scope_{queue_, &outside_};
};

Task<int> one() { co_return 1; }

Task<int> depth_of(int levels) {
  if (levels == 0) co_return 0;
  co_return 1 + co_await depth_of(levels - 1);
}

TEST_F(TaskTest, DoesNotRunBeforeItIsAwaited) {
  bool ran = false;
  const auto touch = [](bool& flag) -> Task<void> {
    flag = true;
    co_return;
  };
  {
    const Task<void> dropped = touch(ran);
  }
  EXPECT_FALSE(ran);
}

TEST_F(TaskTest, AMillionAwaitsUseNoStack) {
  int sum = 0;
  const auto add = [](int& total) -> Task<void> {
    for (int i = 0; i < 1'000'000; ++i)
      total += co_await one();
  };
  scope_.spawn(add(sum));
  queue_.run();
  EXPECT_EQ(sum, 1'000'000);
}

TEST_F(TaskTest, ADeepChainUsesNoStack) {
  int depth = 0;
  const auto dive = [](int& result) -> Task<void> { result = co_await depth_of(1'000'000); };
  scope_.spawn(dive(depth));
  queue_.run();
  EXPECT_EQ(depth, 1'000'000);
}

TEST_F(TaskTest, CarriesAMoveOnlyValue) {
  std::unique_ptr<int> got;
  const auto make = []() -> Task<Result<std::unique_ptr<int>>> {
    co_return std::make_unique<int>(7);
  };
  const auto take = [&]() -> Task<void> { got = (co_await make()).value(); };
  scope_.spawn(take());
  queue_.run();
  ASSERT_NE(got, nullptr);
  EXPECT_EQ(*got, 7);
}

TEST_F(TaskTest, TryReturnsTheFirstError) {
  std::vector<std::string> seen;
  const auto broken = []() -> Task<Result<int>> { co_return fail(Code::kAborted, "broken"); };
  const auto body = [&]() -> Task<Result<void>> {
    BLX_CO_TRY(const int value, co_await broken());
    seen.push_back("after " + std::to_string(value));
    co_return Result<void>();
  };
  const auto outer = [&]() -> Task<void> { seen.emplace_back((co_await body()).error().reason()); };
  scope_.spawn(outer());
  queue_.run();
  EXPECT_EQ(seen, std::vector<std::string>{"broken"});
}

Task<void> store(Task<Result<void>> task, std::string& out) {
  const auto result = co_await std::move(task);
  out = result ? "ok" : std::string(result.error().reason());
}

Task<void> wait_for(Parked<Result<void>>& parked, std::string& out) {
  const auto result = co_await parked;
  out = result ? "ok" : std::string(result.error().reason());
}

TEST_F(TaskTest, CompletionBeforeTheAwaitIsKept) {
  std::string out;
  Parked<Result<void>> parked(queue_);
  parked.complete(Result<void>());
  scope_.spawn(wait_for(parked, out));
  queue_.run();
  EXPECT_EQ(out, "ok");
}

TEST_F(TaskTest, CompletionResumesOnlyFromTheQueue) {
  std::string out;
  Parked<Result<void>> parked(queue_);
  scope_.spawn(wait_for(parked, out));
  queue_.run();
  parked.complete(Result<void>());
  EXPECT_EQ(out, "");
  queue_.run();
  EXPECT_EQ(out, "ok");
}

// Ends at cancellation at once, or only when told later.
class Telling final : public Parked<Result<void>> {
 public:
  Telling(Executor& executor, bool at_once) : Parked(executor), at_once_(at_once) {}
  int told = 0;

 private:
  void cancelled() override {
    ++told;
    if (at_once_) complete(fail(Code::kCancelled, "cancelled"));
  }
  bool at_once_;
};

TEST_F(TaskTest, CancellationReachesAParkedTask) {
  std::string out;
  Telling parked(queue_, true);
  scope_.spawn(wait_for(parked, out));
  queue_.run();
  scope_.cancel();
  EXPECT_EQ(out, "");
  queue_.run();
  EXPECT_EQ(out, "cancelled");
}

TEST_F(TaskTest, AnOperationMayEndLongAfterItWasCancelled) {
  std::string out;
  Telling parked(queue_, false);
  scope_.spawn(wait_for(parked, out));
  queue_.run();
  scope_.cancel();
  scope_.cancel();
  outside_.request();
  queue_.run();
  EXPECT_EQ(parked.told, 1);
  EXPECT_EQ(out, "");
  parked.complete(Result<void>());
  queue_.run();
  EXPECT_EQ(out, "ok");
}

TEST_F(TaskTest, ParkingUnderARequestedCancellationIsToldToo) {
  for (const bool at_once : {true, false}) {
    std::string out;
    Telling parked(queue_, at_once);
    scope_.cancel();
    scope_.spawn(wait_for(parked, out));
    queue_.run();
    EXPECT_EQ(parked.told, 1);
    if (!at_once) parked.complete(fail(Code::kCancelled, "late"));
    queue_.run();
    EXPECT_EQ(out, at_once ? "cancelled" : "late");
  }
}

TEST_F(TaskTest, ACompletedOperationIsNotCancelled) {
  std::string out;
  Telling parked(queue_, true);
  scope_.spawn(wait_for(parked, out));
  queue_.run();
  parked.complete(Result<void>());
  scope_.cancel();  // between completion and resumption
  queue_.run();
  EXPECT_EQ(parked.told, 0);
  EXPECT_EQ(out, "ok");
}

TEST_F(TaskTest, CancellationIsATree) {
  Cancellation middle(&outside_);
  {
    Cancellation gone(&middle);  // unlinks itself
  }
  Cancellation leaf(&middle);
  outside_.request();
  EXPECT_TRUE(middle.requested());
  EXPECT_TRUE(leaf.requested());
  const Cancellation born_late(&leaf);
  EXPECT_TRUE(born_late.requested());
}

TEST_F(TaskTest, AChildsCancellationLeavesTheParentAlone) {
  Cancellation child(&outside_);
  child.request();
  EXPECT_FALSE(outside_.requested());
}

TEST_F(TaskTest, UnderReplacesTheInheritedCancellation) {
  std::string out;
  Cancellation own;
  const auto body = [&](Cancellation& mine) -> Task<void> {
    const auto result = co_await clock_.sleep(5s).under(mine);
    out = result ? "ok" : "cancelled";
  };
  scope_.spawn(body(own));
  queue_.run();
  scope_.cancel();
  queue_.run();
  EXPECT_EQ(out, "");
  clock_.advance(5s);
  EXPECT_EQ(out, "ok");
}

TEST_F(TaskTest, JoinWaitsForAllAlsoForThoseSpawnedMeanwhile) {
  std::vector<std::string> order;
  const auto late = [&]() -> Task<void> {
    (void)co_await clock_.sleep(2s);
    order.emplace_back("late");
  };
  const auto early = [&](Scope& scope) -> Task<void> {
    (void)co_await clock_.sleep(1s);
    order.emplace_back("early");
    scope.spawn(late());
  };
  const auto body = [&]() -> Task<void> {
    Scope inner(queue_, co_await this_cancellation());
    inner.spawn(early(inner));
    co_await inner.join();
    order.emplace_back("joined");
  };
  scope_.spawn(body());
  queue_.run();
  clock_.advance(1s);
  clock_.advance(2s);
  EXPECT_EQ(order, (std::vector<std::string>{"early", "late", "joined"}));
  EXPECT_EQ(scope_.running(), 0u);
}

TEST_F(TaskTest, JoinIsNotCutShortByCancellation) {
  bool joined = false;
  Telling stubborn(queue_, false);
  std::string out;
  const auto body = [&]() -> Task<void> {
    Scope inner(queue_, co_await this_cancellation());
    inner.spawn(wait_for(stubborn, out));
    co_await inner.join();
    joined = true;
  };
  scope_.spawn(body());
  queue_.run();
  scope_.cancel();
  queue_.run();
  EXPECT_EQ(stubborn.told, 1);
  EXPECT_FALSE(joined);
  stubborn.complete(Result<void>());
  queue_.run();
  EXPECT_TRUE(joined);
}

TEST_F(TaskTest, JoinOfAnEmptyScopeReturnsAtOnce) {
  bool joined = false;
  const auto body = [&]() -> Task<void> {
    Scope inner(queue_, co_await this_cancellation());
    co_await inner.join();
    joined = true;
  };
  scope_.spawn(body());
  queue_.run();
  EXPECT_TRUE(joined);
}

TEST_F(TaskTest, AScopeMayEndTheOneItRunsBeside) {
  // The last task of a scope frees its frame before the joiner may destroy the scope.
  for (int i = 0; i < 100; ++i) {
    const auto body = [&]() -> Task<void> {
      auto inner = std::make_unique<Scope>(queue_, co_await this_cancellation());
      for (int k = 0; k < 10; ++k)
        inner->spawn([](Clock& clock) -> Task<void> { (void)co_await clock.sleep(1h); }(clock_));
      inner->cancel();
      co_await inner->join();
    };
    scope_.spawn(body());
    queue_.run();
  }
  EXPECT_EQ(scope_.running(), 0u);
  EXPECT_EQ(clock_.sleeping(), 0u);
}

TEST_F(TaskTest, NotifyWakesAllWhoWaitAndNobodyLater) {
  Signal signal(queue_);
  std::string first;
  std::string second;
  std::string late;
  scope_.spawn(store(signal.wait(), first));
  scope_.spawn(store(signal.wait(), second));
  queue_.run();
  signal.notify_all();
  scope_.spawn(store(signal.wait(), late));
  queue_.run();
  EXPECT_EQ(first, "ok");
  EXPECT_EQ(second, "ok");
  EXPECT_EQ(late, "");
  scope_.cancel();
  queue_.run();
  EXPECT_EQ(late, "cancelled");
}

TEST_F(TaskTest, ACancelledWaiterLeavesTheOthersInPlace) {
  Signal signal(queue_);
  Scope other(queue_, nullptr);
  std::string before;
  std::string cancelled;
  std::string after;
  other.spawn(store(signal.wait(), before));
  scope_.spawn(store(signal.wait(), cancelled));
  other.spawn(store(signal.wait(), after));
  queue_.run();
  scope_.cancel();
  queue_.run();
  EXPECT_EQ(cancelled, "cancelled");
  signal.notify_all();
  queue_.run();
  EXPECT_EQ(before, "ok");
  EXPECT_EQ(after, "ok");
}

TEST_F(TaskTest, AChannelIsBoundedAndInOrder) {
  Channel<int> channel(queue_, 2);
  std::vector<int> got;
  std::size_t most = 0;
  const auto produce = [&]() -> Task<void> {
    for (int i = 0; i < 100; ++i) {
      EXPECT_TRUE((co_await channel.push(i)).has_value());
      most = std::max(most, channel.size());
    }
    channel.close();
  };
  const auto consume = [&]() -> Task<void> {
    while (true) {
      const auto item = co_await channel.pop();
      if (!item) {
        EXPECT_EQ(item.error().reason(), "closed");
        co_return;
      }
      got.push_back(*item);
    }
  };
  scope_.spawn(produce());
  queue_.run();
  EXPECT_EQ(channel.size(), 2u);
  EXPECT_FALSE(channel.try_push(7));
  scope_.spawn(consume());
  queue_.run();
  ASSERT_EQ(got.size(), 100u);
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(got[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(most, 2u);
  EXPECT_FALSE(channel.try_push(7));
}

TEST_F(TaskTest, ChannelWaitsAreCancelled) {
  Channel<int> empty(queue_, 1);
  Channel<int> full(queue_, 1);
  EXPECT_TRUE(full.try_push(1));
  std::string popped;
  std::string pushed;
  const auto pop = [&]() -> Task<void> {
    popped = std::string((co_await empty.pop()).error().reason());
  };
  scope_.spawn(pop());
  scope_.spawn(store(full.push(2), pushed));
  queue_.run();
  scope_.cancel();
  queue_.run();
  EXPECT_EQ(popped, "cancelled");
  EXPECT_EQ(pushed, "cancelled");
  EXPECT_EQ(full.size(), 1u);
}

class DeadlineTest : public TaskTest {
 protected:
  // with_deadline(5 s) around a sleep of `work`.
  void start(Duration work) {
    scope_.spawn(
        store(with_deadline(queue_, clock_, clock_.monotonic() + 5s, clock_.sleep(work)), out_));
    queue_.run();
  }
  std::string out_;
};

TEST_F(DeadlineTest, AnEarlyEndIsPassedOnAndLeavesNoTimer) {
  start(1s);
  clock_.advance(1s);
  EXPECT_EQ(out_, "ok");
  EXPECT_EQ(clock_.sleeping(), 0u);
}

TEST_F(DeadlineTest, TheDeadlineEndsTheTask) {
  start(1h);
  clock_.advance(5s);
  EXPECT_EQ(out_, "deadline_exceeded");
  EXPECT_EQ(clock_.sleeping(), 0u);
}

TEST_F(DeadlineTest, CancellationFromOutsideIsNotADeadline) {
  start(1h);
  outside_.request();
  queue_.run();
  EXPECT_EQ(out_, "cancelled");
  EXPECT_EQ(clock_.sleeping(), 0u);
}

TEST_F(DeadlineTest, ATaskThatSucceededIsNotUndoneByTheDeadline) {
  start(5s);  // both end in the same instant
  clock_.advance(5s);
  EXPECT_EQ(out_, "ok");
}

TEST_F(DeadlineTest, ADeadlineThatPassedBeforeTheCancellationCounts) {
  start(1h);
  clock_.advance_quietly(5s);
  outside_.request();
  queue_.run();
  EXPECT_EQ(out_, "deadline_exceeded");
  EXPECT_EQ(clock_.sleeping(), 0u);
}

TEST_F(DeadlineTest, APastDeadlineStillLetsTheTaskBegin) {
  scope_.spawn(
      store(with_deadline(queue_, clock_, clock_.monotonic() - 1s, clock_.sleep(1h)), out_));
  queue_.run();
  EXPECT_EQ(out_, "deadline_exceeded");
}

TEST_F(DeadlineTest, SleepingForEverDoesNotOverflow) {
  std::string out;
  scope_.spawn(store(clock_.sleep(Duration::max()), out));
  queue_.run();
  clock_.advance(1000h);
  EXPECT_EQ(out, "");
  scope_.cancel();
  queue_.run();
  EXPECT_EQ(out, "cancelled");
}

}  // namespace
}  // namespace blixard::env
