// The commands that give VMs to nodes and take them back: what a plan said is checked again.

#include <algorithm>
#include <ranges>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/bug.h"
#include "base/limits.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/codec.h"
#include "core/cluster/groups.h"
#include "core/cluster/reasons.h"
#include "core/cluster/state.h"
#include "core/cluster/text.h"
#include "core/cluster/wishes_codec.h"

namespace blixard::cluster {

namespace {

std::string lack_text(const resources::Lack& lack) {
  using What = resources::Lack::What;
  switch (lack.what) {
    case What::kAmount:
      return fmt::format("{} is needed, {} left", resources::amount_text(lack.kind, lack.needed),
                         resources::amount_text(lack.kind, lack.left));
    case What::kCounter:
      return fmt::format("{} of {} are needed, {} left", lack.needed, lack.name, lack.left);
    case What::kDevice:
      return fmt::format("{} of device {} are needed, {} left", lack.needed, lack.name, lack.left);
    case What::kDeviceModel:
      return fmt::format("no device {} is of a model that will do", lack.name);
  }
  return "";
}

std::unexpected<Error> node_full(const Node& node, const Vm& vm, std::string_view why) {
  return fail(Code::kResourceExhausted, reason::kNodeFull,
              fmt::format("node {} has no room for VM {}: {}", node.name, vm.name, why));
}

// Nothing: a number is none of any device.
std::optional<resources::DeviceNumbers> read_devices(const v1::PlaceVm& command) {
  resources::DeviceNumbers numbers;
  for (const std::uint32_t number : command.devices()) {
    if (number >= limits::kNodeDevices) return std::nullopt;
    numbers.push_back(static_cast<std::uint16_t>(number));
  }
  return numbers;
}

bool is_member(const Vm& vm, const Name& group) {
  return std::ranges::find(vm.spec.wishes->groups, group) != vm.spec.wishes->groups.end();
}

}  // namespace

Result<const Node*> State::node_to_place_on(const v1::PlaceVm& command, const Vm& vm) const {
  const Node* node = find_node(NodeId(command.node_id()));
  if (node == nullptr) {
    return fail(Code::kNotFound, reason::kNodeNotFound,
                fmt::format("no node has id {}", command.node_id()));
  }
  if (node->leaving && !BLX_BUG(kPlacesOnLeaving)) {
    return fail(Code::kFailedPrecondition, reason::kNodeLeaving,
                fmt::format("node {} is being removed", node->name));
  }
  if (!takes_vms(*node) && !node->leaving) {
    return fail(Code::kFailedPrecondition, reason::kNodeClosed,
                fmt::format("node {} {}", node->name, closed_text(*node)));
  }
  if (command.node_revision() != 0 && command.node_revision() != node->revision) {
    return fail(Code::kAborted, reason::kNodeChanged,
                fmt::format("node {} is at revision {}, not {}", node->name, node->revision,
                            command.node_revision()));
  }
  if (const Taint* taint = refusing_taint(*node, *vm.spec.wishes)) {
    return fail(Code::kFailedPrecondition, reason::kNodeTainted,
                fmt::format("node {} has the taint {}={}, which VM {} does not tolerate",
                            node->name, taint->key, taint->value, vm.name));
  }
  if (const SavedGuest* saved = resumes_from(vm)) BLX_TRY(check_fits(vm, *saved, *node));
  return node;
}

Result<resources::DeviceNumbers> State::check_room(const v1::PlaceVm& command, const Vm& vm,
                                                   const Node& node) const {
  const resources::Room room = room_on(node);
  const resources::Demand demand = demand_of(vm.spec, policy_.overcommit);
  if (const auto lack = room.lack(demand); lack && !BLX_BUG(kTrustsThePlan)) {
    return node_full(node, vm, lack_text(*lack));
  }
  auto devices = read_devices(command);
  if (devices && devices->empty() && !demand.devices.empty()) {
    devices = room.choose_devices(demand);
  }
  if (!devices || !room.serves(demand, *devices)) {
    return node_full(node, vm, "other devices than those of the plan are free");
  }
  if (const std::uint16_t port = taken_port(node.id, vm.spec); port != 0) {
    return fail(Code::kResourceExhausted, reason::kPortTaken,
                fmt::format("host port {} of node {} is taken", port, node.name));
  }
  BLX_TRY(check_reserved(vm, node, demand, room.amounts()));
  return std::move(*devices);
}

Result<void> State::check_reserved(const Vm& vm, const Node& node, const resources::Demand& demand,
                                   const resources::Amounts& room) const {
  if (reservations_on(node.id).empty()) return {};
  const Wishes& wishes = *vm.spec.wishes;
  const resources::Amounts held = held_back(node.id, wishes.tenant, wishes.priority);
  for (const resources::Kind kind : resources::kKinds) {
    const std::int64_t needed = demand.amounts.of(kind);
    if (needed == 0 || needed <= room.of(kind) - held.of(kind)) continue;
    return node_full(node, vm,
                     fmt::format("{} of {} left is reserved for other tenants",
                                 resources::amount_text(kind, held.of(kind)),
                                 resources::amount_text(kind, room.of(kind))));
  }
  return {};
}

Result<void> State::check_rule(const PlacementGroup& group, const GroupRule& rule, const Vm& vm,
                               const Node& node) const {
  const GroupMembers* members = vms_.members(group.name);
  const std::uint32_t here = members_in(group.name, node, rule.level);
  bool is_kept = true;
  switch (rule.kind) {
    case GroupRuleKind::kSpread:
      is_kept = here < rule.max;
      break;
    case GroupRuleKind::kTogether:
      is_kept = members == nullptr || here == members->placed;
      break;
    case GroupRuleKind::kNear:
      is_kept = members_in(rule.other, node, rule.level) != 0 || is_member(vm, rule.other);
      break;
    case GroupRuleKind::kAway:
      is_kept = members_in(rule.other, node, rule.level) == 0;
      break;
  }
  if (is_kept) return {};
  return fail(Code::kFailedPrecondition, reason::kGroupRule,
              fmt::format("group {}: {}, which {} would break", group.name, rule_text(rule),
                          domain_text(node, rule.level)));
}

// Away counts in both directions: neither may come to where the other is.
Result<void> State::check_groups(const Vm& vm, const Node& node) const {
  for (const Name& name : vm.spec.wishes->groups) {
    const PlacementGroup& group = groups_.at(name);
    for (const GroupRule& rule : group.rules)
      if (rule.hard) BLX_TRY(check_rule(group, rule, vm, node));
    for (const Name& naming : groups_naming(name)) {
      for (const GroupRule& rule : groups_.at(naming).rules) {
        const bool is_away = rule.hard && rule.kind == GroupRuleKind::kAway && rule.other == name;
        if (!is_away || members_in(naming, node, rule.level) == 0) continue;
        return fail(Code::kFailedPrecondition, reason::kGroupRule,
                    fmt::format("group {}: {}, which VM {} would break in {}", naming,
                                rule_text(rule), vm.name, domain_text(node, rule.level)));
      }
    }
  }
  return {};
}

Result<void> State::check_gangs(const Vm& vm, std::uint32_t more) const {
  for (const Name& name : vm.spec.wishes->groups) {
    const PlacementGroup& group = groups_.at(name);
    const GroupMembers* members = vms_.members(name);
    const std::uint32_t placed = members == nullptr ? 0 : members->placed;
    if (placed + more >= group.gang) continue;
    return fail(Code::kFailedPrecondition, reason::kGroupRule,
                fmt::format("group {}: {} are placed at once, this would make {}", name, group.gang,
                            placed + more));
  }
  return {};
}

Result<void> State::check_tenant_on(const Vm& vm, const Node& node) const {
  if (tenants_.empty()) return {};
  const Wishes& wishes = *vm.spec.wishes;
  const Tenant* tenant = find_tenant(tenant_of(wishes));
  if (tenant == nullptr || tenant->quota.vms_per_node == 0) return {};
  const std::uint32_t vms = vms_.share(node.id, wishes.tenant).vms;
  if (vms < tenant->quota.vms_per_node) return {};
  return fail(Code::kResourceExhausted, reason::kQuotaExceeded,
              fmt::format("tenant {} has {} of {} VMs on node {}: raise its quota or use another "
                          "node",
                          tenant->name, vms, tenant->quota.vms_per_node, node.name));
}

Result<const Vm*> State::place(const v1::PlaceVm& command, Gang gang, const Step& step) {
  BLX_TRY(const Vm* vm, pending_vm(VmId(command.vm_id()), Generation(command.generation())));
  BLX_TRY(const Node* node, node_to_place_on(command, *vm));
  BLX_TRY(auto devices, check_room(command, *vm, *node));
  BLX_TRY(check_groups(*vm, *node));
  BLX_TRY(check_tenant_on(*vm, *node));
  if (gang == Gang::kAlone) BLX_TRY(check_gangs(*vm, 1));
  return &vms_.change(vm->id, [&](Vm& placed) {
    placed.node = node->id;
    placed.devices = std::move(devices);
    placed.generation = placed.generation.next();
    placed.state = VmState::kPlaced;
    placed.reason.clear();
    placed.changed = step.time;
  });
}

Result<std::uint64_t> State::carry_out(const v1::PlaceVm& command, const Step& step) {
  BLX_TRY(const Vm* placed, place(command, Gang::kAlone, step));
  announce(Change::Kind::kVmChanged, placed->id.value, placed->name, step);
  return placed->id.value;
}

// One after the other, so that each is checked against what those before it took. When one is
// refused the others are taken back, and nobody has seen them.
Result<std::uint64_t> State::carry_out(const v1::PlaceGang& command, const Step& step) {
  const auto count = static_cast<std::size_t>(command.placements_size());
  if (count == 0 || count > limits::kGang) {
    return fail(Code::kInvalidArgument, reason::kPlacementInvalid,
                fmt::format("placements: {} of them, 1 to {} are possible", count, limits::kGang));
  }
  std::vector<Vm> before;
  const auto place_all = [&]() -> Result<void> {
    for (const v1::PlaceVm& placement : command.placements()) {
      const Vm* vm = find_vm(VmId(placement.vm_id()));
      if (vm != nullptr) before.push_back(*vm);
      if (auto placed = place(placement, Gang::kPart, step); !placed) {
        if (vm != nullptr) before.pop_back();
        return std::unexpected(placed.error());
      }
    }
    for (const Vm& vm : before)
      BLX_TRY(check_gangs(vm, 0));
    return {};
  };
  if (auto placed = place_all(); !placed) {
    for (const Vm& vm : before | std::views::reverse)
      vms_.change(vm.id, [&](Vm& now) { now = vm; });
    return std::unexpected(placed.error());
  }
  for (const Vm& vm : before)
    announce(Change::Kind::kVmChanged, vm.id.value, vm.name, step);
  return before.front().id.value;
}

Result<std::uint64_t> State::carry_out(const v1::ExplainPending& command, const Step& step) {
  BLX_TRY(const Vm* vm, pending_vm(VmId(command.vm_id()), Generation(command.generation())));
  std::string cleaned;
  const bool is_clean = is_bounded_text(command.reason(), limits::kReasonBytes);
  if (!is_clean) cleaned = bounded_text(command.reason(), limits::kReasonBytes);
  const std::string& text = is_clean ? command.reason() : cleaned;
  if (vm->reason != text) {
    change_vm(vm->id, step, [&](Vm& explained) { explained.reason = text; });
  }
  return vm->id.value;
}

// Evictions.

Result<void> State::may_preempt(const Vm& victim, const Vm& by) const {
  const auto refused = [&](std::string_view why) {
    return fail(Code::kFailedPrecondition, reason::kPreemptionRefused,
                fmt::format("VM {} makes no room for VM {}: {}", victim.name, by.name, why));
  };
  const Wishes& wishes = *victim.spec.wishes;
  if (policy_.preemption == PreemptionPolicy::kNever) return refused("the policy is never");
  if (by.state != VmState::kPending) {
    return fail(Code::kFailedPrecondition, reason::kVmNotPending,
                fmt::format("VM {} is {}", by.name, state_name(by.state)));
  }
  if (!wishes.preemptible) return refused("it is not preemptible");
  if (wishes.priority >= by.spec.wishes->priority) {
    return refused(
        fmt::format("its priority is {}, not below {}", wishes.priority, by.spec.wishes->priority));
  }
  // It stays where it is, and with it what it was promised.
  if (wishes.on_evict == OnEvict::kStop) return refused("it stops where it is");
  return {};
}

Result<std::uint64_t> State::carry_out(const v1::EvictVm& command, const Step& step) {
  const auto invalid = [](const char* field) {
    return fail(Code::kInvalidArgument, reason::kEvictionInvalid, field);
  };
  const auto cause = read_cause(command.cause());
  if (!cause) return invalid("cause");
  BLX_TRY(const Vm* vm, vm_at(VmId(command.vm_id()), Generation(command.generation())));
  if (!vm->node) {
    return fail(Code::kFailedPrecondition, reason::kVmNotPlaced,
                fmt::format("VM {} is on no node", vm->name));
  }
  if (vm->desired == VmDesired::kDeleted) {
    return fail(Code::kFailedPrecondition, reason::kVmBeingDeleted,
                fmt::format("VM {} is being deleted", vm->name));
  }
  if (vm->evicting) {
    return fail(Code::kFailedPrecondition, reason::kVmEvicting,
                fmt::format("VM {} is leaving node {} already", vm->name, vm->node.value));
  }
  const NodeId target(command.target_node_id());
  if (target && find_node(target) == nullptr) {
    return fail(Code::kNotFound, reason::kNodeNotFound,
                fmt::format("no node has id {}", target.value));
  }
  if (target == vm->node) return invalid("target_node_id: it is there");
  if (*cause == EvictCause::kDrain && !find_node(vm->node)->drain.is_under_way()) {
    return fail(Code::kAborted, reason::kDrainNotFound,
                fmt::format("node {} is not drained", vm->node.value));
  }
  const bool is_preemption = *cause == EvictCause::kPreemption;
  if (!is_preemption && command.by_vm_id() != 0) return invalid("by_vm_id: only of a preemption");
  Name by;
  if (is_preemption) {
    const Vm* other = find_vm(VmId(command.by_vm_id()));
    if (other == nullptr) return no_vm(VmId(command.by_vm_id()));
    BLX_TRY(may_preempt(*vm, *other));
    BLX_TRY(charge(*other->spec.wishes, Spending::kPreemption, step));
    by = other->name;
  }
  Eviction eviction{.cause = *cause,
                    .by = by,
                    .explanation = bounded_text(command.explanation(), limits::kReasonBytes),
                    .since = step.time,
                    .from = vm->node,
                    .target = target};
  change_vm(vm->id, step, [&](Vm& evicted) {
    evicted.eviction = std::move(eviction);
    if (evicted.spec.wishes->on_evict == OnEvict::kMove) {
      evicted.evicting = true;
    } else {
      evicted.desired = VmDesired::kStopped;
    }
  });
  return vm->id.value;
}

}  // namespace blixard::cluster
