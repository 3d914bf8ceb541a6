#pragma once

// Groups that are placed all at once or not at all, and that are not complete: who of those that
// wait belongs to them.

#include <cstddef>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "core/cluster/state.h"
#include "core/sched/circumstances.h"

namespace blixard::sched {

class Gangs {
 public:
  // Members that are placed are counted by `circumstances`, which follow the plan.
  Gangs(const cluster::State& state, const Circumstances& circumstances)
      : state_(state), circumstances_(circumstances) {}

  // The VMs that wait, in their turn; it is asked about these only.
  void index(std::span<const cluster::Vm* const> order);

  [[nodiscard]] bool is_unmet(const Name& name) const;
  [[nodiscard]] std::set<Name> unmet_of(const cluster::Vm& vm) const;
  // Whether a VM of these gangs makes all of them whole.
  [[nodiscard]] bool is_last_of(const std::set<Name>& gangs) const;
  // Members of them that wait, in their turn, and of the gangs that those belong to as well, which
  // are added.
  std::vector<const cluster::Vm*> members_of(std::set<Name>& gangs) const;

 private:
  const cluster::State& state_;
  const Circumstances& circumstances_;
  std::span<const cluster::Vm* const> order_;
  std::map<Name, std::set<std::size_t>> turns_;  // of its members, when it was indexed
};

}  // namespace blixard::sched
