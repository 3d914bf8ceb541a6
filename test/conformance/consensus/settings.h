#pragma once

// What a run of the simulation does, all of it drawn from the seed: sizes, rates and the kinds of
// faults that this run has, so that different seeds stress different things and some stress few
// things hard (swarm testing: Groce et al., ISSTA 2012).

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/units.h"
#include "node/replica/replica.h"
#include "sim/random.h"

namespace blixard::consensus_sim {

enum class Mix : std::uint8_t { kCalm, kHard };

enum class Fault : std::uint8_t {
  kCrash,
  kPowerLoss,
  kCrashAll,
  kCutLink,
  kCutOneWay,
  kIsolate,
  kSplit,
  kSlowLink,
  kReset,
  kWeather,  // messages of consensus are lost, doubled, delayed and so reordered
  kSlowDisk,
  kFailedSync,
  kFullDisk,
  kWallJump,
  kTransfer,
  kJoin,
  kPromote,
  kRemove,
};
inline constexpr std::size_t kFaults = 18;
std::string_view name(Fault fault);

struct Settings {
  std::uint64_t seed = 1;
  Mix mix = Mix::kHard;
  std::size_t nodes = 3;
  std::size_t spares = 2;
  Duration until{};  // of virtual time, with faults
  std::size_t writers = 3;
  std::size_t readers = 2;
  Duration request_gap{};   // between two of a client, at most
  Duration fault_gap{};     // between two faults, at most
  Duration fault_length{};  // at most
  std::array<std::uint32_t, kFaults> weights{};
  replica::Options replica{};

  static Settings draw(std::uint64_t seed, Mix mix, std::size_t nodes, Duration until);
};

}  // namespace blixard::consensus_sim
