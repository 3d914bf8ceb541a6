#include "core/sched/gangs.h"

#include <algorithm>

namespace blixard::sched {

void Gangs::index(std::span<const cluster::Vm* const> order) {
  order_ = order;
  turns_.clear();
  for (std::size_t turn = 0; turn < order_.size(); ++turn)
    for (const Name& name : unmet_of(*order_[turn]))
      turns_[name].insert(turn);
}

bool Gangs::is_unmet(const Name& name) const {
  const cluster::PlacementGroup* group = state_.find_group(name);
  return group != nullptr && group->gang > circumstances_.members(name);
}

std::set<Name> Gangs::unmet_of(const cluster::Vm& vm) const {
  std::set<Name> gangs;
  for (const Name& name : vm.spec.wishes->groups)
    if (is_unmet(name)) gangs.insert(name);
  return gangs;
}

bool Gangs::is_last_of(const std::set<Name>& gangs) const {
  return std::ranges::all_of(gangs, [&](const Name& name) {
    return state_.find_group(name)->gang == circumstances_.members(name) + 1;
  });
}

std::vector<const cluster::Vm*> Gangs::members_of(std::set<Name>& gangs) const {
  std::set<std::size_t> turns;
  std::vector<Name> left(gangs.begin(), gangs.end());
  while (!left.empty()) {
    const Name gang = left.back();
    left.pop_back();
    for (const std::size_t turn : turns_.at(gang)) {
      if (!turns.insert(turn).second) continue;
      for (const Name& other : unmet_of(*order_[turn]))
        if (gangs.insert(other).second) left.push_back(other);
    }
  }
  std::vector<const cluster::Vm*> members;
  members.reserve(turns.size());
  for (const std::size_t turn : turns)
    members.push_back(order_[turn]);
  return members;
}

}  // namespace blixard::sched
