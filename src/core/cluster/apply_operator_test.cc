// What nodes tell since version 4, and what operators say of them.

#include <gtest/gtest.h>

#include "base/limits.h"
#include "core/cluster/test_apply.h"

namespace blixard::cluster {
namespace {

constexpr auto kBad = Code::kInvalidArgument;

using ApplyOperator = Apply;

constexpr const char* kAll = R"(register_node { node_id: 1 name: "n1" version: "9"
    capacity { vcpus: 8 memory_mib: 2048 disk_mib: 100 network_mbit: 10
               counters { name: "slot" amount: 2 } counters { name: "licence" amount: 0 }
               devices { kind: "gpu" model: "a100" count: 4 } devices { kind: "fpga" count: 1 } }
    architecture: "x86_64" kernel_version: "6.1" hypervisors: "qemu" hypervisors: "firecracker"
    labels { key: "b" value: "1" } labels { key: "a" value: "2" }
    topology { datacenter: "d" zone: "z" rack: "r" } cost_per_hour_micro: 1500000
    images: "alpine" images: "guest" })";

TEST_F(ApplyOperator, ANodeTellsWhatItOffers) {
  must(kAll);
  EXPECT_EQ(node(1).disk_mib, 100);
  EXPECT_EQ(node(1).counters[0].name, "licence");
  EXPECT_EQ(node(1).devices[1].kind, "fpga");
  EXPECT_EQ(node(1).hypervisors.size(), 2u);
  EXPECT_EQ(*label_of(node(1), "a"), "2");
  EXPECT_EQ(label_of(node(1), "c"), nullptr);
  EXPECT_EQ(node(1).topology.rack, "r");
  EXPECT_EQ(node(1).cost_per_hour_micro, 1'500'000);
  EXPECT_EQ(node(1).images, (std::vector<Name>{Name("alpine"), Name("guest")}));
  EXPECT_EQ(supply_of(node(1)).amounts, (resources::Amounts{8000, 2048, 100, 10}));
  EXPECT_EQ(cluster_.state.room_on(node(1)).devices().size(), 5u);
  const std::uint64_t revision = node(1).revision;
  must(kAll);
  EXPECT_EQ(node(1).revision, revision) << "it said the same";
  must("register_node { node_id: 1 name: 'n1' }");
  EXPECT_EQ(node(1).revision, revision + 1);
  EXPECT_TRUE(node(1).devices.empty());
  EXPECT_TRUE(State::decode(cluster_.state.encode()));
}

TEST_F(ApplyOperator, RegistrationIsRefused) {
  const auto bad = [&](const std::string& text) {
    expect_refused("register_node { node_id: 1 name: 'n1' " + text + " }", kBad, "node_invalid");
  };
  const auto many = [](const std::string& begin, const std::string& end, std::size_t count) {
    std::string all;
    for (std::size_t at = 0; at < count; ++at)
      all += begin + std::to_string(at) + end;
    return all;
  };
  bad("capacity { disk_mib: -1 }");
  bad("images: 'b' images: 'a'");
  bad("images: 'a' images: 'a'");
  bad(many("images: 'a", "' ", 1001));
  expect_refused("register_node { node_id: 1 name: 'n1' images: 'A' }", kBad, "name_invalid");
  bad("capacity { disk_mib: 1099511627777 }");
  bad("capacity { network_mbit: 10000001 }");
  bad("capacity { counters { name: 'a' amount: -1 } }");
  bad("capacity { counters { amount: 1 } }");
  bad("capacity { counters { name: 'a' } counters { name: 'a' } }");
  bad("capacity { " + many("counters { name: 'c", "' } ", 17) + " }");
  bad("capacity { devices { model: 'a' count: 1 } }");
  bad("capacity { devices { kind: 'gpu' } }");
  bad("capacity { devices { kind: 'gpu' count: 65 } }");
  bad("capacity { devices { kind: 'gpu' model: 'A 100' count: 1 } }");
  bad("capacity { devices { kind: 'gpu' count: 40 } devices { kind: 'x' count: 40 } }");
  bad("capacity { devices { kind: 'gpu' count: 4294967295 } "
      "devices { kind: 'gpu' count: 4294967295 } }");
  bad("capacity { " + many("devices { count: 1 kind: 'k", "' } ", 9) + " }");
  bad("architecture: 'a\\nb'");
  bad("kernel_version: '" + std::string(64, '6') + "'");
  bad("hypervisors: ''");
  bad(many("hypervisors: 'h", "' ", 9));
  bad("labels { key: '' }");
  bad("labels { key: 'a b' }");
  bad("labels { key: 'a' value: '\\t' }");
  bad("labels { key: 'a' } labels { key: 'a' value: 'b' }");
  bad(many("labels { key: 'l", "' } ", 65));
  bad("topology { zone: 'Z' }");
  bad("topology { datacenter: '" + std::string(64, 'd') + "' }");
  bad("cost_per_hour_micro: -1");
  bad("cost_per_hour_micro: 1000000000001");
}

