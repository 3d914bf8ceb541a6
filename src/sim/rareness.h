#pragma once

// Which rare-event points (env/rare.h) a run has, and how often they are taken.

#include <array>
#include <cstdint>
#include <functional>

#include "env/rare.h"

namespace blixard::sim {

struct Rareness {
  std::array<bool, env::kRareSites.size()> on{};
  std::uint32_t percent = 0;  // of the times that a point is passed
  // Told of each that is taken, with the machine's number.
  std::function<void(std::uint32_t, env::RareSite)> taken;
};

}  // namespace blixard::sim
