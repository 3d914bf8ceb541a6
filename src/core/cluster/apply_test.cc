// Every command: what it does, and every reason to refuse it. A refused command changes nothing.

#include <gtest/gtest.h>

#include "base/limits.h"
#include "core/cluster/reasons.h"
#include "core/cluster/test_apply.h"

namespace blixard::cluster {
namespace {

TEST_F(Apply, CommandOfANewerModelIsRefused) {
  auto command = Scenario::create_command("web", 1, 128);
  command.set_version(kModelVersion + 1);
  expect_refused(command, Code::kFailedPrecondition, "model_too_new");
  // Even of a kind that this program does not know.
  v1::Command unknown;
  unknown.set_version(kModelVersion + 1);
  expect_refused(unknown, Code::kFailedPrecondition, "model_too_new");
}

TEST_F(Apply, MisshapenCommandIsRefused) {
  auto command = Scenario::create_command("web", 1, 128);
  command.set_request_id("short");
  expect_refused(command, Code::kDataLoss, "command_invalid");
  command = Scenario::create_command("web", 1, 128);
  command.set_time_unix_ms(-1);
  expect_refused(command, Code::kDataLoss, "command_invalid");
  command.set_time_unix_ms(std::int64_t{1} << 60);
  expect_refused(command, Code::kDataLoss, "command_invalid");
  command = Scenario::create_command("web", 1, 128);
  command.clear_version();
  expect_refused(command, Code::kDataLoss, "command_invalid");
  v1::Command empty;
  empty.set_version(kModelVersion);
  expect_refused(empty, Code::kDataLoss, "command_invalid");
  command = Scenario::create_command("web", 1, 128);
  command.mutable_create_vm()->set_name(std::string(limits::kCommandBytes, 'a'));
  expect_refused(command, Code::kDataLoss, "command_invalid");
}

// CreateVm.

TEST_F(Apply, CreateMakesAPendingVm) {
  const auto outcome = cluster_.create("web", 2, 256, 8080);
  ASSERT_TRUE(outcome);
  const Vm& web = vm("web");
  EXPECT_EQ(web.id.value, outcome->object_id);
  EXPECT_EQ(web.state, VmState::kPending);
  EXPECT_EQ(web.reason, "waiting for placement");
  EXPECT_EQ(web.desired, VmDesired::kRunning);
  EXPECT_EQ(web.node, NodeId());
  EXPECT_EQ(web.generation, Generation());
  EXPECT_EQ(web.spec.memory_mib, 256u);
  EXPECT_EQ(web.spec.published_ports.at(0).host_port, 8080);
  EXPECT_EQ(web.created.unix_ms, static_cast<std::int64_t>(outcome->index.value) * 1000);
  ASSERT_EQ(cluster_.changes.size(), 1u);
  EXPECT_EQ(cluster_.changes[0].kind, Change::Kind::kVmChanged);
  EXPECT_EQ(cluster_.changes[0].name, "web");
  EXPECT_EQ(cluster_.changes[0].revision, cluster_.state.revision());
}

TEST_F(Apply, CreateIsRefused) {
  ASSERT_TRUE(cluster_.create("web"));
  const auto changed = [](const std::function<void(v1::CreateVm&)>& change) {
    auto command = Scenario::create_command("new", 1, 128);
    change(*command.mutable_create_vm());
    return command;
  };
  using V = v1::CreateVm;
  const auto bad = Code::kInvalidArgument;
  expect_refused(changed([](V& vm) { vm.set_name("Web"); }), bad, "name_invalid");
  expect_refused(changed([](V& vm) { vm.clear_name(); }), bad, "name_invalid");
  expect_refused(changed([](V& vm) { vm.clear_spec(); }), bad, "spec_invalid");
  expect_refused(changed([](V& vm) { vm.mutable_spec()->set_vcpus(0); }), bad, "spec_invalid");
  expect_refused(
      changed([](V& vm) { vm.mutable_spec()->add_published_ports()->set_guest_port(70000); }), bad,
      "spec_invalid");
  expect_refused(changed([](V& vm) { vm.mutable_spec()->set_restart(v1::RestartPolicy(9)); }), bad,
                 "spec_invalid");
  expect_refused(changed([](V& vm) { vm.set_uuid("short"); }), bad, "uuid_invalid");
  expect_refused(changed([](V& vm) { vm.set_uuid(std::string(16, '\0')); }), bad, "uuid_invalid");
  expect_refused(changed([](V& vm) { vm.set_desired(v1::VM_DESIRED_DELETED); }), bad,
                 "desired_invalid");
  expect_refused(changed([](V& vm) { vm.set_desired(v1::VmDesired(9)); }), bad, "desired_invalid");
  expect_refused(changed([](V& vm) { vm.clear_desired(); }), bad, "desired_invalid");
  expect_refused(changed([](V& vm) { vm.set_name("web"); }), Code::kAlreadyExists, "vm_exists");
  expect_refused(changed([](V& vm) { vm.set_uuid("web............."); }), Code::kAlreadyExists,
                 "uuid_taken");
  expect_refused(changed([](V& vm) { vm.mutable_spec()->set_image("none"); }), Code::kNotFound,
                 "image_not_found");
}

TEST_F(Apply, IdsAreNeverReused) {
  const auto first = cluster_.create("web");
  ASSERT_TRUE(cluster_.desire("web", v1::VM_DESIRED_DELETED));
  const auto second = cluster_.create("web");
  ASSERT_TRUE(second);
  EXPECT_GT(second->object_id, first->object_id);
}

TEST_F(Apply, VmsAreLimited) {
  constexpr std::uint64_t kFirst = 3;
  constexpr std::uint64_t kMore = 8;
  for (std::uint64_t at = 0; at < kMore; ++at)
    ASSERT_TRUE(cluster_.add_node(kFirst + at, limits::kNodeVcpus, limits::kNodeMemoryMib));
  for (std::size_t at = 0; at < limits::kVms; ++at) {
    const std::string name = "vm-" + std::to_string(at);
    ASSERT_TRUE(cluster_.create(name));
    ASSERT_TRUE(cluster_.place(name, kFirst + at % kMore));
  }
  const auto refused = cluster_.create("one-more");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(refused.error().reason(), "too_many_vms");
}

// SetDesired.

TEST_F(Apply, SetDesiredChangesWhatIsWanted) {
  make("web", {});
  cluster_.changes.clear();
  ASSERT_TRUE(cluster_.desire("web", v1::VM_DESIRED_STOPPED));
  EXPECT_EQ(vm("web").desired, VmDesired::kStopped);
  EXPECT_EQ(cluster_.changes.size(), 1u);
  const auto same = cluster_.desire("web", v1::VM_DESIRED_STOPPED);
  ASSERT_TRUE(same);
  EXPECT_EQ(same->object_id, vm("web").id.value);
  EXPECT_EQ(cluster_.changes.size(), 1u);
}

// Wanted running as before, but it ended: the user's start is a new assignment to the same node.
TEST_F(Apply, StartOfAnEndedVmIsANewAssignment) {
  for (const v1::VmState end : {v1::VM_STATE_FAILED, v1::VM_STATE_STOPPED}) {
    const std::string name = end == v1::VM_STATE_FAILED ? "failed" : "stopped";
    make(name, {v1::VM_STATE_STARTING, end});
    const resources::Amounts free = room(1);
    ASSERT_TRUE(cluster_.desire(name, v1::VM_DESIRED_RUNNING));
    EXPECT_EQ(vm(name).state, VmState::kPlaced);
    EXPECT_EQ(vm(name).generation, Generation(2));
    EXPECT_EQ(vm(name).node, NodeId(1));
    EXPECT_EQ(room(1), free);
    // Again while it is placed: no change.
    ASSERT_TRUE(cluster_.desire(name, v1::VM_DESIRED_RUNNING));
    EXPECT_EQ(vm(name).generation, Generation(2));
  }
  // Not of one that is being deleted.
  make("going", {v1::VM_STATE_STARTING, v1::VM_STATE_STOPPED});
  ASSERT_TRUE(cluster_.desire("going", v1::VM_DESIRED_DELETED));
  expect_refused("set_desired { name: 'going' desired: VM_DESIRED_RUNNING }",
                 Code::kFailedPrecondition, "vm_being_deleted");
}

TEST_F(Apply, SetDesiredFindsByNameOrIdOrBoth) {
  make("web", {});
  const std::string id = std::to_string(vm("web").id.value);
  EXPECT_TRUE(cluster_.apply("set_desired { desired: VM_DESIRED_STOPPED vm_id: " + id + " }"));
  EXPECT_EQ(vm("web").desired, VmDesired::kStopped);
  EXPECT_TRUE(
      cluster_.apply("set_desired { desired: VM_DESIRED_RUNNING name: 'web' vm_id: " + id + " }"));
  EXPECT_EQ(vm("web").desired, VmDesired::kRunning);
}

TEST_F(Apply, SetDesiredIsRefused) {
  make("web", {});
  make("going", {});
  ASSERT_TRUE(cluster_.desire("going", v1::VM_DESIRED_DELETED));
  expect_refused("set_desired { name: 'none' desired: VM_DESIRED_STOPPED }", Code::kNotFound,
                 "vm_not_found");
  expect_refused("set_desired { vm_id: 999 desired: VM_DESIRED_STOPPED }", Code::kNotFound,
                 "vm_not_found");
  expect_refused("set_desired { desired: VM_DESIRED_STOPPED }", Code::kInvalidArgument,
                 "name_invalid");
  expect_refused("set_desired { name: 'web' }", Code::kInvalidArgument, "desired_invalid");
  expect_refused("set_desired { name: 'web' vm_id: 999 desired: VM_DESIRED_STOPPED }",
                 Code::kAborted, "vm_replaced");
  for (const char* desired : {"VM_DESIRED_RUNNING", "VM_DESIRED_STOPPED"}) {
    expect_refused(std::string("set_desired { name: 'going' desired: ") + desired + " }",
                   Code::kFailedPrecondition, "vm_being_deleted");
  }
}

TEST_F(Apply, DeletingAnUnplacedVmRemovesItAtOnce) {
  const auto created = cluster_.create("web");
  cluster_.changes.clear();
  ASSERT_TRUE(cluster_.desire("web", v1::VM_DESIRED_DELETED));
  EXPECT_EQ(cluster_.state.find_vm("web"), nullptr);
  EXPECT_EQ(cluster_.state.find_vm(VmId(created->object_id)), nullptr);
  ASSERT_EQ(cluster_.changes.size(), 1u);
  EXPECT_EQ(cluster_.changes[0].kind, Change::Kind::kVmRemoved);
  EXPECT_EQ(cluster_.changes[0].object_id, created->object_id);
}

TEST_F(Apply, DeletingAPlacedVmWaitsForItsNode) {
  make("web", {v1::VM_STATE_STARTING, v1::VM_STATE_RUNNING});
  ASSERT_TRUE(cluster_.desire("web", v1::VM_DESIRED_DELETED));
  ASSERT_TRUE(cluster_.report("web", v1::VM_STATE_STOPPING));
  ASSERT_TRUE(cluster_.report("web", v1::VM_STATE_STOPPED));
  ASSERT_NE(cluster_.state.find_vm("web"), nullptr);
  EXPECT_LT(room(1).memory_mib, 1024);
  ASSERT_TRUE(cluster_.report("web", v1::VM_STATE_STOPPED, true));
  EXPECT_EQ(cluster_.state.find_vm("web"), nullptr);
  EXPECT_EQ(room(1).memory_mib, 1024);
  EXPECT_EQ(cluster_.changes.back().kind, Change::Kind::kVmRemoved);
}

// PlaceVm, ExplainPending.

TEST_F(Apply, PlaceGivesTheVmToANode) {
  ASSERT_TRUE(cluster_.create("web", 2, 256));
  ASSERT_TRUE(cluster_.place("web", 2));
  EXPECT_EQ(vm("web").node, NodeId(2));
  EXPECT_EQ(vm("web").generation, Generation(1));
  EXPECT_EQ(vm("web").state, VmState::kPlaced);
  EXPECT_EQ(vm("web").reason, "");
  EXPECT_EQ(room(2).memory_mib, 1024 - 256);
  EXPECT_EQ(room(2).cpu_milli, 4 * 4000 - 2000);
}

TEST_F(Apply, PlaceIsRefused) {
  ASSERT_TRUE(cluster_.create("web", 1, 800, 8080));
  ASSERT_TRUE(cluster_.create("big", 1, 800));
  ASSERT_TRUE(cluster_.create("wide", 16, 128));
  ASSERT_TRUE(cluster_.create("port", 1, 128, 8080));
  const auto place = [&](const char* name, std::uint64_t generation, std::uint64_t node) {
    return "place_vm { vm_id: " + std::to_string(vm(name).id.value) +
           " generation: " + std::to_string(generation) + " node_id: " + std::to_string(node) +
           " }";
  };
  expect_refused("place_vm { vm_id: 999 node_id: 1 }", Code::kNotFound, "vm_not_found");
  expect_refused(place("web", 1, 1), Code::kAborted, "stale_generation");
  expect_refused(place("web", 0, 9), Code::kNotFound, "node_not_found");
  expect_refused(place("web", 0, 0), Code::kNotFound, "node_not_found");
  ASSERT_TRUE(cluster_.place("web", 1));
  expect_refused(place("web", 0, 2), Code::kAborted, "stale_generation");
  expect_refused(place("web", 1, 2), Code::kFailedPrecondition, "vm_not_pending");
  expect_refused(place("big", 0, 1), Code::kResourceExhausted, "node_full");
  expect_refused(place("wide", 0, 1), Code::kResourceExhausted, "node_full");
  expect_refused(place("port", 0, 1), Code::kResourceExhausted, "port_taken");
  EXPECT_TRUE(cluster_.place("port", 2));
  EXPECT_TRUE(cluster_.place("big", 2));
}

TEST_F(Apply, ExplainSetsTheReasonOfAPendingVm) {
  ASSERT_TRUE(cluster_.create("web"));
  const std::string id = std::to_string(vm("web").id.value);
  const std::string explain = "explain_pending { reason: 'no node' vm_id: " + id + " }";
  ASSERT_TRUE(cluster_.apply(explain));
  EXPECT_EQ(vm("web").reason, "no node");
  const std::size_t changes = cluster_.changes.size();
  ASSERT_TRUE(cluster_.apply(explain));
  EXPECT_EQ(cluster_.changes.size(), changes);
  expect_refused("explain_pending { vm_id: 999 }", Code::kNotFound, "vm_not_found");
  expect_refused("explain_pending { generation: 1 vm_id: " + id + " }", Code::kAborted,
                 "stale_generation");
  ASSERT_TRUE(cluster_.place("web", 1));
  expect_refused(explain, Code::kAborted, "stale_generation");
  expect_refused("explain_pending { generation: 1 vm_id: " + id + " }", Code::kFailedPrecondition,
                 "vm_not_pending");
}

// RegisterNode.

TEST_F(Apply, RegisterRenewsANodeAndLeavesItsVmsAlone) {
  make("web", {v1::VM_STATE_STARTING, v1::VM_STATE_RUNNING});
  const Vm before = vm("web");
  ASSERT_TRUE(cluster_.apply(R"(register_node { node_id: 1 name: "renamed"
      capacity { vcpus: 8 memory_mib: 64 } accelerator: "tcg" tsc_khz: 5 version: "1.0" })"));
  EXPECT_EQ(vm("web"), before);
  EXPECT_EQ(node(1).name, "renamed");
  EXPECT_EQ(node(1).vcpus, 8u);
  EXPECT_EQ(node(1).accelerator, "tcg");
  EXPECT_EQ(cluster_.changes.back().kind, Change::Kind::kNodeChanged);
  // Smaller than what it holds: nothing more fits, nothing breaks.
  EXPECT_EQ(room(1).memory_mib, 64 - 128);
  ASSERT_TRUE(cluster_.create("small", 1, 80));
  EXPECT_FALSE(cluster_.place("small", 1));
}

TEST_F(Apply, RegisterIsRefused) {
  expect_refused("register_node { node_id: 3 name: 'n1' }", Code::kAlreadyExists, "node_exists");
  expect_refused("register_node { node_id: 2 name: 'n1' }", Code::kAlreadyExists, "node_exists");
  expect_refused("register_node { node_id: 3 name: 'N' }", Code::kInvalidArgument, "name_invalid");
  expect_refused("register_node { name: 'n3' }", Code::kInvalidArgument, "node_invalid");
  expect_refused("register_node { node_id: 3 name: 'n3' capacity { vcpus: 4294967295 } }",
                 Code::kInvalidArgument, "node_invalid");
}

TEST_F(Apply, NodesAreLimited) {
  while (cluster_.state.nodes().size() < limits::kNodes) {
    ASSERT_TRUE(cluster_.add_node(cluster_.state.nodes().size() + 1, 1, 100));
  }
  expect_refused("register_node { node_id: 999999 name: 'more' }", Code::kResourceExhausted,
                 "too_many_nodes");
  EXPECT_TRUE(cluster_.add_node(1, 1, 100));
}

// ReportVms.

TEST_F(Apply, ReportSetsWhatTheNodeSaw) {
  make("web", {v1::VM_STATE_STARTING});
  const std::string id = std::to_string(vm("web").id.value);
  const auto outcome = cluster_.apply(R"(report_vms { node_id: 1 reports { generation: 1
      state: VM_STATE_RUNNING pid: 42 accelerator: "kvm" restarts: 2
      published_ports { host_port: 40000 guest_port: 80 } vm_id: )" +
                                      id + " } }");
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->object_id, 1u);
  const Vm& web = vm("web");
  EXPECT_EQ(web.state, VmState::kRunning);
  EXPECT_EQ(web.pid, 42);
  EXPECT_EQ(web.accelerator, "kvm");
  EXPECT_EQ(web.restarts, 2u);
  EXPECT_EQ(web.published_ports.at(0).host_port, 40000);
  EXPECT_EQ(web.changed.unix_ms, static_cast<std::int64_t>(outcome->index.value) * 1000);
}