TEST_F(ApplyOperator, OperatorsLabelTaintAndCordon) {
  must(kAll);
  cluster_.changes.clear();
  const std::uint64_t revision = node(1).revision;
  must(
      "update_node { node_id: 1 set_labels { key: 'a' value: 'mine' } "
      "set_labels { key: 'z' value: 'y' } set_taints { key: 't' value: 'v' "
      "effect: TAINT_EFFECT_AVOID } cordoned: true }");
  EXPECT_EQ(*label_of(node(1), "a"), "mine") << "before that of its configuration";
  EXPECT_EQ(node(1).taints[0].effect, TaintEffect::kAvoid);
  EXPECT_TRUE(node(1).cordoned);
  EXPECT_FALSE(takes_vms(node(1)));
  EXPECT_EQ(node(1).revision, revision + 1);
  ASSERT_EQ(cluster_.changes.size(), 1u);
  EXPECT_EQ(cluster_.changes[0].kind, Change::Kind::kNodeChanged);
  must(
      "update_node { node_id: 1 set_labels { key: 'a' value: 'mine' } remove_labels: 'none' "
      "cordoned: true }");
  EXPECT_EQ(cluster_.changes.size(), 1u) << "nothing changed";
  must(
      "update_node { node_id: 1 remove_labels: 'a' set_taints { key: 't' value: 'w' } "
      "set_taints { key: 's' } }");
  EXPECT_EQ(*label_of(node(1), "a"), "2");
  ASSERT_EQ(node(1).taints.size(), 2u);
  EXPECT_EQ(node(1).taints[1], (Taint{"t", "w", TaintEffect::kRefuse}));
  EXPECT_TRUE(node(1).cordoned);
  must("update_node { node_id: 1 remove_taints: ['s', 't'] cordoned: false }");
  EXPECT_TRUE(node(1).taints.empty());
  EXPECT_TRUE(takes_vms(node(1)));
  // What they said stays when the node starts again.
  must("register_node { node_id: 1 name: 'n1' }");
  EXPECT_EQ(*label_of(node(1), "z"), "y");
  EXPECT_TRUE(State::decode(cluster_.state.encode()));
}

TEST_F(ApplyOperator, UpdateIsRefused) {
  expect_refused("update_node { node_id: 9 }", Code::kNotFound, "node_not_found");
  const auto bad = [&](const std::string& text) {
    expect_refused("update_node { node_id: 1 " + text + " }", kBad, "node_invalid");
  };
  bad("set_labels { key: 'a b' }");
  bad("set_labels { key: 'a' } set_labels { key: 'a' }");
  bad("set_labels { key: 'a' } remove_labels: 'a'");
  bad("remove_labels: ['a', 'a']");
  bad("remove_labels: ''");
  bad("set_taints { key: 'a' effect: 7 }");
  bad("set_taints { key: 'a' } set_taints { key: 'a' value: 'b' }");
  bad("set_taints { key: 'a' } remove_taints: 'a'");
  std::string labels;
  std::string taints;
  std::string removed;
  for (int at = 0; at < 65; ++at) {
    labels += "set_labels { key: 'l" + std::to_string(at) + "' } ";
    removed += "remove_labels: 'l" + std::to_string(at) + "' ";
    if (at < 17) taints += "set_taints { key: 't" + std::to_string(at) + "' } ";
  }
  bad(labels);
  bad(taints);
  bad(removed);
}

