#include "linux/clock.h"

#include <chrono>

#include <boost/asio/steady_timer.hpp>

#include "linux/event_loop.h"

namespace blixard::linux_side {

Instant Clock::monotonic() const { return {std::chrono::steady_clock::now().time_since_epoch()}; }

WallTime Clock::wall() const {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {std::chrono::duration_cast<std::chrono::milliseconds>(now).count()};
}

env::Task<Result<void>> Clock::sleep_until(Instant deadline) {
  if (deadline <= monotonic()) {
    // Late again and again must not starve the others.
    co_await env::Turn{loop_};
    const env::Cancellation* cancellation = co_await env::this_cancellation();
    if (cancellation != nullptr && cancellation->requested()) {
      co_return fail(Code::kCancelled, "cancelled");
    }
    co_return Result<void>();
  }
  const std::chrono::steady_clock::time_point at(deadline.since_start);
  asio::steady_timer timer(loop_.io(), at);
  Operation<void> operation(loop_);
  timer.async_wait(operation.handler([](const ErrorCode& error) -> Result<void> {
    if (error) return fail(Code::kCancelled, "cancelled");
    return {};
  }));
  co_return co_await operation;
}

}  // namespace blixard::linux_side
