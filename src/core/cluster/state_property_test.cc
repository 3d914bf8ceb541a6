// What holds whatever the commands are. Commands are random, over so few names, ids and values that
// they meet: about half of them are carried out and half refused.

#include <rapidcheck.h>

#include <iterator>
#include <set>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "core/cluster/scenario.h"
#include "core/cluster/state.h"

namespace blixard::cluster {
namespace {

using rc::gen::element;

// Over the whole range whatever RapidCheck's size is, which is small at first.
template <class T>
T pick(T min, T end) {
  return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<T>(min, end));
}

std::string some_name() { return *element<std::string>("a", "b", "c", "d", "BAD"); }

// One of the VMs, if there are any; null now and then all the same.
const Vm* some_vm(const State& state) {
  if (state.vms().empty() || pick(0, 10) == 0) return nullptr;
  const auto count = static_cast<std::ptrdiff_t>(state.vms().size());
  return &std::next(state.vms().begin(), pick<std::ptrdiff_t>(0, count))->second;
}

void fill_saved(v1::SavedGuest& saved) {
  saved.set_digest(std::string(32, *element('d', 'e')));
  saved.set_bytes(pick<std::uint64_t>(0, 8));
  saved.set_accelerator("kvm");
  saved.set_hypervisor_version(*element<std::string>("7", "7", "8"));
}

void fill_snapshot(v1::SnapshotReport& snapshot) {
  snapshot.set_number(pick<std::uint64_t>(1, 3));
  if (pick(0, 4) == 0) {
    snapshot.set_error("full");
  } else {
    fill_saved(*snapshot.mutable_saved());
  }
}

// Mostly with the VM's own numbers, sometimes with others.
template <class Message>
void name_a_vm(const Vm* vm, Message& message) {
  message.set_vm_id(vm == nullptr ? 99 : vm->id.value);
  const std::uint64_t generation = vm == nullptr ? 0 : vm->generation.value;
  message.set_generation(pick(0, 8) == 0 ? generation + 1 : generation);
}

// Mostly one that may be next.
v1::VmState some_state(const Vm* vm) {
  std::vector<VmState> next;
  for (const VmState state : kVmStates)
    if (vm != nullptr && may_follow(vm->state, state)) next.push_back(state);
  if (next.empty() || pick(0, 4) == 0) return static_cast<v1::VmState>(pick(0, 12));
  return static_cast<v1::VmState>(next[pick<std::size_t>(0, next.size())]);
}

void fill_report(const Vm* vm, v1::VmReport& report) {
  name_a_vm(vm, report);
  report.set_state(some_state(vm));
  report.set_released(pick(0, 3) == 0);
  if ((report.state() == v1::VM_STATE_SUSPENDED) != (pick(0, 8) == 0)) {
    fill_saved(*report.mutable_saved());
    report.set_released(true);
  }
  report.set_uses_saved(report.state() == v1::VM_STATE_STARTING && pick(0, 2) == 0);
  if (pick(0, 3) == 0) fill_snapshot(*report.mutable_snapshot());
  report.set_pid(pick(0, 10) == 0 ? -1 : pick(0, 3));
  report.set_reason(*element<std::string>("", "ended", "\x1b[m"));
}

void fill_report(const State& state, v1::ReportVms& reports) {
  const int count = pick(1, 4);
  std::set<VmId> reported;
  for (int at = 0; at < count; ++at) {
    const Vm* vm = some_vm(state);
    if (at == 0) {
      const bool owner = vm != nullptr && vm->node && pick(0, 8) != 0;
      reports.set_node_id(owner ? vm->node.value : pick<std::uint64_t>(1, 4));
    }
    // Each VM once, so that a command is one transition of it.
    if (vm != nullptr && !reported.insert(vm->id).second) continue;
    fill_report(vm, *reports.add_reports());
  }
}

// What becomes of one VM, its owner being right in all it says: guests come to run, and are saved.
v1::Command some_saving_command(const Vm& vm) {
  v1::Command command;
  switch (pick(0, 9)) {
    case 0:
    case 1:
      command.mutable_set_desired()->set_name(vm.name.text());
      command.mutable_set_desired()->set_desired(
          *element(v1::VM_DESIRED_RUNNING, v1::VM_DESIRED_PAUSED, v1::VM_DESIRED_SUSPENDED));
      break;
    case 2:
      command.mutable_take_snapshot()->set_name(vm.name.text());
      break;
    case 3:
      command.mutable_restore_snapshot()->set_name(vm.name.text());
      break;
    case 4:
      command.mutable_delete_snapshot()->set_vm_id(vm.id.value);
      break;
    case 5:
      name_a_vm(&vm, *command.mutable_place_vm());
      command.mutable_place_vm()->set_node_id(pick<std::uint64_t>(1, 3));
      break;
    default:
      command.mutable_report_vms()->set_node_id(vm.node.value);
      fill_report(&vm, *command.mutable_report_vms()->add_reports());
  }
  return command;
}

// Four tokens and three names, so that they meet.
void fill_member(v1::Command& command) {
  const auto token = pick<std::uint64_t>(1, 5);
  switch (pick(0, 8)) {
    case 0:
    case 1:
      command = Scenario::token_command(token, pick<std::int64_t>(400'000, 1'200'000));
      break;
    case 2:
      command.mutable_revoke_token()->set_token_id(token);
      break;
    case 3:
    case 4:
      command = Scenario::enrol_command(token, *element<std::string>("n1", "n2", "n3", "n4"),
                                        *element('k', 'l'));
      if (pick(0, 8) == 0) command.mutable_enrol_node()->set_secret_hash(std::string(32, '?'));
      break;
    case 5:
      command.mutable_remove_node()->set_node_id(pick<std::uint64_t>(1, 5));
      command.mutable_remove_node()->set_force(pick(0, 2) == 0);
      break;
    case 6:
      command.mutable_drop_node()->set_node_id(pick<std::uint64_t>(1, 5));
      break;
    default:
      command.mutable_update_node_address()->set_node_id(pick<std::uint64_t>(0, 5));
      command.mutable_update_node_address()->set_peer_address(
          *element<std::string>("a:1", "b:2", "c"));
  }
}

void fill_image(v1::AddImage& image) {
  image.set_name(*element<std::string>("alpine", "deb"));
  v1::ImageFile& file = *image.add_files();
  file.set_name("vmlinux");
  file.set_bytes(pick<std::uint64_t>(0, 3));
  file.set_digest(std::string(32, 'd'));
}

v1::Command some_command(const State& state) {
  const std::string name = some_name();
  const Vm* vm = some_vm(state);
  v1::Command command;
  if (vm != nullptr && pick(0, 2) == 0) {
    command = some_saving_command(*vm);
    command.set_version(kModelVersion);
    command.set_time_unix_ms(pick<std::int64_t>(0, 1'000'000));
    return command;
  }
  switch (pick(0, 25)) {
    case 0:
      command.mutable_register_node()->set_node_id(pick<std::uint64_t>(0, 5));
      command.mutable_register_node()->set_name(*element<std::string>("n1", "n2", "n3"));
      // Never smaller than before, so that what is promised stays within what there is.
      command.mutable_register_node()->mutable_capacity()->set_vcpus(2);
      command.mutable_register_node()->mutable_capacity()->set_memory_mib(400);
      command.mutable_register_node()->set_accelerator("kvm");
      command.mutable_register_node()->set_hypervisor_version("7");
      break;
    case 1:
    case 2:
      command =
          Scenario::create_command(name, pick<std::uint32_t>(0, 4), pick<std::uint32_t>(80, 200),
                                   *element<std::uint32_t>(0, 80, 81));
      break;
    case 3:
      command.mutable_set_desired()->set_name(name);
      command.mutable_set_desired()->set_desired(static_cast<v1::VmDesired>(pick(0, 6)));
      break;
    case 4:
    case 5:
    case 6:
      name_a_vm(some_vm(state), *command.mutable_place_vm());
      command.mutable_place_vm()->set_node_id(pick<std::uint64_t>(1, 4));
      break;
    case 7:
      name_a_vm(some_vm(state), *command.mutable_explain_pending());
      command.mutable_explain_pending()->set_reason(*element<std::string>("", "full"));
      break;
    case 8:
      fill_image(*command.mutable_add_image());
      break;
    case 9:
      command.mutable_remove_image()->set_name(*element<std::string>("alpine", "deb"));
      break;
    case 10:
    case 11:
    case 12:
    case 13:
    case 14:
      fill_member(command);
      break;
    default:
      fill_report(state, *command.mutable_report_vms());
  }
  command.set_version(kModelVersion);
  command.set_time_unix_ms(pick<std::int64_t>(0, 1'000'000));
  if (pick(0, 2) == 0) command.set_request_id(std::string(16, *element('x', 'y', 'z')));
  return command;
}

// A state that is already in use, so that few commands are needed to come to interesting ones.
Scenario started() {
  Scenario cluster = Scenario::founded();
  RC_ASSERT(cluster.add_image("alpine").has_value());
  RC_ASSERT(cluster.apply(Scenario::token_command(9, 300'000)).has_value());
  RC_ASSERT(cluster.enrol(9, "n2").has_value());
  for (const std::uint64_t node : {1, 2})
    RC_ASSERT(cluster.add_node(node, 2, 400).has_value());
  return cluster;
}

// With two guests that run and a snapshot of one, which commands seldom come to.
Scenario busy() {
  Scenario cluster = started();
  for (const std::string name : {"a", "b"}) {
    RC_ASSERT(cluster.create(name, 1, 80).has_value());
    RC_ASSERT(cluster.place(name, name == "a" ? 1 : 2).has_value());
    for (const v1::VmState state : {v1::VM_STATE_STARTING, v1::VM_STATE_RUNNING})
      RC_ASSERT(cluster.report(name, state).has_value());
  }
  RC_ASSERT(cluster.apply("take_snapshot { name: 'a' }").has_value());
  v1::Command command;
  command.set_version(kModelVersion);
  command.mutable_report_vms()->set_node_id(1);
  v1::VmReport& report = *command.mutable_report_vms()->add_reports();
  report.set_vm_id(cluster.state.find_vm("a")->id.value);
  report.set_generation(1);
  report.set_state(v1::VM_STATE_RUNNING);
  report.mutable_snapshot()->set_number(1);
  v1::SavedGuest& saved = *report.mutable_snapshot()->mutable_saved();
  saved.set_digest(std::string(32, 'd'));
  saved.set_bytes(1);
  saved.set_accelerator("kvm");
  saved.set_hypervisor_version("7");
  RC_ASSERT(cluster.apply(command).has_value());
  return cluster;
}

// Everything that is kept beside the VMs, counted anew.
void check_indexes(const State& state) {
  std::map<VmState, std::size_t> in;
  std::map<NodeId, std::set<VmId>> on;
  std::map<NodeId, resources::Amounts> promised;
  std::set<std::pair<NodeId, std::uint16_t>> ports;
  std::map<NodeId, std::set<VmId>> saved_at;
  std::map<std::string, const Vm*> by_name;
  for (const auto& [id, vm] : state.vms()) {
    if (vm.saves->resume_from) saved_at[vm.saves->resume_from->holder].insert(id);
    if (vm.saves->snapshot) saved_at[vm.saves->snapshot->holder].insert(id);
    ++in[vm.state];
    if (vm.state != VmState::kSuspended) on[vm.node].insert(id);
    by_name.emplace(vm.name.text(), &vm);
    if (!vm.node) continue;
    promised[vm.node].cpu_milli += vm.spec.vcpus * 1000;
    promised[vm.node].memory_mib += vm.spec.memory_mib;
    for (const PublishedPort& port : vm.spec.published_ports)
      ports.emplace(vm.node, port.host_port);
  }
  for (const VmState each : kVmStates)
    RC_ASSERT(state.vms_in(each) == in[each]);
  for (std::uint64_t id = 0; id < 6; ++id) {
    const NodeId node(id);
    RC_ASSERT(state.vms_on(node) == on[node]);
    RC_ASSERT(state.vms_saved_at(node) == saved_at[node]);
    for (const std::uint16_t port : std::initializer_list<std::uint16_t>{80, 81}) {
      const VmSpec spec{.published_ports = {{.host_port = port, .guest_port = 80}}};
      RC_ASSERT(state.taken_port(node, spec) == (ports.contains({node, port}) ? port : 0));
    }
  }
  for (const auto& [id, node] : state.nodes()) {
    const resources::Amounts room = state.room_on(node).amounts();
    RC_ASSERT(room.memory_mib == node.memory_mib - promised[id].memory_mib);
    RC_ASSERT(room.cpu_milli == node.vcpus * 4000 - promised[id].cpu_milli);
  }
  const std::size_t page = pick<std::size_t>(0, 5);
  for (const std::string after : {"", "a", "bb", "d"}) {
    std::vector<const Vm*> expected;
    for (auto next = by_name.upper_bound(after); next != by_name.end(); ++next) {
      if (expected.size() < page) expected.push_back(next->second);
    }
    RC_ASSERT(state.vms_after(after, page) == expected);
  }
}

void check_invariants(const State& state) {
  std::set<Uuid> uuids;
  std::set<std::pair<NodeId, std::uint16_t>> ports;
  for (const auto& [id, vm] : state.vms()) {
    RC_ASSERT(vm.id == id);
    RC_ASSERT(state.find_vm(vm.name) == &vm);
    RC_ASSERT(uuids.insert(vm.uuid).second);
    const bool is_suspended = vm.state == VmState::kSuspended;
    RC_ASSERT((vm.state == VmState::kPending || is_suspended) == !vm.node);
    RC_ASSERT(!is_suspended || (vm.desired == VmDesired::kSuspended && !vm.saves->used_by));
    RC_ASSERT(vm.node || !vm.saves->is_snapshot_asked());
    RC_ASSERT(vm.state != VmState::kRunning || !vm.saves->resume_from);
    RC_ASSERT(vm.node || vm.desired != VmDesired::kDeleted);
    RC_ASSERT(vm.desired == VmDesired::kDeleted || state.find_image(vm.spec.image) != nullptr);
    if (!vm.node) continue;
    for (const PublishedPort& port : vm.spec.published_ports) {
      RC_ASSERT(port.host_port == 0 || ports.emplace(vm.node, port.host_port).second);
    }
  }
  for (const auto& [id, node] : state.nodes()) {
    const resources::Amounts room = state.room_on(node).amounts();
    RC_ASSERT(room.memory_mib >= 0);
    RC_ASSERT(room.cpu_milli >= 0);
  }
  for (const auto& [id, image] : state.images())
    RC_ASSERT(state.find_image(image.name) == &image);
  for (const auto& [id, node] : state.nodes()) {
    RC_ASSERT(state.find_node(node.name) == &node);
    RC_ASSERT(!node.leaving || state.vms_on(id).empty());
    for (const VmId vm : state.vms_saved_at(id))
      RC_ASSERT(!node.leaving || state.find_vm(vm)->saves->used_by);
    RC_ASSERT(!state.was_removed(id));
  }
  // A voter that stays is always left.
  RC_ASSERT(!state.find_node(NodeId(1))->leaving);
}

// Between two states with one command between them.
void check_step(const State& before, const State& after) {
  RC_ASSERT(after.revision() >= before.revision());
  for (const auto& [id, vm] : before.vms()) {
    const Vm* now = after.find_vm(id);
    if (now == nullptr) continue;
    RC_ASSERT(now->generation >= vm.generation);
    const bool freed = vm.node && !now->node && now->generation > vm.generation;
    if (freed) {
      const Node* left = after.find_node(vm.node);
      RC_ASSERT(left != nullptr && left->leaving && now->state == VmState::kPending);
      continue;
    }
    RC_ASSERT(now->generation == vm.generation || now->state == VmState::kPlaced);
    // An explicit start of an ended VM, or from its snapshot: placed again, where it is.
    const bool has_ended = vm.state == VmState::kStopped || vm.state == VmState::kFailed;
    const bool is_restored =
        now->saves->snapshot && resumes_from(*now) && *resumes_from(*now) == *now->saves->snapshot;
    const bool again = (has_ended || is_restored) && now->state == VmState::kPlaced &&
                       now->generation > vm.generation && now->node == vm.node;
    // Saved, and not wanted so any more.
    const bool too_late = now->state == VmState::kPending &&
                          may_follow(vm.state, VmState::kSuspended) &&
                          now->desired != VmDesired::kSuspended;
    RC_ASSERT(again || too_late || now->state == vm.state || may_follow(vm.state, now->state));
    // Once used, a saved guest is used by nobody else, unless it is restored.
    const bool is_same = vm.saves->used_by && now->saves->resume_from == vm.saves->resume_from;
    RC_ASSERT(!is_same || is_restored || now->saves->used_by == vm.saves->used_by);
    RC_ASSERT(vm.desired != VmDesired::kDeleted || now->desired == VmDesired::kDeleted);
    RC_ASSERT(now->spec == vm.spec);
    RC_ASSERT(now->uuid == vm.uuid);
  }
}

// Ids of nodes are given out once: what was removed stays removed.
void check_members(const State& before, const State& after) {
  for (std::uint64_t id = 1; id < 50; ++id) {
    RC_ASSERT(!before.was_removed(NodeId(id)) || after.was_removed(NodeId(id)));
  }
  for (const auto& [id, node] : before.nodes()) {
    const Node* now = after.find_node(id);
    if (now == nullptr) RC_ASSERT(node.leaving && after.was_removed(id));
    if (now != nullptr) RC_ASSERT(now->role == node.role && (now->leaving || !node.leaving));
  }
  for (const auto& [id, token] : before.tokens()) {
    const auto now = after.tokens().find(id);
    if (now == after.tokens().end()) continue;
    RC_ASSERT(!token.used_by || now->second.used_by == token.used_by ||
              now->second.created != token.created);
  }
}

// Also counts what was carried out, so that the properties here do not hold for want of commands.
TEST(StateProperty, InvariantsHoldAfterEveryCommand) {
  std::map<v1::Command::KindCase, int> carried_out;
  std::map<VmState, int> seen;
  EXPECT_TRUE(rc::check([&] {
    Scenario cluster = busy();
    const int steps = pick(0, 200);
    for (int at = 0; at < steps; ++at) {
      const State before = cluster.state;
      const std::size_t changes = cluster.changes.size();
      const v1::Command command = some_command(before);
      const auto outcome = cluster.apply(command);
      check_invariants(cluster.state);
      check_indexes(cluster.state);
      check_step(before, cluster.state);
      check_members(before, cluster.state);
      RC_ASSERT(cluster.state.revision() - before.revision() == cluster.changes.size() - changes);
      for (std::size_t change = changes; change < cluster.changes.size(); ++change) {
        RC_ASSERT(cluster.changes[change].revision == change + 1);
      }
      RC_ASSERT(outcome || cluster.changes.size() == changes);
      if (!(cluster.state == before) && outcome) ++carried_out[command.kind_case()];
      for (const auto& [id, vm] : cluster.state.vms())
        ++seen[vm.state];
    }
  }));
  EXPECT_EQ(carried_out.size(), 17u);
  EXPECT_GE(seen.size(), 8u);
  EXPECT_GT(seen[VmState::kSuspended], 0);
}

RC_GTEST_PROP(StateProperty, SnapshotAfterEveryCommandIsTheState, ()) {
  Scenario cluster = busy();
  const int steps = pick(0, 50);
  for (int at = 0; at < steps; ++at) {
    ignore(cluster.apply(some_command(cluster.state)), "refusals are part of it");
    auto restored = State::decode(cluster.state.encode());
    RC_ASSERT(restored.has_value());
    RC_ASSERT(*restored == cluster.state);
    check_indexes(*restored);
    RC_ASSERT(restored->encode() == cluster.state.encode());
    if (pick(0, 4) == 0) cluster.state = std::move(*restored);
  }
}

// Two nodes apply one log, one of them restarting from a snapshot in the middle.
RC_GTEST_PROP(StateProperty, SameLogSameHash, ()) {
  std::vector<v1::Command> log;
  Scenario first = busy();
  const int steps = pick(0, 60);
  for (int at = 0; at < steps; ++at) {
    log.push_back(some_command(first.state));
    ignore(first.apply(log.back()), "refusals are part of it");
  }
  Scenario second = busy();
  const auto restart = static_cast<std::size_t>(pick(0, 60));
  for (std::size_t at = 0; at < log.size(); ++at) {
    if (at == restart) second.state = *State::decode(second.state.encode());
    // As it comes from the log: through bytes.
    v1::Command command;
    RC_ASSERT(command.ParseFromString(log[at].SerializeAsString()));
    ignore(second.apply(command), "refusals are part of it");
  }
  RC_ASSERT(first.state.hash() == second.state.hash());
}

RC_GTEST_PROP(StateProperty, RetryIsAnsweredAndNotCarriedOut, ()) {
  Scenario cluster = busy();
  std::vector<std::pair<v1::Command, Result<Outcome>>> answered;
  const int steps = pick(0, 40);
  for (int at = 0; at < steps; ++at) {
    auto command = some_command(cluster.state);
    command.set_request_id(std::string(16, static_cast<char>('0' + at)));
    answered.emplace_back(command, cluster.apply(command));
  }
  const std::string hash = cluster.state.hash();
  for (auto& [command, first] : answered) {
    command.set_time_unix_ms(5);
    const auto again = cluster.apply(command);
    RC_ASSERT(again.has_value() == first.has_value());
    if (again) {
      RC_ASSERT(again->index == first->index);
      RC_ASSERT(again->object_id == first->object_id);
    } else {
      RC_ASSERT(again.error().message() == first.error().message());
    }
  }
  RC_ASSERT(cluster.state.hash() == hash);
}

// Names against a model of them: a name is free, or held by one VM from its creation until it is
// deleted while unplaced or released by its node.
RC_GTEST_PROP(StateProperty, NamesAreHeldByOneVmAtATime, ()) {
  Scenario cluster = started();
  struct Held {
    std::uint64_t id = 0;
    bool placed = false;
    bool deleted = false;
  };
  std::map<std::string, Held> model;
  const int steps = pick(0, 80);
  for (int at = 0; at < steps; ++at) {
    const auto name = *element<std::string>("a", "b", "c");
    const auto held = model.find(name);
    const bool exists = held != model.end();
    switch (pick(0, 4)) {
      case 0: {
        const auto made = cluster.create(name, 1, 80);
        RC_ASSERT(made.has_value() == !exists);
        if (made) model[name] = {.id = made->object_id};
        break;
      }
      case 1:
        if (exists && !held->second.placed) {
          held->second.placed = cluster.place(name, 1).has_value();
          RC_ASSERT(held->second.placed);
        }
        break;
      case 2:
        RC_ASSERT(cluster.desire(name, v1::VM_DESIRED_DELETED).has_value() == exists);
        if (exists && !held->second.placed) {
          model.erase(held);
        } else if (exists) {
          held->second.deleted = true;
        }
        break;
      default:
        if (exists && held->second.placed) {
          RC_ASSERT(cluster.report(name, v1::VM_STATE_STOPPED, true).has_value());
          if (held->second.deleted) model.erase(held);
        }
    }
    RC_ASSERT(cluster.state.vms().size() == model.size());
    for (const auto& [held_name, vm] : model) {
      RC_ASSERT(cluster.state.find_vm(held_name) != nullptr);
      RC_ASSERT(cluster.state.find_vm(held_name)->id.value == vm.id);
    }
  }
}

}  // namespace
}  // namespace blixard::cluster
