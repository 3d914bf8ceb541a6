#pragma once

// How long threads wait for locks, and how long they hold them, lock by lock.
//
// Few parts have locks at all: one event loop owns a node's state, and threads stand below it in
// linux/. Each of those locks has a name here and measures itself (linux/lock.h): every wait, since
// who waits has the time, and one hold of many.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace blixard::observe {

enum class LockName : std::uint8_t {
  kPool,  // linux/pool.h: the queue of jobs that may block
};
inline constexpr std::size_t kLocks = std::size_t(LockName::kPool) + 1;

std::string_view lock_name(LockName lock);

// Of all locks of one name. Any thread may read; who counts does so with the lock held or while it
// waits, so that counting is what it costs least.
struct LockFigures {
  std::atomic<std::uint64_t> taken{0};      // a little late: told in bundles
  std::atomic<std::uint64_t> contended{0};  // had to wait
  std::atomic<std::uint64_t> wait_ns{0};
  std::atomic<std::uint64_t> wait_max_ns{0};
  std::atomic<std::uint64_t> holds_measured{0};
  std::atomic<std::uint64_t> hold_ns{0};  // of those
  std::atomic<std::uint64_t> hold_max_ns{0};

  void waited(std::uint64_t ns);
  void held(std::uint64_t ns);
};

using LocksByName = std::array<LockFigures, kLocks>;

[[nodiscard]] LocksByName& lock_figures();
[[nodiscard]] inline LockFigures& lock_figures(LockName lock) {
  return lock_figures()[std::size_t(lock)];
}

}  // namespace blixard::observe
