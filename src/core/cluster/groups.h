#pragma once

// Placement groups: what a domain is, and which rules can never all be kept.
//
// A domain is named by all that is above it: racks of one name in two zones are two racks. A node
// that does not tell its zone is in the zone without a name of its datacenter, like all that do
// not; so a rule over zones counts them as one.

#include <map>
#include <string>

#include "base/name.h"
#include "core/cluster/model.h"
#include "core/cluster/policy.h"

namespace blixard::cluster {

bool same_domain(const Node& a, const Node& b, TopologyLevel level);
// "zone z1", "node n1"; "no zone" of one that does not tell it.
std::string domain_text(const Node& node, TopologyLevel level);

// Whether some groups wait for each other by hard near rules.
bool has_cycle(const std::map<Name, PlacementGroup>& groups);
// Hard near rules that lead from the group back to itself: its first member could never be placed.
// `set` stands for the group of its name. As a path, "a -> b -> a"; empty: there is none.
std::string cycle_through(const PlacementGroup& set, const std::map<Name, PlacementGroup>& groups);

}  // namespace blixard::cluster
