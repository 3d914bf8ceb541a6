// Placements and evictions: what a plan could not know is found here.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "core/cluster/test_apply.h"

namespace blixard::cluster {
namespace {

constexpr auto kExhausted = Code::kResourceExhausted;
constexpr auto kPrecondition = Code::kFailedPrecondition;

class ApplyPlace : public Apply {
 protected:
  // Four cores and a GiB each. Nodes 1 and 2 are in zone a, 3 and 4 in zone b; node 1 has devices.
  void SetUp() override {
    Apply::SetUp();
    for (int id = 1; id <= 4; ++id) {
      must(fmt::format(R"(register_node {{ node_id: {} name: "n{}"
          capacity {{ vcpus: 4 memory_mib: 1024 disk_mib: 100 network_mbit: 10 {} }}
          topology {{ datacenter: "d" zone: "{}" }} }})",
                       id, id,
                       id == 1 ? R"(counters { name: "licence" amount: 2 }
                                    devices { kind: "gpu" model: "a100" count: 2 }
                                    devices { kind: "gpu" model: "t4" count: 1 })"
                               : "",
                       id <= 2 ? "a" : "b"));
    }
    cluster_.changes.clear();
  }

  v1::Command place_with(const std::string& name, std::uint64_t node,
                         const std::vector<std::uint32_t>& devices, std::uint64_t revision = 0) {
    v1::Command command = cluster_.place_command(name, node);
    for (const std::uint32_t device : devices)
      command.mutable_place_vm()->add_devices(device);
    command.mutable_place_vm()->set_node_revision(revision);
    return command;
  }
  void expect_place_refused(const std::string& name, std::uint64_t node, Code code,
                            std::string_view reason) {
    expect_refused(cluster_.place_command(name, node), code, reason);
  }
  void must_place(const std::string& name, std::uint64_t node) {
    const auto outcome = cluster_.place(name, node);
    ASSERT_TRUE(outcome) << outcome.error().message() << ": " << name << " on " << node;
  }
  void set_group(const std::string& text) { must("set_group { group { " + text + " } }"); }
  std::string id(const std::string& name) { return std::to_string(vm(name).id.value); }
};

