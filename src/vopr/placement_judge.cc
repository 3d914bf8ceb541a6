#include "vopr/placement_judge.h"

#include <algorithm>
#include <set>
#include <string_view>

#include <fmt/format.h>

namespace blixard::vopr {
namespace {

using cluster::GroupRule;
using cluster::GroupRuleKind;
using cluster::Node;
using cluster::State;
using cluster::TopologyLevel;
using cluster::Vm;

bool is_in(const Vm& vm, std::string_view group) {
  return std::ranges::any_of(vm.spec.wishes->groups,
                             [&](const Name& name) { return name == group; });
}

bool is_same_domain(const Node& a, const Node& b, TopologyLevel level) {
  if (level == TopologyLevel::kNode) return a.id == b.id;
  bool is_same = a.topology.datacenter == b.topology.datacenter;
  if (level != TopologyLevel::kDatacenter) is_same &= a.topology.zone == b.topology.zone;
  if (level == TopologyLevel::kRack) is_same &= a.topology.rack == b.topology.rack;
  return is_same;
}

// Placed members of a group other than `vm`: in the domain of its node, and elsewhere.
struct Members {
  std::size_t near = 0;
  std::size_t far = 0;
};
Members others_in(const State& state, std::string_view group, const Vm& vm, TopologyLevel level) {
  Members members;
  const Node& here = *state.find_node(vm.node);
  for (const auto& [id, other] : state.vms()) {
    if (id == vm.id || !other.node || !is_in(other, group)) continue;
    ++(is_same_domain(here, *state.find_node(other.node), level) ? members.near : members.far);
  }
  return members;
}

std::string text_of(const Vm& vm) {
  return fmt::format("{} (id {}) on node {}", vm.name, vm.id.value, vm.node.value);
}

}  // namespace

void PlacementJudge::look(const State& state, const PlacementChanges& changes) {
  for (const Vm* vm : changes.created)
    check_quota(state, *vm);
  for (const Vm* vm : changes.placed) {
    const Node* node = state.find_node(vm->node);
    if (node == nullptr) continue;  // another judge says so
    check_capacity(state, *node);
    check_node(*vm, *node);
    check_groups(state, *vm);
    check_quota_on(state, *vm);
  }
  for (const Vm* vm : changes.evicted)
    if (vm->eviction->cause == cluster::EvictCause::kPreemption) check_preemption(state, *vm);
}

void PlacementJudge::check_capacity(const State& state, const Node& node) {
  if (node.registered.unix_ms == 0) return;
  const resources::Overcommit& overcommit = state.policy().overcommit;
  resources::Amounts promised;
  for (const auto& [id, vm] : state.vms())
    if (vm.node == node.id) promised += cluster::demand_of(vm.spec, overcommit).amounts;
  const resources::Amounts offered = cluster::offered_by(node, overcommit).amounts;
  if (promised.fits(offered)) return;
  recorder_.fail(
      "capacity",
      fmt::format("node {} offers {} MiB and {} vCPUs; {} MiB and {} vCPUs of it "
                  "are promised",
                  node.id.value, offered.memory_mib, cluster::whole_vcpus(offered.cpu_milli),
                  promised.memory_mib, cluster::whole_vcpus(promised.cpu_milli)));
}

void PlacementJudge::check_node(const Vm& vm, const Node& node) {
  const auto wrong = [&](std::string_view why) {
    recorder_.fail("places", fmt::format("{}: that node {}", text_of(vm), why));
  };
  if (node.leaving) wrong("is leaving");
  if (node.cordoned) wrong("is cordoned");
  if (node.drain.is_set()) wrong("is drained");
  for (const cluster::Taint& taint : node.taints) {
    const bool is_tolerated =
        std::ranges::any_of(vm.spec.wishes->tolerations, [&](const cluster::Toleration& one) {
          return one.key == taint.key && (one.value.empty() || one.value == taint.value);
        });
    if (taint.effect == cluster::TaintEffect::kRefuse && !is_tolerated) {
      wrong(fmt::format("has the taint {}", taint.key));
    }
  }
}

void PlacementJudge::check_groups(const State& state, const Vm& vm) {
  for (const Name& name : vm.spec.wishes->groups) {
    const cluster::PlacementGroup* group = state.find_group(name);
    if (group == nullptr) {
      recorder_.fail("groups", fmt::format("{}: there is no group {}", text_of(vm), name));
      continue;
    }
    for (const GroupRule& rule : group->rules)
      if (rule.hard) check_rule(state, *group, rule, vm);
    const Members members = others_in(state, name, vm, TopologyLevel::kNode);
    const std::size_t placed = members.near + members.far + 1;
    if (placed < group->gang) {
      recorder_.fail("gangs", fmt::format("{}: group {} is placed {} at once, {} are placed",
                                          text_of(vm), name, group->gang, placed));
    }
  }
  // Others keep away from its groups.
  for (const auto& [name, group] : state.groups()) {
    for (const GroupRule& rule : group.rules) {
      const bool is_meant = rule.hard && rule.kind == GroupRuleKind::kAway && is_in(vm, rule.other);
      if (!is_meant || others_in(state, name, vm, rule.level).near == 0) continue;
      recorder_.fail("groups",
                     fmt::format("{}: group {}: {}", text_of(vm), name, cluster::rule_text(rule)));
    }
  }
}

void PlacementJudge::check_rule(const State& state, const cluster::PlacementGroup& group,
                                const GroupRule& rule, const Vm& vm) {
  const Members own = others_in(state, group.name, vm, rule.level);
  bool is_kept = true;
  switch (rule.kind) {
    case GroupRuleKind::kSpread:
      is_kept = own.near + 1 <= rule.max;
      break;
    case GroupRuleKind::kTogether:
      is_kept = own.far == 0;
      break;
    case GroupRuleKind::kNear:
      is_kept = is_in(vm, rule.other) || others_in(state, rule.other, vm, rule.level).near != 0;
      break;
    case GroupRuleKind::kAway:
      is_kept = others_in(state, rule.other, vm, rule.level).near == 0;
      break;
  }
  if (is_kept) return;
  recorder_.fail(
      "groups", fmt::format("{}: group {}: {}", text_of(vm), group.name, cluster::rule_text(rule)));
}

void PlacementJudge::check_quota(const State& state, const Vm& created) {
  const std::string_view name = cluster::tenant_of(*created.spec.wishes);
  const cluster::Tenant* tenant = state.find_tenant(name);
  if (tenant == nullptr) return;
  std::int64_t vms = 0;
  std::int64_t vcpus = 0;
  std::int64_t memory_mib = 0;
  for (const auto& [id, vm] : state.vms()) {
    if (cluster::tenant_of(*vm.spec.wishes) != name) continue;
    ++vms;
    vcpus += vm.spec.vcpus;
    memory_mib += vm.spec.memory_mib;
  }
  const auto check = [&](std::int64_t used, std::int64_t most, std::string_view unit) {
    if (most == 0 || used <= most) return;
    recorder_.fail("quotas", fmt::format("{} is made and tenant {} has {} {} of {}", created.name,
                                         name, used, unit, most));
  };
  check(vms, tenant->quota.vms, "VMs");
  check(vcpus, tenant->quota.vcpus, "vCPUs");
  check(memory_mib, tenant->quota.memory_mib, "MiB of memory");
}

void PlacementJudge::check_quota_on(const State& state, const Vm& placed) {
  const std::string_view name = cluster::tenant_of(*placed.spec.wishes);
  const cluster::Tenant* tenant = state.find_tenant(name);
  if (tenant == nullptr || tenant->quota.vms_per_node == 0) return;
  const auto vms = std::ranges::count_if(state.vms(), [&](const auto& entry) {
    const Vm& vm = entry.second;
    return vm.node == placed.node && cluster::tenant_of(*vm.spec.wishes) == name;
  });
  if (vms <= std::int64_t{tenant->quota.vms_per_node}) return;
  recorder_.fail("quotas", fmt::format("{}: tenant {} has {} VMs there, of {}", text_of(placed),
                                       name, vms, tenant->quota.vms_per_node));
}

void PlacementJudge::check_preemption(const State& state, const Vm& victim) {
  const auto wrong = [&](std::string_view why) {
    recorder_.fail("preemption", fmt::format("{} makes room for {}: {}", text_of(victim),
                                             victim.eviction->by, why));
  };
  const Vm* by = state.find_vm(victim.eviction->by);
  if (by == nullptr) return wrong("there is no such VM");
  const cluster::Wishes& wishes = *victim.spec.wishes;
  if (state.policy().preemption == cluster::PreemptionPolicy::kNever) wrong("the policy is never");
  if (!wishes.preemptible) wrong("it is not preemptible");
  if (wishes.priority >= by->spec.wishes->priority) wrong("its priority is not lower");
  if (by->node) wrong("that one has a node");
}

}  // namespace blixard::vopr
