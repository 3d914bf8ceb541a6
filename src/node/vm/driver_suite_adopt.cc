// What a daemon finds that comes after another one.

#include "node/vm/driver_suite_steps.h"

namespace blixard::vm::suite {
namespace {

using env::Task;

Task<Result<void>> adopts_after_restart(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_ready(host, ""));
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_EXPECT(co_await is_alive(host, vm.record.process));
  // As the daemon keeps it.
  BLX_CO_TRY(const Record read, Record::decode(vm.record.encode()));
  BLX_CO_TRY(const Status status, co_await host.driver().adopt(read));
  BLX_EXPECT_STATUS(status, Phase::kRunning, EndReason::kNone);
  BLX_CO_TRY(co_await host.driver().wait_ready(read, after(host, kBootMax)));
  BLX_CO_TRY(co_await wait_for_console(host, read, "ready"));
  BLX_CO_TRY(co_await kill_from_outside(host, read.process));
  BLX_CO_TRY(const Status gone, co_await host.driver().next_change(read));
  BLX_EXPECT_STATUS(gone, Phase::kGone, EndReason::kProcessDied);
  co_return co_await release_all(host, read);
}

Task<Result<void>> strangers_are_left_alone(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_ready(host, ""));
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  Record reused_pid = vm.record;
  reused_pid.process.start_ticks += 1;
  BLX_EXPECT_REFUSED(co_await host.driver().adopt(reused_pid), Code::kNotFound, "process_gone");
  Record other_uuid = vm.record;
  other_uuid.uuid.bytes[0] ^= 0x40;
  BLX_EXPECT_REFUSED(co_await host.driver().adopt(other_uuid), Code::kFailedPrecondition,
                     "not_ours");
  BLX_EXPECT_REFUSED(co_await host.driver().stop(other_uuid, kShortLadder),
                     Code::kFailedPrecondition, "not_ours");
  BLX_EXPECT_REFUSED(co_await host.driver().release(other_uuid), Code::kFailedPrecondition,
                     "not_ours");
  BLX_EXPECT(co_await is_alive(host, vm.record.process));
  // A record whose process is another VM's.
  BLX_CO_TRY(const Started other, co_await start_guest(host, ""));
  Record mixed = other.record;
  BLX_CO_TRY(co_await host.driver().release(other.record));
  mixed.process = vm.record.process;
  const auto adopted = co_await host.driver().adopt(mixed);
  BLX_EXPECT(!adopted && adopted.error().reason() == "not_ours");
  BLX_CO_TRY(co_await host.driver().release(mixed));
  BLX_EXPECT(co_await is_alive(host, vm.record.process));
  BLX_CO_TRY(const Status status, co_await host.driver().adopt(vm.record));
  BLX_EXPECT_STATUS(status, Phase::kRunning, EndReason::kNone);
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> leftovers_are_found_and_released(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_guest(host, ""));
  const GuestSpec unstarted = host.guest("");
  BLX_CO_TRY(const Record prepared, co_await host.driver().prepare(unstarted));
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(const std::vector<VmId> left, co_await host.driver().leftovers());
  for (const VmId id : {vm.record.id, prepared.id}) {
    BLX_EXPECT(std::ranges::find(left, id) != left.end());
    BLX_CO_TRY(co_await host.driver().release_leftover(id));
  }
  BLX_EXPECT(!co_await is_alive(host, vm.record.process));
  BLX_CO_TRY(co_await release_all(host, vm.record));
  co_return co_await release_all(host, prepared);
}

constexpr std::array kCases = {
    SuiteCase{"AdoptsAfterRestart", adopts_after_restart},
    SuiteCase{"StrangersAreLeftAlone", strangers_are_left_alone},
    SuiteCase{"LeftoversAreFoundAndReleased", leftovers_are_found_and_released},
};

}  // namespace

std::span<const SuiteCase> adopt_cases() { return kCases; }

}  // namespace blixard::vm::suite
