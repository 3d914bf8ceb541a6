#pragma once

// What must hold of placement at the moment when something is placed, made or told to leave. Rules
// that are changed later bind only what comes after them, so nothing is looked at again.
//
// All of it is counted anew from the VMs that the state has, not by the state's own indexes:
//
// * capacity: what the node's VMs were promised fits into what it offers under the policy of now;
// * places: the node is neither leaving nor cordoned nor drained, and its taints are tolerated;
// * groups: no hard rule is broken, neither of its groups nor of those that keep away from them;
// * gangs: of a group that is placed so many at once, at least so many are placed;
// * quotas: a tenant has no more than it may have, in all or on that node;
// * preemption: who makes room is preemptible and of lower priority, and the policy allows it.

#include <string>
#include <vector>

#include "core/cluster/state.h"
#include "vopr/recorder.h"

namespace blixard::vopr {

// What one entry did.
struct PlacementChanges {
  std::vector<const cluster::Vm*> created;
  std::vector<const cluster::Vm*> placed;  // that were on no node before
  std::vector<const cluster::Vm*> evicted;
};

class PlacementJudge {
 public:
  explicit PlacementJudge(Recorder& recorder) : recorder_(recorder) {}

  // `state` is that after the entry.
  void look(const cluster::State& state, const PlacementChanges& changes);

 private:
  void check_capacity(const cluster::State& state, const cluster::Node& node);
  void check_node(const cluster::Vm& vm, const cluster::Node& node);
  void check_groups(const cluster::State& state, const cluster::Vm& vm);
  void check_rule(const cluster::State& state, const cluster::PlacementGroup& group,
                  const cluster::GroupRule& rule, const cluster::Vm& vm);
  void check_quota(const cluster::State& state, const cluster::Vm& created);
  void check_quota_on(const cluster::State& state, const cluster::Vm& placed);
  void check_preemption(const cluster::State& state, const cluster::Vm& victim);

  Recorder& recorder_;
};

}  // namespace blixard::vopr
