#pragma once

// Random numbers of a simulated run: SplitMix64 from a seed. fork() hashes its name into the seed
// the stream began with, so what a fork yields depends neither on how much was drawn before nor on
// its siblings.

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/units.h"
#include "env/random.h"

namespace blixard::sim {

class SeededRandom final : public env::Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : seed_(seed), state_(seed) {}

  std::uint64_t next() override;
  std::unique_ptr<env::Random> fork(std::string_view name) override;

  [[nodiscard]] std::uint64_t seed_for(std::string_view name) const;
  bool one_in(std::uint64_t count) { return below(count) == 0; }
  Duration between(Duration least, Duration most);  // both included

 private:
  std::uint64_t seed_;
  std::uint64_t state_;
};

}  // namespace blixard::sim
