#include "node/agent/vm_keeper.h"

#include <algorithm>
#include <utility>

#include "base/limits.h"

namespace blixard::agent {
namespace {

using cluster::VmDesired;
using cluster::VmState;

constexpr Duration kTurnRetryDelay = 1s;

bool has_ended(vm::Phase phase) {
  return phase == vm::Phase::kEnded || phase == vm::Phase::kPanicked || phase == vm::Phase::kGone;
}

std::string describe(const vm::Status& status) {
  std::string text(vm::end_reason_name(status.end));
  if (!status.detail.empty()) text += ": " + status.detail;
  return text;
}

vm::Status ended_unseen(std::string detail) {
  return {vm::Phase::kGone, vm::EndReason::kProcessDied, std::move(detail)};
}

}  // namespace

VmKeeper::VmKeeper(Services& services, VmId id, std::optional<vm::Record> record)
    : services_(services), id_(id), record_(std::move(record)), changed_(services.env.executor) {
  if (const cluster::Vm* vm = assigned()) {
    generation_ = vm->generation;
    reported_ = vm->state;
    restarts_ = vm->restarts;
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
         vm->desired == VmDesired::kRunning;
}

void VmKeeper::leave() {
  leaving_ = true;
  changed_.notify_all();
}

void VmKeeper::report(VmState state, std::string reason, bool released) {
  v1::VmReport report;
  report.set_vm_id(id_.value);
  report.set_generation(generation_.value);
  report.set_state(static_cast<v1::VmState>(state));
  report.set_reason(std::move(reason));
  report.set_restarts(restarts_);
  report.set_released(released);
  if (record_ && (state == VmState::kRunning || state == VmState::kPaused)) {
    report.set_pid(record_->process.pid);
    report.set_accelerator(std::string(vm::accelerator_name(record_->accelerator)));
    for (const vm::Publish& publish : record_->published) {
      auto* port = report.add_published_ports();
      port->set_host_port(publish.host_port);
      port->set_guest_port(publish.guest_port);
    }
  }
  reported_ = state;
  services_.reports.add(std::move(report));
}

env::Task<void> VmKeeper::run() {
  Result<void> done;
  if (record_) done = co_await adopt();
  while (done || done.error().code() != Code::kCancelled) {
    if (!done) {
      BLX_LOG(services_.env.log, kWarn, "vm {}: {}", id_.value, done.error().message());
      const auto& env = services_.env;
      const Instant again = env.clock.monotonic() + kTurnRetryDelay;
      ignore(co_await env::with_deadline(env.executor, env.clock, again, changed_.wait()),
             "both a change and the deadline end the pause");
      if (const auto* cancellation = co_await env::this_cancellation();
          cancellation != nullptr && cancellation->requested()) {
        break;
      }
    }
    const cluster::Vm* vm = assigned();
    if (vm == nullptr || leaving_) {
      if (vm != nullptr && watching_) {
        done = co_await stop_guest(*vm);
      } else {
        done = co_await put_away();
      }
      if (done) co_return;
      continue;
    }
    done = co_await turn(*vm);
  }
  co_await stop_watching();
}

env::Task<Result<void>> VmKeeper::turn(cluster::Vm vm) {
  if (vm.generation != generation_) co_return co_await begin_generation(vm);
  if (vm.desired == VmDesired::kRunning) co_return co_await keep_running(vm);
  co_return co_await keep_stopped(vm);
}

env::Task<Result<void>> VmKeeper::begin_generation(const cluster::Vm& vm) {
  const Generation generation = vm.generation;
  const VmState state = vm.state;
  BLX_CO_TRY(co_await put_away());
  generation_ = generation;
  reported_ = state;
  failures_in_row_ = 0;
  co_return Result<void>();
}

env::Task<Result<void>> VmKeeper::wait_for_news(const cluster::Vm& seen) {
  // What changed while this turn was busy has already notified: look before waiting.
  const cluster::Vm* now = assigned();
  if (now == nullptr || *now != seen || leaving_ || ended_) co_return Result<void>();
  co_return co_await changed_.wait();
}

env::Task<Result<void>> VmKeeper::keep_running(const cluster::Vm& vm) {
  if (ended_) co_return co_await settle_end(vm);
  if (watching_) co_return co_await wait_for_news(vm);
  switch (reported_) {
    case VmState::kFailed:
    case VmState::kStopped:
      if (!restarts_after(reported_, vm.spec.restart)) co_return co_await wait_for_news(vm);
      if (services_.env.clock.monotonic() < restart_at_) co_return co_await wait_to_restart();
      ++restarts_;
      co_return co_await start(vm);
    default:
      // Placed: to be started. Any other state without a guest of ours here was left by a daemon
      // that stopped its guests when it went.
      co_return co_await start(vm);
  }
}

env::Task<Result<void>> VmKeeper::keep_stopped(const cluster::Vm& vm) {
  const bool deleted = vm.desired == VmDesired::kDeleted;
  if (watching_ && !ended_) {
    report(VmState::kStopping, "");
    BLX_CO_TRY(co_await stop_guest(vm));
  }
  BLX_CO_TRY(co_await put_away());
  if (deleted) {
    report(VmState::kStopped, "", /*released=*/true);
    // The report ends this VM; until it is applied there is nothing to do but to wait.
    while (assigned() != nullptr)
      BLX_CO_TRY(co_await changed_.wait());
    co_return Result<void>();
  }
  if (reported_ != VmState::kStopped) report(VmState::kStopped, "");
  co_return co_await wait_for_news(vm);
}

bool VmKeeper::restarts_after(VmState ended, cluster::RestartPolicy policy) const {
  if (policy == cluster::RestartPolicy::kAlways) return true;
  return policy == cluster::RestartPolicy::kOnFailure && ended == VmState::kFailed;
}

env::Task<Result<void>> VmKeeper::settle_end(const cluster::Vm& vm) {
  const vm::Status status = *ended_;
  const bool clean = status.end == vm::EndReason::kGuestShutdown;
  const bool will_restart =
      restarts_after(clean ? VmState::kStopped : VmState::kFailed, vm.spec.restart);
  BLX_CO_TRY(co_await put_away());
  const Instant now = services_.env.clock.monotonic();
  if (now - running_since_ > limits::kRestartForgiven) failures_in_row_ = 0;
  const Duration delay = std::min(limits::kRestartDelayMin * (1U << std::min(failures_in_row_, 6U)),
                                  Duration(limits::kRestartDelayMax));
  ++failures_in_row_;
  restart_at_ = now + delay;
  BLX_LOG(services_.env.log, kInfo, "vm {} ended ({}){}", id_.value, describe(status),
          will_restart ? ", will be restarted" : "");
  report(clean ? VmState::kStopped : VmState::kFailed, describe(status));
  co_return Result<void>();
}

env::Task<Result<void>> VmKeeper::wait_to_restart() {
  const auto& env = services_.env;
  const auto woken =
      co_await env::with_deadline(env.executor, env.clock, restart_at_, changed_.wait());
  if (!woken && woken.error().code() == Code::kCancelled) co_return woken;
  co_return Result<void>();
}

env::Task<Result<void>> VmKeeper::adopt() {
  if (record_->process.pid == 0) {
    // The daemon ended between preparing and knowing the process; start over.
    co_return co_await put_away();
  }
  const auto status = co_await services_.driver.adopt(*record_);
  if (!status) {
    const Code code = status.error().code();
    if (code != Code::kNotFound && code != Code::kFailedPrecondition) {
      co_return std::unexpected(status.error());
    }
    ended_ = ended_unseen("it ended while this node's daemon was away");
    co_return Result<void>();
  }
  if (has_ended(status->phase)) {
    ended_ = *status;
    co_return Result<void>();
  }
  BLX_LOG(services_.env.log, kInfo, "vm {} adopted, pid {}", id_.value, record_->process.pid);
  const Instant deadline = services_.env.clock.monotonic() + limits::kBootTimeout;
  if (status->phase == vm::Phase::kPaused) {
    if (reported_ != VmState::kPaused) report(VmState::kPaused, "");
  } else {
    const auto ready = co_await services_.driver.wait_ready(*record_, deadline);
    if (!ready && ready.error().code() == Code::kCancelled) co_return ready;
    if (!ready) {
      // A guest that ran when the daemon went is not killed for a slow answer now.
      BLX_LOG(services_.env.log, kWarn, "vm {}: {}", id_.value, ready.error().message());
    }
    if (reported_ == VmState::kPlaced) report(VmState::kStarting, "");
    report(VmState::kRunning, "");
  }
  co_await begin_watching();
  co_return Result<void>();
}

env::Task<Result<void>> VmKeeper::start(const cluster::Vm& vm) {
  if (reported_ != VmState::kStarting) report(VmState::kStarting, "");
  const auto booted = co_await boot_while_wanted(vm);
  if (booted) {
    BLX_LOG(services_.env.log, kInfo, "vm {} runs, pid {}", id_.value, record_->process.pid);
    running_since_ = services_.env.clock.monotonic();
    report(VmState::kRunning, "");
    co_await begin_watching();
    co_return Result<void>();
  }
  if (booted.error().code() == Code::kCancelled) {
    if (still_wanted(generation_)) co_return booted;  // the daemon goes; the guest may boot on
    co_return Result<void>();                         // the next turn puts it away
  }
  running_since_ = services_.env.clock.monotonic();
  ended_ = vm::Status{vm::Phase::kEnded, vm::EndReason::kStartFailed, booted.error().message()};
  co_return Result<void>();
}

env::Task<Result<void>> VmKeeper::boot_while_wanted(const cluster::Vm& vm) {
  env::Scope scope(services_.env.executor, co_await env::this_cancellation());
  env::Cancellation boot_cancellation(&scope.cancellation());
  scope.spawn(cancel_when_unwanted(vm.generation, boot_cancellation));
  const auto booted = co_await boot(vm).under(boot_cancellation);
  scope.cancel();
  co_await scope.join();
  co_return booted;
}

env::Task<void> VmKeeper::cancel_when_unwanted(Generation generation, env::Cancellation& boot) {
  while (still_wanted(generation)) {
    if (!co_await changed_.wait()) co_return;
  }
  boot.request();
}

env::Task<Result<void>> VmKeeper::boot(cluster::Vm vm) {
  const cluster::Image* image = services_.replica.state().find_image(vm.spec.image);
  if (image == nullptr) co_return fail(Code::kNotFound, "image_not_found", vm.spec.image);
  vm::GuestSpec spec{.id = id_,
                     .generation = vm.generation,
                     .uuid = vm.uuid,
                     .name = vm.name,
                     .kernel_path = {},
                     .initrd_path = {},
                     .cmdline = image->cmdline,
                     .vcpus = vm.spec.vcpus,
                     .memory = mib(vm.spec.memory_mib),
                     .published = {}};
  for (const auto& port : vm.spec.published_ports) {
    spec.published.push_back({port.host_port, port.guest_port});
  }
  BLX_CO_TRY(auto paths, co_await services_.images.paths(*image));
  spec.kernel_path = std::move(paths.kernel);
  spec.initrd_path = std::move(paths.initrd);

  auto& driver = services_.driver;
  if (!record_) BLX_CO_TRY(co_await driver.release_leftover(id_));
  BLX_CO_TRY(record_, co_await driver.prepare(spec));
  // Before and after: a crash in between leaves a record without a process, and the driver's own
  // traces, by which the next daemon clears it away.
  BLX_CO_TRY(co_await services_.records.save(*record_));
  const auto& clock = services_.env.clock;
  BLX_CO_TRY(record_,
             co_await driver.start(spec, *record_, clock.monotonic() + limits::kMonitorTimeout));
  BLX_CO_TRY(co_await services_.records.save(*record_));
  co_return co_await driver.wait_ready(*record_, clock.monotonic() + limits::kBootTimeout);
}

env::Task<Result<void>> VmKeeper::stop_guest(const cluster::Vm& vm) {
  const vm::StopLadder ladder{.agent = std::chrono::seconds(vm.spec.stop_grace_seconds)};
  co_await stop_watching();
  BLX_CO_TRY(const vm::EndReason how, co_await services_.driver.stop(*record_, ladder));
  BLX_LOG(services_.env.log, kInfo, "vm {} stopped ({})", id_.value, vm::end_reason_name(how));
  co_return co_await put_away();
}

env::Task<Result<void>> VmKeeper::put_away() {
  co_await stop_watching();
  ended_.reset();
  if (!record_) co_return Result<void>();
  BLX_CO_TRY(co_await services_.driver.release(*record_));
  BLX_CO_TRY(co_await services_.records.remove(id_));
  record_.reset();
  co_return Result<void>();
}

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
    if (!change && change.error().code() == Code::kCancelled) co_return;
    const vm::Status status = change ? *change : ended_unseen(change.error().message());
    if (has_ended(status.phase)) {
      ended_ = status;
      changed_.notify_all();
      co_return;
    }
    const VmState state = status.phase == vm::Phase::kPaused ? VmState::kPaused : VmState::kRunning;
    if (reported_ != state) report(state, "");
  }
}

}  // namespace blixard::agent
