#include "core/sched/feasible.h"

#include <algorithm>

namespace blixard::sched {

namespace {

using Kind = Obstacle::Kind;

std::optional<Obstacle> locality_obstacle(const FleetNode& node, const cluster::Locality& wanted,
                                          const cluster::PlacementPolicy& policy) {
  const cluster::Topology& place = node.topology;
  const bool is_excluded = std::ranges::find(wanted.excluded_datacenters, place.datacenter) !=
                           wanted.excluded_datacenters.end();
  const bool is_elsewhere =
      wanted.strict && !wanted.datacenter.empty() && place.datacenter != wanted.datacenter;
  if (is_excluded || is_elsewhere)
    return Obstacle{.kind = Kind::kDatacenter, .name = place.datacenter, .lack = {}};
  if (wanted.strict && !wanted.zone.empty() && place.zone != wanted.zone)
    return Obstacle{.kind = Kind::kZone, .name = place.zone, .lack = {}};
  if (wanted.max_latency_ms == 0 || wanted.datacenter.empty()) return std::nullopt;
  const auto ms = latency_ms(policy, wanted.datacenter, place.datacenter);
  if (ms && *ms <= wanted.max_latency_ms) return std::nullopt;
  return Obstacle{.kind = Kind::kLatency,
                  .number = ms ? std::int64_t{*ms} : -1,
                  .name = place.datacenter,
                  .lack = {}};
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
  const FleetNode& node = fleet.node(at);
  if (node.closed != Closed::kOpen)
    return Obstacle{.kind = Kind::kClosed, .closed = node.closed, .name = {}, .lack = {}};
  if (!shape.architecture.empty() && !node.architecture.empty() &&
      shape.architecture != node.architecture)
    return Obstacle{.kind = Kind::kArchitecture, .name = {}, .lack = {}};
  const bool is_manual = shape.strategy == cluster::Strategy::kManual;
  if (shape.wishes.is_default() && node.taints.empty() && !is_manual) return std::nullopt;
  const cluster::Wishes& wishes = *shape.wishes;
  const bool is_named = is_manual || !wishes.node.empty();
  if (is_named && node.name != wishes.node)
    return Obstacle{.kind = Kind::kNotNamed, .name = wishes.node, .lack = {}};
  for (std::size_t number = 0; number < node.taints.size(); ++number) {
    const cluster::Taint& taint = node.taints[number];
    const bool is_tolerated = std::ranges::any_of(
        wishes.tolerations, [&](const auto& each) { return each.tolerates(taint); });
    if (taint.effect != cluster::TaintEffect::kRefuse || is_tolerated) continue;
    return Obstacle{
        .kind = Kind::kTaint, .number = static_cast<std::int64_t>(number), .name = {}, .lack = {}};
  }
  for (std::size_t number = 0; number < shape.constraints.size(); ++number) {
    if (shape.constraints[number].holds(node.attributes)) continue;
    return Obstacle{.kind = Kind::kConstraint,
                    .number = static_cast<std::int64_t>(number),
                    .name = {},
                    .lack = {}};
  }
  return locality_obstacle(node, wishes.locality, fleet.policy());
}

bool has_room(const Fleet& fleet, NodeIndex at, const Shape& shape) {
  const resources::Room& room = fleet.room(at);
  if (!shape.demand.amounts.fits(room.amounts())) return false;
  if (!shape.demand.counters.empty() || fleet.classes().size() == DeviceClasses::kMost)
    return room.fits(shape.demand);
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
