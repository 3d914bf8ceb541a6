#pragma once

// Why a waiting VM has no node, in the words of refusals.h: of the fleet and the other VMs as they
// are at the moment of the question, which the plan moves on.

#include <cstddef>
#include <string>

#include "core/cluster/state.h"
#include "core/sched/circumstances.h"
#include "core/sched/fleet.h"
#include "core/sched/request.h"

namespace blixard::sched {

class Sentences {
 public:
  Sentences(const cluster::State& state, Fleet& fleet, const Circumstances& circumstances)
      : state_(state), fleet_(fleet), circumstances_(circumstances) {}

  // Empty, once enough nodes were looked at: who is not reached keeps the sentence it has.
  // O(nodes).
  std::string of(const Request& request);
  // All that a sentence depends on beside that moment.
  [[nodiscard]] std::string key_of(const Request& request) const;

 private:
  const cluster::State& state_;
  Fleet& fleet_;
  const Circumstances& circumstances_;
  std::size_t looks_ = 0;
};

}  // namespace blixard::sched
