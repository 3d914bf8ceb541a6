#pragma once

// The event loop: Boost.Asio's io_context on one thread, and the queue of ready coroutines in
// front of it. The only header that shows Asio; few sources include it.
//
// Ready coroutines are kept in a vector of ours and run by one posted handler, so that readying one
// allocates nothing. It runs what they make ready too, for a few rounds: Asio asks the kernel for
// input between any two handlers, and input gets its turn soon enough.
//
// Asio reports errors by error_code only: every call here uses that form.

#include <coroutine>
#include <vector>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "base/result.h"
#include "env/executor.h"
#include "env/scope.h"
#include "env/task.h"

namespace blixard::linux_side {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;

class Loop final : public env::Executor {
 public:
  void post(std::coroutine_handle<> ready) override;

  void run();   // until stop()
  void stop();  // from inside

  [[nodiscard]] asio::io_context& io() { return io_; }

 private:
  void drain();

  asio::io_context io_{1};
  std::vector<std::coroutine_handle<>> ready_;
  std::vector<std::coroutine_handle<>> batch_;
  bool drain_posted_ = false;
};

// One operation of Asio. It lives in the awaiting coroutine's frame and completes only from
// Asio's handler, also when cancelled, so the frame never goes away under a pending handler.
template <class T>
class Operation : public env::Parked<Result<T>> {
 public:
  explicit Operation(Loop& loop) : env::Parked<Result<T>>(loop) {}

  // A handler that completes with what `to_result(error, arguments...)` says.
  template <class F>
  auto handler(F to_result) {
    return asio::bind_cancellation_slot(
        signal_.slot(), [this, to_result](const ErrorCode& error, auto... arguments) {
          this->complete(to_result(error, arguments...));
        });
  }

 private:
  void cancelled() override { signal_.emit(asio::cancellation_type::terminal); }

  asio::cancellation_signal signal_;
};

// Waits until `object` (a socket or descriptor of Asio) is readable or writable. Errors:
// kCancelled, also when it was closed meanwhile.
template <class Object>
env::Task<Result<void>> wait_ready(Loop& loop, Object& object,
                                   typename Object::wait_type direction) {
  Operation<void> operation(loop);
  object.async_wait(direction, operation.handler([](const ErrorCode& error) -> Result<void> {
    if (error == asio::error::operation_aborted) return fail(Code::kCancelled, "cancelled");
    if (error) return fail(Code::kUnavailable, "io_error", error.message());
    return {};
  }));
  co_return co_await operation;
}

}  // namespace blixard::linux_side
