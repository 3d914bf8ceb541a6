#include "core/sched/queue.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace blixard::sched {

namespace {

using cluster::State;
using cluster::Vm;
using resources::Amounts;

constexpr std::int64_t kMillion = 1'000'000;
constexpr std::int64_t kWeight = 100;  // of a tenant that nobody set

struct Waiting {
  const Vm* vm;
  Amounts demand;
  std::int64_t size;  // of its demand, in the cluster
};

struct Turn {
  Amounts used;
  std::int64_t weight = kWeight;
  std::vector<Waiting> waiting;  // the last is the next
};

std::uint32_t priority_of(const Vm& vm) { return vm.spec.wishes->priority; }

// Of one priority.
void take_turns(std::vector<Turn>& turns, const Amounts& all, std::vector<const Vm*>& order) {
  const auto share_of = [&](const Turn& turn) {
    return dominant_share(turn.used, all) * kWeight / turn.weight;
  };
  // By share, and among equals in the order of names.
  std::set<std::pair<std::int64_t, std::size_t>> next;
  for (std::size_t at = 0; at < turns.size(); ++at)
    next.emplace(share_of(turns[at]), at);
  while (!next.empty()) {
    const std::size_t at = next.begin()->second;
    next.erase(next.begin());
    Turn& turn = turns[at];
    order.push_back(turn.waiting.back().vm);
    turn.used += turn.waiting.back().demand;
    turn.waiting.pop_back();
    if (!turn.waiting.empty()) next.emplace(share_of(turn), at);
  }
}

}  // namespace

std::int64_t dominant_share(const Amounts& demand, const Amounts& all) {
  std::int64_t most = 0;
  for (const auto kind :
       {resources::Kind::kCpu, resources::Kind::kMemory, resources::Kind::kDisk}) {
    const std::int64_t there = all.of(kind);
    if (there > 0 && demand.of(kind) > 0)
      most = std::max(
          most, demand.of(kind) / there * kMillion + demand.of(kind) % there * kMillion / there);
  }
  return most;
}

Amounts all_of(const Fleet& fleet) {
  Amounts all;
  for (NodeIndex at = 0; at < fleet.size(); ++at)
    if (fleet.node(at).closed == Closed::kOpen) all += fleet.node(at).supply.amounts;
  return all;
}

std::vector<const Vm*> in_turn(const State& state, const Amounts& all) {
  std::vector<Waiting> waiting;
  waiting.reserve(state.pending().size());
  for (const VmId id : state.pending()) {
    const Vm* vm = state.find_vm(id);
    const Amounts demand = cluster::demand_of(vm->spec, state.policy().overcommit).amounts;
    waiting.push_back({.vm = vm, .demand = demand, .size = dominant_share(demand, all)});
  }
  std::ranges::sort(waiting, [](const Waiting& a, const Waiting& b) {
    return std::tuple(priority_of(*b.vm), b.size, a.vm->id) <
           std::tuple(priority_of(*a.vm), a.size, b.vm->id);
  });
  std::vector<const Vm*> order;
  order.reserve(waiting.size());
  std::map<Name, Amounts> used;  // by those on nodes
  const auto count_used = [&](const Name& tenant) -> Amounts& {
    const auto [found, is_new] = used.try_emplace(tenant);
    if (!is_new) return found->second;
    const cluster::TenantUse use = state.use_of(tenant);
    found->second = {.cpu_milli = use.vcpus * resources::kMilliPerCore,
                     .memory_mib = use.memory_mib,
                     .disk_mib = use.disk_mib};
    for (const Waiting& each : waiting) {
      const cluster::Wishes& wishes = *each.vm->spec.wishes;
      if (wishes.tenant != tenant) continue;
      found->second -= {.cpu_milli = each.vm->spec.vcpus * resources::kMilliPerCore,
                        .memory_mib = each.vm->spec.memory_mib,
                        .disk_mib = wishes.disk_mib};
    }
    return found->second;
  };
  for (auto first = waiting.begin(); first != waiting.end();) {
    const auto last = std::find_if(first, waiting.end(), [&](const Waiting& each) {
      return priority_of(*each.vm) != priority_of(*first->vm);
    });
    const bool is_one_tenant = std::all_of(first, last, [&](const Waiting& each) {
      return each.vm->spec.wishes->tenant == first->vm->spec.wishes->tenant;
    });
    if (is_one_tenant) {
      std::transform(first, last, std::back_inserter(order),
                     [](const Waiting& each) { return each.vm; });
    } else {
      std::map<Name, Turn> by_tenant;
      for (auto each = last; each != first;)
        by_tenant[(--each)->vm->spec.wishes->tenant].waiting.push_back(*each);
      std::vector<Turn> turns;
      for (auto& [name, turn] : by_tenant) {
        turn.used = count_used(name);
        const cluster::Tenant* tenant =
            state.find_tenant(name.empty() ? cluster::kDefaultTenant : std::string_view(name));
        if (tenant != nullptr) turn.weight = std::max<std::int64_t>(tenant->weight, 1);
        turns.push_back(std::move(turn));
      }
      take_turns(turns, all, order);
      // What this priority was given counts for the next.
      for (auto each = first; each != last; ++each)
        count_used(each->vm->spec.wishes->tenant) += each->demand;
    }
    first = last;
  }
  return order;
}

}  // namespace blixard::sched