TEST_F(Apply, ReportSaysHowTheGuestWasStarted) {
  make("web", {v1::VM_STATE_STARTING});
  const auto report = [this](const std::string& start) {
    return cluster_.apply(
        "report_vms { node_id: 1 reports { generation: 1 pid: 7 state: "
        "VM_STATE_RUNNING start { " +
        start + " } vm_id: " + std::to_string(vm("web").id.value) + " } }");
  };
  for (const char* wrong : {"", "kind: VM_START_KIND_UNSPECIFIED took_ms: 5"})
    EXPECT_EQ(report(wrong).error().reason(), "report_invalid") << wrong;
  EXPECT_EQ(
      report("kind: VM_START_KIND_COLD why: '" + std::string(5000, 'x') + "'").error().reason(),
      "report_invalid");
  EXPECT_TRUE(vm("web").start.is_default());
  ASSERT_TRUE(report("kind: VM_START_KIND_WARM took_ms: 83"));
  EXPECT_EQ(*vm("web").start, (VmStart{.kind = VmStartKind::kWarm, .took_ms = 83, .why = ""}));
  // A report without it leaves it; so does a snapshot.
  ASSERT_TRUE(cluster_.report("web", v1::VM_STATE_RUNNING));
  EXPECT_EQ(vm("web").start->took_ms, 83u);
  const auto restored = State::decode(cluster_.state.encode());
  ASSERT_TRUE(restored);
  EXPECT_EQ(*restored->find_vm("web")->start, *vm("web").start);
}

