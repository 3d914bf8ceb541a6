// How a guest that runs is taken over from the daemon before this one, and watched.

#include <utility>

#include "base/bug.h"
#include "env/failpoint.h"
#include "node/agent/vm_keeper.h"

namespace blixard::agent {
namespace {

using cluster::VmDesired;
using cluster::VmState;
using telemetry::VmOperation;

constexpr Duration kWatchAgain = 1s;

// The driver knows that our guest is not there; every other error means that it cannot tell.
bool is_gone(const Error& error) {
  return error.code() == Code::kNotFound || error.code() == Code::kFailedPrecondition;
}

vm::Status ended_unseen(std::string detail) {
  return {vm::Phase::kGone, vm::EndReason::kProcessDied, std::move(detail)};
}

}  // namespace

env::Task<Result<void>> VmKeeper::adopt(cluster::Vm vm) {
  if (record_->process.pid == 0) {
    // The daemon ended between preparing and knowing the process; start over.
    co_return co_await put_away();
  }
  const bool is_to_stop = vm.desired == VmDesired::kStopped || vm.desired == VmDesired::kDeleted;
  const bool is_wanted = !is_to_stop && !leaving_;
  const Instant begun = services_.env.clock.monotonic();
  const auto status = co_await ask_whether_it_runs();
  record(VmOperation::kAdopt, status, begun);
  // A record of another place, or a guest that was loaded and never let run: it is started anew.
  const bool is_useless = !status && (status.error().code() == Code::kInvalidArgument ||
                                      status.error().reason() == "start_unfinished");
  if (is_useless) co_return co_await put_away();
  if (!status && !is_gone(status.error())) {
    if (is_requested(co_await env::this_cancellation()) || is_wanted) {
      co_return std::unexpected(status.error());
    }
    is_known_ = true;  // to be stopped anyway: the hard way then
    co_return Result<void>();
  }
  is_known_ = true;
  if (!status || vm::has_ended(status->phase)) {
    ended_ = status ? *status : ended_unseen("it ended while this node's daemon was away");
    co_return Result<void>();
  }
  BLX_LOG(services_.env.log, kInfo, "vm {} adopted, pid {}", id_.value, record_->process.pid);
  running_since_ = services_.env.clock.monotonic();
  const bool is_paused = status->phase == vm::Phase::kPaused;
  const bool had_run = reported_ == VmState::kRunning || reported_ == VmState::kPaused ||
                       reported_ == VmState::kLost;
  if (!is_wanted || reported_ == VmState::kStopping) {
    co_await begin_watching();
    co_return Result<void>();
  }
  // The end of the guest before it may not have been said: this one was never told who it is.
  const bool was_loaded = !record_->template_key.empty() || record_->is_resumed;
  const bool is_nobody_yet = was_loaded && status->phase == vm::Phase::kStarting;
  // One that was about to go on when its daemon died, and has the log's word for that.
  const bool is_to_go_on = is_paused && !had_run && record_->is_resumed;
  if (is_to_go_on) {
    const auto resumed = co_await services_.driver.resume(*record_);
    is_known_ = resumed.has_value();
    BLX_CO_TRY(resumed);
  }
  // A guest that ran when the daemon went is not asked again whether it is ready.
  if (is_to_go_on || (!is_paused && (!had_run || is_nobody_yet)))
    co_return co_await start(std::move(vm), Begin::kAdopted);
  // One that stands still because it was being saved is not paused.
  const bool is_being_saved =
      is_paused && reported_ == VmState::kRunning && vm.desired == VmDesired::kSuspended;
  if (!is_being_saved) report(is_paused ? VmState::kPaused : VmState::kRunning, "");
  co_await begin_watching();
  co_return Result<void>();
}

env::Task<Result<vm::Status>> VmKeeper::ask_whether_it_runs() {
  BLX_CO_FAILPOINT(services_.env, "agent::adopt", kUnavailable, "monitor_silent");
  co_return co_await services_.driver.adopt(*record_);
}

// Watching.

env::Task<void> VmKeeper::begin_watching() {
  watching_ =
      std::make_unique<env::Scope>(services_.env.executor, co_await env::this_cancellation());
  watching_->spawn(watch(*record_));
}

env::Task<void> VmKeeper::stop_watching() {
  if (!watching_) co_return;
  watching_->cancel();
  co_await watching_->join();
  watching_.reset();
}

env::Task<void> VmKeeper::watch(vm::Record record) {
  while (true) {
    const auto change = co_await services_.driver.next_change(record);
    if (!change && is_requested(co_await env::this_cancellation())) co_return;
    if (!change && !is_gone(change.error())) {
      BLX_LOG(services_.env.log, kWarn, "vm {} cannot be watched: {}", id_.value,
              change.error().message());
      if (!co_await services_.env.clock.sleep(kWatchAgain)) co_return;
      continue;
    }
    const vm::Status status = change ? *change : ended_unseen(change.error().message());
    if (vm::has_ended(status.phase)) {
      if (BLX_BUG(kMissesGuestEnd)) co_return;
      ended_ = status;
      changed_.notify_all();
      co_return;
    }
    const VmState state = status.phase == vm::Phase::kPaused ? VmState::kPaused : VmState::kRunning;
    if (reported_ != state) report(state, "");
    const bool has_rebooted = status.phase == vm::Phase::kStarting && !record.standby.is_nil();
    if (has_rebooted) co_await name_again(record);
  }
}

// Its guest has booted under the name of a process that stood by.
env::Task<void> VmKeeper::name_again(vm::Record record) {
  const Instant deadline = services_.env.clock.monotonic() + limits::kBootTimeout;
  const auto named = co_await services_.driver.wait_ready(std::move(record), deadline);
  if (named) {
    BLX_LOG(services_.env.log, kInfo, "vm {} has rebooted", id_.value);
  } else if (named.error().code() != Code::kCancelled) {
    BLX_LOG(services_.env.log, kWarn, "vm {} has rebooted and does not know its name: {}",
            id_.value, named.error().message());
  }
}

}  // namespace blixard::agent
