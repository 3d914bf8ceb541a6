#pragma once

// Kinds of requests: what feasibility and score depend on, worked out once for all requests that
// are alike. At most kShapes are remembered; then all are forgotten, which costs time and changes
// no answer.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "core/cluster/wishes.h"
#include "core/sched/condition.h"
#include "core/sched/fleet.h"
#include "core/sched/score_index.h"

namespace blixard::sched {

struct Shape {
  resources::Demand demand;
  cluster::Shared<cluster::Wishes> wishes;
  Name image;
  Name architecture;  // of the image; empty: not told
  cluster::Strategy strategy{};
  std::vector<Condition> constraints;
  std::vector<Condition> preferences;

  // Against the classes of devices that the fleet had.
  RoomTree::Most need;
  std::vector<DeviceClassSet> serving;  // of each need of devices
  std::size_t classes = 0;

  // Fleet::growth() when no node had room. It needs no second look until that grows.
  std::uint64_t refused_at = 0;
  std::unique_ptr<ScoreIndex> index;  // null: not asked for yet
};

class Shapes {
 public:
  static constexpr std::size_t kShapes = 1024;

  // Valid until the next call.
  Shape& of(const Request& request, cluster::Strategy strategy, const DeviceClasses& classes);
  void forget();

 private:
  // To look up in only.
  boost::unordered_flat_map<std::string, std::unique_ptr<Shape>> by_key_;
};

}  // namespace blixard::sched