TEST_F(Apply, ReportOfTheSameStateMayChangeDetails) {
  make("web", {v1::VM_STATE_STARTING, v1::VM_STATE_RUNNING});
  const WallTime changed = vm("web").changed;
  cluster_.changes.clear();
  ASSERT_TRUE(cluster_.report("web", v1::VM_STATE_RUNNING));
  EXPECT_TRUE(cluster_.changes.empty());
  const std::string id = std::to_string(vm("web").id.value);
  ASSERT_TRUE(
      cluster_.apply("report_vms { node_id: 1 reports { state: VM_STATE_RUNNING pid: 7 "
                     "generation: 1 vm_id: " +
                     id + " } }"));
  EXPECT_EQ(vm("web").pid, 7);
  EXPECT_EQ(vm("web").changed, changed);  // of the state
  EXPECT_EQ(cluster_.changes.size(), 1u);
}

TEST_F(Apply, LateReportsAreDropped) {
  make("web", {v1::VM_STATE_STARTING});
  const std::string id = std::to_string(vm("web").id.value);
  const std::string hash = cluster_.state.hash();
  const std::string reports[] = {
      "node_id: 1 reports { generation: 2 vm_id: " + id + " state: VM_STATE_RUNNING }",
      "node_id: 1 reports { generation: 0 vm_id: " + id + " state: VM_STATE_RUNNING }",
      "node_id: 2 reports { generation: 1 vm_id: " + id + " state: VM_STATE_RUNNING }",
      "node_id: 1 reports { generation: 1 vm_id: 999 state: VM_STATE_RUNNING }",
      "node_id: 1",
  };
  for (const std::string& report : reports) {
    EXPECT_TRUE(cluster_.apply("report_vms { " + report + " }")) << report;
    EXPECT_EQ(cluster_.state.hash(), hash) << report;
  }
}

