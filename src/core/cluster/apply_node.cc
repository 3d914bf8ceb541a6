// What nodes say: about themselves, and about the VMs they own.

#include <algorithm>

#include <fmt/format.h>

#include "base/limits.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/codec.h"
#include "core/cluster/reasons.h"
#include "core/cluster/state.h"
#include "core/cluster/text.h"

namespace blixard::cluster {

namespace {

std::unexpected<Error> bad_report(const char* field) {
  return fail(Code::kInvalidArgument, reason::kReportInvalid, field);
}

// In these something of the VM is on the node, so it cannot have been released.
bool holds_on(VmState state) {
  switch (state) {
    case VmState::kStarting:
    case VmState::kRunning:
    case VmState::kStopping:
    case VmState::kPaused:
    case VmState::kMigrating:
      return true;
    case VmState::kPending:
    case VmState::kPlaced:
    case VmState::kStopped:
    case VmState::kFailed:
    case VmState::kLost:
    case VmState::kSuspended:
      return false;
  }
  return true;
}

// The VM as the report has it. Errors: kInvalidArgument "report_invalid", kFailedPrecondition
// "transition_refused".
Result<Vm> reported(const Vm& vm, const v1::VmReport& report, WallTime time) {
  const auto state = read_state(report.state());
  if (!state) return bad_report("state");
  if (report.released() && holds_on(*state)) return bad_report("released");
  if (report.pid() < 0) return bad_report("pid");
  if (!is_bounded_text(report.accelerator(), limits::kWordBytes)) return bad_report("accelerator");
  BLX_TRY(auto ports, read_published(report.published_ports()));
  const bool leaves = *state == VmState::kPending || *state == VmState::kSuspended;
  const bool given_back_whole = !leaves || report.released();
  if ((*state != vm.state && !may_follow(vm.state, *state)) || !given_back_whole) {
    return fail(Code::kFailedPrecondition, reason::kTransitionRefused,
                transition_text(vm.state, *state));
  }
  Vm next = vm;
  if (*state != vm.state) next.changed = time;
  next.state = *state;
  next.reason = bounded_text(report.reason(), limits::kReasonBytes);
  next.published_ports = std::move(ports);
  next.pid = report.pid();
  next.accelerator = report.accelerator();
  next.restarts = report.restarts();
  if (report.has_start()) {
    BLX_TRY(next.start, read_start(report.start()));
  }
  return next;
}

}  // namespace

Result<std::uint64_t> State::carry_out(const v1::RegisterNode& command, const Step& step) {
  BLX_TRY(Node node, read_registration(command, step.version));
  const auto known = nodes_.find(node.id);
  if (known == nodes_.end() && !cluster_.is_nil()) {
    return fail(Code::kNotFound, reason::kNodeNotFound,
                fmt::format("node {} is not a member of the cluster", node.id.value));
  }
  const auto namesake = node_names_.find(node.name);
  if (namesake != node_names_.end() && namesake->second != node.id) {
    return fail(Code::kAlreadyExists, reason::kNodeExists,
                fmt::format("node {} has the name {}", namesake->second.value, node.name));
  }
  if (nodes_.size() >= limits::kNodes && !nodes_.contains(node.id)) {
    return fail(Code::kResourceExhausted, reason::kTooManyNodes,
                fmt::format("there are {} nodes, the most possible", nodes_.size()));
  }
  next_node_id_ = std::max(next_node_id_, node.id.value + 1);
  Node& kept = nodes_[node.id];
  node_names_.erase(kept.name);
  node_names_.emplace(node.name, node.id);
  node.role = kept.role;
  node.peer_address = kept.peer_address;
  node.key_digest = kept.key_digest;
  node.leaving = kept.leaving;
  node.set_labels = kept.set_labels;
  node.taints = kept.taints;
  node.cordoned = kept.cordoned;
  node.drain = kept.drain;
  node.revision = kept.revision;
  node.registered = kept.registered;
  if (node != kept) revise(node);
  node.registered = step.time;
  kept = node;
  raise_model_version();
  announce(Change::Kind::kNodeChanged, node.id.value, node.name, step);
  return node.id.value;
}

Result<std::uint64_t> State::carry_out(const v1::ReportVms& command, const Step& step) {
  const NodeId node(command.node_id());
  if (find_node(node) == nullptr) {
    return fail(Code::kNotFound, reason::kNodeNotFound,
                fmt::format("no node has id {}", node.value));
  }
  const auto& reports = command.reports();
  if (static_cast<std::size_t>(reports.size()) > limits::kReportsPerCommand) {
    return bad_report("reports: too many in one command");
  }
  Result<void> first_refusal;
  int refused = 0;
  for (const v1::VmReport& report : reports) {
    auto taken = take_report(node, report, step);
    if (taken) continue;
    if (refused == 0) first_refusal = std::move(taken);
    ++refused;
  }
  if (refused != 0 && refused == reports.size()) return std::unexpected(first_refusal.error());
  return node.value;
}

Result<void> State::take_report(NodeId node, const v1::VmReport& report, const Step& step) {
  const Vm* vm = find_vm(VmId(report.vm_id()));
  if (vm == nullptr || vm->node != node) return {};
  if (vm->generation != Generation(report.generation())) return {};
  BLX_TRY(Vm next, reported(*vm, report, step.time));
  BLX_TRY(take_saves(report, next));
  if (report.released() && vm->desired == VmDesired::kDeleted) {
    remove_vm(vm->id, step);
    return {};
  }
  // Stopped before this was heard: its node may not see that, and is not to wait for another word.
  const bool is_void =
      report.has_saved() && next.state == VmState::kPaused && next.desired == VmDesired::kStopped;
  if (is_void) assign_again(next, step.time);
  if (next.state == VmState::kPending || next.state == VmState::kSuspended) {
    unassign(next);
    const bool waits = next.state == VmState::kPending ? next.reason.empty()
                                                       : next.desired != VmDesired::kSuspended;
    if (waits) await_placement(next, step.time);
  }
  if (next == *vm) return {};
  change_vm(vm->id, step, [&](Vm& now) { now = std::move(next); });
  return {};
}

}  // namespace blixard::cluster
