#pragma once

// Time, as one node sees it. Decisions use monotonic(); wall() is for stamps that people read.

#include "base/result.h"
#include "base/units.h"
#include "env/task.h"

namespace blixard::env {

class Clock {
 public:
  virtual ~Clock() = default;

  [[nodiscard]] virtual Instant monotonic() const = 0;
  [[nodiscard]] virtual WallTime wall() const = 0;

  // Returns at or after `deadline`; at once if it has passed. Errors: kCancelled.
  virtual Task<Result<void>> sleep_until(Instant deadline) = 0;

  Task<Result<void>> sleep(Duration duration) {
    const Instant now = monotonic();
    return sleep_until(duration < Instant::never() - now ? now + duration : Instant::never());
  }
};

}  // namespace blixard::env
