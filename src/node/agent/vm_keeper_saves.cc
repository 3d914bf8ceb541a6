// Guests that stand still: paused in memory, or saved whole, to go on later, elsewhere, or again.
//
// A suspended guest is told to the cluster before it is ended (Paused, with what was saved), and
// from then on it never runs again here: the next start goes on from the file. Who loads it says
// so in the log before the guest runs (claim_saved()), so that what was saved runs at most once,
// whichever nodes die on the way.

#include <algorithm>
#include <utility>

#include "base/bug.h"
#include "base/limits.h"
#include "core/cluster/saves_codec.h"
#include "node/agent/vm_keeper.h"

namespace blixard::agent {
namespace {

using cluster::VmState;
using telemetry::VmOperation;

// What was saved will be no good at the next try either.
bool is_final(const Error& error) {
  return error.reason() == "saved_guest_damaged" || error.reason() == "saved_guest_not_here";
}

bool is_gone(const Error& error) {
  return error.code() == Code::kNotFound || error.reason() == "guest_ended";
}

}  // namespace

Duration transfer_patience(Bytes memory) {
  return limits::kTransferTimeout +
         std::chrono::seconds(memory.value / limits::kTransferBytesPerSecond);
}

// Paused.

env::Task<Result<void>> VmKeeper::pause_guest() {
  const Instant begun = services_.env.clock.monotonic();
  const auto paused = co_await services_.driver.pause(*record_);
  record(VmOperation::kFreeze, paused, begun);
  if (!paused) co_return co_await settle_failure(paused.error());
  if (reported_ != VmState::kPaused) report(VmState::kPaused, "");
  co_return Result<void>();
}

env::Task<Result<void>> VmKeeper::resume_guest() {
  const Instant begun = services_.env.clock.monotonic();
  const auto resumed = co_await services_.driver.resume(*record_);
  record(VmOperation::kThaw, resumed, begun);
  if (!resumed) co_return co_await settle_failure(resumed.error());
  if (reported_ != VmState::kRunning) report(VmState::kRunning, "");
  co_return Result<void>();
}

// That its guest has ended is for who watches it to say.
env::Task<Result<void>> VmKeeper::settle_failure(Error error) {
  if (!is_gone(error)) co_return std::unexpected(std::move(error));
  if (!ended_) BLX_CO_TRY(co_await changed_.wait());
  co_return Result<void>();
}

// Saved.

bool VmKeeper::holds(const image::Digest& digest) const {
  return std::ranges::find(held_, digest, &Held::digest) != held_.end();
}

// A snapshot that was settled is named, or nobody's. That it was suspended may be said again.
void VmKeeper::let_go_of_known(const cluster::Saves& saves) {
  std::erase_if(held_, [&](const Held& held) {
    return !Held::is_suspended(held) && saves.snapshots_done >= held.snapshot;
  });
}

env::Task<Result<cluster::SavedGuest>> VmKeeper::save_guest(cluster::Vm vm,
                                                            std::uint64_t snapshot) {
  if (services_.saved == nullptr) {
    co_return fail(Code::kFailedPrecondition, "saves_unsupported", "this node saves no guests");
  }
  const Generation generation = vm.generation;
  const std::string name = vm.name.text();
  BLX_CO_TRY(const vm::GuestSpec spec, co_await guest_of(std::move(vm)));
  BLX_CO_TRY(const vm::Capabilities host, co_await services_.driver.probe());
  BLX_CO_TRY(const std::string key, co_await services_.driver.saved_key(spec));
  const WallTime now = services_.env.clock.wall();
  trace::ActiveSpan span = begin_span("agent.save");
  BLX_CO_TRY(auto writer, co_await services_.saved->create({.cluster = "",
                                                            .vm = id_,
                                                            .uuid = spec.uuid,
                                                            .name = name,
                                                            .key = key,
                                                            .memory = spec.memory,
                                                            .accelerator = host.accelerator,
                                                            .hypervisor_version = host.version,
                                                            .tsc_khz = host.tsc_khz,
                                                            .saved = now}));
  const Instant begun = services_.env.clock.monotonic();
  const auto saved = co_await save_into(std::move(writer), spec.memory);
  record(VmOperation::kSave, saved, begun);
  span.end(saved);
  BLX_CO_TRY(saved);
  held_.push_back({.digest = saved->digest, .snapshot = snapshot});
  BLX_LOG(services_.env.log, kInfo, "vm {} saved, {} MiB", id_.value, saved->size.mib());
  co_return cluster::SavedGuest{.digest = saved->digest,
                                .size = saved->size,
                                .holder = services_.self,
                                .generation = generation,
                                .accelerator = std::string(vm::accelerator_name(host.accelerator)),
                                .hypervisor_version = host.version,
                                .tsc_khz = host.tsc_khz,
                                .saved = now};
}

env::Task<Result<saved::Saved>> VmKeeper::save_into(std::shared_ptr<saved::Writer> writer,
                                                    Bytes memory) {
  const Instant deadline = services_.env.clock.monotonic() + transfer_patience(memory);
  const auto written = co_await services_.driver.save(*record_, writer, deadline);
  auto saved =
      written ? co_await writer->finish() : Result<saved::Saved>(std::unexpected(written.error()));
  if (!saved) co_await writer->discard();
  co_return saved;
}

env::Task<Result<void>> VmKeeper::take_snapshot(cluster::Vm vm) {
  const std::uint64_t number = vm.saves->snapshots_asked;
  const bool goes_on = vm.desired != cluster::VmDesired::kPaused;
  co_await stop_watching();
  const auto saved = co_await save_guest(std::move(vm), number);
  if (!saved && saved.error().code() == Code::kCancelled) {
    co_return std::unexpected(saved.error());
  }
  const auto resumed = goes_on ? co_await services_.driver.resume(*record_) : Result<void>();
  co_await begin_watching();
  if (!resumed && !is_gone(resumed.error())) {
    if (saved) held_.pop_back();
    co_return resumed;
  }
  snapshots_ = number;
  v1::VmReport report = report_of(reported_, "");
  report.mutable_snapshot()->set_number(number);
  if (saved) {
    cluster::write_saved(*saved, report.mutable_snapshot()->mutable_saved());
  } else {
    report.mutable_snapshot()->set_error(saved.error().message());
  }
  send(std::move(report));
  co_return Result<void>();
}

// Suspended.

// What the daemon before this one said, or what the log heard of it only now. A file that is not
// here any more was thrown away because nobody named it: its guest, if that is here, is saved anew.
bool VmKeeper::is_suspending(const cluster::Vm& vm) {
  const bool has_guest = watching_ && !ended_;
  const bool is_said = cluster::is_saved_away(vm) && !has_moved_on_;
  if (!saved_ && is_said) {
    const cluster::SavedGuest& said = *vm.saves->resume_from;
    const bool is_here = services_.saved == nullptr || services_.saved->has(said.digest);
    if (is_here || !has_guest) saved_ = said;
  }
  const bool is_to_be = is_said || vm.desired == cluster::VmDesired::kSuspended;
  return saved_ || (is_to_be && has_guest);
}

env::Task<Result<void>> VmKeeper::keep_suspended(cluster::Vm vm) {
  if (saved_) co_return co_await hand_over(std::move(vm));
  if (ended_) co_return co_await settle_end(cluster::RestartPolicy::kNever);
  if (watching_) co_return co_await suspend(std::move(vm));
  BLX_CO_TRY(co_await put_away());
  const bool is_over = reported_ == VmState::kStopped || reported_ == VmState::kFailed;
  if (!is_over) report(VmState::kStopped, "there was no guest left to suspend");
  co_return co_await wait_for_news(std::move(vm));
}

// Ended once the log says where it goes on from.
env::Task<Result<void>> VmKeeper::hand_over(cluster::Vm vm) {
  const bool is_stopped = reported_ == VmState::kStopped;
  if (is_stopped || vm.desired == cluster::VmDesired::kStopped) {
    co_return co_await give_up_saved(std::move(vm));
  }
  if (cluster::is_saved_away(vm) && vm.saves->resume_from->digest == saved_->digest) {
    BLX_CO_TRY(co_await put_away());
    v1::VmReport report = report_of(VmState::kSuspended, "");
    report.set_released(true);
    cluster::write_saved(*saved_, report.mutable_saved());
    send(std::move(report));
    is_released_ = true;
    co_return Result<void>();
  }
  if (!leaving_) co_return co_await wait_for_news(std::move(vm));
  const env::Env& env = services_.env;
  co_return co_await env::with_deadline(env.executor, env.clock, leave_by_, changed_.wait());
}

// Stopped behind the word that it was saved, which makes that void. Wanted again it gets another
// assignment: of this one, the log may hear at any time that it was saved.
env::Task<Result<void>> VmKeeper::give_up_saved(cluster::Vm vm) {
  BLX_CO_TRY(co_await put_away());
  if (reported_ != VmState::kStopped) {
    stopped_by_wish_ = true;
    report(VmState::kStopped, "");
    std::erase_if(held_, &Held::is_suspended);
  }
  if (vm.desired != cluster::VmDesired::kStopped) {
    send_report(VmState::kPending, "", true);
    is_released_ = true;
    co_return Result<void>();
  }
  finished_ = leaving_;
  if (leaving_) co_return Result<void>();
  co_return co_await wait_for_news(std::move(vm));
}

void VmKeeper::forget_saved() {
  saved_.reset();
  std::erase_if(held_, &Held::is_suspended);
}

env::Task<Result<void>> VmKeeper::suspend(cluster::Vm vm) {
  const bool ran = reported_ == VmState::kRunning;
  co_await stop_watching();
  const auto saved = co_await save_guest(std::move(vm), 0);
  if (!saved && saved.error().code() == Code::kCancelled) {
    co_return std::unexpected(saved.error());
  }
  if (!saved) {
    // It runs on until the next try.
    if (ran) ignore(co_await services_.driver.resume(*record_), "the next turn looks again");
    co_await begin_watching();
    co_return fail(saved.error().code(), "suspend_failed",
                   "it could not be suspended: " + saved.error().message());
  }
  saved_ = *saved;
  v1::VmReport report = report_of(VmState::kPaused, "");
  cluster::write_saved(*saved, report.mutable_saved());
  send(std::move(report));
  co_return Result<void>();
}

// Woken.

// What was saved and cannot be used any more is a boot, and the VM says why.
env::Task<Result<void>> VmKeeper::wake_or_boot(vm::GuestSpec spec, std::string image,
                                               cluster::SavedGuest from, bool is_used) {
  if (is_used) {
    started_.why = "its saved guest was used by a start that did not finish";
    co_return co_await clone_or_boot(std::move(spec), std::move(image));
  }
  const auto loaded = co_await load_saved(spec, std::move(from));
  if (loaded) {
    started_.kind = cluster::VmStartKind::kResumed;
    BLX_CO_TRY(co_await claim_saved());
    BLX_CO_TRY(co_await services_.driver.resume(*record_));
    co_return co_await wait_ready(limits::kCloneTimeout);
  }
  if (!is_final(loaded.error())) co_return loaded;
  BLX_LOG(services_.env.log, kError, "vm {}: its saved guest is lost: {}", id_.value,
          loaded.error().message());
  started_.why = "its saved guest is lost: " + loaded.error().message();
  if (record_) BLX_CO_TRY(co_await services_.driver.release(*record_));
  BLX_CO_TRY(co_await claim_saved());
  co_return co_await clone_or_boot(std::move(spec), std::move(image));
}

env::Task<Result<void>> VmKeeper::load_saved(vm::GuestSpec spec, cluster::SavedGuest from) {
  const image::Digest digest = from.digest;
  auto opened = co_await open_saved(spec, std::move(from));
  if (!opened && !is_final(opened.error()) && opened.error().code() != Code::kCancelled) {
    co_return fail(opened.error().code(), kSavedGuestWaits, opened.error().message());
  }
  BLX_CO_TRY(spec.resumes, std::move(opened));
  const auto started = co_await start_process(std::move(spec));
  if (started || started.error().code() != Code::kDataLoss) co_return started;
  // Whose fault it is: a file that is sound may be loaded another time.
  BLX_CO_TRY(co_await services_.saved->check(digest));
  co_return started;
}

env::Task<Result<std::shared_ptr<vm::StateSource>>> VmKeeper::open_saved(const vm::GuestSpec& spec,
                                                                         cluster::SavedGuest from) {
  if (services_.saved == nullptr) {
    co_return fail(Code::kFailedPrecondition, "saves_unsupported", "this node saves no guests");
  }
  saved::Store& store = *services_.saved;
  if (!store.has(from.digest) && from.holder != services_.self && services_.ask_holder) {
    trace::ActiveSpan step = trace::begin(services_.tracer, starting_, "saved.fetch");
    const auto fetched =
        co_await store.fetch({.digest = from.digest, .size = from.size}, [&](std::uint64_t offset) {
          return services_.ask_holder(from.holder, from.digest, offset);
        });
    step.end(fetched);
    BLX_CO_TRY(fetched);
  }
  auto opened = co_await read_saved(spec, from.digest);
  // A header is believed when the whole file is the one that was saved.
  if (!opened && opened.error().code() == Code::kFailedPrecondition) {
    BLX_CO_TRY(co_await store.check(from.digest));
  }
  co_return opened;
}

env::Task<Result<std::shared_ptr<vm::StateSource>>> VmKeeper::read_saved(const vm::GuestSpec& spec,
                                                                         image::Digest digest) {
  BLX_CO_TRY(saved::Opened opened, co_await services_.saved->read(digest));
  BLX_CO_TRY(const std::string key, co_await services_.driver.saved_key(spec));
  if (opened.header.uuid != spec.uuid) {
    co_return fail(Code::kDataLoss, "saved_guest_damaged", "it is of another VM");
  }
  if (opened.header.key != key) {
    co_return fail(
        Code::kFailedPrecondition, "saved_guest_unfit",
        "it was saved by another version of the hypervisor: stop the VM and start it, to "
        "boot it anew");
  }
  co_return std::move(opened.state);
}

// Returns when the log says that this assignment goes on from what was saved.
env::Task<Result<void>> VmKeeper::claim_saved() {
  v1::VmReport report = report_of(VmState::kStarting, "");
  report.set_uses_saved(true);
  send(std::move(report));
  if (BLX_BUG(kRunsSavedTwice)) co_return Result<void>();
  while (true) {
    const cluster::Vm* vm = assigned();
    if (vm == nullptr || vm->generation != generation_ || !vm->saves->resume_from) {
      co_return fail(Code::kCancelled, "cancelled", "the VM is wanted otherwise");
    }
    const Generation used_by = vm->saves->used_by;
    if (used_by == generation_) co_return Result<void>();
    if (used_by) {
      co_return fail(Code::kAborted, "saved_guest_used", "another start uses its saved guest");
    }
    BLX_CO_TRY(co_await changed_.wait());
  }
}

}  // namespace blixard::agent
