#include "node/agent/vm_keeper.h"

#include <algorithm>
#include <utility>

#include "base/bug.h"
#include "base/limits.h"
#include "core/cluster/codec.h"
#include "core/cluster/text.h"

namespace blixard::agent {
namespace {

using cluster::VmDesired;
using cluster::VmState;

constexpr Duration kTurnRetryMin = 1s;
constexpr Duration kTurnRetryMax = 60s;
constexpr std::uint32_t kTurnsUntilReported = 3;
constexpr Duration kLeavePatience = 10s;  // with the log

std::string describe(const vm::Status& status) {
  std::string text(vm::end_reason_name(status.end));
  if (!status.detail.empty()) text += ": " + status.detail;
  return text;
}

bool restarts_after(VmState ended, cluster::RestartPolicy policy) {
  if (policy == cluster::RestartPolicy::kAlways) return true;
  return policy == cluster::RestartPolicy::kOnFailure && ended == VmState::kFailed;
}

Duration doubled(Duration least, std::uint32_t times, Duration most) {
  return std::min(least * (1U << std::min(times, 16U)), most);
}

}  // namespace

VmKeeper::VmKeeper(Services& services, VmId id, std::optional<vm::Record> record)
    : services_(services), id_(id), record_(std::move(record)), changed_(services.env.executor) {
  if (const cluster::Vm* vm = assigned()) {
    // A record of another assignment is put away by the first turn, as for any new generation.
    const bool is_other =
        record_ && (record_->generation != vm->generation || record_->uuid != vm->uuid);
    if (!is_other) begin_assignment(*vm);
    if (BLX_BUG(kStartsWithoutAdopting)) {
      record_.reset();
      is_clean_ = true;
    }
  }
  restart_at_ = services_.env.clock.monotonic() + limits::kRestartDelayMin;
}

const cluster::Vm* VmKeeper::assigned() const {
  const cluster::Vm* vm = services_.replica.state().find_vm(id_);
  return vm != nullptr && vm->node == services_.self ? vm : nullptr;
}

bool VmKeeper::still_wanted(Generation generation) const {
  const cluster::Vm* vm = assigned();
  return !leaving_ && vm != nullptr && vm->generation == generation &&
         cluster::wants_to_run(vm->desired) && !vm->evicting;
}

void VmKeeper::begin_assignment(const cluster::Vm& vm) {
  generation_ = vm.generation;
  reported_ = vm.state;
  restarts_ = vm.restarts;
  failures_in_row_ = 0;
  is_released_ = false;
  forget_saved();
  has_moved_on_ = false;
  snapshots_ = vm.saves->snapshots_done;
  held_.clear();  // what is said of an older one is not taken any more
  // A guest that stopped by itself says how in its reason.
  stopped_by_wish_ = vm.state == VmState::kStopped && vm.reason.empty();
}

void VmKeeper::leave() {
  leaving_ = true;
  leave_by_ = services_.env.clock.monotonic() + kLeavePatience;
  changed_.notify_all();
}

// Reports.

v1::VmReport VmKeeper::report_of(VmState state, std::string reason) const {
  v1::VmReport report;
  report.set_vm_id(id_.value);
  report.set_generation(generation_.value);
  report.set_state(static_cast<v1::VmState>(state));
  // What a guest or QEMU printed is any bytes; the log carries text.
  report.set_reason(cluster::bounded_text(reason, limits::kReasonBytes));
  report.set_restarts(restarts_);
  if (record_ && (state == VmState::kRunning || state == VmState::kPaused)) {
    report.set_pid(record_->process.pid);
    report.set_accelerator(std::string(vm::accelerator_name(record_->accelerator)));
    for (const vm::Publish& publish : record_->published) {
      auto* port = report.add_published_ports();
      port->set_host_port(publish.host_port);
      port->set_guest_port(publish.guest_port);
    }
  }
  return report;
}

void VmKeeper::send(v1::VmReport report) {
  reported_ = static_cast<VmState>(report.state());
  is_reason_told_ = false;
  services_.telemetry.record_status_report();
  services_.reports.add(std::move(report));
}

void VmKeeper::send_report(VmState state, std::string reason, bool released,
                           const cluster::VmStart* start) {
  v1::VmReport report = report_of(state, std::move(reason));
  report.set_released(released);
  if (start != nullptr) cluster::write_start(*start, report.mutable_start());
  send(std::move(report));
}

void VmKeeper::report(VmState state, std::string reason) {
  report_on_the_way(state);
  send_report(state, std::move(reason), false);
}

// What must lie between the last report and this one, when a daemon before us did not say it.
void VmKeeper::report_on_the_way(VmState state) {
  const auto follows = [&] { return reported_ == state || may_follow(reported_, state); };
  if (state == VmState::kStarting && !follows()) send_report(VmState::kStopped, "", false);
  if (state != VmState::kRunning && state != VmState::kPaused) return;
  if (reported_ == VmState::kStopping) send_report(VmState::kStopped, "", false);
  if (!follows() && may_follow(reported_, VmState::kStarting)) {
    send_report(VmState::kStarting, "", false);
  }
  if (!follows()) send_report(VmState::kRunning, "", false);
}

// The loop.

env::Task<void> VmKeeper::run() {
  const env::Cancellation* cancellation = co_await env::this_cancellation();
  while (!finished_ && !is_requested(cancellation)) {
    const auto done = co_await turn();
    if (done) {
      failed_turns_ = 0;
    } else if (is_requested(cancellation)) {
      break;
    } else if (leaving_) {
      BLX_LOG(services_.env.log, kWarn, "vm {} is left as it is: {}", id_.value,
              done.error().message());
      break;
    } else {
      co_await pause_after(done.error());
    }
  }
  co_await stop_watching();
}

env::Task<void> VmKeeper::pause_after(Error error) {
  const auto& env = services_.env;
  BLX_LOG(env.log, kWarn, "vm {}: {}", id_.value, error.message());
  const Duration delay = doubled(kTurnRetryMin, failed_turns_, kTurnRetryMax);
  ++failed_turns_;
  const cluster::Vm* vm = assigned();
  if (failed_turns_ == kTurnsUntilReported && vm != nullptr && vm->generation == generation_) {
    send_report(reported_, error.message(), false);
    is_reason_told_ = true;
  }
  ignore(co_await env::with_deadline(env.executor, env.clock, env.clock.monotonic() + delay,
                                     changed_.wait()),
         "a change, the deadline and a cancellation all end the pause");
}

env::Task<Result<void>> VmKeeper::turn() {
  const cluster::Vm* vm = assigned();
  if (vm == nullptr) {
    const bool had_nothing = is_clean_;
    BLX_CO_TRY(co_await put_away());
    if (!had_nothing) BLX_LOG(services_.env.log, kInfo, "vm {}: nothing is left here", id_.value);
    finished_ = true;
    co_return Result<void>();
  }
  if (vm->generation != generation_ && !BLX_BUG(kIgnoresGeneration)) {
    BLX_CO_TRY(co_await put_away());
    if (const cluster::Vm* now = assigned()) begin_assignment(*now);
    co_return Result<void>();
  }
  let_go_of_known(*vm->saves);
  // What was given back may be another node's by now: nothing of this assignment begins here again.
  if (is_released_) {
    finished_ = leaving_;
    if (leaving_) co_return Result<void>();
    co_return co_await wait_for_news(*vm);
  }
  if (record_ && !is_known_) co_return co_await adopt(*vm);
  // What a loss of power brought back, or what a record that is damaged pointed to.
  // How a boot failed is settled, and said, before its remains go.
  if (!record_ && !is_clean_ && !ended_) co_return co_await put_away();
  const bool is_to_stop = vm->desired == VmDesired::kStopped || vm->desired == VmDesired::kDeleted;
  // Also when the daemon leaves: a guest that is to be kept is not shut down. What was said to be
  // saved is never taken back: the log may hear of it at any time.
  const bool is_on_its_way = saved_ && vm->desired != VmDesired::kDeleted;
  if (is_on_its_way || (!is_to_stop && is_suspending(*vm))) co_return co_await keep_suspended(*vm);
  if (leaving_) co_return co_await go_away(*vm);
  const bool is_to_leave = vm->evicting && vm->desired != VmDesired::kDeleted;
  if (is_to_leave) co_return co_await give_back(*vm);
  if (vm->desired == VmDesired::kSuspended) co_return co_await keep_suspended(*vm);
  if (is_to_stop) co_return co_await keep_stopped(*vm);
  co_return co_await keep_running(*vm);
}

env::Task<Result<void>> VmKeeper::wait_for_news(cluster::Vm seen) {
  if (is_reason_told_) send_report(reported_, "", false);
  // What changed while this turn was busy has already notified: look before waiting.
  const cluster::Vm* now = assigned();
  const bool is_over = (leaving_ || ended_) && !saved_;
  if (now == nullptr || *now != seen || is_over) co_return Result<void>();
  co_return co_await changed_.wait();
}

// Wanted running.

env::Task<Result<void>> VmKeeper::keep_running(cluster::Vm vm) {
  if (ended_ && reported_ != VmState::kStopping) co_return co_await settle_end(vm.spec.restart);
  if (reported_ == VmState::kStopping) {
    // Wanted again while it was told to shut down, which nobody can take back.
    if (watching_ && !ended_) BLX_CO_TRY(co_await stop_guest(vm.spec.stop_grace_seconds));
    BLX_CO_TRY(co_await put_away());
    stopped_by_wish_ = true;
    report(VmState::kStopped, "");
    co_return Result<void>();
  }
  const bool is_said = reported_ == VmState::kRunning || reported_ == VmState::kPaused;
  if (watching_ && is_said) co_return co_await keep_up(std::move(vm));
  if (watching_) {
    // Adopted when it was to be stopped, and wanted again since: once more, as wanted.
    co_await stop_watching();
    is_known_ = ended_.has_value();
    co_return Result<void>();
  }
  co_return co_await start_if_due(std::move(vm));
}

// It is there, and said to be.
env::Task<Result<void>> VmKeeper::keep_up(cluster::Vm vm) {
  if (vm.saves->snapshots_asked > std::max(vm.saves->snapshots_done, snapshots_)) {
    co_return co_await take_snapshot(std::move(vm));
  }
  const bool is_paused = reported_ == VmState::kPaused;
  const bool is_to_pause = vm.desired == VmDesired::kPaused;
  if (is_to_pause && !is_paused) co_return co_await pause_guest();
  if (!is_to_pause && is_paused) co_return co_await resume_guest();
  co_return co_await wait_for_news(std::move(vm));
}

env::Task<Result<void>> VmKeeper::start_if_due(cluster::Vm vm) {
  const bool was_over = reported_ == VmState::kFailed || reported_ == VmState::kStopped;
  // Placed: to be started. Any other state without a guest here was left by a daemon that stopped
  // its guests when it went.
  if (was_over && !stopped_by_wish_) {
    if (!restarts_after(reported_, vm.spec.restart)) co_return co_await wait_for_news(vm);
    if (services_.env.clock.monotonic() < restart_at_) co_return co_await wait_to_restart();
    ++restarts_;
    services_.telemetry.record_vm_restart();
  }
  co_return co_await start(std::move(vm), Begin::kBoot);
}

env::Task<Result<void>> VmKeeper::settle_end(cluster::RestartPolicy policy) {
  const vm::Status status = *ended_;
  const bool clean = status.end == vm::EndReason::kGuestShutdown;
  const VmState state = clean ? VmState::kStopped : VmState::kFailed;
  BLX_CO_TRY(co_await put_away());
  services_.telemetry.record_guest_end(clean ? telemetry::GuestEnd::kClean
                                             : telemetry::GuestEnd::kFailed);
  const Instant now = services_.env.clock.monotonic();
  if (now - running_since_ > limits::kRestartForgiven) failures_in_row_ = 0;
  restart_at_ = now + doubled(limits::kRestartDelayMin, failures_in_row_, limits::kRestartDelayMax);
  ++failures_in_row_;
  stopped_by_wish_ = false;
  BLX_LOG(services_.env.log, kInfo, "vm {} ended ({}){}", id_.value, describe(status),
          restarts_after(state, policy) ? ", will be restarted" : "");
  report(state, describe(status));
  co_return Result<void>();
}

env::Task<Result<void>> VmKeeper::wait_to_restart() {
  const auto& env = services_.env;
  const auto woken =
      co_await env::with_deadline(env.executor, env.clock, restart_at_, changed_.wait());
  if (!woken && woken.error().code() == Code::kCancelled) co_return woken;
  co_return Result<void>();
}

trace::ActiveSpan VmKeeper::begin_span(const char* name) const {
  if (services_.tracer == nullptr) return {};
  trace::ActiveSpan span = services_.tracer->begin(services_.tracer->vms().find(id_), name);
  span.set("blixard.vm.id", id_.value);
  return span;
}

}  // namespace blixard::agent