TEST_F(ApplyOperator, ADrainBeginsChangesAndEnds) {
  const auto drain = [](const std::string& more, std::int64_t time) {
    v1::Command command = Scenario::command("drain_node { node_id: 1 " + more + " }");
    command.set_time_unix_ms(time);
    return command;
  };
  const auto end = [](std::int64_t since, std::int64_t time) {
    v1::Command command = Scenario::command("end_drain { node_id: 1 outcome: 'all left' }");
    command.mutable_end_drain()->set_since_unix_ms(since);
    command.set_time_unix_ms(time);
    return command;
  };
  const std::uint64_t revision = node(1).revision;
  ASSERT_TRUE(cluster_.apply(drain("deadline_ms: 5000 parallel: 2", 100'000)));
  EXPECT_EQ(node(1).drain.since.unix_ms, 100'000);
  EXPECT_EQ(node(1).drain.deadline.unix_ms, 105'000);
  EXPECT_EQ(node(1).drain.parallel, 2u);
  EXPECT_TRUE(node(1).drain.is_under_way());
  EXPECT_FALSE(takes_vms(node(1)));
  EXPECT_EQ(node(1).revision, revision + 1);
  // A second one while it is under way changes its terms.
  ASSERT_TRUE(cluster_.apply(drain("deadline_ms: 9000 parallel: 3", 101'000)));
  EXPECT_EQ(node(1).drain.since.unix_ms, 100'000);
  EXPECT_EQ(node(1).drain.deadline.unix_ms, 110'000);
  expect_refused(end(99'999, 102'000), Code::kAborted, "drain_not_found");
  ASSERT_TRUE(cluster_.apply(end(100'000, 102'000)));
  EXPECT_EQ(node(1).drain.ended.unix_ms, 102'000);
  EXPECT_EQ(node(1).drain.outcome, "all left");
  EXPECT_FALSE(takes_vms(node(1))) << "it stays empty";
  EXPECT_TRUE(State::decode(cluster_.state.encode()));
  expect_refused(end(100'000, 103'000), Code::kAborted, "drain_not_found");
  ASSERT_TRUE(cluster_.apply(drain("deadline_ms: 1 parallel: 1", 104'000)));
  EXPECT_EQ(node(1).drain.since.unix_ms, 104'000) << "another drain";
  ASSERT_TRUE(cluster_.apply(drain("cancel: true", 105'000)));
  EXPECT_EQ(node(1).drain, Drain{});
  EXPECT_TRUE(takes_vms(node(1)));
  const std::size_t changes = cluster_.changes.size();
  ASSERT_TRUE(cluster_.apply(drain("cancel: true", 106'000)));
  EXPECT_EQ(cluster_.changes.size(), changes);
}

TEST_F(ApplyOperator, DrainIsRefused) {
  expect_refused("drain_node { node_id: 9 deadline_ms: 1 parallel: 1 }", Code::kNotFound,
                 "node_not_found");
  expect_refused("drain_node { node_id: 1 parallel: 1 }", kBad, "drain_invalid");
  expect_refused("drain_node { node_id: 1 deadline_ms: -1 parallel: 1 }", kBad, "drain_invalid");
  expect_refused("drain_node { node_id: 1 deadline_ms: 604800001 parallel: 1 }", kBad,
                 "drain_invalid");
  expect_refused("drain_node { node_id: 1 deadline_ms: 1 }", kBad, "drain_invalid");
  expect_refused("drain_node { node_id: 1 deadline_ms: 1 parallel: 257 }", kBad, "drain_invalid");
  expect_refused("end_drain { node_id: 9 }", Code::kNotFound, "node_not_found");
  expect_refused("end_drain { node_id: 1 }", Code::kAborted, "drain_not_found");
  must("remove_node { node_id: 1 }");
  expect_refused("drain_node { node_id: 1 deadline_ms: 1 parallel: 1 }", Code::kFailedPrecondition,
                 "node_leaving");
}

// Versions.

TEST(RequiredVersion, IsThatOfWhatTheCommandSays) {
  const auto* kinds = v1::Command::descriptor()->FindOneofByName("kind");
  for (int at = 0; at < kinds->field_count(); ++at) {
    v1::Command command;
    command.GetReflection()->MutableMessage(&command, kinds->field(at));
    const int number = kinds->field(at)->number();
    const std::uint32_t since = number >= v1::Command::kTakeSnapshotFieldNumber ? 5
                                : number >= v1::Command::kPlaceGangFieldNumber  ? 4
                                                                                : 1;
    EXPECT_EQ(required_version(command), since) << kinds->field(at)->name();
  }
  for (const char* text :
       {"create_vm { spec { placement { } } }", "place_vm { devices: 0 }",
        "place_vm { node_revision: 1 }", "register_node { capacity { disk_mib: 1 } }",
        "register_node { capacity { network_mbit: 1 } }",
        "register_node { capacity { counters { } } }", "register_node { capacity { devices { } } }",
        "register_node { architecture: 'a' }", "register_node { kernel_version: 'a' }",
        "register_node { hypervisors: 'a' }", "register_node { labels { } }",
        "register_node { topology { } }", "register_node { cost_per_hour_micro: 1 }",
        "register_node { images: 'a' }"}) {
    v1::Command command = Scenario::command(text);
    EXPECT_EQ(required_version(command), 4u) << text;
    command.set_version(3);
    const auto checked = check_command(command);
    ASSERT_FALSE(checked) << text;
    EXPECT_EQ(checked.error().reason(), "command_invalid") << text;
    fit_to_version(command);
    const bool is_told_later = command.has_register_node() ||
                               (command.has_place_vm() && command.place_vm().devices_size() == 0);
    EXPECT_EQ(check_command(command).has_value(), is_told_later) << text;
  }
  v1::Command newest = Scenario::command(kAll);
  fit_to_version(newest);
  EXPECT_EQ(newest.SerializeAsString(), Scenario::command(kAll).SerializeAsString());
}

// Every field that came with version 4 is left out of what an older one says.
TEST(RequiredVersion, HowAVmWasStartedIsLeftOutOfOlderCommands) {
  v1::Command command = Scenario::command(
      "report_vms { node_id: 1 reports { vm_id: 1 state: VM_STATE_RUNNING "
      "start { kind: VM_START_KIND_WARM took_ms: 83 } } }");
  EXPECT_EQ(required_version(command), kStartVersion);
  command.set_version(kStartVersion - 1);
  fit_to_version(command);
  EXPECT_FALSE(command.report_vms().reports(0).has_start());
  EXPECT_EQ(required_version(command), 1u);
}

TEST(RequiredVersion, FactsOfANodeAreLeftOutOfOlderCommands) {
  v1::Command command = Scenario::command(kAll);
  command.set_version(3);
  fit_to_version(command);
  EXPECT_EQ(required_version(command), 1u);
  EXPECT_EQ(command.register_node().capacity().vcpus(), 8u);
  EXPECT_EQ(command.register_node().version(), "9");
}

TEST(RequiredVersion, RevisionsAreCountedOnceAllNodesKnowThem) {
  Scenario cluster;
  cluster.version = 3;
  ASSERT_TRUE(cluster.add_node(1, 4, 1024));
  ASSERT_TRUE(cluster.add_node(1, 8, 1024));
  EXPECT_EQ(cluster.state.find_node(NodeId(1))->revision, 0u);
  cluster.version = kModelVersion;
  ASSERT_TRUE(cluster.add_node(1, 4, 1024));
  EXPECT_EQ(cluster.state.find_node(NodeId(1))->revision, 1u);
}

}  // namespace
}  // namespace blixard::cluster
