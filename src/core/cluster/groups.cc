#include "core/cluster/groups.h"

#include <algorithm>
#include <set>
#include <vector>

#include <fmt/format.h>

namespace blixard::cluster {

bool same_domain(const Node& a, const Node& b, TopologyLevel level) {
  switch (level) {
    case TopologyLevel::kNode:
      return a.id == b.id;
    case TopologyLevel::kRack:
      return a.topology == b.topology;
    case TopologyLevel::kZone:
      return a.topology.datacenter == b.topology.datacenter && a.topology.zone == b.topology.zone;
    case TopologyLevel::kDatacenter:
      return a.topology.datacenter == b.topology.datacenter;
  }
  return false;
}

std::string domain_text(const Node& node, TopologyLevel level) {
  const auto named = [&](const Name& name) {
    return name.empty() ? fmt::format("no {}", level_name(level))
                        : fmt::format("{} {}", level_name(level), name);
  };
  switch (level) {
    case TopologyLevel::kNode:
      return named(node.name);
    case TopologyLevel::kRack:
      return named(node.topology.rack);
    case TopologyLevel::kZone:
      return named(node.topology.zone);
    case TopologyLevel::kDatacenter:
      return named(node.topology.datacenter);
  }
  return "";
}

std::string cycle_through(const PlacementGroup& set, const std::map<Name, PlacementGroup>& groups) {
  struct Step {
    const PlacementGroup* group;
    std::size_t next_rule = 0;
  };
  std::vector<Step> path{{.group = &set}};
  std::set<Name> seen{set.name};
  while (!path.empty()) {
    Step& step = path.back();
    if (step.next_rule == step.group->rules.size()) {
      path.pop_back();
      continue;
    }
    const GroupRule& rule = step.group->rules[step.next_rule++];
    if (rule.kind != GroupRuleKind::kNear || !rule.hard) continue;
    if (rule.other == set.name) {
      std::string text;
      for (const Step& each : path)
        text += fmt::format("{} -> ", each.group->name);
      return text + set.name.text();
    }
    const auto found = groups.find(rule.other);
    if (found != groups.end() && seen.insert(rule.other).second) {
      path.push_back({.group = &found->second});
    }
  }
  return "";
}

bool has_cycle(const std::map<Name, PlacementGroup>& groups) {
  // A group that nothing leads to is in no cycle; without it, others may be such too.
  std::map<Name, std::size_t> led_to;
  const auto for_each_near = [&](const PlacementGroup& group, auto visit) {
    for (const GroupRule& rule : group.rules)
      if (rule.hard && rule.kind == GroupRuleKind::kNear) visit(rule.other);
  };
  for (const auto& [name, group] : groups)
    for_each_near(group, [&](const Name& other) { ++led_to[other]; });
  std::vector<const PlacementGroup*> free;
  for (const auto& [name, group] : groups)
    if (!led_to.contains(name)) free.push_back(&group);
  std::size_t taken_out = 0;
  while (!free.empty()) {
    const PlacementGroup& group = *free.back();
    free.pop_back();
    ++taken_out;
    for_each_near(group, [&](const Name& other) {
      const auto found = groups.find(other);
      if (--led_to[other] == 0 && found != groups.end()) free.push_back(&found->second);
    });
  }
  return taken_out != groups.size();
}

}  // namespace blixard::cluster
