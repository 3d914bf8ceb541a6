#pragma once

// One rare-event point that is taken, for tests of the place it stands in.

#include <cstddef>
#include <cstdint>
#include <utility>

#include "env/rare.h"
#include "sim/world.h"

namespace blixard::sim {

// While it lives. The world outlives it.
class OnlyRare {
 public:
  OnlyRare(World& world, env::RareSite site, std::uint32_t percent = 100) : world_(world) {
    Rareness rareness{.on = {}, .percent = percent, .taken = {}};
    rareness.on[static_cast<std::size_t>(site)] = true;
    rareness.taken = [this](std::uint32_t /*machine*/, env::RareSite /*site*/) { ++taken_; };
    world_.set_rareness(std::move(rareness));
  }
  OnlyRare(const OnlyRare&) = delete;
  OnlyRare& operator=(const OnlyRare&) = delete;
  ~OnlyRare() { world_.set_rareness({}); }

  [[nodiscard]] std::size_t taken() const { return taken_; }

 private:
  World& world_;
  std::size_t taken_ = 0;
};

}  // namespace blixard::sim
