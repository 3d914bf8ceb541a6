// Starting, and every way in which that fails.

#include "node/vm/driver_suite_steps.h"

namespace blixard::vm::suite {
namespace {

using env::Task;

Task<Result<void>> starts_and_stops(SuiteHost& host) {
  BLX_CO_TRY(const Capabilities capabilities, co_await host.driver().probe());
  BLX_EXPECT(!capabilities.accelerator_reason.empty());
  BLX_EXPECT(capabilities.accelerator_reason.find('\n') == std::string::npos);
  BLX_CO_TRY(const Started vm, co_await start_ready(host, ""));
  BLX_EXPECT(vm.record.accelerator == capabilities.accelerator);
  BLX_CO_TRY(const Status status, co_await host.driver().inspect(vm.record));
  BLX_EXPECT_STATUS(status, Phase::kRunning, EndReason::kNone);
  BLX_CO_TRY(co_await wait_for_console(host, vm.record, "ready"));
  BLX_CO_TRY(const std::string little, co_await host.driver().console(vm.record, 5));
  BLX_EXPECT(little.size() <= 5);
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(vm.record, kPatientLadder));
  BLX_EXPECT(reason == EndReason::kStoppedByAgent);
  BLX_EXPECT(!co_await is_alive(host, vm.record.process));
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> second_start_gives_same_process(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_guest(host, ""));
  const Instant deadline = after(host, kStartMax);
  BLX_CO_TRY(const Record again, co_await host.driver().start(vm.spec, vm.record, deadline));
  BLX_EXPECT(again.process == vm.record.process);
  Record without_process = vm.record;
  without_process.process = {};
  BLX_CO_TRY(const Record found, co_await host.driver().start(vm.spec, without_process, deadline));
  BLX_EXPECT(found.process == vm.record.process);
  BLX_CO_TRY(const Record prepared, co_await host.driver().prepare(vm.spec));
  BLX_EXPECT(prepared.published == vm.record.published);
  // A daemon that died between the start and its note of it.
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(const Record after_restart,
             co_await host.driver().start(vm.spec, without_process, after(host, kStartMax)));
  BLX_EXPECT(after_restart.process == vm.record.process);
  BLX_EXPECT(co_await is_alive(host, vm.record.process));
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> missing_hypervisor_is_told(SuiteHost& host) {
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kMissing));
  BLX_EXPECT_REFUSED(co_await host.driver().probe(), Code::kNotFound, "hypervisor_missing");
  BLX_EXPECT_REFUSED(co_await host.driver().prepare(host.guest("")), Code::kNotFound,
                     "hypervisor_missing");
  co_return Result<void>();
}

Task<Result<void>> failing_start_is_told(SuiteHost& host) {
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kExitsAtStart));
  const GuestSpec spec = host.guest("");
  BLX_CO_TRY(const Record prepared, co_await host.driver().prepare(spec));
  const Instant begin = host.env().clock.monotonic();
  const auto failed = co_await host.driver().start(spec, prepared, begin + kStartMax);
  BLX_EXPECT(!failed && failed.error().reason() == "start_failed");
  BLX_EXPECT(failed.error().code() == Code::kInternal);
  BLX_EXPECT_SHOWS(failed.error().detail(), "out of luck");
  BLX_EXPECT(host.env().clock.monotonic() - begin < kStartMax / 2);
  co_return co_await release_all(host, prepared);
}

Task<Result<void>> hanging_start_is_ended(SuiteHost& host) {
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kHangsAtStart));
  const GuestSpec spec = host.guest("");
  BLX_CO_TRY(const Record prepared, co_await host.driver().prepare(spec));
  const auto late = co_await host.driver().start(spec, prepared, after(host, 1s));
  BLX_EXPECT(!late && late.error().code() == Code::kDeadlineExceeded);
  BLX_EXPECT_SHOWS(late.error().detail(), "feeling sleepy");
  co_return co_await release_all(host, prepared);
}

Task<Result<void>> silent_guest_is_not_ready(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_guest(host, "blx.test=hang-agent"));
  BLX_CO_TRY(co_await wait_for_console(host, vm.record, "ready"));
  const auto late = co_await host.driver().wait_ready(vm.record, after(host, 2s));
  BLX_EXPECT(!late && late.error().code() == Code::kDeadlineExceeded);
  BLX_EXPECT_SHOWS(late.error().detail(), "ready");
  BLX_CO_TRY(const Status status, co_await host.driver().inspect(vm.record));
  BLX_EXPECT_STATUS(status, Phase::kStarting, EndReason::kNone);
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> end_before_ready_is_told(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_guest(host, "blx.test=hang-agent"));
  BLX_CO_TRY(co_await wait_for_console(host, vm.record, "ready"));
  std::optional<Result<void>> ready;
  constexpr auto kWait = [](SuiteHost& where, Record record, Instant deadline,
                            std::optional<Result<void>>& result) -> Task<void> {
    result = co_await where.driver().wait_ready(std::move(record), deadline);
  };
  env::Scope scope(host.env().executor, co_await env::this_cancellation());
  scope.spawn(kWait(host, vm.record, after(host, kBootMax), ready));
  const auto killed = co_await kill_from_outside(host, vm.record.process);
  co_await scope.join();
  BLX_CO_TRY(killed);
  BLX_EXPECT_REFUSED(*ready, Code::kFailedPrecondition, "guest_ended");
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> several_run_at_once(SuiteHost& host) {
  constexpr std::size_t kCount = 3;
  std::array<std::optional<Result<Started>>, kCount> started;
  constexpr auto kStart = [](SuiteHost& where,
                             std::optional<Result<Started>>& result) -> Task<void> {
    result = co_await start_ready(where, "");
  };
  env::Scope scope(host.env().executor, co_await env::this_cancellation());
  for (auto& result : started)
    scope.spawn(kStart(host, result));
  co_await scope.join();
  for (auto& result : started) {
    BLX_CO_TRY(const Started& vm, *result);
    BLX_CO_TRY(co_await release_all(host, vm.record));
  }
  co_return Result<void>();
}

constexpr std::array kCases = {
    SuiteCase{"StartsAndStops", starts_and_stops},
    SuiteCase{"SecondStartGivesSameProcess", second_start_gives_same_process},
    SuiteCase{"MissingHypervisorIsTold", missing_hypervisor_is_told},
    SuiteCase{"FailingStartIsTold", failing_start_is_told},
    SuiteCase{"HangingStartIsEnded", hanging_start_is_ended},
    SuiteCase{"SilentGuestIsNotReady", silent_guest_is_not_ready},
    SuiteCase{"EndBeforeReadyIsTold", end_before_ready_is_told},
    SuiteCase{"SeveralRunAtOnce", several_run_at_once},
};

}  // namespace

std::span<const SuiteCase> start_cases() { return kCases; }

}  // namespace blixard::vm::suite