TEST_F(Apply, ReportIsRefused) {
  make("web", {v1::VM_STATE_STARTING, v1::VM_STATE_RUNNING});
  const std::string start = "report_vms { node_id: 1 reports { generation: 1 vm_id: " +
                            std::to_string(vm("web").id.value);
  const auto bad = Code::kInvalidArgument;
  expect_refused("report_vms { node_id: 9 }", Code::kNotFound, "node_not_found");
  expect_refused(start + " state: VM_STATE_PLACED } }", Code::kFailedPrecondition,
                 "transition_refused");
  expect_refused(start + " state: VM_STATE_PENDING released: true } }", Code::kFailedPrecondition,
                 "transition_refused");
  expect_refused(start + " } }", bad, "report_invalid");
  expect_refused(start + " state: VM_STATE_RUNNING released: true } }", bad, "report_invalid");
  expect_refused(start + " state: VM_STATE_RUNNING pid: -1 } }", bad, "report_invalid");
  expect_refused(start + " state: VM_STATE_RUNNING accelerator: '\\033[1m' } }", bad,
                 "report_invalid");
  expect_refused(start + " state: VM_STATE_RUNNING published_ports { guest_port: 80 } } }", bad,
                 "report_invalid");
  expect_refused(
      start + " state: VM_STATE_RUNNING published_ports { guest_port: 80 host_port: 65536 } } }",
      bad, "report_invalid");
  v1::Command many = Scenario::command("report_vms { node_id: 1 }");
  for (std::size_t at = 0; at <= limits::kReportsPerCommand; ++at) {
    many.mutable_report_vms()->add_reports();
  }
  expect_refused(many, bad, "report_invalid");
}

