#pragma once

// A value that one owner replaces and any thread reads: the owner publishes whole immutable values,
// each other thread looks at the newest through a Reader of its own.
//
//   View<Members> view;                  the owner:    view.publish(std::move(next));
//   View<Members>::Reader reader(view);  a thread:     reader.read().find(id)
//
// A read while nothing was published since the last one is an acquire load and a comparison: no
// lock, no atomic read-modify-write, no allocation, and no store that another core would have to
// hear of. After a publish the reader moves its pin to the new value, lock-free: it tries again
// only when yet another value was published meanwhile. Readers never make the owner wait, nor the
// owner them.
//
// The pin is a hazard pointer (M. Michael, "Hazard Pointers: Safe Memory Reclamation for Lock-Free
// Objects", IEEE TPDS 15(6), 2004) that stays where it is between reads instead of being cleared
// after each: that is what makes the common read so cheap, and its price is that a reader who stops
// reading keeps one old value alive. So the comparison of addresses is exact: what is pinned is not
// freed, hence its address is not used again. The owner frees what no reader pins, when it
// publishes and when it is told to; never more than one value for each reader wait for that.
//
// Invariants: a read never gives a value older than an earlier read of the same reader, nor one
// older than was the newest when the read began. Values are freed by the owner's thread only.
// Readers end before the view.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/limits.h"

namespace blixard::observe {

template <class T>
class View {
 public:
  class Reader;

  explicit View(T first = T()) : newest_(new Version(std::move(first), 1)) {}
  View(const View&) = delete;
  View& operator=(const View&) = delete;
  ~View() {
    for (const Pin* pin = pins_.load(std::memory_order_acquire); pin != nullptr;) {
      BLX_ASSERT(!pin->taken.load(std::memory_order_acquire));
      delete std::exchange(pin, pin->next);
    }
    for (const Version* version : retired_)
      delete version;
    delete newest();
  }

  // The owner's thread, as all up to the readers. Costs a look at every reader's pin for each value
  // that is still pinned.
  void publish(T value) {
    const auto* next = new Version(std::move(value), number() + 1);
    retired_.push_back(newest());
    newest_.store(next, std::memory_order_seq_cst);
    free_unpinned();
  }
  [[nodiscard]] const T& latest() const { return newest()->value; }
  // Of the latest value: 1 for the first, and one more with each publish.
  [[nodiscard]] std::uint64_t number() const { return newest()->number; }
  // Old values that a reader still pinned when it was last looked.
  [[nodiscard]] std::size_t retired() const { return retired_.size(); }
  void free_unpinned() {
    std::erase_if(retired_, [&](const Version* version) {
      if (is_pinned(version)) return false;
      delete version;
      return true;
    });
  }

 private:
  // A cache line that no other value shares: what the owner retires must not slow the readers.
  static constexpr std::size_t kLine = 64;

  struct Version {
    Version(T first, std::uint64_t count) : value(std::move(first)), number(count) {}
    const T value;
    const std::uint64_t number;
  };
  // Of one reader; used again by another one after it ended, freed with the view.
  struct alignas(kLine) Pin {
    std::atomic<const Version*> version{nullptr};
    std::atomic<bool> taken{true};
    Pin* next = nullptr;
  };

  [[nodiscard]] const Version* newest() const { return newest_.load(std::memory_order_relaxed); }

  [[nodiscard]] bool is_pinned(const Version* version) const {
    for (const Pin* pin = pins_.load(std::memory_order_seq_cst); pin != nullptr; pin = pin->next) {
      if (pin->version.load(std::memory_order_seq_cst) == version) return true;
    }
    return false;
  }

  Pin* take_pin() {
    std::size_t count = 0;
    for (Pin* pin = pins_.load(std::memory_order_acquire); pin != nullptr; pin = pin->next) {
      bool taken = false;
      if (pin->taken.compare_exchange_strong(taken, true, std::memory_order_acq_rel)) return pin;
      ++count;
    }
    BLX_ASSERT(count < limits::kViewReaders);
    auto* pin = new Pin;
    pin->next = pins_.load(std::memory_order_relaxed);
    while (!pins_.compare_exchange_weak(pin->next, pin, std::memory_order_seq_cst,
                                        std::memory_order_relaxed)) {
    }
    return pin;
  }

  alignas(kLine) std::atomic<const Version*> newest_;
  alignas(kLine) std::atomic<Pin*> pins_{nullptr};
  std::vector<const Version*> retired_;
};

// Made, used and ended on any thread, by one thread at a time. At most limits::kViewReaders of a
// view at once.
template <class T>
class View<T>::Reader {
 public:
  explicit Reader(View& view) : newest_(view.newest_), pin_(view.take_pin()) { refresh(); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() {
    pin_->version.store(nullptr, std::memory_order_release);
    pin_->taken.store(false, std::memory_order_release);
  }

  // Valid until the next read.
  [[nodiscard]] const T& read() {
    if (newest_.load(std::memory_order_acquire) != seen_) [[unlikely]]
      refresh();
    return seen_->value;
  }
  // Of the value that was read last.
  [[nodiscard]] std::uint64_t number() const { return seen_->number; }
  // How often a read found another value than the one before.
  [[nodiscard]] std::uint64_t refreshes() const { return refreshes_; }

 private:
  // Either the owner, which stores the new value and then looks at the pins, sees this pin; or this
  // thread, which stores its pin and then looks for a new value, sees that. All four are
  // sequentially consistent, as is the entry of a new pin into the list.
  [[gnu::noinline]] void refresh() {
    const Version* version = newest_.load(std::memory_order_relaxed);
    while (true) {
      pin_->version.store(version, std::memory_order_seq_cst);
      const Version* now = newest_.load(std::memory_order_seq_cst);
      if (now == version) break;
      version = now;
    }
    seen_ = version;
    ++refreshes_;
  }

  const std::atomic<const Version*>& newest_;
  Pin* pin_;
  const Version* seen_ = nullptr;
  std::uint64_t refreshes_ = 0;
};

}  // namespace blixard::observe
