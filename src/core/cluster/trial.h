#pragma once

// A copy of a state on which commands are tried, to see what would become of it. They are applied
// as those of the log are, so that names, images, quotas, rooms and groups are checked by what
// checks them otherwise; nothing that is replicated is touched.

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "core/cluster/state.h"

namespace blixard::cluster {

class Trial {
 public:
  // `now` is when all of it happens.
  Trial(State copy, WallTime now) : state_(std::move(copy)), now_(now) {}

  [[nodiscard]] const State& state() const { return state_; }
  [[nodiscard]] WallTime now() const { return now_; }
  // Since the last call, oldest first.
  std::vector<Change> take_changes() { return std::exchange(changes_, {}); }

  // Errors of all: those of the command, kFailedPrecondition "model_too_old".
  Result<VmId> create(const v1::CreateVm& create);
  struct Place {
    VmId vm;
    NodeId node;
    resources::DeviceNumbers devices;
  };
  Result<void> place(const Place& place);
  Result<void> place_gang(std::span<const Place> places);
  Result<void> explain(VmId vm, const std::string& reason);
  // The victim makes room, and has made it: its node let go of it.
  Result<void> preempt(VmId victim, VmId by);

 private:
  Result<Outcome> apply(v1::Command& command);
  [[nodiscard]] v1::PlaceVm message_of(const Place& place) const;
  Result<void> release(VmId id);

  State state_;
  WallTime now_;
  std::vector<Change> changes_;
};

}  // namespace blixard::cluster
