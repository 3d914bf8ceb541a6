#include "core/sched/preempt.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "core/sched/queue.h"
#include "core/sched/shape.h"
#include "core/sched/strategy.h"

namespace blixard::sched {

namespace {

using cluster::State;
using cluster::Vm;

struct Candidate {
  const Vm* vm;
  resources::Demand demand;
  std::int64_t size;
  [[nodiscard]] std::uint32_t priority() const { return vm->spec.wishes->priority; }
};
using Candidates = std::vector<Candidate>;

// The first of them, until what is left of the node is enough; then without those that turned out
// not to be needed. Empty: it is never enough.
Candidates enough_of(const Candidates& candidates, resources::Room room,
                     const resources::Demand& needed) {
  Candidates chosen;
  for (const Candidate& candidate : candidates) {
    if (room.fits(needed) || chosen.size() == kVictims) break;
    room.give_back(candidate.demand, candidate.vm->devices);
    chosen.push_back(candidate);
  }
  if (!room.fits(needed)) return {};
  for (std::size_t at = chosen.size(); at-- > 0;) {
    room.take(chosen[at].demand, chosen[at].vm->devices);
    if (room.fits(needed)) {
      chosen.erase(chosen.begin() + static_cast<std::ptrdiff_t>(at));
    } else {
      room.give_back(chosen[at].demand, chosen[at].vm->devices);
    }
  }
  return chosen;
}

// Less is better.
using Price = std::pair<std::int64_t, std::int64_t>;

Price price_of(const Candidates& victims, cluster::PreemptionPolicy policy) {
  std::int64_t lost = 0;
  std::int64_t priorities = 0;
  for (const Candidate& victim : victims) {
    lost += (victim.size + 1) * (std::int64_t{victim.priority()} + 1);
    priorities += victim.priority();
  }
  const auto count = static_cast<std::int64_t>(victims.size());
  return policy == cluster::PreemptionPolicy::kCostAware ? Price(lost, count)
                                                         : Price(count, priorities);
}

}  // namespace

std::optional<Victims> find_victims(const State& state, StateFleet& fleet,
                                    const Circumstances& circumstances, const Request& request,
                                    const std::set<VmId>& spared, const resources::Amounts& all) {
  const cluster::PlacementPolicy& policy = state.policy();
  if (policy.preemption == cluster::PreemptionPolicy::kNever) return std::nullopt;
  Fleet& nodes = fleet.fleet();
  const Shape& shape =
      nodes.shapes().of(request, strategy_of(*request.wishes, policy), nodes.classes());
  std::optional<Victims> best;
  Price best_price;
  for (const auto& [id, vms] : fleet.preemptible()) {
    const NodeIndex at = nodes.find(id);
    if (at == kNoNode || lasting_obstacle(nodes, at, shape)) continue;
    if (circumstances.matter_to(request) && circumstances.obstacle(nodes, at, request)) continue;
    Candidates candidates;
    for (const VmId victim : vms) {
      const Vm* vm = state.find_vm(victim);
      if (vm->spec.wishes->priority >= request.wishes->priority || spared.contains(victim))
        continue;
      auto demand = cluster::demand_of(vm->spec, policy.overcommit);
      const std::int64_t size = dominant_share(demand.amounts, all);
      candidates.push_back({.vm = vm, .demand = std::move(demand), .size = size});
    }
    const auto offer = [&](const auto& by) {
      std::ranges::sort(candidates, {}, by);
      const Candidates chosen = enough_of(candidates, nodes.room(at), request.demand);
      if (chosen.empty()) return;
      const Price price = price_of(chosen, policy.preemption);
      if (best && price >= best_price) return;
      best_price = price;
      best = Victims{.at = at, .vms = {}};
      for (const Candidate& each : chosen)
        best->vms.push_back(each.vm);
    };
    offer(
        [](const Candidate& each) { return std::tuple(each.priority(), -each.size, each.vm->id); });
    offer(
        [](const Candidate& each) { return std::tuple(-each.size, each.priority(), each.vm->id); });
  }
  return best;
}

}  // namespace blixard::sched
