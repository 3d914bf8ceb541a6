#include "linux/event_loop.h"

#include <boost/asio/executor_work_guard.hpp>

namespace blixard::linux_side {

void Loop::post(std::coroutine_handle<> ready) {
  ready_.push_back(ready);
  if (drain_posted_) return;
  drain_posted_ = true;
  asio::post(io_, [this] { drain(); });
}

void Loop::drain() {
  drain_posted_ = false;
  batch_.swap(ready_);
  for (const auto ready : batch_)
    ready.resume();
  batch_.clear();
}

void Loop::run() {
  // What is parked on something of our own is no work to Asio, yet not the end.
  const auto guard = asio::make_work_guard(io_);
  io_.restart();
  io_.run();
}

void Loop::stop() { io_.stop(); }

}  // namespace blixard::linux_side
