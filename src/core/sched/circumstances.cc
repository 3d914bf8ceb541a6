#include "core/sched/circumstances.h"

#include <algorithm>

#include "base/bug.h"
#include "core/cluster/groups.h"
#include "core/sched/strategy.h"

namespace blixard::sched {

namespace {

using cluster::GroupRule;
using cluster::GroupRuleKind;
using Kind = Obstacle::Kind;

}  // namespace

void Circumstances::count(const Request& request, NodeId node) {
  for (const Name& group : request.wishes->groups)
    ++planned_[group][node];
}

void Circumstances::withdraw(const Request& request, NodeId node) {
  for (const Name& group : request.wishes->groups)
    --planned_[group][node];
}

// Counts wrap around: what is taken off here is among what the state counts.
void Circumstances::leave_out(const Request& request, NodeId node) {
  left_out_on_ = node;
  withdraw(request, node);
}

std::uint32_t Circumstances::cap_of(const Request& request) const {
  if (state_ == nullptr || state_->tenants().empty()) return 0;
  const cluster::Tenant* tenant = state_->find_tenant(cluster::tenant_of(*request.wishes));
  return tenant == nullptr ? 0 : tenant->quota.vms_per_node;
}

bool Circumstances::matter_to(const Request& request) const {
  if (!request.ports.empty() || request.saved != nullptr) return true;
  if (state_ == nullptr) return false;
  return !request.wishes->groups.empty() || !state_->reservations().empty() || cap_of(request) != 0;
}

std::uint32_t Circumstances::members_in(const Name& group, const cluster::Node& node,
                                        cluster::TopologyLevel level) const {
  std::uint32_t count = state_->members_in(group, node, level);
  const auto planned = planned_.find(group);
  if (planned == planned_.end()) return count;
  for (const auto& [id, members] : planned->second) {
    const cluster::Node* other = state_->find_node(id);
    if (other != nullptr && cluster::same_domain(*other, node, level)) count += members;
  }
  return count;
}

std::uint32_t Circumstances::members(const Name& group) const {
  const cluster::GroupMembers* placed = state_->members_of(group);
  std::uint32_t count = placed == nullptr ? 0 : placed->placed;
  const auto planned = planned_.find(group);
  if (planned == planned_.end()) return count;
  for (const auto& [id, members] : planned->second)
    count += members;
  return count;
}

std::uint32_t Circumstances::excess(const cluster::PlacementGroup& group, const GroupRule& rule,
                                    const Request& request, const cluster::Node& node) const {
  const auto& own = request.wishes->groups;
  switch (rule.kind) {
    case GroupRuleKind::kSpread: {
      const std::uint32_t here = members_in(group.name, node, rule.level);
      return here < rule.max ? 0 : here - rule.max + 1;
    }
    case GroupRuleKind::kTogether:
      return members(group.name) - members_in(group.name, node, rule.level);
    case GroupRuleKind::kNear: {
      const bool is_itself = std::ranges::find(own, rule.other) != own.end();
      return is_itself || members_in(rule.other, node, rule.level) != 0 ? 0 : 1;
    }
    case GroupRuleKind::kAway:
      return members_in(rule.other, node, rule.level);
  }
  return 0;
}

// Of its groups, and of those that keep away from them. `visit` gets the group that is to be kept
// away from, for those.
template <class Visit>
void Circumstances::each_rule(const Request& request, Visit visit) const {
  for (const Name& name : request.wishes->groups) {
    const cluster::PlacementGroup* group = state_->find_group(name);
    if (group == nullptr) continue;
    for (const GroupRule& rule : group->rules)
      visit(*group, rule, false);
    for (const Name& naming : state_->groups_naming(name)) {
      const cluster::PlacementGroup* other = state_->find_group(naming);
      for (const GroupRule& rule : other->rules)
        if (rule.kind == GroupRuleKind::kAway && rule.other == name) visit(*other, rule, true);
    }
  }
}

template <class Visit>
bool Circumstances::each_reserved(const Fleet& fleet, NodeIndex at, const Request& request,
                                  Visit visit) const {
  const NodeId id = fleet.node(at).id;
  if (state_->reservations_on(id).empty()) return true;
  const resources::Amounts held =
      state_->held_back(id, request.wishes->tenant, request.wishes->priority);
  const resources::Amounts& room = fleet.room(at).amounts();
  for (const resources::Kind kind : resources::kKinds) {
    const std::int64_t needed = request.demand.amounts.of(kind);
    const std::int64_t left = room.of(kind) - held.of(kind);
    if (needed == 0 || needed <= left) continue;
    const bool goes_on =
        visit({.kind = Kind::kReserved,
               .number = held.of(kind),
               .name = {},
               .lack = {.kind = kind, .name = {}, .needed = needed, .left = left}});
    if (!goes_on) return false;
  }
  return true;
}

template <class Visit>
bool Circumstances::each_obstacle(const Fleet& fleet, NodeIndex at, const Request& request,
                                  Visit visit) const {
  const NodeId id = fleet.node(at).id;
  const bool was_there = left_out_on_ && left_out_on_ == id;
  if (auto found = unfit(id, request); found && !visit(*std::move(found))) return false;
  for (const std::uint16_t port : request.ports) {
    const bool is_taken = fleet.is_taken(at, port) ||
                          (state_ != nullptr && !was_there && state_->is_port_taken(id, port));
    if (!is_taken || BLX_BUG(kIgnoresTakenPorts)) continue;
    if (!visit({.kind = Kind::kPort, .number = port, .name = {}, .lack = {}})) return false;
  }
  if (state_ == nullptr) return true;
  if (!each_reserved(fleet, at, request, visit)) return false;
  if (const std::uint32_t cap = cap_of(request); cap != 0) {
    const Name& tenant = request.wishes->tenant;
    const std::uint32_t vms =
        state_->share_of(id, tenant).vms + fleet.vms_of(at, tenant) - (was_there ? 1 : 0);
    if (vms >= cap && !visit({.kind = Kind::kTenant, .number = vms, .name = tenant, .lack = {}}))
      return false;
  }
  const cluster::Node* node = state_->find_node(id);
  if (request.wishes->groups.empty() || node == nullptr) return true;
  bool goes_on = true;
  each_rule(request, [&](const cluster::PlacementGroup& group, const GroupRule& rule, bool away) {
    if (!goes_on || !rule.hard) return;
    const bool is_broken = away ? members_in(group.name, *node, rule.level) != 0
                                : excess(group, rule, request, *node) != 0;
    if (!is_broken) return;
    goes_on = visit({.kind = Kind::kGroup,
                     .number = &rule - group.rules.data(),
                     .name = group.name,
                     .lack = {}});
  });
  return goes_on;
}

std::optional<Obstacle> Circumstances::unfit(NodeId node, const Request& request) const {
  if (request.saved == nullptr || state_ == nullptr) return std::nullopt;
  const cluster::Node* host = state_->find_node(node);
  if (host != nullptr && cluster::fits(*request.saved, *host)) return std::nullopt;
  return Obstacle{.kind = Kind::kSavedState, .name = {}, .lack = {}};
}

std::optional<Obstacle> Circumstances::obstacle(const Fleet& fleet, NodeIndex at,
                                                const Request& request) const {
  std::optional<Obstacle> first;
  each_obstacle(fleet, at, request, [&](Obstacle obstacle) {
    first = std::move(obstacle);
    return false;
  });
  return first;
}

std::vector<Obstacle> Circumstances::obstacles(const Fleet& fleet, NodeIndex at,
                                               const Request& request) const {
  std::vector<Obstacle> all;
  each_obstacle(fleet, at, request, [&](Obstacle obstacle) {
    all.push_back(std::move(obstacle));
    return true;
  });
  return all;
}

Score Circumstances::penalty(const Fleet& fleet, NodeIndex at, const Request& request) const {
  if (state_ == nullptr || request.wishes->groups.empty()) return 0;
  const cluster::Node* node = state_->find_node(fleet.node(at).id);
  Score sum = 0;
  each_rule(request, [&](const cluster::PlacementGroup& group, const GroupRule& rule, bool away) {
    if (rule.hard || node == nullptr) return;
    const std::uint32_t far =
        away ? members_in(group.name, *node, rule.level) : excess(group, rule, request, *node);
    // A tenth of the weight for each member too many.
    sum += Score{rule.weight} * far * (kPoint / 10);
  });
  return sum;
}

}  // namespace blixard::sched
