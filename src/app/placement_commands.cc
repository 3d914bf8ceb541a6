#include "app/placement_commands.h"

#include <cstdio>

#include <boost/json.hpp>
#include <fmt/format.h>

#include "app/output.h"
#include "app/placement_json.h"
#include "app/placement_values.h"
#include "env/scope.h"
#include "node/http/target.h"

namespace blixard::app {
namespace {

namespace json = boost::json;

constexpr Duration kPatience = 30s;
constexpr Duration kDrainLook = 500ms;

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void print_answer(const json::value& answer, OutputFormat output, const std::string& said) {
  print(output == OutputFormat::kJson ? pretty(answer) : said + "\n");
}

std::string target_of(std::string_view list, const std::string& name) {
  return fmt::format("/v1/{}/{}", list, http::percent_encoded(name));
}

const json::value& member_of(const json::value& object, std::string_view member) {
  static const json::value kNone;
  const auto* fields = object.if_object();
  const auto* value = fields != nullptr ? fields->if_contains(member) : nullptr;
  return value != nullptr ? *value : kNone;
}

// "a of b", or what is used where there is no limit.
std::string used_of(const json::value& used, std::string_view member, const json::value& quota) {
  const std::string limit = text_of(quota, member);
  const std::string count = text_of(used, member);
  return limit.empty() || limit == "0" ? count : count + " of " + limit;
}

std::string drain_text(const json::value& drain) {
  if (!drain.is_object()) return "";
  std::string outcome = text_of(drain, "outcome");
  if (!outcome.empty()) return outcome;
  return fmt::format("{} VMs left, {} on their way", text_of(drain, "vms_left"),
                     text_of(drain, "vms_leaving"));
}

}  // namespace

env::Task<Result<void>> update_node(ApiClient& api, NodeUpdate update, OutputFormat output) {
  json::object body;
  json::array labels;
  for (const std::string& text : update.set_labels) {
    BLX_CO_TRY(const auto parsed, parse_labels(text));
    for (const cluster::Label& label : parsed)
      labels.push_back(json::object{{"key", label.key}, {"value", label.value}});
  }
  json::array taints;
  for (const std::string& text : update.set_taints) {
    BLX_CO_TRY(const cluster::Taint taint, parse_taint(text));
    const char* effect = taint.effect == cluster::TaintEffect::kAvoid ? "avoid" : "refuse";
    taints.push_back(json::object{{"key", taint.key}, {"value", taint.value}, {"effect", effect}});
  }
  body["set_labels"] = std::move(labels);
  body["remove_labels"] = json::value_from(update.remove_labels);
  body["set_taints"] = std::move(taints);
  body["remove_taints"] = json::value_from(update.remove_taints);
  if (update.cordoned) body["cordoned"] = *update.cordoned;
  BLX_CO_TRY(const json::value node, co_await api.post(target_of("nodes", update.name) + "/update",
                                                       std::move(body), kPatience));
  const std::string said = !update.cordoned   ? "changed"
                           : *update.cordoned ? "cordoned: nothing new is placed there"
                                              : "takes VMs again";
  print_answer(node, output, fmt::format("node {}: {}", update.name, said));
  co_return Result<void>();
}

env::Task<Result<void>> show_node(ApiClient& api, NodeShow show, OutputFormat output) {
  BLX_CO_TRY(const json::value node, co_await api.get(target_of("nodes", show.name)));
  if (output == OutputFormat::kJson) {
    print(pretty(node));
    co_return Result<void>();
  }
  const auto line = [](std::string_view what, const std::string& text) {
    if (!text.empty()) print(fmt::format("{:<18} {}\n", what, text));
  };
  for (const char* field : {"id", "name", "role", "membership", "version", "architecture",
                            "kernel_version", "accelerator", "hypervisor_version", "vms"}) {
    line(field, text_of(node, field));
  }
  line("hypervisors", joined(items_of(node, "hypervisors")));
  for (const char* field : {"vcpus", "memory_mib", "disk_mib", "network_mbit"}) {
    line(field, fmt::format("{} ({} free)", text_of(node, field),
                            text_of(node, fmt::format("free_{}", field))));
  }
  for (const auto& device : items_of(node, "devices")) {
    line(fmt::format("device {}", text_of(device, "number")),
         fmt::format("{} {} ({}/1000 free)", text_of(device, "kind"), text_of(device, "model"),
                     text_of(device, "free_milli")));
  }
  const json::value& topology = member_of(node, "topology");
  for (const char* field : {"datacenter", "zone", "rack"})
    line(field, text_of(topology, field));
  for (const auto& label : items_of(node, "labels"))
    line("label", text_of(label, "key") + "=" + text_of(label, "value"));
  for (const auto& taint : items_of(node, "taints")) {
    line("taint", fmt::format("{}={}:{}", text_of(taint, "key"), text_of(taint, "value"),
                              text_of(taint, "effect")));
  }
  if (text_of(node, "cordoned") == "true") line("cordoned", "nothing new is placed there");
  line("drain", drain_text(member_of(node, "drain")));
  co_return Result<void>();
}

namespace {

// Looks until the drain has ended; the cluster ends it at its deadline at the latest.
env::Task<Result<json::value>> drained(env::Env env, ApiClient& api, std::string target) {
  while (true) {
    BLX_CO_TRY(json::value node, co_await api.get(target));
    const json::value& drain = member_of(node, "drain");
    if (!drain.is_object()) {
      co_return fail(Code::kAborted, "drain_cancelled", "the drain was cancelled meanwhile");
    }
    if (!text_of(drain, "ended").empty()) co_return node;
    BLX_CO_TRY(co_await env.clock.sleep(kDrainLook));
  }
}

}  // namespace

env::Task<Result<void>> drain_node(env::Env env, ApiClient& api, NodeDrain drain,
                                   OutputFormat output) {
  const std::string target = target_of("nodes", drain.name);
  if (drain.cancel) {
    BLX_CO_TRY(const json::value node, co_await api.post(target + "/undrain", {}, kPatience));
    print_answer(node, output, fmt::format("node {}: takes VMs again", drain.name));
    co_return Result<void>();
  }
  BLX_CO_TRY(const std::uint32_t seconds, parse_seconds(drain.deadline));
  json::object body{{"deadline_seconds", seconds}, {"parallel", drain.parallel}};
  BLX_CO_TRY(json::value node, co_await api.post(target + "/drain", std::move(body), kPatience));
  if (!drain.wait) {
    print_answer(node, output, fmt::format("node {}: being drained", drain.name));
    co_return Result<void>();
  }
  env::Scope scope(env.executor, co_await env::this_cancellation());
  Spinner spinner(env, scope, "draining node " + drain.name);
  auto ended = co_await drained(env, api, target);
  spinner.stop();
  co_await scope.join();
  BLX_CO_TRY(node, std::move(ended));
  print_answer(node, output,
               fmt::format("node {}: {}", drain.name, drain_text(member_of(node, "drain"))));
  co_return Result<void>();
}

namespace {

Result<void> set_rebalance(const std::string& text, json::object& policy) {
  BLX_TRY(const auto rebalance, parse_rebalance(text));
  policy["rebalance"] = json::object{{"enabled", rebalance.enabled},
                                     {"threshold_percent", rebalance.threshold_percent},
                                     {"moves_per_hour", rebalance.moves_per_hour}};
  return {};
}

Result<void> set_spread(const std::string& text, json::object& policy) {
  const auto colon = text.find(':');
  const std::string level = text.substr(0, colon);
  if (!parse_level(level)) {
    return fail(Code::kInvalidArgument, "placement_invalid",
                "--spread takes node, rack, zone or datacenter, with :DOMAINS behind it");
  }
  policy["spread_level"] = level;
  if (colon == std::string::npos) return {};
  BLX_TRY(policy["spread_domains_min"], parse_count(text.substr(colon + 1)));
  return {};
}

// What was asked for, in the policy as it is.
Result<void> change(const PolicyCommand& command, json::object& policy) {
  if (!command.strategy.empty()) policy["strategy"] = command.strategy;
  if (!command.preemption.empty()) policy["preemption"] = command.preemption;
  if (command.preemption_grace_seconds) {
    policy["preemption_grace_seconds"] = *command.preemption_grace_seconds;
  }
  if (command.cost_increase_percent) {
    policy["cost_increase_percent"] = *command.cost_increase_percent;
  }
  if (!command.overcommit.empty()) {
    BLX_TRY(const auto overcommit, parse_overcommit(command.overcommit));
    policy["overcommit"] = json::object{{"cpu_percent", overcommit.cpu_percent},
                                        {"memory_percent", overcommit.memory_percent},
                                        {"disk_percent", overcommit.disk_percent},
                                        {"reserve_percent", overcommit.reserve_percent}};
  }
  if (!command.rebalance.empty()) BLX_TRY(set_rebalance(command.rebalance, policy));
  if (!command.spread.empty()) BLX_TRY(set_spread(command.spread, policy));
  for (const std::string& text : command.latencies) {
    BLX_TRY(const cluster::Latency latency, parse_latency(text));
    json::array kept;
    for (const auto& known : items_of(policy, "latencies")) {
      const bool is_same = text_of(known, "a") == latency.a && text_of(known, "b") == latency.b;
      if (!is_same) kept.push_back(known);
    }
    kept.push_back(
        json::object{{"a", latency.a.text()}, {"b", latency.b.text()}, {"ms", latency.ms}});
    policy["latencies"] = std::move(kept);
  }
  return {};
}

void show_policy(const json::value& policy) {
  const auto line = [](std::string_view what, const std::string& text) {
    print(fmt::format("{:<24} {}\n", what, text));
  };
  line("strategy", text_of(policy, "strategy"));
  const json::value& overcommit = member_of(policy, "overcommit");
  line("overcommit",
       fmt::format("cpu {} %, memory {} %, disk {} %; reserve {} %",
                   text_of(overcommit, "cpu_percent"), text_of(overcommit, "memory_percent"),
                   text_of(overcommit, "disk_percent"), text_of(overcommit, "reserve_percent")));
  line("preemption", fmt::format("{}, {} s of grace", text_of(policy, "preemption"),
                                 text_of(policy, "preemption_grace_seconds")));
  const json::value& rebalance = member_of(policy, "rebalance");
  line("rebalance",
       text_of(rebalance, "enabled") != "true"
           ? "off"
           : fmt::format("from {} % on, {} moves an hour", text_of(rebalance, "threshold_percent"),
                         text_of(rebalance, "moves_per_hour")));
  line("cost-optimized",
       fmt::format("at most {} % above the cheapest", text_of(policy, "cost_increase_percent")));
  line("spread", fmt::format("over {}s, at least {}", text_of(policy, "spread_level"),
                             text_of(policy, "spread_domains_min")));
  for (const auto& latency : items_of(policy, "latencies")) {
    line("latency", fmt::format("{} - {}: {} ms", text_of(latency, "a"), text_of(latency, "b"),
                                text_of(latency, "ms")));
  }
}

}  // namespace

env::Task<Result<void>> change_policy(ApiClient& api, PolicyCommand policy, OutputFormat output) {
  constexpr const char* kTarget = "/v1/placement/policy";
  BLX_CO_TRY(json::value answer, co_await api.get(kTarget));
  json::object changed = answer.as_object();
  BLX_CO_TRY(change(policy, changed));
  if (changed != answer.as_object()) {
    BLX_CO_TRY(answer, co_await api.put(kTarget, std::move(changed)));
  }
  if (output == OutputFormat::kJson) {
    print(pretty(answer));
  } else {
    show_policy(answer);
  }
  co_return Result<void>();
}

namespace {

// Of something that has a list, a name, and can be set and deleted.
env::Task<Result<void>> remove_named(ApiClient& api, const char* list, const char* what,
                                     std::string name, OutputFormat output) {
  BLX_CO_TRY(const json::value answer, co_await api.remove(target_of(list, name), {}));
  print_answer(answer, output, fmt::format("{} {}: deleted", what, name));
  co_return Result<void>();
}

std::string rule_text(const json::value& rule) {
  const std::string kind = text_of(rule, "kind");
  std::string text = kind;
  if (kind == "near" || kind == "away") text += ":" + text_of(rule, "other");
  text += ":" + text_of(rule, "level");
  if (kind == "spread") text += ":" + text_of(rule, "max");
  return text_of(rule, "hard") == "true" ? text : text + ":soft=" + text_of(rule, "weight");
}

std::string rules_text(const json::value& group) {
  std::string text;
  for (const auto& rule : items_of(group, "rules"))
    text += (text.empty() ? "" : " ") + rule_text(rule);
  return text;
}

}  // namespace

env::Task<Result<void>> change_group(ApiClient& api, GroupCommand group, OutputFormat output) {
  if (group.what == ListOrChange::kDelete) {
    co_return co_await remove_named(api, "groups", "group", group.name, output);
  }
  if (group.what == ListOrChange::kList) {
    BLX_CO_TRY(const json::value answer, co_await api.get("/v1/groups"));
    Table table({"NAME", "RULES", "GANG"});
    for (const auto& one : items_of(answer, "groups"))
      table.add({text_of(one, "name"), rules_text(one), text_of(one, "gang")});
    print(output == OutputFormat::kJson ? pretty(answer) : table.text());
    co_return Result<void>();
  }
  json::array rules;
  for (const std::string& text : group.rules) {
    BLX_CO_TRY(const cluster::GroupRule rule, parse_rule(text));
    rules.push_back(rule_json(rule));
  }
  json::object body{{"rules", std::move(rules)}, {"gang", group.gang}};
  BLX_CO_TRY(const json::value answer,
             co_await api.put(target_of("groups", group.name), std::move(body)));
  print_answer(answer, output, fmt::format("group {}: {}", group.name, rules_text(answer)));
  co_return Result<void>();
}

namespace {

Result<json::object> tenant_json(const TenantCommand& tenant) {
  json::object quota{
      {"vms", tenant.vms}, {"vcpus", tenant.vcpus}, {"vms_per_node", tenant.vms_per_node}};
  if (!tenant.memory.empty()) {
    BLX_TRY(quota["memory_mib"], parse_disk_mib(tenant.memory));
  }
  if (!tenant.disk.empty()) {
    BLX_TRY(quota["disk_mib"], parse_disk_mib(tenant.disk));
  }
  json::object body{{"quota", std::move(quota)},
                    {"preemptions_per_hour", tenant.preemptions_per_hour},
                    {"weight", tenant.weight}};
  const auto set_rate = [&body](const char* name, const std::string& text) -> Result<void> {
    if (text.empty()) return {};
    BLX_TRY(const cluster::Rate rate, parse_rate(text));
    body[name] = json::object{{"per_hour", rate.per_hour}, {"burst", rate.burst}};
    return {};
  };
  BLX_TRY(set_rate("creates", tenant.creates));
  BLX_TRY(set_rate("starts", tenant.starts));
  BLX_TRY(set_rate("deletes", tenant.deletes));
  return body;
}

}  // namespace

env::Task<Result<void>> change_tenant(ApiClient& api, TenantCommand tenant, OutputFormat output) {
  if (tenant.what == ListOrChange::kDelete) {
    co_return co_await remove_named(api, "tenants", "tenant", tenant.name, output);
  }
  if (tenant.what == ListOrChange::kSet) {
    BLX_CO_TRY(json::object body, tenant_json(tenant));
    BLX_CO_TRY(const json::value answer,
               co_await api.put(target_of("tenants", tenant.name), std::move(body)));
    print_answer(answer, output, fmt::format("tenant {}: set", tenant.name));
    co_return Result<void>();
  }
  BLX_CO_TRY(const json::value answer, co_await api.get("/v1/tenants"));
  Table table({"NAME", "VMS", "VCPUS", "MEMORY_MIB", "DISK_MIB", "WEIGHT"});
  for (const auto& one : items_of(answer, "tenants")) {
    const json::value& limits = member_of(one, "tenant");
    const json::value& quota = member_of(limits, "quota");
    table.add({text_of(limits, "name"), used_of(one, "vms", quota), used_of(one, "vcpus", quota),
               used_of(one, "memory_mib", quota), used_of(one, "disk_mib", quota),
               text_of(limits, "weight")});
  }
  print(output == OutputFormat::kJson ? pretty(answer) : table.text());
  co_return Result<void>();
}

namespace {

Result<json::object> reservation_json(const ReservationCommand& reservation) {
  json::object body{{"tenant", reservation.tenant},
                    {"node", reservation.node},
                    {"priority", reservation.priority}};
  if (!reservation.cpu.empty()) {
    BLX_TRY(body["cpu_milli"], parse_cpu_milli(reservation.cpu));
  }
  if (!reservation.memory.empty()) {
    BLX_TRY(body["memory_mib"], parse_disk_mib(reservation.memory));
  }
  if (!reservation.disk.empty()) {
    BLX_TRY(body["disk_mib"], parse_disk_mib(reservation.disk));
  }
  if (!reservation.lifetime.empty()) {
    BLX_TRY(body["lifetime_seconds"], parse_seconds(reservation.lifetime));
  }
  return body;
}

}  // namespace

env::Task<Result<void>> change_reservation(ApiClient& api, ReservationCommand reservation,
                                           OutputFormat output) {
  if (reservation.what == ListOrChange::kDelete) {
    co_return co_await remove_named(api, "reservations", "reservation", reservation.name, output);
  }
  if (reservation.what == ListOrChange::kSet) {
    BLX_CO_TRY(json::object body, reservation_json(reservation));
    BLX_CO_TRY(const json::value answer,
               co_await api.put(target_of("reservations", reservation.name), std::move(body)));
    print_answer(answer, output,
                 fmt::format("reservation {}: kept on node {} for tenant {}", reservation.name,
                             reservation.node, reservation.tenant));
    co_return Result<void>();
  }
  BLX_CO_TRY(const json::value answer, co_await api.get("/v1/reservations"));
  Table table(
      {"NAME", "TENANT", "NODE", "CPU_MILLI", "MEMORY_MIB", "DISK_MIB", "PRIORITY", "EXPIRES"});
  for (const auto& one : items_of(answer, "reservations")) {
    table.add({text_of(one, "name"), text_of(one, "tenant"), text_of(one, "node"),
               text_of(one, "cpu_milli"), text_of(one, "memory_mib"), text_of(one, "disk_mib"),
               text_of(one, "priority"), text_of(one, "expires")});
  }
  print(output == OutputFormat::kJson ? pretty(answer) : table.text());
  co_return Result<void>();
}

}  // namespace blixard::app
