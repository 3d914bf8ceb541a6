#include "app/cli_placement.h"

#include <algorithm>

#include "app/placement_values.h"
#include "base/limits.h"

namespace blixard::app {
namespace {

std::vector<std::string> strategy_names() {
  std::vector<std::string> names;
  names.reserve(cluster::kStrategies.size());
  for (const cluster::Strategy strategy : cluster::kStrategies)
    names.emplace_back(cluster::strategy_name(strategy));
  return names;
}

Result<std::vector<Name>> names_of(const std::vector<std::string>& texts) {
  std::vector<Name> names;
  for (const std::string& text : texts) {
    BLX_TRY(cluster::check_name(text));
    names.emplace_back(text);
  }
  std::ranges::sort(names);
  return names;
}

template <class T, class Parse>
Result<void> read_all(const std::vector<std::string>& texts, std::vector<T>& values, Parse parse) {
  for (const std::string& text : texts) {
    BLX_TRY(T value, parse(text));
    values.push_back(std::move(value));
  }
  return {};
}

}  // namespace

void PlacementWords::add_to_create(CLI::App& create) {
  add_resources(create);
  add_wishes(create);
  add_locality(create);
}

void PlacementWords::add_resources(CLI::App& create) {
  create.add_option("--cpu", asked_.cpu, "Promised to it, as in 0.5; default: all its vCPUs")
      ->check(checked_by(parse_cpu_milli, "VCPUS"));
  create.add_flag("--dedicated-cpus", asked_.dedicated_cpus,
                  "Promise its vCPUs to nobody else, whatever the overcommit is");
  create.add_option("--disk", asked_.disk, "Disk of the node, as in 10GiB")
      ->check(checked_by(parse_disk_mib, "SIZE"));
  create.add_option("--network", asked_.network_mbit, "Network of the node, in Mbit/s")
      ->check(CLI::Range(0U, static_cast<std::uint32_t>(limits::kNetworkMbit)));
  create
      .add_option("--device", asked_.devices,
                  "KIND:COUNT, devices of the node: gpu:2, gpu:0.5, gpu:1:a100|t4")
      ->check(checked_by(parse_device_need, "DEVICES"));
  create.add_option("--counter", asked_.counters, "NAME:AMOUNT of what the node counts")
      ->check(checked_by(parse_counters, "COUNTER"));
}

void PlacementWords::add_wishes(CLI::App& create) {
  create.add_option("--tenant", asked_.tenant, "Whose quota counts (blixard tenant)");
  create
      .add_option("--priority", asked_.priority,
                  "0 to 1000; the higher is placed first and may make lower ones go")
      ->check(CLI::Range(0U, cluster::kPriorityMax))
      ->capture_default_str();
  create.add_flag("--preemptible", asked_.preemptible,
                  "It may be stopped for a VM of higher priority");
  create.add_option("--on-evict", asked_.on_evict, "When it has to leave its node: move or stop")
      ->check(CLI::IsMember({"move", "stop"}))
      ->capture_default_str();
  create.add_option("--group", asked_.groups, "Placement group (blixard group)");
  create
      .add_option("--constraint", asked_.constraints,
                  "What its node must be: architecture=x86_64, 'zone in a,b', label.disk=ssd, "
                  "'kernel version>=6.1', name~web-.*")
      ->check(checked_by(parse_constraint, "CONSTRAINT"));
  create
      .add_option("--prefer", asked_.preferences,
                  "CONSTRAINT:WEIGHT, what its node had better be, from -100 to 100")
      ->check(checked_by(parse_preference, "CONSTRAINT:WEIGHT"));
  create
      .add_option("--tolerate", asked_.tolerations, "KEY or KEY=VALUE of a taint that it may meet")
      ->check(checked_by(parse_toleration, "TAINT"));
  create.add_option("--strategy", asked_.strategy, "How its node is chosen (blixard placement)")
      ->check(CLI::IsMember(strategy_names()));
  create.add_option("--node", asked_.node, "This node and no other; strategy manual");
}

void PlacementWords::add_locality(CLI::App& create) {
  create.add_option("--datacenter", asked_.datacenter, "Preferred datacenter");
  create.add_option("--zone", asked_.zone, "Preferred zone");
  create.add_flag("--strict-locality", asked_.strict_locality,
                  "The preferred datacenter and zone, or none");
  create.add_option("--exclude-datacenter", asked_.excluded_datacenters, "Not there");
  create
      .add_option("--max-latency", asked_.max_latency_ms,
                  "From the preferred datacenter, in milliseconds (blixard placement --latency)")
      ->check(CLI::Range(0U, limits::kLatencyMs));
}

Result<cluster::Wishes> PlacementWords::wishes() const {
  cluster::Wishes wishes{.dedicated_cpus = asked_.dedicated_cpus,
                         .network_mbit = asked_.network_mbit,
                         .tenant = Name(asked_.tenant),
                         .priority = asked_.priority,
                         .preemptible = asked_.preemptible};
  if (!asked_.cpu.empty()) {
    BLX_TRY(wishes.cpu_milli, parse_cpu_milli(asked_.cpu));
  }
  if (!asked_.disk.empty()) {
    BLX_TRY(wishes.disk_mib, parse_disk_mib(asked_.disk));
  }
  for (const std::string& text : asked_.counters) {
    BLX_TRY(const auto counters, parse_counters(text));
    wishes.counters.insert(wishes.counters.end(), counters.begin(), counters.end());
  }
  std::ranges::sort(wishes.counters, {}, &resources::Counter::name);
  BLX_TRY(read_all(asked_.devices, wishes.devices, parse_device_need));
  std::ranges::sort(wishes.devices, {}, &resources::DeviceNeed::kind);
  if (asked_.on_evict == "stop") wishes.on_evict = cluster::OnEvict::kStop;
  BLX_TRY(wishes.groups, names_of(asked_.groups));
  BLX_TRY(read_all(asked_.constraints, wishes.constraints, parse_constraint));
  BLX_TRY(read_all(asked_.preferences, wishes.preferences, parse_preference));
  BLX_TRY(read_all(asked_.tolerations, wishes.tolerations, parse_toleration));
  wishes.locality = {.datacenter = Name(asked_.datacenter),
                     .zone = Name(asked_.zone),
                     .strict = asked_.strict_locality,
                     .max_latency_ms = asked_.max_latency_ms};
  BLX_TRY(wishes.locality.excluded_datacenters, names_of(asked_.excluded_datacenters));
  if (!asked_.strategy.empty()) wishes.strategy = cluster::parse_strategy(asked_.strategy);
  wishes.node = Name(asked_.node);
  if (!asked_.node.empty() && asked_.strategy.empty()) wishes.strategy = cluster::Strategy::kManual;
  BLX_TRY(cluster::check_wishes(wishes));
  return wishes;
}

void PlacementWords::add_to_node(CLI::App& node) {
  const auto add_named = [&](const char* name, const char* what, NodeUpdate& bound) {
    CLI::App* sub = add(node, name, what, bound);
    sub->add_option("node", bound.name, "Name of the node")->required();
    return sub;
  };
  CLI::App* show = add(node, "show", "Show a node in full", node_show_);
  show->add_option("node", node_show_.name, "Name of the node")->required();
  add_named("label", "Set labels of a node, which VMs may ask for", label_)
      ->add_option("labels", label_.set_labels, "KEY=VALUE")
      ->required()
      ->check(checked_by(parse_labels, "KEY=VALUE"));
  add_named("unlabel", "Remove labels that operators set", unlabel_)
      ->add_option("keys", unlabel_.remove_labels, "Keys")
      ->required();
  add_named("taint", "Keep VMs off a node that do not tolerate it", taint_)
      ->add_option("taints", taint_.set_taints, "KEY, KEY=VALUE or KEY=VALUE:avoid")
      ->required()
      ->check(checked_by(parse_taint, "TAINT"));
  add_named("untaint", "Remove taints", untaint_)
      ->add_option("keys", untaint_.remove_taints, "Keys")
      ->required();
  cordon_.cordoned = true;
  add_named("cordon", "Place nothing new on a node; what is there stays", cordon_);
  uncordon_.cordoned = false;
  add_named("uncordon", "Use a cordoned node again", uncordon_);
  add_drain(node);
}

void PlacementWords::add_drain(CLI::App& node) {
  CLI::App* drain =
      add_(node, "drain", "Move the VMs of a node elsewhere, and wait until it is done", [this] {
        drain_.wait = !drain_in_background_;
        return Action(drain_);
      });
  drain->add_option("node", drain_.name, "Name of the node")->required();
  drain->add_option("--deadline", drain_.deadline, "When it ends whatever is left, as in 10m")
      ->check(checked_by(parse_seconds, "TIME"))
      ->capture_default_str();
  drain->add_option("--parallel", drain_.parallel, "VMs on their way at once")
      ->check(CLI::Range(1U, limits::kDrainParallel))
      ->capture_default_str();
  drain->add_flag("--background", drain_in_background_, "Do not wait (blixard node show)");
  drain->footer(
      "A VM is stopped here and started elsewhere, unless it was created with --on-evict stop.\n"
      "Examples:\n  blixard node drain n3\n  blixard node drain n3 --deadline 1h --parallel 8\n"
      "  blixard node undrain n3");
  undrain_.cancel = true;
  CLI::App* undrain =
      add(node, "undrain", "End or cancel a drain: the node is used again", undrain_);
  undrain->add_option("node", undrain_.name, "Name of the node")->required();
}

void PlacementWords::add_to_vm(CLI::App& vm) {
  CLI::App* explain = add(
      vm, "explain", "Say why a VM is where it is or waits, and what would make it fit", explain_);
  explain->add_option("name", explain_.name, "Name of the VM")->required();
  explain->footer("Examples:\n  blixard vm explain web\n  blixard vm explain web --output json");
}

void PlacementWords::add_plan(CLI::App& app) {
  CLI::App* plan =
      add(app, "plan", "Say where VMs would go if they were created now, without doing it", plan_);
  auto* file = plan->add_option(
      "file", plan_.file,
      "JSON as of POST /v1/plan: a list \"vms\" of VMs as they are created; -: standard input");
  auto* state = plan->add_option("--state", plan_.state_file,
                                 "Plan on the state in this file, without a daemon");
  auto* save = plan->add_option("--save-state", plan_.save_state_file,
                                "Plan nothing: write the cluster's state to this file");
  save->excludes(file)->excludes(state);
  plan->require_option(1, 2);
  state->needs(file);
  plan->footer(
      "Ends with 0 if all of them would be placed, with 1 if not.\n"
      "Example of a file:\n"
      "  {\"vms\": [{\"name\": \"web\", \"image\": \"guest\", \"vcpus\": 2, \"memory_mib\": 512},\n"
      "           {\"name\": \"db\", \"image\": \"guest\", \"placement\": {\"priority\": 800}}]}\n"
      "Examples:\n  blixard plan vms.json\n  blixard plan --save-state cluster.state\n"
      "  blixard plan vms.json --state cluster.state");
}

void PlacementWords::add_to_program(CLI::App& app) {
  add_plan(app);
  add_policy(app);
  add_groups(app);
  add_tenants(app);
  add_reservations(app);
}

void PlacementWords::add_policy(CLI::App& app) {
  CLI::App* policy = add(app, "placement", "Show or change how the cluster places VMs", policy_);
  policy->add_option("--strategy", policy_.strategy, "Of VMs that name none")
      ->check(CLI::IsMember(strategy_names()));
  policy
      ->add_option("--overcommit", policy_.overcommit,
                   "standard, conservative, moderate, aggressive, or CPU/MEMORY/DISK/RESERVE in "
                   "percent")
      ->check(checked_by(parse_overcommit, "OVERCOMMIT"));
  policy->add_option("--preemption", policy_.preemption, "Whether VMs may make others go")
      ->check(CLI::IsMember({"never", "lower-priority-only", "cost-aware"}));
  policy
      ->add_option("--preemption-grace", policy_.preemption_grace_seconds,
                   "Seconds that a victim gets at most")
      ->check(CLI::Range(0U, limits::kStopGraceSecondsMax));
  policy
      ->add_option("--rebalance", policy_.rebalance,
                   "off, or THRESHOLD:MOVES: points that a move has to bring, moves an hour")
      ->check(checked_by(parse_rebalance, "REBALANCE"));
  policy->add_option("--latency", policy_.latencies, "A:B:MS between two datacenters")
      ->check(checked_by(parse_latency, "LATENCY"));
  policy->add_option("--cost-increase", policy_.cost_increase_percent,
                     "Of cost-optimized: percent above the cheapest");
  policy->add_option("--spread", policy_.spread,
                     "Of spread-across-failure-domains: node, rack, zone or datacenter, with "
                     ":DOMAINS that there must be");
  policy->footer(
      "Examples:\n  blixard placement\n  blixard placement --strategy most-available\n"
      "  blixard placement --overcommit conservative --preemption never\n"
      "  blixard placement --rebalance 20:10");
}

void PlacementWords::add_groups(CLI::App& app) {
  CLI::App* group = app.add_subcommand("group", "VMs that are placed with regard to each other");
  group->require_subcommand(1);
  add(*group, "list", "List the groups", group_list_);
  group_set_.what = ListOrChange::kSet;
  CLI::App* set = add(*group, "set", "Make a group, or replace its rules", group_set_);
  set->add_option("name", group_set_.name, "Name of the group")->required();
  set->add_option("--rule", group_set_.rules,
                  "spread:LEVEL:MAX, together:LEVEL, near:GROUP:LEVEL or away:GROUP:LEVEL; "
                  "a soft one ends in :soft=WEIGHT")
      ->check(checked_by(parse_rule, "RULE"));
  set->add_option("--gang", group_set_.gang, "So many are placed at once or none")
      ->check(CLI::Range(0U, limits::kGang));
  set->footer(
      "Examples:\n  blixard group set db --rule spread:node:1 --rule spread:zone:2:soft=80\n"
      "  blixard group set cache --rule near:db:zone\n"
      "  blixard vm create db-1 --image guest --group db");
  group_delete_.what = ListOrChange::kDelete;
  add(*group, "delete", "Delete a group that no VM is in", group_delete_)
      ->add_option("name", group_delete_.name, "Name of the group")
      ->required();
}

void PlacementWords::add_tenants(CLI::App& app) {
  CLI::App* tenant = app.add_subcommand("tenant", "Whose VMs are counted together, and limits");
  tenant->require_subcommand(1);
  add(*tenant, "list", "List the tenants, with what they use", tenant_list_);
  tenant_set_.what = ListOrChange::kSet;
  CLI::App* set =
      add(*tenant, "set", "Set the limits of a tenant; what is not given has none", tenant_set_);
  set->add_option("name", tenant_set_.name, "Name of the tenant")->required();
  set->add_option("--vms", tenant_set_.vms, "VMs");
  set->add_option("--vcpus", tenant_set_.vcpus, "vCPUs of all its VMs");
  set->add_option("--memory", tenant_set_.memory, "Memory of all its VMs, as in 64GiB")
      ->check(checked_by(parse_disk_mib, "SIZE"));
  set->add_option("--disk", tenant_set_.disk, "Disk of all its VMs, as in 2TiB")
      ->check(checked_by(parse_disk_mib, "SIZE"));
  set->add_option("--vms-per-node", tenant_set_.vms_per_node, "VMs on one node");
  set->add_option("--creates", tenant_set_.creates, "So many VMs created, as in 10/m or 5/h:20")
      ->check(checked_by(parse_rate, "RATE"));
  set->add_option("--starts", tenant_set_.starts, "So many starts")
      ->check(checked_by(parse_rate, "RATE"));
  set->add_option("--deletes", tenant_set_.deletes, "So many VMs deleted")
      ->check(checked_by(parse_rate, "RATE"));
  set->add_option("--preemptions", tenant_set_.preemptions_per_hour,
                  "VMs an hour that its VMs may make go");
  set->add_option("--weight", tenant_set_.weight, "Of its share while VMs of several tenants wait")
      ->check(CLI::Range(1U, limits::kTenantWeight))
      ->capture_default_str();
  set->footer(
      "Examples:\n  blixard tenant set blue --vms 50 --memory 64GiB --creates 10/m\n"
      "  blixard vm create web --image guest --tenant blue");
  tenant_delete_.what = ListOrChange::kDelete;
  add(*tenant, "delete", "Forget the limits of a tenant", tenant_delete_)
      ->add_option("name", tenant_delete_.name, "Name of the tenant")
      ->required();
}

void PlacementWords::add_reservations(CLI::App& app) {
  CLI::App* reservation = app.add_subcommand("reservation", "Room of nodes kept for a tenant");
  reservation->require_subcommand(1);
  add(*reservation, "list", "List the reservations", reservation_list_);
  ReservationCommand& bound = reservation_set_;
  bound.what = ListOrChange::kSet;
  CLI::App* set = add(*reservation, "set", "Keep room of a node for a tenant", bound);
  set->add_option("name", bound.name, "Name of the reservation")->required();
  set->add_option("--tenant", bound.tenant, "For whom")->required();
  set->add_option("--node", bound.node, "On which node")->required();
  set->add_option("--cpu", bound.cpu, "vCPUs")->check(checked_by(parse_cpu_milli, "VCPUS"));
  set->add_option("--memory", bound.memory, "Memory")->check(checked_by(parse_disk_mib, "SIZE"));
  set->add_option("--disk", bound.disk, "Disk")->check(checked_by(parse_disk_mib, "SIZE"));
  set->add_option("--priority", bound.priority, "VMs of higher priority may use it")
      ->check(CLI::Range(0U, cluster::kPriorityMax))
      ->capture_default_str();
  set->add_option("--for", bound.lifetime, "How long, as in 12h; default: until it is deleted")
      ->check(checked_by(parse_seconds, "TIME"));
  set->footer("Example:\n  blixard reservation set peak --tenant blue --node n1 --memory 8GiB");
  reservation_delete_.what = ListOrChange::kDelete;
  add(*reservation, "delete", "Give the room back", reservation_delete_)
      ->add_option("name", reservation_delete_.name, "Name of the reservation")
      ->required();
}

}  // namespace blixard::app
