// How a guest is started: from its image to the moment at which it says that it is ready.

#include <utility>

#include "base/limits.h"
#include "env/failpoint.h"
#include "node/agent/vm_keeper.h"

namespace blixard::agent {
namespace {

using cluster::VmState;
using telemetry::VmOperation;

constexpr Duration kLateMax = 3s;  // of a start, in simulation

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
  const auto ready =
      co_await while_wanted(generation, begin == Begin::kBoot ? boot(std::move(vm)) : wait_ready());
  span.end(ready);
  running_since_ = services_.env.clock.monotonic();
  if (begin == Begin::kBoot) record(VmOperation::kBoot, ready, begun);
  if (ready) {
    BLX_LOG(services_.env.log, kInfo, "vm {} runs, pid {}", id_.value, record_->process.pid);
    report(VmState::kRunning, "");
    co_await begin_watching();
    co_return Result<void>();
  }
  // The daemon goes; the guest may boot on.
  const auto* cancellation = co_await env::this_cancellation();
  if (cancellation != nullptr && cancellation->requested()) co_return ready;
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

env::Task<Result<void>> VmKeeper::boot(cluster::Vm vm) {
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
                     .published = {}};
  for (const auto& port : vm.spec.published_ports) {
    spec.published.push_back({port.host_port, port.guest_port});
  }
  trace::ActiveSpan step = trace::begin(services_.tracer, starting_, "image.prepare");
  step.set("blixard.image.name", vm.spec.image.text());
  BLX_CO_TRY(auto paths, co_await services_.images.paths(*image));
  spec.kernel_path = std::move(paths.kernel);
  spec.initrd_path = std::move(paths.initrd);

  auto& driver = services_.driver;
  is_clean_ = false;
  is_known_ = true;
  if (BLX_FAILPOINT_FIRES("system::out_of_memory")) {
    co_return fail(Code::kResourceExhausted, "out_of_memory");
  }
  BLX_CO_FAILPOINT(services_.env, "vm::create", kResourceExhausted, "disk_full");
  step = trace::begin(services_.tracer, starting_, "driver.prepare");
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
  BLX_CO_TRY(record_, co_await driver.start(spec, *record_,
                                            env.clock.monotonic() + limits::kMonitorTimeout));
  step.set("process.pid", record_->process.pid);
  BLX_CO_TRY(co_await services_.records.save(*record_));
  step.end();
  co_return co_await wait_ready();
}

env::Task<Result<void>> VmKeeper::wait_ready() {
  const Instant deadline = services_.env.clock.monotonic() + limits::kBootTimeout;
  BLX_CO_FAILPOINT(services_.env, "vm::health_check", kDeadlineExceeded, "guest_not_ready");
  trace::ActiveSpan span = trace::begin(services_.tracer, starting_, "guest.ready");
  const auto ready = co_await services_.driver.wait_ready(*record_, deadline);
  span.end(ready);
  if (ready || ready.error().code() != Code::kCancelled) {
    services_.telemetry.record_health_check(telemetry::outcome_of(ready));
  }
  co_return ready;
}

}  // namespace blixard::agent