TEST_F(Apply, RefusedTransitionIsNamed) {
  make("web", {v1::VM_STATE_STARTING, v1::VM_STATE_RUNNING});
  const auto refused = cluster_.report("web", v1::VM_STATE_PLACED);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().detail(), "running -> placed");
}

TEST_F(Apply, EveryReportOfABatchCountsForItself) {
  make("a", {v1::VM_STATE_STARTING});
  make("b", {v1::VM_STATE_STARTING});
  const std::string a = std::to_string(vm("a").id.value);
  const std::string b = std::to_string(vm("b").id.value);
  ASSERT_TRUE(cluster_.apply("report_vms { node_id: 1 reports { generation: 1 vm_id: " + a +
                             " state: VM_STATE_PLACED } reports { generation: 1 vm_id: " + b +
                             " state: VM_STATE_RUNNING } }"));
  EXPECT_EQ(vm("a").state, VmState::kStarting);
  EXPECT_EQ(vm("b").state, VmState::kRunning);
}

TEST_F(Apply, ReasonIsBoundedAndClean) {
  make("web", {});
  v1::Command command = Scenario::command("report_vms { node_id: 1 reports { generation: 1 } }");
  v1::VmReport& report = *command.mutable_report_vms()->mutable_reports(0);
  report.set_vm_id(vm("web").id.value);
  report.set_state(v1::VM_STATE_FAILED);
  std::string text = "\x1b[2J";
  while (text.size() < 2 * limits::kReasonBytes)
    text += "ü";
  report.set_reason(text);
  ASSERT_TRUE(cluster_.apply(command));
  EXPECT_EQ(vm("web").reason.substr(0, 6), "?[2Jü");
  EXPECT_EQ(vm("web").reason.size(), limits::kReasonBytes);
  EXPECT_TRUE(State::decode(cluster_.state.encode()));
}

