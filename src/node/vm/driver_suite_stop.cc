// Pauses, and the ends of guests: by the ladder, by themselves, from outside.

#include "node/vm/driver_suite_steps.h"

namespace blixard::vm::suite {
namespace {

using env::Task;

Task<Result<void>> pauses_and_resumes(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_ready(host, ""));
  BLX_CO_TRY(co_await host.driver().pause(vm.record));
  BLX_CO_TRY(const Status paused, co_await host.driver().next_change(vm.record));
  BLX_EXPECT_STATUS(paused, Phase::kPaused, EndReason::kNone);
  const auto ready = co_await host.driver().wait_ready(vm.record, after(host, 300ms));
  BLX_EXPECT(!ready && ready.error().code() == Code::kDeadlineExceeded);
  BLX_CO_TRY(co_await host.driver().resume(vm.record));
  BLX_CO_TRY(const Status resumed, co_await host.driver().next_change(vm.record));
  BLX_EXPECT_STATUS(resumed, Phase::kRunning, EndReason::kNone);
  BLX_CO_TRY(co_await host.driver().wait_ready(vm.record, after(host, kBootMax)));
  BLX_CO_TRY(co_await host.driver().pause(vm.record));
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(vm.record, kPatientLadder));
  BLX_EXPECT(reason == EndReason::kStoppedByAgent);
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> deaf_guest_is_stopped_by_quit(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_ready(host, "blx.test=ignore-shutdown"));
  const Instant begin = host.env().clock.monotonic();
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(vm.record, kShortLadder));
  BLX_EXPECT(reason == EndReason::kStoppedByQuit);
  const Duration least = kShortLadder.agent + kShortLadder.button;
  BLX_EXPECT(host.env().clock.monotonic() - begin >= least);
  BLX_EXPECT(!co_await is_alive(host, vm.record.process));
  BLX_CO_TRY(const Status status, co_await host.driver().inspect(vm.record));
  BLX_EXPECT_STATUS(status, Phase::kEnded, EndReason::kStoppedByQuit);
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> silent_agent_leaves_the_button(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_guest(host, "blx.test=hang-agent"));
  BLX_CO_TRY(co_await wait_for_console(host, vm.record, "ready"));
  constexpr StopLadder kLadder{.agent = 500ms, .button = 20s, .quit = 5s};
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(vm.record, kLadder));
  BLX_EXPECT(reason == EndReason::kStoppedByButton);
  BLX_EXPECT(!co_await is_alive(host, vm.record.process));
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> kill_is_the_last_rung(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_guest(host, ""));
  constexpr StopLadder kNoPatience{.agent = 0s, .button = 0s, .quit = 0s};
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(vm.record, kNoPatience));
  BLX_EXPECT(reason == EndReason::kStoppedByKill);
  BLX_EXPECT(!co_await is_alive(host, vm.record.process));
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> panic_is_told(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_guest(host, "blx.test=panic"));
  BLX_CO_TRY(const Status status, co_await host.driver().next_change(vm.record));
  BLX_EXPECT_STATUS(status, Phase::kPanicked, EndReason::kGuestPanic);
  BLX_EXPECT_SHOWS(status.detail, "panic");
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(const Status adopted, co_await host.driver().adopt(vm.record));
  BLX_EXPECT_STATUS(adopted, Phase::kPanicked, EndReason::kGuestPanic);
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(vm.record, kPatientLadder));
  BLX_EXPECT(reason == EndReason::kGuestPanic);
  BLX_EXPECT(!co_await is_alive(host, vm.record.process));
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> power_off_is_told(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_ready(host, ""));
  BLX_CO_TRY(co_await host.power_off_inside(vm.record));
  BLX_CO_TRY(const Status status, co_await host.driver().next_change(vm.record));
  BLX_EXPECT_STATUS(status, Phase::kEnded, EndReason::kGuestShutdown);
  // Not lost with the daemon.
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(const Status adopted, co_await host.driver().adopt(vm.record));
  BLX_EXPECT_STATUS(adopted, Phase::kEnded, EndReason::kGuestShutdown);
  BLX_CO_TRY(const Status again, co_await host.driver().next_change(vm.record));
  BLX_EXPECT_STATUS(again, Phase::kEnded, EndReason::kGuestShutdown);
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(vm.record, kPatientLadder));
  BLX_EXPECT(reason == EndReason::kGuestShutdown);
  BLX_EXPECT(!co_await is_alive(host, vm.record.process));
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> death_is_told(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_ready(host, ""));
  BLX_CO_TRY(co_await kill_from_outside(host, vm.record.process));
  BLX_CO_TRY(const Status status, co_await host.driver().next_change(vm.record));
  BLX_EXPECT_STATUS(status, Phase::kGone, EndReason::kProcessDied);
  BLX_EXPECT_SHOWS(status.detail, "signal 9");
  BLX_CO_TRY(const Status seen, co_await host.driver().inspect(vm.record));
  BLX_EXPECT_STATUS(seen, Phase::kGone, EndReason::kProcessDied);
  BLX_EXPECT_REFUSED(co_await host.driver().adopt(vm.record), Code::kNotFound, "process_gone");
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(vm.record, kShortLadder));
  BLX_EXPECT(reason == EndReason::kProcessDied);
  // It can be started again.
  BLX_CO_TRY(const Record again,
             co_await host.driver().start(vm.spec, vm.record, after(host, kStartMax)));
  BLX_EXPECT(again.process != vm.record.process);
  co_return co_await release_all(host, again);
}

constexpr std::array kCases = {
    SuiteCase{"PausesAndResumes", pauses_and_resumes},
    SuiteCase{"DeafGuestIsStoppedByQuit", deaf_guest_is_stopped_by_quit},
    SuiteCase{"SilentAgentLeavesTheButton", silent_agent_leaves_the_button},
    SuiteCase{"KillIsTheLastRung", kill_is_the_last_rung},
    SuiteCase{"PanicIsTold", panic_is_told},
    SuiteCase{"PowerOffIsTold", power_off_is_told},
    SuiteCase{"DeathIsTold", death_is_told},
};

}  // namespace

std::span<const SuiteCase> stop_cases() { return kCases; }

}  // namespace blixard::vm::suite
