#include "core/sched/feasible.h"

#include <algorithm>
#include <utility>

namespace blixard::sched {

namespace {

using Kind = Obstacle::Kind;

// Both until `visit` has enough (false). Return whether it has not.
template <class Visit>
bool each_of_locality(const FleetNode& node, const cluster::Locality& wanted,
                      const cluster::PlacementPolicy& policy, Visit visit) {
  const cluster::Topology& place = node.topology;
  const auto found = [&](Kind kind, std::int64_t number, const Name& name) {
    return visit(Obstacle{.kind = kind, .number = number, .name = name, .lack = {}});
  };
  const bool is_excluded = std::ranges::find(wanted.excluded_datacenters, place.datacenter) !=
                           wanted.excluded_datacenters.end();
  const bool is_elsewhere =
      wanted.strict && !wanted.datacenter.empty() && place.datacenter != wanted.datacenter;
  if ((is_excluded || is_elsewhere) && !found(Kind::kDatacenter, 0, place.datacenter)) return false;
  const bool is_other_zone = wanted.strict && !wanted.zone.empty() && place.zone != wanted.zone;
  if (is_other_zone && !found(Kind::kZone, 0, place.zone)) return false;
  if (wanted.max_latency_ms == 0 || wanted.datacenter.empty()) return true;
  const auto ms = latency_ms(policy, wanted.datacenter, place.datacenter);
  if (ms && *ms <= wanted.max_latency_ms) return true;
  return found(Kind::kLatency, ms ? std::int64_t{*ms} : -1, place.datacenter);
}

template <class Visit>
bool each_lasting(const Fleet& fleet, NodeIndex at, const Shape& shape, Visit visit) {
  const auto found = [&](Kind kind, std::size_t number, const Name& name) {
    return visit(Obstacle{
        .kind = kind, .number = static_cast<std::int64_t>(number), .name = name, .lack = {}});
  };
  const FleetNode& node = fleet.node(at);
  const bool is_closed = node.closed != Closed::kOpen;
  if (is_closed &&
      !visit(Obstacle{.kind = Kind::kClosed, .closed = node.closed, .name = {}, .lack = {}})) {
    return false;
  }
  const bool is_other = !shape.architecture.empty() && !node.architecture.empty() &&
                        shape.architecture != node.architecture;
  if (is_other && !found(Kind::kArchitecture, 0, {})) return false;
  const bool is_manual = shape.strategy == cluster::Strategy::kManual;
  if (shape.wishes.is_default() && node.taints.empty() && !is_manual) return true;
  const cluster::Wishes& wishes = *shape.wishes;
  const bool is_named = is_manual || !wishes.node.empty();
  if (is_named && node.name != wishes.node && !found(Kind::kNotNamed, 0, wishes.node)) return false;
  for (std::size_t number = 0; number < node.taints.size(); ++number) {
    const cluster::Taint& taint = node.taints[number];
    const bool is_tolerated = std::ranges::any_of(
        wishes.tolerations, [&](const auto& each) { return each.tolerates(taint); });
    if (taint.effect != cluster::TaintEffect::kRefuse || is_tolerated) continue;
    if (!found(Kind::kTaint, number, {})) return false;
  }
  for (std::size_t number = 0; number < shape.constraints.size(); ++number) {
    if (shape.constraints[number].holds(node.attributes)) continue;
    if (!found(Kind::kConstraint, number, {})) return false;
  }
  return each_of_locality(node, wishes.locality, fleet.policy(), visit);
}

}  // namespace

std::optional<std::uint32_t> latency_ms(const cluster::PlacementPolicy& policy, const Name& a,
                                        const Name& b) {
  if (a == b) return 0;
  for (const cluster::Latency& each : policy.latencies)
    if ((each.a == a && each.b == b) || (each.a == b && each.b == a)) return each.ms;
  return std::nullopt;
}

std::optional<Obstacle> lasting_obstacle(const Fleet& fleet, NodeIndex at, const Shape& shape) {
  const bool is_of_another = !shape.architecture.empty() && !fleet.architecture(at).empty() &&
                             shape.architecture != fleet.architecture(at);
  const bool asks_nothing =
      shape.wishes.is_default() && shape.strategy != cluster::Strategy::kManual;
  if (fleet.is_plain(at) && asks_nothing && !is_of_another) return std::nullopt;
  std::optional<Obstacle> first;
  each_lasting(fleet, at, shape, [&](Obstacle obstacle) {
    first = std::move(obstacle);
    return false;
  });
  return first;
}

std::vector<Obstacle> obstacles(const Fleet& fleet, NodeIndex at, const Shape& shape) {
  std::vector<Obstacle> all;
  each_lasting(fleet, at, shape, [&](Obstacle obstacle) {
    all.push_back(std::move(obstacle));
    return true;
  });
  for (resources::Lack& lack : fleet.room(at).lacks(shape.demand))
    all.push_back({.kind = Kind::kRoom, .name = {}, .lack = std::move(lack)});
  return all;
}

bool has_room(const Fleet& fleet, NodeIndex at, const Shape& shape) {
  if (!shape.demand.amounts.fits(fleet.free(at))) return false;
  if (!shape.demand.counters.empty() || fleet.classes().size() == DeviceClasses::kMost)
    return fleet.room(at).fits(shape.demand);
  for (std::size_t each = 0; each < shape.serving.size(); ++each) {
    const resources::DeviceNeed& need = shape.demand.devices[each];
    std::uint32_t serving = 0;
    for (const DeviceSlot& slot : fleet.devices(at)) {
      const bool is_asked = ((shape.serving[each] >> slot.device_class) & 1) != 0;
      serving += is_asked && slot.free_milli >= need.milli ? 1 : 0;
    }
    if (serving < need.count) return false;
  }
  return true;
}

std::optional<Obstacle> obstacle(const Fleet& fleet, NodeIndex at, const Shape& shape) {
  if (auto lasting = lasting_obstacle(fleet, at, shape)) return lasting;
  if (has_room(fleet, at, shape)) return std::nullopt;
  if (auto lack = fleet.room(at).lack(shape.demand))
    return Obstacle{.kind = Kind::kRoom, .name = {}, .lack = std::move(*lack)};
  return std::nullopt;
}

}  // namespace blixard::sched