TEST_F(Apply, GivenBackVmIsPlacedAnewAtTheNextGeneration) {
  make("web", {v1::VM_STATE_STARTING, v1::VM_STATE_FAILED});
  // Without `released` something of it may still be there.
  EXPECT_FALSE(cluster_.report("web", v1::VM_STATE_PENDING));
  ASSERT_TRUE(cluster_.report("web", v1::VM_STATE_PENDING, true));
  EXPECT_EQ(vm("web").state, VmState::kPending);
  EXPECT_EQ(vm("web").node, NodeId());
  EXPECT_EQ(vm("web").reason, "waiting for placement");
  EXPECT_EQ(room(1).memory_mib, 1024);
  ASSERT_TRUE(cluster_.place("web", 2));
  EXPECT_EQ(vm("web").generation, Generation(2));
}

// With desired Deleted, every state in which nothing runs ends the VM; a VM that was placed and
// never begun too.
TEST_F(Apply, ReleasedEndsADeletedVmFromEveryState) {
  using enum v1::VmState;
  const std::vector<v1::VmState> ways[] = {
      {},
      {VM_STATE_STARTING},
      {VM_STATE_STARTING, VM_STATE_RUNNING},
      {VM_STATE_STARTING, VM_STATE_STOPPING},
      {VM_STATE_STARTING, VM_STATE_STOPPED},
      {VM_STATE_STARTING, VM_STATE_FAILED},
      {VM_STATE_LOST},
      {VM_STATE_STARTING, VM_STATE_RUNNING, VM_STATE_PAUSED},
      {VM_STATE_STARTING, VM_STATE_RUNNING, VM_STATE_MIGRATING},
  };
  for (const auto& way : ways) {
    make("web", way);
    ASSERT_TRUE(cluster_.desire("web", v1::VM_DESIRED_DELETED));
    ASSERT_TRUE(cluster_.report("web", VM_STATE_STOPPED, true));
    EXPECT_EQ(cluster_.state.find_vm("web"), nullptr);
  }
}

