#pragma once

// env::Clock on CLOCK_MONOTONIC; an Instant is the time since the host's boot.

#include "env/clock.h"

namespace blixard::linux_side {

class Loop;

class Clock final : public env::Clock {
 public:
  explicit Clock(Loop& loop) : loop_(loop) {}

  [[nodiscard]] Instant monotonic() const override;
  [[nodiscard]] WallTime wall() const override;
  env::Task<Result<void>> sleep_until(Instant deadline) override;

 private:
  Loop& loop_;
};

}  // namespace blixard::linux_side
