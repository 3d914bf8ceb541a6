// What the state answers about placement, and what it keeps for that beside its objects.

#include <algorithm>
#include <map>

#include "core/cluster/groups.h"
#include "core/cluster/state.h"

namespace blixard::cluster {

resources::Room State::room_on(const Node& node) const {
  resources::Room room(offered_by(node, policy_.overcommit));
  resources::Demand taken{.amounts = vms_.promised(node.id).taken(policy_.overcommit),
                          .counters = vms_.counters_taken(node.id)};
  resources::DeviceNumbers numbers;
  const std::vector<std::int32_t>& devices = vms_.devices_taken(node.id);
  for (std::size_t number = 0; number < devices.size(); ++number) {
    if (devices[number] == 0) continue;
    taken.devices.push_back({.milli = devices[number]});
    numbers.push_back(static_cast<std::uint16_t>(number));
  }
  room.take(taken, numbers);
  return room;
}

resources::Amounts State::held_back(NodeId node, const Name& tenant, std::uint32_t priority) const {
  resources::Amounts held;
  if (reservations_on(node).empty()) return held;
  std::map<Name, resources::Amounts> by_owner;
  const std::string_view own = tenant.empty() ? kDefaultTenant : std::string_view(tenant);
  for (const Name& name : reservations_on(node)) {
    const Reservation& reservation = reservations_.at(name);
    if (reservation.tenant == own || reservation.priority < priority) continue;
    by_owner[reservation.tenant] += reservation.amounts;
  }
  for (const auto& [owner, reserved] : by_owner)
    held += unused(owner, node, reserved);
  return held;
}

resources::Amounts State::unused(const Name& owner, NodeId node,
                                 const resources::Amounts& reserved) const {
  const TenantShare share = vms_.share(node, owner == kDefaultTenant ? Name() : owner);
  const resources::Amounts used = share.promised.taken(policy_.overcommit);
  const auto left = [&](resources::Kind kind) {
    return std::max<std::int64_t>(reserved.of(kind) - used.of(kind), 0);
  };
  return {.cpu_milli = left(resources::Kind::kCpu),
          .memory_mib = left(resources::Kind::kMemory),
          .disk_mib = left(resources::Kind::kDisk),
          .network_mbit = left(resources::Kind::kNetwork)};
}

const PlacementGroup* State::find_group(std::string_view name) const {
  const auto found = groups_.find(Name::find(name));
  return found == groups_.end() ? nullptr : &found->second;
}

const Tenant* State::find_tenant(std::string_view name) const {
  const auto found = tenants_.find(Name::find(name));
  return found == tenants_.end() ? nullptr : &found->second;
}

const Reservation* State::find_reservation(std::string_view name) const {
  const auto found = reservations_.find(Name::find(name));
  return found == reservations_.end() ? nullptr : &found->second;
}

const std::set<Name>& State::reservations_on(NodeId node) const {
  static const std::set<Name> kNone;
  const auto found = reserved_on_.find(node);
  return found == reserved_on_.end() ? kNone : found->second;
}

const std::set<Name>& State::groups_naming(const Name& group) const {
  static const std::set<Name> kNone;
  const auto found = naming_.find(group);
  return found == naming_.end() ? kNone : found->second;
}

std::uint32_t State::members_in(const Name& group, const Node& node, TopologyLevel level) const {
  const GroupMembers* members = vms_.members(group);
  if (members == nullptr) return 0;
  if (level == TopologyLevel::kNode) {
    const auto found = members->on.find(node.id);
    return found == members->on.end() ? 0 : found->second;
  }
  std::uint32_t count = 0;
  for (const auto& [id, vms] : members->on)
    if (same_domain(nodes_.at(id), node, level)) count += vms;
  return count;
}

void State::put(PlacementGroup group) {
  if (const auto before = groups_.find(group.name); before != groups_.end()) {
    forget_naming(before->second);
  }
  for (const GroupRule& rule : group.rules)
    if (!rule.other.empty()) naming_[rule.other].insert(group.name);
  const Name name = group.name;
  groups_.insert_or_assign(name, std::move(group));
}

void State::forget_naming(const PlacementGroup& group) {
  for (const GroupRule& rule : group.rules) {
    const auto found = naming_.find(rule.other);
    if (found == naming_.end()) continue;
    found->second.erase(group.name);
    if (found->second.empty()) naming_.erase(found);
  }
}

void State::put(const Reservation& reservation) {
  reservations_.insert_or_assign(reservation.name, reservation);
  reserved_on_[reservation.node].insert(reservation.name);
}

void State::erase_reservation(const Name& name) {
  const auto found = reservations_.find(name);
  const auto on = reserved_on_.find(found->second.node);
  on->second.erase(name);
  if (on->second.empty()) reserved_on_.erase(on);
  reservations_.erase(found);
}

void State::revise(Node& node) const {
  if (model_version_ >= kPlacementVersion) ++node.revision;
}

}  // namespace blixard::cluster
