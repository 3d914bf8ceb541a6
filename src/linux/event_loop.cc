#include "linux/event_loop.h"

#include <boost/asio/executor_work_guard.hpp>

namespace blixard::linux_side {
namespace {

// What one event sets off takes a few: from the bytes of a message to the write that answers it.
constexpr int kRounds = 8;

}  // namespace

void Loop::post(std::coroutine_handle<> ready) {
  ready_.push_back(ready);
  if (drain_posted_) return;
  drain_posted_ = true;
  asio::post(io_, [this] { drain(); });
}

void Loop::drain() {
  for (int round = 0; round < kRounds && !ready_.empty(); ++round) {
    batch_.swap(ready_);
    for (const auto ready : batch_) {
      ready.resume();
      observe::set_allocation_tag(observe::Subsystem::kOther);
    }
    batch_.clear();
  }
  drain_posted_ = !ready_.empty();
  if (drain_posted_) asio::post(io_, [this] { drain(); });
}

void Loop::run() {
  // What is parked on something of our own is no work to Asio, yet not the end.
  const auto guard = asio::make_work_guard(io_);
  io_.restart();
  io_.run();
}

void Loop::stop() { io_.stop(); }

}  // namespace blixard::linux_side
