// Whatever is created, moved, drained and planned in whatever order, and however late a line of a
// plan is applied: no capacity, rule, quota or gang is ever broken, and who followed the state
// plans as who reads it anew.

#include <rapidcheck.h>

#include <iterator>
#include <map>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "core/cluster/groups.h"
#include "core/sched/test_placing.h"

namespace blixard::sched {
namespace {

using cluster::Scenario;
using cluster::State;
using cluster::Vm;
using rc::gen::element;

template <class T>
T pick(T min, T end) {
  return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<T>(min, end));
}

// Of 2 vCPUs (8 are promised), 1 GiB and two devices, two to a zone.
v1::Command node_command(std::uint64_t id) {
  v1::Command command = Scenario::command(
      "register_node { capacity { vcpus: 2 memory_mib: 1024 devices { kind: 'gpu' count: 2 } } }");
  auto& node = *command.mutable_register_node();
  node.set_node_id(id);
  node.set_name("n" + std::to_string(id));
  node.mutable_topology()->set_zone("z" + std::to_string(id / 2));
  node.set_accelerator("kvm");
  node.set_hypervisor_version(std::to_string(id % 2));
  return command;
}

v1::Command create_command(int number) {
  std::string wishes = *element<std::string>(
      "", "", "groups: 'spread'", "groups: 'together'", "groups: 'apart'", "groups: 'gang'",
      "groups: 'gang' groups: 'spread'", "tenant: 'red'",
      "constraints { attribute: 'zone' op: CONSTRAINT_OP_EQUAL values: 'z1' }",
      "devices { kind: 'gpu' count: 1 milli: 400 }", "devices { kind: 'gpu' count: 2 }");
  wishes += *element<std::string>("", " priority: 900", " priority: 100 preemptible: true",
                                  " priority: 10 preemptible: true");
  v1::Command command =
      Scenario::create_command("vm-" + std::to_string(number), wishes, pick<std::uint32_t>(1, 6),
                               pick<std::uint32_t>(80, 700));
  if (pick(0, 4) == 0) {
    auto& port = *command.mutable_create_vm()->mutable_spec()->add_published_ports();
    port.set_host_port(80);
    port.set_guest_port(80);
  }
  return command;
}

Scenario some_cluster() {
  Scenario cluster;
  RC_ASSERT(cluster.add_image("alpine").has_value());
  const auto nodes = pick<std::uint64_t>(1, 6);
  for (std::uint64_t id = 1; id <= nodes; ++id)
    RC_ASSERT(cluster.apply(node_command(id)).has_value());
  for (const char* text :
       {"set_group { group { name: 'spread' rules { kind: GROUP_RULE_KIND_SPREAD level: "
        "TOPOLOGY_LEVEL_ZONE max: 2 hard: true } } }",
        "set_group { group { name: 'together' rules { kind: GROUP_RULE_KIND_TOGETHER level: "
        "TOPOLOGY_LEVEL_NODE hard: true } } }",
        "set_group { group { name: 'apart' rules { kind: GROUP_RULE_KIND_AWAY level: "
        "TOPOLOGY_LEVEL_NODE other: 'spread' hard: true } } }",
        "set_group { group { name: 'gang' gang: 3 } }",
        "set_tenant { tenant { name: 'red' quota { vms_per_node: 1 } } }"}) {
    const auto applied = cluster.apply(text);
    RC_ASSERT(applied.has_value());
  }
  return cluster;
}

const Vm* some_vm(const State& state) {
  if (state.vms().empty()) return nullptr;
  const auto count = static_cast<std::ptrdiff_t>(state.vms().size());
  return &std::next(state.vms().begin(), pick<std::ptrdiff_t>(0, count))->second;
}

// A placed VM comes to run and is saved; now and then it wakes at once.
void suspend(Scenario& cluster, const Vm& vm) {
  const std::string name = vm.name.text();
  for (const v1::VmState state : {v1::VM_STATE_STARTING, v1::VM_STATE_RUNNING})
    (void)cluster.report(name, state);
  (void)cluster.desire(name, v1::VM_DESIRED_SUSPENDED);
  v1::Command command;
  command.set_version(cluster::kModelVersion);
  command.mutable_report_vms()->set_node_id(vm.node.value);
  v1::VmReport& report = *command.mutable_report_vms()->add_reports();
  report.set_vm_id(vm.id.value);
  report.set_generation(vm.generation.value);
  report.set_state(v1::VM_STATE_SUSPENDED);
  report.set_released(true);
  v1::SavedGuest& saved = *report.mutable_saved();
  saved.set_digest(std::string(32, 'd'));
  saved.set_bytes(1);
  saved.set_accelerator("kvm");
  saved.set_hypervisor_version(std::to_string(vm.node.value % 2));
  (void)cluster.apply(std::move(command));
  if (pick(0, 2) == 0) (void)cluster.desire(name, v1::VM_DESIRED_RUNNING);
}

// Something that happens to the cluster beside plans.
void happen(Scenario& cluster, int number) {
  const Vm* vm = some_vm(cluster.state);
  const auto node = pick<std::uint64_t>(1, 7);
  switch (pick(0, 12)) {
    case 0:
      if (vm != nullptr) (void)cluster.desire(vm->name.text(), v1::VM_DESIRED_DELETED);
      break;
    case 1:
    case 2:
      if (vm != nullptr && vm->node)
        (void)cluster.report(vm->name.text(), v1::VM_STATE_PENDING, vm->evicting);
      break;
    case 3:
      if (vm != nullptr && vm->desired == cluster::VmDesired::kDeleted && vm->node)
        (void)cluster.report(vm->name.text(), v1::VM_STATE_STOPPED, true);
      break;
    case 4:
      (void)cluster.apply("update_node { node_id: " + std::to_string(node) +
                          " cordoned: " + *element<std::string>("true", "false") + " }");
      break;
    case 5:
      (void)cluster.apply("drain_node { node_id: " + std::to_string(node) +
                          " deadline_ms: 600000 parallel: 2 }");
      break;
    case 6:
      if (vm != nullptr && vm->node)
        (void)cluster.apply(cluster.evict_command(vm->name.text(), v1::EVICT_CAUSE_REBALANCE));
      break;
    case 7:
      (void)cluster.apply(node_command(node));
      break;
    case 8:
      if (vm != nullptr && vm->node) suspend(cluster, *vm);
      break;
    case 9:
      if (vm != nullptr && vm->state == cluster::VmState::kSuspended)
        (void)cluster.desire(vm->name.text(), v1::VM_DESIRED_RUNNING);
      break;
    default:
      (void)cluster.apply(create_command(number));
  }
}

// The model: recounts everything from the VMs.
void nothing_is_broken(const State& state) {
  std::map<std::pair<Name, Name>, int> in_zone;  // of group spread
  std::map<NodeId, std::map<Name, int>> on_node;
  int together_nodes = 0;
  for (const auto& [id, node] : state.nodes()) {
    resources::Amounts taken;
    std::vector<int> gpus(2, 0);
    std::set<std::uint16_t> ports;
    int red = 0;
    bool has_together = false;
    for (const VmId vm_id : state.vms_on(id)) {
      const Vm& vm = *state.find_vm(vm_id);
      const auto demand = cluster::demand_of(vm.spec, state.policy().overcommit);
      taken += demand.amounts;
      for (const std::uint16_t device : vm.devices)
        gpus.at(device) += demand.devices.at(0).milli;
      for (const auto& port : vm.spec.published_ports)
        RC_ASSERT(port.host_port == 0 || ports.insert(port.host_port).second);
      red += vm.spec.wishes->tenant == "red" ? 1 : 0;
      for (const Name& group : vm.spec.wishes->groups) {
        ++on_node[id][group];
        if (group == "spread") ++in_zone[{node.topology.datacenter, node.topology.zone}];
        has_together |= group == "together";
      }
    }
    RC_ASSERT(taken.cpu_milli <= 8000 && taken.memory_mib <= 1024);
    RC_ASSERT(gpus[0] <= 1000 && gpus[1] <= 1000);
    RC_ASSERT(red <= 1);
    RC_ASSERT(on_node[id][Name("apart")] == 0 || on_node[id][Name("spread")] == 0);
    together_nodes += has_together ? 1 : 0;
  }
  RC_ASSERT(together_nodes <= 1);
  for (const auto& [zone, count] : in_zone)
    RC_ASSERT(count <= 2);
}

// A line of a plan that may be late; gangs come whole.
void apply_line(Scenario& cluster, const v1::Command& line) {
  const cluster::GroupMembers* before = cluster.state.members_of(Name("gang"));
  const std::uint32_t placed = before == nullptr ? 0 : before->placed;
  const auto applied = cluster.apply(line);
  const cluster::GroupMembers* after = cluster.state.members_of(Name("gang"));
  const bool is_placing = line.has_place_vm() || line.has_place_gang();
  if (applied && is_placing && after != nullptr && after->placed != placed)
    RC_ASSERT(after->placed >= 3);
}

RC_GTEST_PROP(PlannerProperty, NothingIsBrokenByAnyInterleaving, ()) {
  Scenario cluster = some_cluster();
  Planner planner;
  std::vector<v1::Command> late;
  const int steps = pick(0, 60);
  for (int step = 0; step < steps; ++step) {
    if (pick(0, 3) != 0) {
      happen(cluster, step);
    } else {
      const std::uint64_t since = planner.revision();
      const auto behind = std::ranges::find_if(
          cluster.changes, [&](const auto& change) { return change.revision > since; });
      planner.follow(cluster.state, std::span(behind, cluster.changes.end()));
      const Plan plan = planner.plan(cluster.state);
      RC_ASSERT(plan == plan_pending(cluster.state));
      // Planning changed nothing of what it plans with.
      RC_ASSERT(plan == planner.plan(cluster.state));
      for (const v1::Command& line : commands_of(plan)) {
        if (pick(0, 3) == 0) {
          late.push_back(line);
        } else {
          apply_line(cluster, line);
        }
      }
    }
    if (!late.empty() && pick(0, 3) == 0) {
      const auto chosen = late.begin() + pick<std::ptrdiff_t>(0, std::ssize(late));
      apply_line(cluster, *chosen);
      late.erase(chosen);
    }
    nothing_is_broken(cluster.state);
  }
}

// A plan that is applied as it is made is never refused, and once all of it is, nothing is left
// that a node would take.
RC_GTEST_PROP(PlannerProperty, AFreshPlanIsTakenWholeAndLeavesNothing, ()) {
  Scenario cluster = some_cluster();
  const int steps = pick(0, 40);
  for (int step = 0; step < steps; ++step)
    happen(cluster, step);
  // Some of those that find a node have run there, when more happens.
  for (const v1::Command& line : commands_of(plan_pending(cluster.state)))
    apply_line(cluster, line);
  for (int step = 0; step < steps; ++step) {
    const Vm* vm = some_vm(cluster.state);
    if (vm != nullptr && vm->node && pick(0, 2) == 0) suspend(cluster, *vm);
    happen(cluster, steps + step);
  }
  for (int round = 0; round < 50; ++round) {
    const Plan plan = plan_pending(cluster.state);
    if (plan.empty()) return;
    for (const v1::Command& line : commands_of(plan)) {
      const auto applied = cluster.apply(line);
      RC_ASSERT(applied.has_value());
    }
    nothing_is_broken(cluster.state);
  }
  RC_FAIL("plans without an end");
}

}  // namespace
}  // namespace blixard::sched
