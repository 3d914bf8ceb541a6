// Rules to compare with: best-fit, and a random node.

#include <algorithm>

#include "app/vopr/place_trace.h"

namespace blixard::app {
namespace {

constexpr std::int64_t kMillion = 1'000'000;

std::int64_t free_gpus(const sched::Fleet& fleet, sched::NodeIndex at) {
  std::int64_t sum = 0;
  for (const sched::DeviceSlot& slot : fleet.devices(at))
    sum += slot.free_milli;
  return sum;
}

// What would be left, each resource in the most that any node has of it. Less is better.
class BestFit {
 public:
  explicit BestFit(const sched::Fleet& fleet) : fleet_(fleet) {
    for (sched::NodeIndex at = 0; at < fleet.size(); ++at) {
      const resources::Supply& supply = fleet.node(at).supply;
      most_.cpu_milli = std::max(most_.cpu_milli, supply.amounts.cpu_milli);
      most_.memory_mib = std::max(most_.memory_mib, supply.amounts.memory_mib);
      most_gpus_ = std::max(most_gpus_, static_cast<std::int64_t>(fleet.devices(at).size()));
    }
  }
  [[nodiscard]] std::int64_t left(sched::NodeIndex at) const {
    const resources::Amounts& free = fleet_.room(at).amounts();
    return free.cpu_milli * kMillion / std::max<std::int64_t>(most_.cpu_milli, 1) +
           free.memory_mib * kMillion / std::max<std::int64_t>(most_.memory_mib, 1) +
           free_gpus(fleet_, at) * (kMillion / 1000) / std::max<std::int64_t>(most_gpus_, 1);
  }

 private:
  const sched::Fleet& fleet_;
  resources::Amounts most_;
  std::int64_t most_gpus_ = 0;
};

// Xorshift (Marsaglia 2003); never 0.
std::uint64_t draw(std::uint64_t& random) {
  if (random == 0) random = 1;
  random ^= random << 13;
  random ^= random >> 7;
  random ^= random << 17;
  return random;
}

}  // namespace

std::string_view rival_name(Rival rival) {
  return rival == Rival::kBestFit ? "best-fit" : "random";
}

sched::Decision decide_as(Rival rival, const sched::Fleet& fleet, const sched::Request& request,
                          std::uint64_t& random) {
  const BestFit best_fit(fleet);
  sched::NodeIndex chosen = sched::kNoNode;
  std::int64_t least = 0;
  std::uint64_t feasible = 0;
  for (sched::NodeIndex at = 0; at < fleet.size(); ++at) {
    if (!fleet.room(at).fits(request.demand)) continue;
    ++feasible;
    if (rival == Rival::kRandom) {
      if (draw(random) % feasible == 0) chosen = at;
      continue;
    }
    const std::int64_t left = best_fit.left(at);
    if (chosen == sched::kNoNode || left < least) {
      chosen = at;
      least = left;
    }
  }
  if (chosen == sched::kNoNode) return {};
  return {.at = chosen, .devices = fleet.room(chosen).choose_devices(request.demand)};
}

}  // namespace blixard::app
