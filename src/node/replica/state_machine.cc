#include "node/replica/state_machine.h"

#include <utility>

#include <fmt/format.h>

#include "base/bug.h"
#include "base/limits.h"
#include "node/trace/command_trace.h"
#include "observe/allocations.h"

namespace blixard::replica {
namespace {

std::unexpected<Error> cannot_apply(const raft::Entry& entry, const Error& why) {
  return fail(
      why.code(), why.code() == Code::kFailedPrecondition ? "model_too_new" : "command_invalid",
      fmt::format("entry {} of the log cannot be applied: {}", entry.index.value, why.message()));
}

// What its request asked for has come about, or cannot: what happens next is not for it.
bool is_settled(const cluster::Vm* vm) {
  using cluster::VmDesired;
  using cluster::VmState;
  return vm == nullptr || vm->state == VmState::kFailed || vm->state == VmState::kSuspended ||
         (vm->state == VmState::kRunning && vm->desired == VmDesired::kRunning) ||
         (vm->state == VmState::kPaused && vm->desired == VmDesired::kPaused) ||
         (vm->state == VmState::kStopped && vm->desired == VmDesired::kStopped);
}

}  // namespace

StateMachine::StateMachine(env::Clock& clock)
    : clock_(clock), sink_([this](const cluster::Change& change) {
        changes_.add(change);
        if (change.kind == cluster::Change::Kind::kNodeChanged) nodes_changed_ = true;
      }) {}

void StateMachine::restore(cluster::State state, LogIndex index, Term term) {
  state_ = std::move(state);
  changes_.begin_at(state_.revision());
  applied_ = index;
  applied_term_ = term;
  entries_since_snapshot_ = bytes_since_snapshot_ = 0;
  nodes_changed_ = true;
}

Result<cluster::Outcome> StateMachine::apply(const raft::Entry& entry, const v1::Command* parsed) {
  const std::string_view bytes = entry.payload.view();
  if (parsed == nullptr || BLX_BUG(kForgetsRequestIds) || BLX_BUG(kAppliesWithClock)) {
    arena_.Reset();
    auto* command = google::protobuf::Arena::CreateMessage<v1::Command>(&arena_);
    if (bytes.size() > limits::kCommandBytes ||
        !command->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return cannot_apply(entry, Error(Code::kDataLoss, "command_invalid", "it cannot be parsed"));
    }
    if (BLX_BUG(kForgetsRequestIds)) command->clear_request_id();
    if (BLX_BUG(kAppliesWithClock)) command->set_time_unix_ms(clock_.wall().unix_ms);
    parsed = command;
  }
  trace::ActiveSpan span;
  if (parsed->has_trace()) {
    span = trace::begin(tracer_, trace::context_of(*parsed), trace::apply_name(*parsed));
    span.set("blixard.raft.index", entry.index.value);
  }
  const observe::AllocationTag tag(observe::Subsystem::kModel);
  auto outcome = state_.apply(entry.index, *parsed, sink_);
  span.end(outcome);
  if (!outcome && is_fatal(outcome.error())) return cannot_apply(entry, outcome.error());
  pass(entry);
  follow_trace(*parsed, outcome);
  return outcome;
}

void StateMachine::follow_trace(const v1::Command& command,
                                const Result<cluster::Outcome>& outcome) {
  if (tracer_ == nullptr) return;
  trace::TracedVms& traced = tracer_->vms();
  const bool is_of_a_user =
      command.has_create_vm() || command.has_set_desired() || command.has_restore_snapshot();
  if (outcome && is_of_a_user) {
    const VmId id(outcome->object_id);
    const trace::TraceContext request = trace::request_of(command);
    if (request.is_traced() && !is_settled(state_.find_vm(id))) {
      traced.remember(id, request);
    } else {
      traced.forget(id);
    }
  }
  if (traced.empty() || !command.has_report_vms()) return;
  for (const v1::VmReport& report : command.report_vms().reports()) {
    const VmId id(report.vm_id());
    if (is_settled(state_.find_vm(id))) traced.forget(id);
  }
}

Result<cluster::Outcome> StateMachine::apply(const raft::Entry& entry,
                                             const raft::ConfState& configuration,
                                             std::string_view command) {
  const observe::AllocationTag tag(observe::Subsystem::kModel);
  auto outcome = state_.apply_configuration(entry.index, configuration, command, sink_);
  nodes_changed_ = true;
  if (!outcome && is_fatal(outcome.error())) return cannot_apply(entry, outcome.error());
  pass(entry);
  return outcome;
}

bool StateMachine::is_fatal(const Error& error) {
  return error.reason() == "command_invalid" || error.reason() == "model_too_new";
}

void StateMachine::pass(const raft::Entry& entry) {
  BLX_ASSERT(entry.index == applied_.next() && entry.term >= applied_term_);
  applied_ = entry.index;
  applied_term_ = entry.term;
  ++entries_since_snapshot_;
  bytes_since_snapshot_ += entry.payload.size();
}

}  // namespace blixard::replica
