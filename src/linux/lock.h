#pragma once

// A mutex with a name that measures itself (observe/locks.h). It is what std::lock_guard and
// std::unique_lock want.
//
// Taken without a wait it costs a counter beside the mutex itself; the clock is read for each wait,
// and for one hold of `kHoldsBetweenMeasured`. What wait() waits on a condition counts neither as
// wait nor as hold.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "observe/locks.h"

namespace blixard::linux_side {

class Lock {
 public:
  static constexpr std::uint64_t kHoldsBetweenMeasured = 64;

  explicit Lock(observe::LockName name,
                std::uint64_t holds_between_measured = kHoldsBetweenMeasured)
      : figures_(observe::lock_figures(name)), between_(holds_between_measured) {}
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  ~Lock() = default;

  void lock() {
    if (!mutex_.try_lock()) {
      const Time begin = now();
      mutex_.lock();
      figures_.waited(since(begin));
    }
    begin_hold();
  }
  bool try_lock() {
    if (!mutex_.try_lock()) return false;
    begin_hold();
    return true;
  }
  void unlock() {
    end_hold();
    mutex_.unlock();
  }

  // Precondition: locked by this thread; it is again afterwards.
  void wait(std::condition_variable& changed) {
    end_hold();
    std::unique_lock held(mutex_, std::adopt_lock);
    changed.wait(held);
    held.release();
    begin_hold();
  }

 private:
  using Time = std::chrono::steady_clock::time_point;
  static Time now() { return std::chrono::steady_clock::now(); }
  static std::uint64_t since(Time begin) {
    return static_cast<std::uint64_t>(std::chrono::nanoseconds(now() - begin).count());
  }

  void begin_hold() {
    if (++taken_ < between_) return;
    figures_.taken.fetch_add(taken_, std::memory_order_relaxed);
    taken_ = 0;
    is_measured_ = true;
    held_since_ = now();
  }
  void end_hold() {
    if (!is_measured_) return;
    is_measured_ = false;
    figures_.held(since(held_since_));
  }

  std::mutex mutex_;
  observe::LockFigures& figures_;
  // By whoever has it.
  std::uint64_t between_;
  std::uint64_t taken_ = 0;
  bool is_measured_ = false;
  Time held_since_;
};

}  // namespace blixard::linux_side
