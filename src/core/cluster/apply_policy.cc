// What operators decide for the whole cluster: the policy, groups, tenants, reservations.

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/groups.h"
#include "core/cluster/policy_codec.h"
#include "core/cluster/reasons.h"
#include "core/cluster/state.h"

namespace blixard::cluster {

namespace {

constexpr std::uint64_t kByName = 0;  // objects that have no id

std::unexpected<Error> no_group(std::string_view name) {
  return fail(Code::kNotFound, reason::kGroupNotFound,
              fmt::format("no placement group is named {}", name));
}

std::unexpected<Error> too_many(const char* reason, std::size_t count, std::string_view what) {
  return fail(Code::kResourceExhausted, reason,
              fmt::format("there are {} {}, the most possible", count, what));
}

}  // namespace

Result<std::uint64_t> State::carry_out(const v1::SetPolicy& command, const Step& step) {
  BLX_TRY(PlacementPolicy policy, read_policy(command.policy()));
  if (policy != policy_) {
    policy_ = std::move(policy);
    announce(Change::Kind::kPolicyChanged, kByName, Name(), step);
  }
  return kByName;
}

// Groups. Members that break a rule which is set now stay where they are.

Result<std::uint64_t> State::carry_out(const v1::SetGroup& command, const Step& step) {
  BLX_TRY(PlacementGroup group, read_group(command.group()));
  const auto known = groups_.find(group.name);
  if (known != groups_.end() && known->second == group) return kByName;
  for (const GroupRule& rule : group.rules)
    if (!rule.other.empty() && !groups_.contains(rule.other)) return no_group(rule.other);
  if (const std::string cycle = cycle_through(group, groups_); !cycle.empty()) {
    return fail(
        Code::kInvalidArgument, reason::kGroupCycle,
        fmt::format("each waits for the next to be placed: {}: make one of the rules soft", cycle));
  }
  if (known == groups_.end() && groups_.size() >= limits::kPlacementGroups) {
    return too_many(reason::kTooManyGroups, groups_.size(), "placement groups");
  }
  const Name name = group.name;
  put(std::move(group));
  announce(Change::Kind::kGroupChanged, kByName, name, step);
  return kByName;
}

Result<std::uint64_t> State::carry_out(const v1::RemoveGroup& command, const Step& step) {
  BLX_TRY(check_name(command.name()));
  const auto found = groups_.find(Name::find(command.name()));
  if (found == groups_.end()) return no_group(command.name());
  const Name name = found->first;
  if (const GroupMembers* members = vms_.members(name)) {
    return fail(Code::kFailedPrecondition, reason::kGroupInUse,
                fmt::format("{} VMs are in group {}",
                            members->placed + members->pending + members->suspended, name));
  }
  if (const auto& naming = groups_naming(name); !naming.empty()) {
    return fail(Code::kFailedPrecondition, reason::kGroupInUse,
                fmt::format("a rule of group {} names group {}", *naming.begin(), name));
  }
  forget_naming(found->second);
  groups_.erase(found);
  announce(Change::Kind::kGroupRemoved, kByName, name, step);
  return kByName;
}

// Tenants. VMs may name one that is not set: it has no limits.

Result<std::uint64_t> State::carry_out(const v1::SetTenant& command, const Step& step) {
  BLX_TRY(Tenant tenant, read_tenant(command.tenant()));
  const auto known = tenants_.find(tenant.name);
  if (known == tenants_.end() && tenants_.size() >= limits::kTenants) {
    return too_many(reason::kTooManyTenants, tenants_.size(), "tenants");
  }
  const Tenant before = known == tenants_.end() ? Tenant() : known->second;
  const WallTime now = step.time;
  tenant.creates_left = before.creates_left.under(before.creates, tenant.creates, now);
  tenant.starts_left = before.starts_left.under(before.starts, tenant.starts, now);
  tenant.deletes_left = before.deletes_left.under(before.deletes, tenant.deletes, now);
  tenant.preemptions_left =
      before.preemptions_left.under(preemption_rate(before), preemption_rate(tenant), now);
  if (tenant == before) return kByName;
  const Name name = tenant.name;
  tenants_.insert_or_assign(name, std::move(tenant));
  announce(Change::Kind::kTenantChanged, kByName, name, step);
  return kByName;
}

Result<std::uint64_t> State::carry_out(const v1::RemoveTenant& command, const Step& step) {
  BLX_TRY(check_name(command.name()));
  const auto found = tenants_.find(Name::find(command.name()));
  if (found == tenants_.end()) {
    return fail(Code::kNotFound, reason::kTenantNotFound,
                fmt::format("no tenant is named {}", command.name()));
  }
  const Name name = found->first;
  tenants_.erase(found);
  announce(Change::Kind::kTenantRemoved, kByName, name, step);
  return kByName;
}

// Reservations.

Result<void> State::check_reservation_fits(const Reservation& reservation, const Node& node) const {
  resources::Amounts own = reservation.amounts;
  for (const Name& name : reservations_on(node.id)) {
    const Reservation& other = reservations_.at(name);
    if (other.tenant == reservation.tenant) own += other.amounts;
  }
  const Name tenant = reservation.tenant == kDefaultTenant ? Name() : reservation.tenant;
  const resources::Amounts left = room_on(node).amounts() - held_back(node.id, tenant, 0);
  const resources::Amounts needed = unused(reservation.tenant, node.id, own);
  for (const resources::Kind kind : resources::kKinds) {
    if (reservation.amounts.of(kind) == 0 || needed.of(kind) <= left.of(kind)) continue;
    return fail(Code::kResourceExhausted, reason::kNodeFull,
                fmt::format("{} of node {} would be kept for tenant {}, {} is left",
                            resources::amount_text(kind, needed.of(kind)), node.name,
                            reservation.tenant, resources::amount_text(kind, left.of(kind))));
  }
  return {};
}

Result<std::uint64_t> State::carry_out(const v1::SetReservation& command, const Step& step) {
  BLX_TRY(Reservation reservation, read_reservation(command.reservation()));
  const std::int64_t lifetime_ms = command.reservation().lifetime_ms();
  if (lifetime_ms < 0 || lifetime_ms > limits::kReservationMax / 1ms) {
    return fail(Code::kInvalidArgument, reason::kReservationInvalid,
                fmt::format("lifetime_ms: {} is not between 0 and {}", lifetime_ms,
                            limits::kReservationMax / 1ms));
  }
  if (lifetime_ms != 0) reservation.expires = {.unix_ms = step.time.unix_ms + lifetime_ms};
  BLX_TRY(const Node* node, member(reservation.node));
  if (const Reservation* known = find_reservation(reservation.name)) {
    Reservation renewed = *known;
    renewed.expires = reservation.expires;
    if (renewed != reservation) {
      return fail(Code::kAlreadyExists, reason::kReservationExists,
                  fmt::format("reservation {} exists with other content: remove it first",
                              reservation.name));
    }
    if (reservation == *known) return kByName;
  } else {
    if (node->leaving) {
      return fail(Code::kFailedPrecondition, reason::kNodeLeaving,
                  fmt::format("node {} is being removed", node->name));
    }
    if (reservations_.size() >= limits::kReservations) {
      return too_many(reason::kTooManyReservations, reservations_.size(), "reservations");
    }
    BLX_TRY(check_reservation_fits(reservation, *node));
  }
  put(reservation);
  announce(Change::Kind::kReservationChanged, kByName, reservation.name, step);
  return kByName;
}

Result<std::uint64_t> State::carry_out(const v1::RemoveReservation& command, const Step& step) {
  BLX_TRY(check_name(command.name()));
  const Reservation* reservation = find_reservation(command.name());
  if (reservation == nullptr) {
    return fail(Code::kNotFound, reason::kReservationNotFound,
                fmt::format("no reservation is named {}", command.name()));
  }
  const bool is_over = reservation->expires != WallTime{} && reservation->expires <= step.time;
  if (command.expired() && !is_over) {
    return fail(Code::kFailedPrecondition, reason::kReservationNotExpired,
                fmt::format("the time of reservation {} is not over", reservation->name));
  }
  const Name name = reservation->name;
  erase_reservation(name);
  announce(Change::Kind::kReservationRemoved, kByName, name, step);
  return kByName;
}

}  // namespace blixard::cluster
