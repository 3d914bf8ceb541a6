#pragma once

// Structured concurrency: every task that runs beside another belongs to a Scope that waits for
// it, and cancelling a scope ends what runs in it.
//
//   env::Scope scope(executor, co_await env::this_cancellation());
//   scope.spawn(read_loop());
//   scope.spawn(write_loop());
//   ...
//   scope.cancel();
//   co_await scope.join();       // always, before the scope's end
//
// Cancellation is a tree: a scope opened under another's Cancellation is cancelled with it. A
// cancelled operation still completes (with Code::kCancelled), so nothing it refers to may go
// away before join() returned.

#include <coroutine>
#include <cstddef>

#include "base/result.h"
#include "env/executor.h"
#include "env/task.h"
#include "observe/allocations.h"

namespace blixard::env {

// What is parked and can be told to give up; kept in an intrusive list by its Cancellation.
class CancelHook {
 public:
  CancelHook() = default;
  CancelHook(const CancelHook&) = delete;
  CancelHook& operator=(const CancelHook&) = delete;

  [[nodiscard]] bool linked() const { return owner_ != nullptr; }
  void unlink();

 protected:
  ~CancelHook() { unlink(); }
  // Called once, already unlinked. Must not run the parked coroutine before it returns.
  virtual void on_cancel() = 0;

 private:
  friend class Cancellation;
  Cancellation* owner_ = nullptr;
  CancelHook* previous_ = nullptr;
  CancelHook* next_ = nullptr;
};

class Cancellation final : private CancelHook {
 public:
  explicit Cancellation(Cancellation* parent = nullptr);
  ~Cancellation();

  [[nodiscard]] bool requested() const { return requested_; }
  void request();
  void add(CancelHook& hook);  // precondition: not requested()

 private:
  friend class CancelHook;
  void on_cancel() override { request(); }

  bool requested_ = false;
  CancelHook* first_ = nullptr;
};

// Parks one coroutine until complete() is called; the building block of every operation that
// waits. If the awaiting task is cancelled first, `cancel_` (if any) is told, and the parked
// coroutine resumes with the value complete() gets later or, for operations that can end at
// once, the cancelled value.
template <class T>
class Parked : private CancelHook {
 public:
  explicit Parked(Executor& executor) : executor_(&executor) {}

  // Exactly once. May come before the await.
  void complete(T value) {
    BLX_ASSERT(!done_);
    done_ = true;
    value_.emplace(std::move(value));
    unlink();
    if (waiter_) executor_->post(waiter_);
  }
  [[nodiscard]] bool completed() const { return done_; }

  bool await_ready() const noexcept { return done_; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> self) {
    Cancellation* cancellation = self.promise().cancellation;
    if (cancellation != nullptr && cancellation->requested()) {
      cancelled();
      if (done_) return false;
    }
    waiter_ = self;
    tag_ = observe::allocation_tag();
    if (cancellation != nullptr && !cancellation->requested()) cancellation->add(*this);
    return true;
  }
  T await_resume() {
    if (waiter_) observe::set_allocation_tag(tag_);
    return std::move(*value_);
  }

  Parked(const Parked&) = delete;
  Parked& operator=(const Parked&) = delete;
  virtual ~Parked() = default;

 protected:
  // Ends the operation early, by complete() now or soon. The default waits for its natural end:
  // right only for operations that always end by themselves.
  virtual void cancelled() {}

 private:
  void on_cancel() override { cancelled(); }

  Executor* executor_;
  std::coroutine_handle<> waiter_;
  std::optional<T> value_;
  bool done_ = false;
  observe::Subsystem tag_{};  // of the waiter
};

class Scope {
 public:
  Scope(Executor& executor, Cancellation* parent) : executor_(executor), cancellation_(parent) {}
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope() { BLX_ASSERT(running_ == 0); }

  // Starts `task` from the executor's queue, under this scope's cancellation and with the
  // caller's allocation tag.
  void spawn(Task<void> task);

  void cancel() { cancellation_.request(); }
  [[nodiscard]] bool cancelled() const { return cancellation_.requested(); }
  [[nodiscard]] std::size_t running() const { return running_; }
  [[nodiscard]] Cancellation& cancellation() { return cancellation_; }

  // Returns when every task has ended. Not cut short by cancellation. One caller at a time.
  Task<void> join();

 private:
  void finished();

  Executor& executor_;
  Cancellation cancellation_;
  std::size_t running_ = 0;
  Parked<bool>* joiner_ = nullptr;
};

}  // namespace blixard::env
