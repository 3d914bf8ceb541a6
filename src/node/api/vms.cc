// Requests about VMs, and waiting for what becomes of them.

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "blixard/v1/api.pb.h"
#include "blixard/v1/cluster.pb.h"
#include "node/api/api.h"
#include "node/api/convert.h"
#include "node/api/json.h"

namespace blixard::api {
namespace {

std::unexpected<Error> no_vm(std::string_view name) {
  return fail(Code::kNotFound, "vm_not_found", fmt::format("no VM is named {}", name));
}

bool is_stopped(const cluster::Vm& vm) {
  const bool never_started = vm.state == cluster::VmState::kPending && !vm.node;
  const bool is_still = vm.state == cluster::VmState::kFailed || never_started;
  return vm.state == cluster::VmState::kStopped ||
         (vm.desired == cluster::VmDesired::kStopped && is_still);
}

telemetry::VmOperation operation_of(cluster::VmDesired desired) {
  using telemetry::VmOperation;
  switch (desired) {
    case cluster::VmDesired::kRunning:
      return VmOperation::kStart;
    case cluster::VmDesired::kStopped:
      return VmOperation::kStop;
    case cluster::VmDesired::kDeleted:
      return VmOperation::kDelete;
    case cluster::VmDesired::kPaused:
      return VmOperation::kPause;
    case cluster::VmDesired::kSuspended:
      return VmOperation::kSuspend;
  }
  return VmOperation::kStart;
}

// Of what a VM becomes and stays.
struct Aim {
  cluster::VmDesired desired;
  cluster::VmState state;
};
Aim aim_of(WaitFor wait) {
  using cluster::VmDesired;
  using cluster::VmState;
  if (wait == WaitFor::kPaused) return {VmDesired::kPaused, VmState::kPaused};
  if (wait == WaitFor::kSuspended) return {VmDesired::kSuspended, VmState::kSuspended};
  return {VmDesired::kRunning, VmState::kRunning};
}

Result<bool> is_snapshot_made(const cluster::Vm& vm) {
  if (vm.saves->is_snapshot_asked()) return false;
  if (!vm.saves->snapshot_error.empty()) {
    return fail(Code::kFailedPrecondition, "snapshot_failed", vm.saves->snapshot_error);
  }
  if (vm.saves->snapshot) return true;
  return fail(Code::kFailedPrecondition, "no_snapshot",
              fmt::format("VM {} has no snapshot, and none was asked for", vm.name));
}

}  // namespace

http::Response Api::vm_response(int status, const cluster::Vm& vm) const {
  return json_response(status, to_message(vm, replica_.state()));
}

// True: the VM is what is waited for. Errors: it will not become that.
Result<bool> Api::arrived(VmId id, WaitFor wait) const {
  const cluster::Vm* vm = replica_.state().find_vm(id);
  if (vm == nullptr) {
    if (wait == WaitFor::kDeleted) return true;
    return fail(Code::kNotFound, "vm_not_found", "the VM was deleted meanwhile");
  }
  const auto impossible = [&] {
    return fail(Code::kFailedPrecondition, "wait_impossible",
                fmt::format("VM {} is wanted {}, not {}", vm->name,
                            cluster::desired_name(vm->desired), wait_name(wait)));
  };
  if (wait == WaitFor::kDeleted) {
    if (vm->desired != cluster::VmDesired::kDeleted) return impossible();
    return false;
  }
  if (wait == WaitFor::kStopped) return is_stopped(*vm);
  if (wait == WaitFor::kSnapshot) return is_snapshot_made(*vm);
  const Aim aim = aim_of(wait);
  if (vm->desired != aim.desired) return impossible();
  if (vm->state == aim.state) return true;
  // Nobody starts it to suspend it.
  if (wait == WaitFor::kSuspended && vm->state == cluster::VmState::kStopped) {
    return fail(Code::kFailedPrecondition, "wait_impossible",
                fmt::format("VM {} has stopped before it was saved", vm->name));
  }
  // Starting a failed VM takes it out of this state at once, so the failure is of this start.
  if (vm->state == cluster::VmState::kFailed) {
    return fail(Code::kFailedPrecondition, "vm_failed", vm->reason);
  }
  return false;
}

env::Task<Result<void>> Api::wait_for(const Call& call, VmId id, Instant deadline) {
  if (call.query.wait == WaitFor::kNothing) co_return Result<void>();
  trace::ActiveSpan span = trace::begin(options_.tracer, call.trace, "api.wait");
  span.set("blixard.vm.id", id.value);
  span.set("blixard.vm.state", wait_name(call.query.wait));
  const auto done = co_await wait_until(id, call.query.wait, deadline);
  span.end(done);
  co_return done;
}

env::Task<Result<void>> Api::wait_until(VmId id, WaitFor wait, Instant deadline) {
  auto arrival =
      co_await env::with_deadline(env_.executor, env_.clock, deadline, arrival_of(id, wait));
  if (arrival || arrival.error().code() != Code::kDeadlineExceeded) co_return arrival;
  const cluster::Vm* vm = replica_.state().find_vm(id);
  std::string detail = "the VM is gone";
  if (vm != nullptr) {
    detail = fmt::format("VM {} is {}, not {}{}{}", vm->name, cluster::state_name(vm->state),
                         wait_name(wait), vm->reason.empty() ? "" : ": ", vm->reason);
  }
  co_return fail(Code::kDeadlineExceeded, "wait_timeout", std::move(detail));
}

// Woken with every batch of commands, whatever they changed: that is to cost a look and no more.
env::Task<Result<void>> Api::arrival_of(VmId id, WaitFor wait) {
  while (true) {
    BLX_CO_TRY(const bool is_there, arrived(id, wait));
    if (is_there) co_return Result<void>();
    BLX_CO_TRY(co_await replica_.applied().wait());
  }
}

env::Task<Result<cluster::Outcome>> Api::operate(const Call& call, telemetry::VmOperation operation,
                                                 v1::Command command) {
  const Instant begun = env_.clock.monotonic();
  auto outcome = co_await propose(call, std::move(command));
  telemetry_.record_vm_operation(operation, telemetry::outcome_of(outcome),
                                 env_.clock.monotonic() - begun);
  co_return outcome;
}

env::Task<Result<http::Response>> Api::create_vm(const Call& call) {
  const Instant deadline = env_.clock.monotonic() + call.query.timeout;
  v1::CreateVmRequest request;
  BLX_CO_TRY(from_json(call.request.body, request));
  v1::Command command;
  BLX_CO_TRY(*command.mutable_create_vm(), to_command(request, call.request_id));
  BLX_CO_TRY(const auto outcome,
             co_await operate(call, telemetry::VmOperation::kCreate, std::move(command)));
  const VmId id(outcome.object_id);
  BLX_CO_TRY(co_await wait_for(call, id, deadline));
  const cluster::Vm* vm = replica_.state().find_vm(id);
  if (vm == nullptr) {
    co_return fail(Code::kNotFound, "vm_not_found",
                   fmt::format("VM {} was made by this request and deleted since", request.name()));
  }
  http::Response response = vm_response(201, *vm);
  response.headers.push_back({"Location", "/v1/vms/" + vm->name.text()});
  co_return response;
}

env::Task<Result<http::Response>> Api::list_vms(const Call& call) {
  BLX_CO_TRY(co_await barrier(call));
  const cluster::State& state = replica_.state();
  const std::vector<const cluster::Vm*> page = state.vms_after(call.query.after, call.query.limit);
  v1::VmList list;
  list.mutable_vms()->Reserve(static_cast<int>(page.size()));
  for (const cluster::Vm* vm : page)
    *list.add_vms() = to_message(*vm, state);
  list.set_revision(state.revision());
  co_return json_response(200, list);
}

env::Task<Result<http::Response>> Api::get_vm(const Call& call) {
  const Instant deadline = env_.clock.monotonic() + call.query.timeout;
  BLX_CO_TRY(co_await barrier(call));
  const cluster::Vm* vm = replica_.state().find_vm(call.name);
  if (vm == nullptr) co_return no_vm(call.name);
  if (call.query.wait == WaitFor::kNothing) co_return vm_response(200, *vm);
  const cluster::Vm before = *vm;
  BLX_CO_TRY(co_await wait_for(call, before.id, deadline));
  vm = replica_.state().find_vm(before.id);
  co_return vm_response(200, vm != nullptr ? *vm : before);
}

env::Task<Result<http::Response>> Api::change_vm(const Call& call, int desired) {
  const Instant deadline = env_.clock.monotonic() + call.query.timeout;
  const cluster::Vm* found = replica_.state().find_vm(call.name);
  cluster::Vm before = found == nullptr ? cluster::Vm() : *found;
  v1::Command command;
  command.mutable_set_desired()->set_name(call.name);
  command.mutable_set_desired()->set_desired(static_cast<v1::VmDesired>(desired));
  const auto wanted = static_cast<cluster::VmDesired>(desired);
  BLX_CO_TRY(const auto outcome, co_await operate(call, operation_of(wanted), std::move(command)));
  const VmId id(outcome.object_id);
  BLX_CO_TRY(co_await wait_for(call, id, deadline));
  const int status = call.query.wait == WaitFor::kNothing ? 202 : 200;
  if (const cluster::Vm* vm = replica_.state().find_vm(id)) co_return vm_response(status, *vm);
  // Gone already: as it was last seen here.
  if (before.id != id) before = cluster::Vm{.id = id, .name = Name(call.name)};
  before.desired = wanted;
  co_return vm_response(200, before);
}

env::Task<Result<http::Response>> Api::act_on_vm(const Call& call, telemetry::VmOperation operation,
                                                 v1::Command command) {
  const Instant deadline = env_.clock.monotonic() + call.query.timeout;
  BLX_CO_TRY(const auto outcome, co_await operate(call, operation, std::move(command)));
  const VmId id(outcome.object_id);
  BLX_CO_TRY(co_await wait_for(call, id, deadline));
  const cluster::Vm* vm = replica_.state().find_vm(id);
  if (vm == nullptr) co_return no_vm(call.name);
  const bool is_done = call.query.wait != WaitFor::kNothing || call.route.status == 200;
  co_return vm_response(is_done ? 200 : 202, *vm);
}

env::Task<Result<http::Response>> Api::start_vm(const Call& call) {
  return change_vm(call, v1::VM_DESIRED_RUNNING);
}

env::Task<Result<http::Response>> Api::stop_vm(const Call& call) {
  return change_vm(call, v1::VM_DESIRED_STOPPED);
}

env::Task<Result<http::Response>> Api::delete_vm(const Call& call) {
  return change_vm(call, v1::VM_DESIRED_DELETED);
}

env::Task<Result<http::Response>> Api::pause_vm(const Call& call) {
  return change_vm(call, v1::VM_DESIRED_PAUSED);
}

env::Task<Result<http::Response>> Api::suspend_vm(const Call& call) {
  return change_vm(call, v1::VM_DESIRED_SUSPENDED);
}

env::Task<Result<http::Response>> Api::snapshot_vm(const Call& call) {
  v1::Command command;
  command.mutable_take_snapshot()->set_name(call.name);
  return act_on_vm(call, telemetry::VmOperation::kSnapshot, std::move(command));
}

env::Task<Result<http::Response>> Api::restore_vm(const Call& call) {
  v1::Command command;
  command.mutable_restore_snapshot()->set_name(call.name);
  return act_on_vm(call, telemetry::VmOperation::kRestore, std::move(command));
}

env::Task<Result<http::Response>> Api::delete_snapshot(const Call& call) {
  v1::Command command;
  command.mutable_delete_snapshot()->set_name(call.name);
  return act_on_vm(call, telemetry::VmOperation::kDeleteSnapshot, std::move(command));
}

env::Task<Result<http::Response>> Api::vm_logs(const Call& call) {
  BLX_CO_TRY(co_await barrier(call));
  const cluster::Vm* vm = replica_.state().find_vm(call.name);
  if (vm == nullptr) co_return no_vm(call.name);
  const auto deadline = env_.clock.monotonic() + limits::kApiCommandTimeout;
  const std::size_t most = std::min(call.query.tail_bytes, settings().console_tail_bytes);
  http::Response response;
  BLX_CO_TRY(response.body,
             co_await env::with_deadline(env_.executor, env_.clock, deadline, logs_(vm->id, most)));
  response.content_type = call.route.content_type;
  co_return response;
}

}  // namespace blixard::api