// Images.

TEST_F(Apply, AddImageKeepsFilesByName) {
  ASSERT_TRUE(cluster_.apply(R"(add_image { name: "deb" architecture: "x86_64"
      kernel_version: "6.1" cmdline: "quiet"
      files { name: "vmlinux" bytes: 9 digest: "01234567890123456789012345678901" }
      files { name: "initrd" bytes: 5 digest: "01234567890123456789012345678901" } })"));
  const Image& image = *cluster_.state.find_image("deb");
  ASSERT_EQ(image.files.size(), 2u);
  EXPECT_EQ(image.files[0].name, "initrd");
  EXPECT_EQ(image.files[1].size, Bytes(9));
  EXPECT_EQ(image.files[1].digest[0], '0');
  EXPECT_EQ(cluster_.changes.back().kind, Change::Kind::kImageChanged);
}

TEST_F(Apply, AddImageAgainIsNoChangeIfItIsTheSame) {
  const std::string two[] = {
      "files { name: 'a' bytes: 1 digest: '01234567890123456789012345678901' }",
      "files { name: 'b' bytes: 2 digest: '01234567890123456789012345678901' }"};
  const auto first = cluster_.apply("add_image { name: 'deb' " + two[0] + two[1] + " }");
  const std::string hash = cluster_.state.hash();
  const auto again = cluster_.apply("add_image { name: 'deb' " + two[1] + two[0] + " }");
  ASSERT_TRUE(again);
  EXPECT_EQ(again->object_id, first->object_id);
  EXPECT_EQ(cluster_.state.hash(), hash);
  expect_refused("add_image { name: 'deb' " + two[0] + " }", Code::kAlreadyExists, "image_exists");
  expect_refused("add_image { name: 'deb' cmdline: 'x' " + two[0] + two[1] + " }",
                 Code::kAlreadyExists, "image_exists");
}

