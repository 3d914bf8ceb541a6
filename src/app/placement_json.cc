#include "app/placement_json.h"

#include <array>
#include <string>

#include <boost/json.hpp>

namespace blixard::app {
namespace {

namespace json = boost::json;
using cluster::ConstraintOp;
using cluster::Wishes;

// As the schema's ConstraintOp has them, in its order.
constexpr std::array<const char*, 14> kOps = {
    "",
    "equal",
    "not-equal",
    "in",
    "not-in",
    "less",
    "less-or-equal",
    "greater",
    "greater-or-equal",
    "version-less",
    "version-at-least",
    "matches",
    "exists",
    "not-exists",
};

json::object constraint_json(const cluster::Constraint& constraint) {
  return {{"attribute", constraint.attribute},
          {"op", kOps.at(static_cast<std::size_t>(constraint.op))},
          {"values", json::value_from(constraint.values)}};
}

json::array names_json(const std::vector<Name>& names) {
  json::array list;
  for (const Name& name : names)
    list.emplace_back(name.text());
  return list;
}

template <class Items, class Write>
void add_list(json::object& out, const char* name, const Items& items, Write write) {
  if (items.empty()) return;
  json::array list;
  for (const auto& item : items)
    list.push_back(write(item));
  out[name] = std::move(list);
}

json::object need_json(const resources::DeviceNeed& need) {
  json::object out{{"kind", need.kind.text()}, {"count", need.count}};
  if (need.milli != resources::kWholeDevice) out["milli"] = need.milli;
  if (!need.models.empty()) out["models"] = names_json(need.models);
  return out;
}

void add_amounts(json::object& out, const Wishes& wishes) {
  if (wishes.cpu_milli != 0) out["cpu_milli"] = wishes.cpu_milli;
  if (wishes.dedicated_cpus) out["dedicated_cpus"] = true;
  if (wishes.disk_mib != 0) out["disk_mib"] = wishes.disk_mib;
  if (wishes.network_mbit != 0) out["network_mbit"] = wishes.network_mbit;
  add_list(out, "counters", wishes.counters, [](const resources::Counter& counter) {
    return json::object{{"name", counter.name.text()}, {"amount", counter.amount}};
  });
  add_list(out, "devices", wishes.devices, need_json);
}

void add_locality(json::object& out, const cluster::Locality& locality) {
  if (locality == cluster::Locality()) return;
  json::object inner;
  if (!locality.datacenter.empty()) inner["datacenter"] = locality.datacenter.text();
  if (!locality.zone.empty()) inner["zone"] = locality.zone.text();
  if (locality.strict) inner["strict"] = true;
  if (!locality.excluded_datacenters.empty()) {
    inner["excluded_datacenters"] = names_json(locality.excluded_datacenters);
  }
  if (locality.max_latency_ms != 0) inner["max_latency_ms"] = locality.max_latency_ms;
  out["locality"] = std::move(inner);
}

}  // namespace

json::object placement_json(const Wishes& wishes) {
  json::object out;
  add_amounts(out, wishes);
  if (!wishes.tenant.empty()) out["tenant"] = wishes.tenant.text();
  if (wishes.priority != cluster::kPriorityDefault) out["priority"] = wishes.priority;
  if (wishes.preemptible) out["preemptible"] = true;
  if (wishes.on_evict == cluster::OnEvict::kStop) out["on_evict"] = "stop";
  if (!wishes.groups.empty()) out["groups"] = names_json(wishes.groups);
  add_list(out, "constraints", wishes.constraints, constraint_json);
  add_list(out, "preferences", wishes.preferences, [](const cluster::Preference& preference) {
    return json::object{{"constraint", constraint_json(preference.constraint)},
                        {"weight", preference.weight}};
  });
  add_list(out, "tolerations", wishes.tolerations, [](const cluster::Toleration& toleration) {
    return json::object{{"key", toleration.key}, {"value", toleration.value}};
  });
  add_locality(out, wishes.locality);
  if (wishes.strategy) out["strategy"] = std::string(cluster::strategy_name(*wishes.strategy));
  if (!wishes.node.empty()) out["node"] = wishes.node.text();
  return out;
}

json::object rule_json(const cluster::GroupRule& rule) {
  json::object out{{"kind", std::string(cluster::rule_name(rule.kind))},
                   {"level", std::string(cluster::level_name(rule.level))},
                   {"hard", rule.hard}};
  if (rule.kind == cluster::GroupRuleKind::kSpread) out["max"] = rule.max;
  if (!rule.other.empty()) out["other"] = rule.other.text();
  if (!rule.hard) out["weight"] = rule.weight;
  return out;
}

}  // namespace blixard::app
