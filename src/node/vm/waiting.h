#pragma once

// Two ways of waiting that the drivers' parts share: for a condition with a deadline, and for
// one's turn at something that only one task may do at a time.

#include <cstdint>
#include <set>
#include <utility>

#include "base/result.h"
#include "base/units.h"
#include "env/clock.h"
#include "env/executor.h"
#include "env/sync.h"
#include "env/task.h"

namespace blixard::vm {

// Returns when condition() holds; it is asked again at each notification of `signal`. Errors:
// kDeadlineExceeded, kCancelled.
template <class Condition>
env::Task<Result<void>> wait_until(env::Executor& executor, env::Clock& clock, env::Signal& signal,
                                   Instant deadline, Condition condition) {
  constexpr auto kLoop = [](env::Signal& changed, Condition met) -> env::Task<Result<void>> {
    while (!met())
      BLX_CO_TRY(co_await changed.wait());
    co_return Result<void>();
  };
  if (condition()) co_return Result<void>();
  if (deadline == Instant::never()) co_return co_await kLoop(signal, condition);
  co_return co_await env::with_deadline(executor, clock, deadline, kLoop(signal, condition));
}

// One turn a key. A turn is held until its Held goes away.
class Turns {
 public:
  explicit Turns(env::Executor& executor) : freed_(executor) {}

  class Held {
   public:
    Held(Turns& turns, std::uint64_t key) : turns_(&turns), key_(key) {}
    Held(Held&& other) noexcept : turns_(std::exchange(other.turns_, nullptr)), key_(other.key_) {}
    Held& operator=(Held&&) = delete;
    ~Held() {
      if (turns_ != nullptr) turns_->give_back(key_);
    }

   private:
    Turns* turns_;
    std::uint64_t key_;
  };

  // Errors: kCancelled.
  env::Task<Result<Held>> take(std::uint64_t key = 0) {
    while (taken_.contains(key))
      BLX_CO_TRY(co_await freed_.wait());
    taken_.insert(key);
    co_return Result<Held>(Held(*this, key));
  }

 private:
  void give_back(std::uint64_t key) {
    taken_.erase(key);
    freed_.notify_all();
  }

  std::set<std::uint64_t> taken_;
  env::Signal freed_;
};

}  // namespace blixard::vm