TEST_F(Apply, AddImageIsRefused) {
  const auto bad = Code::kInvalidArgument;
  expect_refused("add_image { name: '' }", bad, "name_invalid");
  expect_refused("add_image { name: 'deb' }", bad, "image_invalid");
  expect_refused("add_image { name: 'deb' files { name: 'a' bytes: 1 digest: 'short' } }", bad,
                 "image_invalid");
  expect_refused(
      "add_image { name: 'deb' files { name: '../a' bytes: 1 "
      "digest: '01234567890123456789012345678901' } }",
      bad, "image_invalid");
}

TEST_F(Apply, ImagesAreLimited) {
  while (cluster_.state.images().size() < limits::kImages) {
    ASSERT_TRUE(cluster_.add_image("i" + std::to_string(cluster_.state.images().size())));
  }
  const auto refused = cluster_.add_image("more");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(refused.error().reason(), "too_many_images");
}

TEST_F(Apply, RemoveImageWaitsForItsLastUser) {
  expect_refused("remove_image { name: 'none' }", Code::kNotFound, "image_not_found");
  expect_refused("remove_image { name: '../x' }", Code::kInvalidArgument, "name_invalid");
  make("web", {});
  expect_refused("remove_image { name: 'alpine' }", Code::kFailedPrecondition, "image_in_use");
  ASSERT_TRUE(cluster_.desire("web", v1::VM_DESIRED_DELETED));
  ASSERT_TRUE(cluster_.apply("remove_image { name: 'alpine' }"));
  EXPECT_EQ(cluster_.state.find_image("alpine"), nullptr);
  EXPECT_EQ(cluster_.changes.back().kind, Change::Kind::kImageRemoved);
  // The VM on its way out still has the image's name, and that is a valid state.
  EXPECT_TRUE(State::decode(cluster_.state.encode()));
}

TEST(KnownReason, KnowsItsWordsOnly) {
  EXPECT_EQ(known_reason("vm_not_found"), std::string_view(reason::kVmNotFound));
  EXPECT_EQ(known_reason("vm_not_foun"), nullptr);
  EXPECT_EQ(known_reason(""), nullptr);
}

}  // namespace
}  // namespace blixard::cluster