TEST_F(ApplyPlace, CountsEveryAmount) {
  const std::pair<const char*, const char*> too_much[] = {
      {"disk_mib: 101", "101 MiB of disk is needed, 100 MiB of disk left"},
      {"network_mbit: 11", "11 Mbit/s"},
      {"counters { name: 'licence' amount: 3 }", "3 of licence are needed, 2 left"},
      {"counters { name: 'other' amount: 1 }", "1 of other are needed, 0 left"},
      {"devices { kind: 'gpu' count: 4 }", "4 of device gpu are needed, 3 left"},
      {"devices { kind: 'fpga' }", "1 of device fpga are needed, 0 left"},
      {"devices { kind: 'gpu' models: 'h100' }", "no device gpu is of a model that will do"},
  };
  int number = 0;
  for (const auto& [placement, part] : too_much) {
    const std::string name = "vm-" + std::to_string(number++);
    must_create(name, placement);
    expect_place_refused(name, 1, kExhausted, "node_full");
    expect_detail(cluster_.place_command(name, 1), part);
  }
  must_create("fits", "disk_mib: 100 network_mbit: 10 counters { name: 'licence' amount: 2 }");
  must_place("fits", 1);
  EXPECT_EQ(room(1), (resources::Amounts{15'000, 896, 0, 0}));
  EXPECT_EQ(cluster_.state.room_on(node(1)).counters()[0].amount, 0);
  must_create("disk", "disk_mib: 1");
  expect_place_refused("disk", 1, kExhausted, "node_full");
}

TEST_F(ApplyPlace, PartsOfCoresAndDedicatedCores) {
  must_create("part", "cpu_milli: 250", 2);
  must_place("part", 1);
  EXPECT_EQ(room(1).cpu_milli, 15'750);
  must_create("dedicated", "dedicated_cpus: true", 3);
  must_place("dedicated", 1);
  EXPECT_EQ(room(1).cpu_milli, 15'750 - 4 * 3000);
  must_create("another", "dedicated_cpus: true", 1);
  expect_place_refused("another", 1, kExhausted, "node_full");
  // Under another policy they count otherwise.
  must(
      "set_policy { policy { overcommit { cpu_percent: 100 memory_percent: 100 "
      "disk_percent: 100 } } }");
  EXPECT_EQ(room(1).cpu_milli, 4000 - 250 - 3000);
  const auto refused = create("x", "cpu_milli: 2001", 2);
  EXPECT_EQ(refused.error().reason(), "placement_invalid");
}

TEST_F(ApplyPlace, DevicesAreThoseOfThePlanOrChosen) {
  must_create("two", "devices { kind: 'gpu' count: 2 }");
  for (const std::vector<std::uint32_t>& wrong :
       std::vector<std::vector<std::uint32_t>>{{0}, {0, 0}, {0, 1, 2}, {0, 3}, {0, 64}}) {
    expect_refused(place_with("two", 1, wrong), kExhausted, "node_full");
  }
  ASSERT_TRUE(cluster_.apply(place_with("two", 1, {0, 2})));
  EXPECT_EQ(vm("two").devices, (resources::DeviceNumbers{0, 2}));
  must_create("part", "devices { kind: 'gpu' milli: 300 }");
  expect_refused(place_with("part", 1, {2}), kExhausted, "node_full");
  must_place("part", 1);
  EXPECT_EQ(vm("part").devices, resources::DeviceNumbers{1});
  must_create("rest", "devices { kind: 'gpu' milli: 700 }");
  must_place("rest", 1);
  EXPECT_EQ(vm("rest").devices, resources::DeviceNumbers{1});
  must_create("none", "devices { kind: 'gpu' milli: 1 }");
  expect_place_refused("none", 1, kExhausted, "node_full");
  // What is given back can be given again.
  ASSERT_TRUE(cluster_.report("two", v1::VM_STATE_STARTING));
  ASSERT_TRUE(cluster_.report("two", v1::VM_STATE_STOPPED));
  ASSERT_TRUE(cluster_.report("two", v1::VM_STATE_PENDING, true));
  EXPECT_TRUE(vm("two").devices.empty());
  must_place("none", 1);
  EXPECT_EQ(vm("none").devices, resources::DeviceNumbers{0});
  must_create("plain", "");
  expect_refused(place_with("plain", 1, {2}), kExhausted, "node_full");
}

TEST_F(ApplyPlace, NodesThatAreClosedChangedOrTainted) {
  must_create("web", "");
  must("update_node { node_id: 1 cordoned: true }");
  expect_place_refused("web", 1, kPrecondition, "node_closed");
  expect_detail(cluster_.place_command("web", 1), "node n1 is cordoned");
  must("update_node { node_id: 1 cordoned: false }");
  must("drain_node { node_id: 1 deadline_ms: 1000 parallel: 1 }");
  expect_place_refused("web", 1, kPrecondition, "node_closed");
  expect_detail(cluster_.place_command("web", 1), "node n1 is drained");
  must("drain_node { node_id: 1 cancel: true }");

  const std::uint64_t revision = node(1).revision;
  must("update_node { node_id: 1 set_labels { key: 'disk' value: 'ssd' } }");
  EXPECT_EQ(node(1).revision, revision + 1);
  expect_refused(place_with("web", 1, {}, revision), Code::kAborted, "node_changed");
  ASSERT_TRUE(cluster_.apply(place_with("web", 1, {}, revision + 1)));

  must(
      "update_node { node_id: 2 set_taints { key: 'gpu' value: 'a' effect: TAINT_EFFECT_REFUSE } "
      "set_taints { key: 'old' effect: TAINT_EFFECT_AVOID } }");
  must_create("no", "tolerations { key: 'gpu' value: 'b' }");
  must_create("yes", "tolerations { key: 'gpu' value: 'a' }");
  must_create("any", "tolerations { key: 'gpu' }");
  expect_place_refused("no", 2, kPrecondition, "node_tainted");
  must_place("yes", 2);
  must_place("any", 2);
}

// Groups.

TEST_F(ApplyPlace, HardSpreadIsNeverBroken) {
  set_group(R"(name: "db" rules { kind: GROUP_RULE_KIND_SPREAD level: TOPOLOGY_LEVEL_ZONE max: 1
               hard: true })");
  for (const char* name : {"db-1", "db-2", "db-3"})
    must_create(name, "groups: 'db'");
  must_place("db-1", 1);
  expect_place_refused("db-2", 1, kPrecondition, "group_rule");
  expect_place_refused("db-2", 2, kPrecondition, "group_rule");
  expect_detail(cluster_.place_command("db-2", 2), "at most 1 in one zone, which zone a would");
  must_place("db-2", 3);
  for (const std::uint64_t each : {1, 2, 3, 4})
    expect_place_refused("db-3", each, kPrecondition, "group_rule");
  EXPECT_EQ(cluster_.state.members_of(Name("db"))->placed, 2u);
  EXPECT_EQ(cluster_.state.members_of(Name("db"))->pending, 1u);
  ASSERT_TRUE(cluster_.desire("db-1", v1::VM_DESIRED_DELETED));
  expect_place_refused("db-3", 2, kPrecondition, "group_rule");  // it is there until released
  ASSERT_TRUE(cluster_.report("db-1", v1::VM_STATE_STOPPED, true));
  must_place("db-3", 2);
}

TEST_F(ApplyPlace, SoftRulesAreForThePlan) {
  set_group("name: 'db' rules { kind: GROUP_RULE_KIND_SPREAD max: 1 }");
  must_create("a", "groups: 'db'");
  must_create("b", "groups: 'db'");
  must_place("a", 1);
  must_place("b", 1);
}

// A rule that present members break already is kept by those that come later.
TEST_F(ApplyPlace, RulesCountFromWhenTheyAreSet) {
  set_group("name: 'db'");
  for (const char* name : {"a", "b", "c"})
    must_create(name, "groups: 'db'");
  must_place("a", 1);
  must_place("b", 1);
  set_group("name: 'db' rules { kind: GROUP_RULE_KIND_SPREAD max: 1 hard: true }");
  expect_place_refused("c", 1, kPrecondition, "group_rule");
  must_place("c", 2);
}

TEST_F(ApplyPlace, TogetherNearAndAway) {
  set_group(
      "name: 'web' rules { kind: GROUP_RULE_KIND_TOGETHER level: TOPOLOGY_LEVEL_ZONE "
      "hard: true }");
  set_group(
      "name: 'cache' rules { kind: GROUP_RULE_KIND_NEAR other: 'web' "
      "level: TOPOLOGY_LEVEL_ZONE hard: true }");
  set_group(
      "name: 'batch' rules { kind: GROUP_RULE_KIND_AWAY other: 'web' "
      "level: TOPOLOGY_LEVEL_NODE hard: true }");
  for (const char* name : {"web-1", "web-2"})
    must_create(name, "groups: 'web'");
  must_create("cache", "groups: 'cache'");
  must_create("batch", "groups: 'batch'");
  expect_place_refused("cache", 1, kPrecondition, "group_rule");
  must_place("web-1", 1);
  expect_place_refused("web-2", 3, kPrecondition, "group_rule");
  expect_place_refused("cache", 3, kPrecondition, "group_rule");
  must_place("cache", 2);
  expect_place_refused("batch", 1, kPrecondition, "group_rule");
  must_place("batch", 2);
  // And the other way round: web may not come to where batch is.
  expect_place_refused("web-2", 2, kPrecondition, "group_rule");
  expect_detail(cluster_.place_command("web-2", 2), "VM web-2 would break in node n2");
  must_place("web-2", 1);
}

// Gangs.

TEST_F(ApplyPlace, AGangIsPlacedWholeOrNotAtAll) {
  set_group("name: 'mpi' gang: 3");
  for (const char* name : {"a", "b", "c", "d"})
    must_create(name, "groups: 'mpi' devices { kind: 'gpu' }", 1, 300);
  expect_place_refused("a", 1, kPrecondition, "group_rule");
  expect_detail(cluster_.place_command("a", 1), "3 are placed at once, this would make 1");
  expect_refused(cluster_.gang_command({{"a", 1}, {"b", 1}}), kPrecondition, "group_rule");
  // The third finds no device: nothing of it is done.
  expect_refused(cluster_.gang_command({{"a", 1}, {"b", 1}, {"c", 2}}), kExhausted, "node_full");
  expect_refused(cluster_.gang_command({{"a", 1}, {"b", 1}, {"a", 1}}), Code::kAborted,
                 "stale_generation");
  expect_refused("place_gang { }", Code::kInvalidArgument, "placement_invalid");
  expect_refused("place_gang { placements { vm_id: 999 node_id: 1 } }", Code::kNotFound,
                 "vm_not_found");
  cluster_.changes.clear();
  ASSERT_TRUE(cluster_.apply(cluster_.gang_command({{"a", 1}, {"b", 1}, {"c", 1}})));
  EXPECT_EQ(cluster_.changes.size(), 3u);
  EXPECT_EQ(vm("a").devices, resources::DeviceNumbers{0});
  EXPECT_EQ(vm("c").devices, resources::DeviceNumbers{2});
  EXPECT_EQ(vm("c").state, VmState::kPlaced);
  // Each against what those before it took: four times 300 MiB are more than one node has.
  expect_place_refused("d", 1, kExhausted, "node_full");
}

TEST_F(ApplyPlace, AGangIsCheckedTogether) {
  for (const char* name : {"a", "b", "c", "d"})
    must_create(name, "", 1, 300);
  expect_refused(cluster_.gang_command({{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}}), kExhausted,
                 "node_full");
  EXPECT_TRUE(cluster_.apply(cluster_.gang_command({{"a", 1}, {"b", 1}, {"c", 1}, {"d", 2}})));
  v1::Command many = Scenario::command("place_gang { }");
  for (std::size_t at = 0; at <= limits::kGang; ++at)
    many.mutable_place_gang()->add_placements();
  expect_refused(many, Code::kInvalidArgument, "placement_invalid");
}

// Reservations.

TEST_F(ApplyPlace, ReservedRoomIsForItsOwnerAndHigherPriorities) {
  must(
      "set_reservation { reservation { name: 'peak' tenant: 'blue' node_id: 1 memory_mib: 700 "
      "cpu_milli: 1000 priority: 600 } }");
  must_create("other", "tenant: 'red'", 1, 400);
  must_create("high", "tenant: 'red' priority: 601", 1, 400);
  must_create("equal", "tenant: 'red' priority: 600", 1, 400);
  must_create("own", "tenant: 'blue'", 1, 400);
  must_create("plain", "", 1, 324);
  must_create("plain-2", "", 1, 325);
  expect_place_refused("other", 1, kExhausted, "node_full");
  expect_detail(cluster_.place_command("other", 1), "700 MiB of memory of 1024");
  expect_place_refused("equal", 1, kExhausted, "node_full");
  expect_place_refused("plain-2", 1, kExhausted, "node_full");
  must_place("own", 1);
  // 400 of the 700 are used: 300 are held back of the 624 left.
  EXPECT_EQ(cluster_.state.held_back(NodeId(1), Name("red"), 500).memory_mib, 300);
  EXPECT_EQ(cluster_.state.held_back(NodeId(1), Name("red"), 601), resources::Amounts{});
  EXPECT_EQ(cluster_.state.held_back(NodeId(1), Name("blue"), 500), resources::Amounts{});
  must_place("plain", 1);
  expect_place_refused("plain-2", 1, kExhausted, "node_full");
  EXPECT_TRUE(cluster_.place("other", 2));
  must("remove_reservation { name: 'peak' }");
  EXPECT_TRUE(cluster_.place("high", 3));
}

TEST_F(ApplyPlace, TheDefaultTenantMayReserveToo) {
  must(
      "set_reservation { reservation { name: 'system' node_id: 1 memory_mib: 1000 "
      "priority: 1000 } }");
  EXPECT_EQ(cluster_.state.find_reservation("system")->tenant, "default");
  must_create("other", "tenant: 'red' priority: 1000");
  must_create("plain", "", 1, 600);
  expect_place_refused("other", 1, kExhausted, "node_full");
  must_place("plain", 1);
  EXPECT_EQ(cluster_.state.held_back(NodeId(1), Name("red"), 0).memory_mib, 400);
}

TEST_F(ApplyPlace, ATenantMayHaveSoManyOnANode) {
  must("set_tenant { tenant { name: 'blue' quota { vms_per_node: 1 } } }");
  must("set_tenant { tenant { name: 'default' quota { vms_per_node: 2 } } }");
  for (const char* name : {"b-1", "b-2"})
    must_create(name, "tenant: 'blue'");
  for (const char* name : {"d-1", "d-2", "d-3"})
    must_create(name, "");
  must_place("b-1", 1);
  expect_place_refused("b-2", 1, kExhausted, "quota_exceeded");
  expect_detail(cluster_.place_command("b-2", 1), "tenant blue has 1 of 1 VMs on node n1");
  must_place("d-1", 1);
  must_place("d-2", 1);
  expect_place_refused("d-3", 1, kExhausted, "quota_exceeded");
  must_place("d-3", 2);
  must_place("b-2", 2);
}

// Evictions.

TEST_F(ApplyPlace, AnEvictedVmIsPendingAgainOnceItsNodeGaveItBack) {
  must_create("web", "devices { kind: 'gpu' }");
  must_place("web", 1);
  ASSERT_TRUE(cluster_.report("web", v1::VM_STATE_STARTING));
  ASSERT_TRUE(cluster_.report("web", v1::VM_STATE_RUNNING));
  const Generation generation = vm("web").generation;
  v1::Command evict = cluster_.evict_command("web", v1::EVICT_CAUSE_REBALANCE);
  evict.mutable_evict_vm()->set_explanation("fuller\x1b[m than others");
  evict.mutable_evict_vm()->set_target_node_id(2);
  ASSERT_TRUE(cluster_.apply(evict));
  EXPECT_TRUE(vm("web").evicting);
  EXPECT_EQ(vm("web").eviction->cause, EvictCause::kRebalance);
  EXPECT_EQ(vm("web").eviction->explanation, "fuller?[m than others");
  EXPECT_EQ(vm("web").eviction->from, NodeId(1));
  EXPECT_EQ(vm("web").eviction->target, NodeId(2));
  EXPECT_EQ(vm("web").desired, VmDesired::kRunning);
  EXPECT_EQ(vm("web").generation, generation);
  expect_refused(cluster_.evict_command("web", v1::EVICT_CAUSE_REBALANCE), kPrecondition,
                 "vm_evicting");
  ASSERT_TRUE(cluster_.report("web", v1::VM_STATE_STOPPING));
  ASSERT_TRUE(cluster_.report("web", v1::VM_STATE_STOPPED));
  EXPECT_TRUE(vm("web").evicting);
  EXPECT_TRUE(State::decode(cluster_.state.encode()));
  // A user's start does not keep it there.
  ASSERT_TRUE(cluster_.desire("web", v1::VM_DESIRED_RUNNING));
  EXPECT_EQ(vm("web").state, VmState::kStopped);
  ASSERT_TRUE(cluster_.report("web", v1::VM_STATE_PENDING, true));
  EXPECT_FALSE(vm("web").evicting);
  EXPECT_EQ(vm("web").state, VmState::kPending);
  EXPECT_EQ(vm("web").eviction->from, NodeId(1)) << "it is remembered";
  EXPECT_TRUE(vm("web").devices.empty());
  EXPECT_EQ(cluster_.state.room_on(node(1)).devices()[0].free_milli, resources::kWholeDevice);
}

TEST_F(ApplyPlace, AVmThatIsToStopStopsWhereItIs) {
  must_create("web", "on_evict: ON_EVICT_STOP");
  must_place("web", 1);
  ASSERT_TRUE(cluster_.apply(cluster_.evict_command("web", v1::EVICT_CAUSE_REBALANCE)));
  EXPECT_FALSE(vm("web").evicting);
  EXPECT_EQ(vm("web").desired, VmDesired::kStopped);
  EXPECT_EQ(vm("web").eviction->cause, EvictCause::kRebalance);
  EXPECT_EQ(vm("web").node, NodeId(1));
}

TEST_F(ApplyPlace, AVmThatStoppedForADrainStaysSo) {
  must_create("web", "on_evict: ON_EVICT_STOP");
  must_place("web", 1);
  ASSERT_TRUE(cluster_.report("web", v1::VM_STATE_STARTING));
  ASSERT_TRUE(cluster_.report("web", v1::VM_STATE_RUNNING));
  must("drain_node { node_id: 1 deadline_ms: 60000 parallel: 1 }");
  ASSERT_TRUE(cluster_.apply(cluster_.evict_command("web", v1::EVICT_CAUSE_DRAIN)));
  ASSERT_TRUE(cluster_.report("web", v1::VM_STATE_STOPPED));
  const auto started = cluster_.desire("web", v1::VM_DESIRED_RUNNING);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().reason(), "node_closed");
  EXPECT_THAT(started.error().message(), testing::HasSubstr("web stays stopped on node"));
  EXPECT_EQ(vm("web").state, VmState::kStopped);
  must("drain_node { node_id: 1 cancel: true }");
  ASSERT_TRUE(cluster_.desire("web", v1::VM_DESIRED_RUNNING));
  EXPECT_EQ(vm("web").state, VmState::kPlaced);
}

TEST_F(ApplyPlace, WhileItLeavesAVmIsStillItsUsers) {
  for (const char* name : {"stop", "delete", "failed"}) {
    must_create(name, "");
    must_place(name, 1);
    ASSERT_TRUE(cluster_.report(name, v1::VM_STATE_STARTING));
    ASSERT_TRUE(cluster_.apply(cluster_.evict_command(name, v1::EVICT_CAUSE_REBALANCE)));
  }
  ASSERT_TRUE(cluster_.desire("stop", v1::VM_DESIRED_STOPPED));
  ASSERT_TRUE(cluster_.report("stop", v1::VM_STATE_STOPPED));
  ASSERT_TRUE(cluster_.report("stop", v1::VM_STATE_PENDING, true));
  EXPECT_EQ(vm("stop").desired, VmDesired::kStopped);
  ASSERT_TRUE(cluster_.desire("delete", v1::VM_DESIRED_DELETED));
  expect_refused(cluster_.evict_command("delete", v1::EVICT_CAUSE_REBALANCE), kPrecondition,
                 "vm_being_deleted");
  ASSERT_TRUE(cluster_.report("delete", v1::VM_STATE_STOPPED, true));
  EXPECT_EQ(cluster_.state.find_vm("delete"), nullptr);
  ASSERT_TRUE(cluster_.report("failed", v1::VM_STATE_FAILED));
  EXPECT_TRUE(vm("failed").evicting);
  ASSERT_TRUE(cluster_.report("failed", v1::VM_STATE_PENDING, true));
  EXPECT_FALSE(vm("failed").evicting);
}

TEST_F(ApplyPlace, EvictionIsRefused) {
  must_create("web", "");
  const auto bad = Code::kInvalidArgument;
  expect_refused("evict_vm { vm_id: 999 cause: EVICT_CAUSE_REBALANCE }", Code::kNotFound,
                 "vm_not_found");
  expect_refused(cluster_.evict_command("web", v1::EVICT_CAUSE_REBALANCE), kPrecondition,
                 "vm_not_placed");
  must_place("web", 1);
  expect_refused("evict_vm { vm_id: " + id("web") + " cause: EVICT_CAUSE_REBALANCE }",
                 Code::kAborted, "stale_generation");
  expect_refused(cluster_.evict_command("web", v1::EVICT_CAUSE_UNSPECIFIED), bad,
                 "eviction_invalid");
  expect_refused(cluster_.evict_command("web", v1::EvictCause(7)), bad, "eviction_invalid");
  expect_refused(cluster_.evict_command("web", v1::EVICT_CAUSE_REBALANCE, "web"), bad,
                 "eviction_invalid");
  v1::Command command = cluster_.evict_command("web", v1::EVICT_CAUSE_REBALANCE);
  command.mutable_evict_vm()->set_target_node_id(1);
  expect_refused(command, bad, "eviction_invalid");
  command.mutable_evict_vm()->set_target_node_id(9);
  expect_refused(command, Code::kNotFound, "node_not_found");
  // Of a drain that is over or was cancelled.
  expect_refused(cluster_.evict_command("web", v1::EVICT_CAUSE_DRAIN), Code::kAborted,
                 "drain_not_found");
  must("drain_node { node_id: 1 deadline_ms: 1000 parallel: 1 }");
  EXPECT_TRUE(cluster_.apply(cluster_.evict_command("web", v1::EVICT_CAUSE_DRAIN)));
}

TEST_F(ApplyPlace, PreemptionIsOfPreemptibleVmsOfLowerPriorityOnly) {
  const auto preempt = [&](const char* victim) {
    return cluster_.evict_command(victim, v1::EVICT_CAUSE_PREEMPTION, "urgent");
  };
  must_create("urgent", "priority: 700");
  must_create("keeps", "priority: 100");
  must_create("equal", "priority: 700 preemptible: true");
  must_create("stops", "priority: 100 preemptible: true on_evict: ON_EVICT_STOP");
  must_create("low", "priority: 699 preemptible: true");
  for (const char* name : {"keeps", "equal", "stops", "low"})
    must_place(name, 1);
  for (const char* name : {"keeps", "equal", "stops"})
    expect_refused(preempt(name), kPrecondition, "preemption_refused");
  expect_detail(preempt("equal"), "its priority is 700, not below 700");
  expect_refused(cluster_.evict_command("low", v1::EVICT_CAUSE_PREEMPTION), Code::kNotFound,
                 "vm_not_found");
  must("set_policy { policy { preemption: PREEMPTION_POLICY_NEVER } }");
  expect_refused(preempt("low"), kPrecondition, "preemption_refused");
  must("set_policy { policy { preemption: PREEMPTION_POLICY_COST_AWARE } }");
  ASSERT_TRUE(cluster_.apply(preempt("low")));
  EXPECT_EQ(vm("low").eviction->by, "urgent");
  must_place("urgent", 2);
  must_create("low-2", "priority: 1 preemptible: true");
  must_place("low-2", 1);
  expect_refused(preempt("low-2"), kPrecondition, "vm_not_pending");
}

TEST_F(ApplyPlace, ATenantPreemptsWithinItsBudget) {
  must("set_tenant { tenant { name: 'blue' preemptions_per_hour: 2 } }");
  must_create("urgent", "priority: 700 tenant: 'blue'");
  for (const char* name : {"a", "b", "c"}) {
    must_create(name, "preemptible: true");
    must_place(name, 1);
  }
  const auto preempt = [&](const char* victim) {
    return cluster_.evict_command(victim, v1::EVICT_CAUSE_PREEMPTION, "urgent");
  };
  ASSERT_TRUE(cluster_.apply(preempt("a")));
  ASSERT_TRUE(cluster_.apply(preempt("b")));
  expect_refused(preempt("c"), kExhausted, "preemption_budget");
  expect_detail(preempt("c"), "tenant blue may preempt VMs 2 an hour");
  v1::Command later = preempt("c");
  later.set_time_unix_ms(3'600'000);
  EXPECT_TRUE(cluster_.apply(later));
}

}  // namespace
}  // namespace blixard::cluster
