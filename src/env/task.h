#pragma once

// Task<T>: a lazy coroutine, the one kind of asynchronous function in this program.
//
//   Task<Result<void>> serve(Stream& stream);      // nothing runs yet
//   auto result = co_await serve(*stream);         // runs now, on this node's one thread
//
// A task starts when it is awaited and hands control back by symmetric transfer, so a million
// tasks that finish at once use no stack. It never throws. It runs on the thread of its Executor
// only; nothing here is synchronised.
//
// Cancellation is an error code, not an exception: every task inherits the Cancellation of the
// one that awaits it, and the operation it is parked on ends with Code::kCancelled when that is
// requested (see scope.h).
//
// Frames come from a per-thread free list by size class, so steady state allocates nothing.

#include <coroutine>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/assert.h"

namespace blixard::env {

class Cancellation;

template <class T = void>
class Task;

namespace internal {

void* allocate_frame(std::size_t size);
void free_frame(void* frame, std::size_t size) noexcept;
[[noreturn]] void exception_escaped();

struct PromiseBase {
  std::coroutine_handle<> continuation;
  Cancellation* cancellation = nullptr;

  struct FinalAwaiter {
    bool await_ready() noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) noexcept {
      return self.promise().continuation;
    }
    void await_resume() noexcept {}
  };

  std::suspend_always initial_suspend() noexcept { return {}; }
  FinalAwaiter final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { exception_escaped(); }

  static void* operator new(std::size_t size) { return allocate_frame(size); }
  static void operator delete(void* frame, std::size_t size) noexcept { free_frame(frame, size); }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;

  Task<T> get_return_object() noexcept;
  template <class U>
    requires std::is_constructible_v<T, U&&>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object() noexcept;
  void return_void() noexcept {}
};

}  // namespace internal

template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() = default;
  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      destroy();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() { destroy(); }

  // Gives the task another Cancellation than its awaiter's. Before it starts.
  Task&& under(Cancellation& cancellation) && {
    handle_.promise().cancellation = &cancellation;
    return std::move(*this);
  }

  struct Awaiter {
    Handle handle;

    bool await_ready() const noexcept { return false; }
    template <class Parent>
    Handle await_suspend(std::coroutine_handle<Parent> parent) noexcept {
      auto& promise = handle.promise();
      promise.continuation = parent;
      if (promise.cancellation == nullptr) promise.cancellation = parent.promise().cancellation;
      return handle;
    }
    T await_resume() {
      if constexpr (!std::is_void_v<T>) {
        BLX_ASSERT(handle.promise().value.has_value());
        return std::move(*handle.promise().value);
      }
    }
  };
  Awaiter operator co_await() && noexcept {
    BLX_ASSERT(handle_);
    return Awaiter{handle_};
  }

 private:
  void destroy() {
    if (handle_) handle_.destroy();
    handle_ = {};
  }

  Handle handle_;
};

namespace internal {

template <class T>
Task<T> Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

}  // namespace internal

// `Cancellation* mine = co_await this_cancellation();` for scopes opened inside a task; null at
// the root.
struct ThisCancellation {
  Cancellation* cancellation = nullptr;
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
    cancellation = self.promise().cancellation;
    return false;
  }
  [[nodiscard]] Cancellation* await_resume() const noexcept { return cancellation; }
};
inline ThisCancellation this_cancellation() { return {}; }

}  // namespace blixard::env
