#pragma once

// Randomness handed in, never reached for. The real one is fit for secrets (tokens, keys); the
// simulated one comes from the run's seed.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/ids.h"

namespace blixard::env {

class Random {
 public:
  virtual ~Random() = default;

  virtual std::uint64_t next() = 0;

  // An independent stream: a new consumer of one does not shift the values of another.
  virtual std::unique_ptr<Random> fork(std::string_view name) = 0;

  // Uniform in [0, bound). Precondition: bound > 0.
  std::uint64_t below(std::uint64_t bound);
  Uuid uuid();
  std::string hex(std::size_t bytes);  // 2 * bytes characters
};

}  // namespace blixard::env
