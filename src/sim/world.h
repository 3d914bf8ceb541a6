#pragma once

// The simulated side of the seam: a world of machines in virtual time, driven by one seed.
//
// Nothing here takes real time: the clock jumps to the next event. All that happens is ordered by
// (virtual time, sequence number), and every choice comes from the seed, so that the same seed
// gives the same trace hash.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "env/env.h"
#include "env/task.h"

namespace blixard::sim {

class Machine;  // one simulated host: its clock, disk, processes and place in the network

class World {
 public:
  explicit World(std::uint64_t seed);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // A host named `name`, reachable as address "10.0.0.<n>" from the others, n from 1.
  Machine& add_machine(std::string name);

  // Runs until `task` has ended, with every machine's spawned work beside it. False when `limit`
  // of virtual time passed first or nothing was left to do (a deadlock); the task is then gone.
  bool run(env::Task<void> task, Duration limit = 1h);

  [[nodiscard]] Duration elapsed() const;
  [[nodiscard]] std::uint64_t trace_hash() const;  // of every event so far
  [[nodiscard]] const std::vector<std::string>& log_lines() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace blixard::sim
