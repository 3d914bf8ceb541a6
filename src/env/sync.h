#pragma once

// Waiting for each other inside one node. All of it is single-threaded; "notify" only posts.
//
// Every wait ends with Code::kCancelled when the waiting task's scope is cancelled.

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "base/result.h"
#include "base/units.h"
#include "env/clock.h"
#include "env/scope.h"
#include "env/task.h"

namespace blixard::env {

// Something that happens again and again. wait() returns at the next notify_all(); who wants a
// condition loops: `while (!ready()) BLX_CO_TRY(co_await changed.wait());`
class Signal {
 public:
  explicit Signal(Executor& executor) : executor_(executor) {}
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;
  ~Signal() { BLX_ASSERT(first_ == nullptr); }

  void notify_all();
  Task<Result<void>> wait();

 private:
  class Waiter;
  void remove(Waiter& waiter);

  Executor& executor_;
  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
};

// A bounded queue between tasks. push() waits while it is full, pop() while it is empty;
// after close(), push() fails and pop() drains what is left, then answers "closed".
template <class T>
class Channel {
 public:
  Channel(Executor& executor, std::size_t capacity) : capacity_(capacity), changed_(executor) {}

  Task<Result<void>> push(T item) {
    while (!closed_ && items_.size() >= capacity_)
      BLX_CO_TRY(co_await changed_.wait());
    if (closed_) co_return fail(Code::kUnavailable, "closed");
    items_.push_back(std::move(item));
    changed_.notify_all();
    co_return Result<void>();
  }
  // False: full or closed; the item is dropped.
  bool try_push(T item) {
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push_back(std::move(item));
    changed_.notify_all();
    return true;
  }
  Task<Result<T>> pop() {
    while (items_.empty()) {
      if (closed_) co_return fail(Code::kUnavailable, "closed");
      BLX_CO_TRY(co_await changed_.wait());
    }
    T item = std::move(items_.front());
    items_.pop_front();
    changed_.notify_all();
    co_return Result<T>(std::move(item));
  }
  void close() {
    closed_ = true;
    changed_.notify_all();
  }
  [[nodiscard]] std::size_t size() const { return items_.size(); }
  [[nodiscard]] bool closed() const { return closed_; }

 private:
  std::size_t capacity_;
  std::deque<T> items_;
  bool closed_ = false;
  Signal changed_;
};

namespace internal {

Task<void> cancel_at(Clock& clock, Instant deadline, Cancellation& target, bool& expired);

}  // namespace internal

// Runs `task`; when `deadline` comes first, cancels it, waits for its end and answers
// Code::kDeadlineExceeded. Any other end of the task is passed on.
template <class T>
Task<Result<T>> with_deadline(Executor& executor, Clock& clock, Instant deadline,
                              Task<Result<T>> task) {
  Scope scope(executor, co_await this_cancellation());
  Cancellation work(&scope.cancellation());
  bool expired = false;
  scope.spawn(internal::cancel_at(clock, deadline, work, expired));
  Result<T> result = co_await std::move(task).under(work);
  const bool came_first = expired;  // a timer that fires from here on changes nothing
  scope.cancel();
  co_await scope.join();
  if (came_first && !result && result.error().code() == Code::kCancelled) {
    co_return fail(Code::kDeadlineExceeded, "deadline_exceeded");
  }
  co_return std::move(result);
}

}  // namespace blixard::env
