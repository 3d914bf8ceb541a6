#pragma once

// What other VMs mean for a request on a node: host ports, groups, reservations, the tenant's cap;
// and what the guest does that it goes on from.
//
// Read from the cluster's state, plus what the plan under way has placed so far. Without a state
// only ports matter.

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "core/cluster/state.h"
#include "core/sched/feasible.h"
#include "core/sched/fleet.h"
#include "core/sched/request.h"
#include "core/sched/score_index.h"

namespace blixard::sched {

class Circumstances {
 public:
  Circumstances() = default;
  explicit Circumstances(const cluster::State& state) : state_(&state) {}

  // The plan places it there: counts for those after it, and no more once it is withdrawn.
  void count(const Request& request, NodeId node);
  void withdraw(const Request& request, NodeId node);
  // For who asks where a VM might be that is there in the state: it is not in its own way.
  void leave_out(const Request& request, NodeId node);

  // Of a group, on nodes.
  [[nodiscard]] std::uint32_t members(const Name& group) const;
  // False: neither obstacle() nor penalty() has anything to say of it, on any node.
  [[nodiscard]] bool matter_to(const Request& request) const;
  // Precondition: the node has room for it.
  [[nodiscard]] std::optional<Obstacle> obstacle(const Fleet& fleet, NodeIndex at,
                                                 const Request& request) const;
  // What its saved guest has against the node, whatever room that has.
  [[nodiscard]] std::optional<Obstacle> unfit(NodeId node, const Request& request) const;
  // All of them.
  [[nodiscard]] std::vector<Obstacle> obstacles(const Fleet& fleet, NodeIndex at,
                                                const Request& request) const;
  // Of soft rules of its groups; 0 or more.
  [[nodiscard]] Score penalty(const Fleet& fleet, NodeIndex at, const Request& request) const;

 private:
  // How far a rule is from being kept by one more member there; 0: it is kept.
  [[nodiscard]] std::uint32_t excess(const cluster::PlacementGroup& group,
                                     const cluster::GroupRule& rule, const Request& request,
                                     const cluster::Node& node) const;
  [[nodiscard]] std::uint32_t members_in(const Name& group, const cluster::Node& node,
                                         cluster::TopologyLevel level) const;
  // These until `visit` has enough (false). Return whether it has not.
  template <class Visit>
  bool each_obstacle(const Fleet& fleet, NodeIndex at, const Request& request, Visit visit) const;
  template <class Visit>
  bool each_reserved(const Fleet& fleet, NodeIndex at, const Request& request, Visit visit) const;
  [[nodiscard]] std::uint32_t cap_of(const Request& request) const;  // 0: none
  template <class Visit>
  void each_rule(const Request& request, Visit visit) const;

  const cluster::State* state_ = nullptr;
  NodeId left_out_on_;  // node of the one that is left out; none: nobody is
  std::map<Name, std::map<NodeId, std::uint32_t>> planned_;  // members of groups
};

}  // namespace blixard::sched
