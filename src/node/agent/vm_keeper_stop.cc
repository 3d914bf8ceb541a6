// How a guest is ended: because that is wanted, because it is to run elsewhere, or because the
// daemon goes; and how all that is left of it is put away.

#include <algorithm>
#include <utility>

#include "base/bug.h"
#include "env/failpoint.h"
#include "node/agent/vm_keeper.h"

namespace blixard::agent {

using cluster::VmDesired;
using cluster::VmState;
using telemetry::VmOperation;

env::Task<Result<void>> VmKeeper::keep_stopped(cluster::Vm vm) {
  if (watching_ && !ended_) {
    if (may_follow(reported_, VmState::kStopping)) report(VmState::kStopping, "");
    if (BLX_BUG(kReleasesTooEarly) && vm.desired == VmDesired::kDeleted && !is_released_) {
      send_report(VmState::kStopped, "", true);
      is_released_ = true;
    }
    BLX_CO_TRY(co_await stop_guest(vm.spec.stop_grace_seconds));
  }
  BLX_CO_TRY(co_await put_away());
  forget_saved();
  has_moved_on_ = true;
  if (vm.desired == VmDesired::kDeleted) {
    // The report ends this VM; until it is applied there is nothing to do but to wait.
    if (!is_released_) send_report(VmState::kStopped, "", !BLX_BUG(kNeverReleases));
    is_released_ = true;
  } else if (reported_ != VmState::kStopped || !stopped_by_wish_) {
    stopped_by_wish_ = true;
    report(VmState::kStopped, "");
  }
  co_return co_await wait_for_news(std::move(vm));
}

env::Task<Result<void>> VmKeeper::stop_guest(std::uint32_t grace_seconds) {
  const vm::StopLadder ladder{.agent = std::chrono::seconds(grace_seconds)};
  co_await stop_watching();
  const Instant begun = services_.env.clock.monotonic();
  trace::ActiveSpan span = begin_span("driver.stop");
  const auto how = co_await stop_by(ladder);
  span.end(how);
  record(VmOperation::kShutdown, how, begun);
  if (!how && is_requested(co_await env::this_cancellation())) {
    co_return std::unexpected(how.error());
  }
  BLX_LOG(services_.env.log, kInfo, "vm {} stopped ({})", id_.value,
          how ? vm::end_reason_name(*how) : how.error().message());
  co_return co_await put_away();
}

env::Task<Result<vm::EndReason>> VmKeeper::stop_by(vm::StopLadder ladder) {
  BLX_CO_FAILPOINT(services_.env, "vm::stop", kUnavailable, "monitor_silent");
  co_return co_await services_.driver.stop(*record_, ladder);
}

// Ends what still runs, the hard way, and removes all traces.
env::Task<Result<void>> VmKeeper::put_away() {
  co_await stop_watching();
  if (!is_clean_) {
    auto& driver = services_.driver;
    Result<void> released;
    if (record_) released = co_await driver.release(*record_);
    // A record that is not of this place (the data directory was moved) says nothing.
    const bool is_useless = !released && released.error().code() == Code::kInvalidArgument;
    if (!record_ || is_useless) released = co_await driver.release_leftover(id_);
    BLX_CO_TRY(released);
    BLX_CO_TRY(co_await services_.records.remove(id_));
  }
  record_.reset();
  ended_.reset();
  is_clean_ = true;
  co_return Result<void>();
}

env::Task<Result<void>> VmKeeper::go_away(cluster::Vm vm) {
  // How a guest ended decides whether the next daemon starts it again.
  if (ended_ && cluster::wants_to_run(vm.desired)) {
    BLX_CO_TRY(co_await settle_end(vm.spec.restart));
  } else if (watching_ && !ended_) {
    BLX_CO_TRY(co_await stop_guest(vm.spec.stop_grace_seconds));
  }
  BLX_CO_TRY(co_await put_away());
  finished_ = true;
  co_return Result<void>();
}

// To run elsewhere: ended here, all of it put away, and free for another node.
env::Task<Result<void>> VmKeeper::give_back(cluster::Vm vm) {
  if (watching_ && !ended_) {
    if (may_follow(reported_, VmState::kStopping)) report(VmState::kStopping, "");
    BLX_CO_TRY(co_await stop_guest(grace_seconds(vm)));
  }
  BLX_CO_TRY(co_await put_away());
  if (!is_released_) {
    if (!may_follow(reported_, VmState::kPending)) report(VmState::kStopped, "");
    send_report(VmState::kPending, "", true);
  }
  // Until that is applied there is nothing to do but to wait.
  is_released_ = true;
  co_return co_await wait_for_news(std::move(vm));
}

// Who makes room for another may have to be quicker.
std::uint32_t VmKeeper::grace_seconds(const cluster::Vm& vm) const {
  const bool is_preempted = vm.evicting && vm.eviction->cause == cluster::EvictCause::kPreemption;
  const std::uint32_t most = services_.replica.state().policy().preemption_grace_seconds;
  return is_preempted ? std::min(vm.spec.stop_grace_seconds, most) : vm.spec.stop_grace_seconds;
}

}  // namespace blixard::agent
