// How a guest is started: from its image to the moment at which it says that it is ready.

#include <algorithm>
#include <limits>
#include <utility>

#include "base/limits.h"
#include "env/failpoint.h"
#include "node/agent/vm_keeper.h"

namespace blixard::agent {
namespace {

using cluster::VmState;
using telemetry::VmOperation;

constexpr Duration kLateMax = 3s;  // of a start, in simulation

telemetry::GuestStart how_it_started(cluster::VmStartKind kind) {
  if (kind == cluster::VmStartKind::kWarm) return telemetry::GuestStart::kWarm;
  if (kind == cluster::VmStartKind::kResumed) return telemetry::GuestStart::kResumed;
  return telemetry::GuestStart::kCold;
}

// Of a clone that was started: what went wrong is the template's, or may be.
bool may_boot_instead(const Error& error) {
  return error.reason() == "template_unusable" || error.reason() == "guest_not_ready" ||
         error.reason() == "guest_ended";
}

}  // namespace

env::Task<Result<void>> VmKeeper::start(cluster::Vm vm, Begin begin) {
  if (reported_ != VmState::kStarting) report(VmState::kStarting, "");
  stopped_by_wish_ = false;
  const Generation generation = vm.generation;
  trace::ActiveSpan span = begin_span("agent.start");
  span.set("blixard.vm.name", vm.name.text());
  span.set("blixard.vm.generation", generation.value);
  starting_ = span.context();
  const Instant begun = services_.env.clock.monotonic();
  if (begin == Begin::kBoot) {
    forget_saved();
    has_moved_on_ = true;
  }
  is_starting_ = true;
  const auto ready =
      co_await while_wanted(generation, begin == Begin::kBoot ? bring_up(std::move(vm))
                                                              : wait_ready(limits::kBootTimeout));
  is_starting_ = false;
  span.end(ready);
  // Tried again, and no failure of the guest.
  if (!ready && ready.error().reason() == kSavedGuestWaits) co_return ready;
  running_since_ = services_.env.clock.monotonic();
  if (begin == Begin::kBoot) record(VmOperation::kBoot, ready, begun);
  if (ready) {
    BLX_LOG(services_.env.log, kInfo, "vm {} runs, pid {}", id_.value, record_->process.pid);
    if (begin == Begin::kBoot) {
      report_running(begun);
    } else {
      report(VmState::kRunning, "");
    }
    co_await begin_watching();
    co_return Result<void>();
  }
  // The daemon goes; the guest may boot on.
  if (is_requested(co_await env::this_cancellation())) co_return ready;
  if (ready.error().code() == Code::kCancelled) {
    if (still_wanted(generation)) co_return ready;  // wanted again meanwhile
    co_return Result<void>();                       // the next turn puts it away
  }
  ended_ = vm::Status{vm::Phase::kEnded, vm::EndReason::kStartFailed, ready.error().message()};
  co_return Result<void>();
}

env::Task<Result<void>> VmKeeper::while_wanted(Generation generation,
                                               env::Task<Result<void>> work) {
  env::Scope scope(services_.env.executor, co_await env::this_cancellation());
  env::Cancellation cancellation(&scope.cancellation());
  scope.spawn(cancel_when_unwanted(generation, cancellation));
  const auto done = co_await std::move(work).under(cancellation);
  scope.cancel();
  co_await scope.join();
  co_return done;
}

env::Task<void> VmKeeper::cancel_when_unwanted(Generation generation, env::Cancellation& work) {
  while (still_wanted(generation)) {
    if (!co_await changed_.wait()) co_return;
  }
  work.request();
}

env::Task<Result<vm::GuestSpec>> VmKeeper::guest_of(cluster::Vm vm) {
  const cluster::Image* image = services_.replica.state().find_image(vm.spec.image);
  if (image == nullptr) co_return fail(Code::kNotFound, "image_not_found", vm.spec.image.text());
  vm::GuestSpec spec{.id = id_,
                     .generation = vm.generation,
                     .uuid = vm.uuid,
                     .name = vm.name.text(),
                     .kernel_path = {},
                     .initrd_path = {},
                     .cmdline = image->cmdline,
                     .vcpus = vm.spec.vcpus,
                     .memory = mib(vm.spec.memory_mib),
                     .published = {},
                     .kernel_digest = image::digest_in(*image, image::kKernelName),
                     .initrd_digest = image::digest_in(*image, image::kInitrdName),
                     .clone_of = {}};
  for (const auto& port : vm.spec.published_ports) {
    spec.published.push_back({port.host_port, port.guest_port});
  }
  trace::ActiveSpan step = trace::begin(services_.tracer, starting_, "image.prepare");
  step.set("blixard.image.name", vm.spec.image.text());
  BLX_CO_TRY(auto paths, co_await services_.images.paths(*image));
  spec.kernel_path = std::move(paths.kernel);
  spec.initrd_path = std::move(paths.initrd);
  co_return spec;
}

env::Task<Result<void>> VmKeeper::bring_up(cluster::Vm vm) {
  const std::string image = vm.spec.image.text();
  const std::optional<cluster::SavedGuest> resume_from = vm.saves->resume_from;
  const bool is_used = static_cast<bool>(vm.saves->used_by);
  BLX_CO_TRY(vm::GuestSpec spec, co_await guest_of(std::move(vm)));
  if (BLX_FAILPOINT_FIRES("system::out_of_memory")) {
    co_return fail(Code::kResourceExhausted, "out_of_memory");
  }
  BLX_CO_FAILPOINT(services_.env, "vm::create", kResourceExhausted, "disk_full");
  started_ = {};
  if (resume_from) co_return co_await wake_or_boot(std::move(spec), image, *resume_from, is_used);
  co_return co_await clone_or_boot(std::move(spec), image);
}

// A clone that fails is a boot, of the same assignment: the user asked for a guest, not for a
// quick one.
env::Task<Result<void>> VmKeeper::clone_or_boot(vm::GuestSpec spec, std::string image) {
  if (services_.templates != nullptr) {
    auto found = co_await services_.templates->find(spec);
    if (found) {
      const std::string key = found->key;
      spec.clone_of = *std::move(found);
      const auto cloned = co_await begin(spec);
      started_.kind = cluster::VmStartKind::kWarm;
      if (cloned || !may_boot_instead(cloned.error())) co_return cloned;
      started_ = {.why = cloned.error().message()};
      services_.telemetry.record_template_refused();
      spec.clone_of.reset();
      if (record_) BLX_CO_TRY(co_await services_.driver.release(*record_));
      if (cloned.error().reason() == "guest_ended") {
        services_.templates->doubt(key);
      } else {
        co_await services_.templates->refuse(key, cloned.error().message());
      }
    } else {
      if (started_.why.empty()) started_.why = std::string(found.error().detail());
    }
  }
  BLX_CO_TRY(co_await begin(spec));
  if (services_.templates != nullptr) services_.templates->want(std::move(spec), std::move(image));
  co_return Result<void>();
}

env::Task<Result<void>> VmKeeper::begin(vm::GuestSpec spec) {
  const Duration patience = spec.clone_of ? limits::kCloneTimeout : limits::kBootTimeout;
  BLX_CO_TRY(co_await start_process(std::move(spec)));
  co_return co_await wait_ready(patience);
}

env::Task<Result<void>> VmKeeper::start_process(vm::GuestSpec spec) {
  auto& driver = services_.driver;
  is_clean_ = false;
  is_known_ = true;
  trace::ActiveSpan step = trace::begin(services_.tracer, starting_, "driver.prepare");
  BLX_CO_TRY(record_, co_await driver.prepare(spec));
  // Before and after: a crash in between leaves a record without a process, and the driver's own
  // traces, by which the next daemon clears it away.
  BLX_CO_TRY(co_await services_.records.save(*record_));
  const env::Env& env = services_.env;
  if (env.rare.happens(env::RareSite::kGuestStartLate)) {
    const auto most = static_cast<std::uint64_t>(kLateMax.count());
    BLX_CO_TRY(co_await env.clock.sleep(Duration(env.random.below(most))));
  }
  BLX_CO_FAILPOINT(env, "vm::start", kInternal, "start_failed");
  step = trace::begin(services_.tracer, starting_, "driver.start");
  const bool is_loaded = spec.resumes || spec.clone_of;
  const Instant deadline = env.clock.monotonic() +
                           (is_loaded ? transfer_patience(spec.memory) : limits::kMonitorTimeout);
  BLX_CO_TRY(record_, co_await driver.start(std::move(spec), *record_, deadline));
  step.set("process.pid", record_->process.pid);
  BLX_CO_TRY(co_await services_.records.save(*record_));
  co_return Result<void>();
}

env::Task<Result<void>> VmKeeper::wait_ready(Duration patience) {
  const Instant deadline = services_.env.clock.monotonic() + patience;
  BLX_CO_FAILPOINT(services_.env, "vm::health_check", kDeadlineExceeded, "guest_not_ready");
  trace::ActiveSpan span = trace::begin(services_.tracer, starting_, "guest.ready");
  const auto ready = co_await services_.driver.wait_ready(*record_, deadline);
  span.end(ready);
  if (ready || ready.error().code() != Code::kCancelled) {
    services_.telemetry.record_health_check(telemetry::outcome_of(ready));
  }
  co_return ready;
}

void VmKeeper::report_running(Instant begun) {
  const Duration duration = services_.env.clock.monotonic() - begun;
  services_.telemetry.record_guest_start(how_it_started(started_.kind), duration);
  const auto took = duration / 1ms;
  started_.took_ms = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(took, 1, std::numeric_limits<std::uint32_t>::max()));
  report_on_the_way(VmState::kRunning);
  send_report(VmState::kRunning, "", false, &started_);
}

}  // namespace blixard::agent
