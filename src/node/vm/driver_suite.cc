#include "node/vm/driver_suite.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string_view>

#include "env/scope.h"

namespace blixard::vm {
namespace {

using env::Task;

constexpr Duration kBootMax = 60s;  // of a guest in software emulation on a busy host
constexpr Duration kStartMax = 20s;
constexpr StopLadder kShortLadder{.agent = 700ms, .button = 700ms, .quit = 5s};
constexpr StopLadder kPatientLadder{.agent = 20s, .button = 5s, .quit = 5s};

std::unexpected<Error> broken(int line, const char* expectation, std::string seen = {}) {
  std::string detail = "driver_suite.cc:" + std::to_string(line) + ": " + expectation;
  if (!seen.empty()) detail += "; seen: " + seen;
  return fail(Code::kInternal, "suite_expectation_broken", std::move(detail));
}

#define EXPECT_THAT_HOLDS(expectation)                            \
  do {                                                            \
    if (!(expectation)) co_return broken(__LINE__, #expectation); \
  } while (false)

// Of a call that must fail: with this code and reason.
#define EXPECT_REFUSED(call, wanted_code, wanted_reason)                           \
  do {                                                                             \
    const auto refused_call = (call);                                              \
    if (refused_call) co_return broken(__LINE__, #call " fails");                  \
    if (refused_call.error().code() != (wanted_code) ||                            \
        refused_call.error().reason() != (wanted_reason))                          \
      co_return broken(__LINE__, #call " fails with " wanted_reason,               \
                       std::string(code_name(refused_call.error().code())) + " " + \
                           refused_call.error().message());                        \
  } while (false)

std::string describe(const Status& status) {
  return std::string(phase_name(status.phase)) + ", " + std::string(end_reason_name(status.end)) +
         ", " + status.detail;
}

#define EXPECT_SHOWS(text, part)                                           \
  do {                                                                     \
    if ((text).find(part) == (text).npos)                                  \
      co_return broken(__LINE__, #text " shows " part, std::string(text)); \
  } while (false)

#define EXPECT_STATUS(status, wanted_phase, wanted_end)                                            \
  do {                                                                                             \
    if ((status).phase != (wanted_phase) || (status).end != (wanted_end))                          \
      co_return broken(__LINE__, #status " is " #wanted_phase ", " #wanted_end, describe(status)); \
  } while (false)

Instant after(SuiteHost& host, Duration duration) {
  return host.env().clock.monotonic() + duration;
}

struct Started {
  GuestSpec spec;
  Record record;
};

Task<Result<Started>> start_guest(SuiteHost& host, std::string cmdline) {
  Started started{host.guest(std::move(cmdline)), {}};
  BLX_CO_TRY(Record prepared, co_await host.driver().prepare(started.spec));
  EXPECT_THAT_HOLDS(prepared.process.pid == 0);
  BLX_CO_TRY(started.record, co_await host.driver().start(started.spec, std::move(prepared),
                                                          after(host, kStartMax)));
  EXPECT_THAT_HOLDS(started.record.process.pid > 0);
  co_return started;
}

Task<Result<Started>> start_ready(SuiteHost& host, std::string cmdline) {
  BLX_CO_TRY(Started started, co_await start_guest(host, std::move(cmdline)));
  BLX_CO_TRY(co_await host.driver().wait_ready(started.record, after(host, kBootMax)));
  co_return started;
}

Task<bool> is_alive(SuiteHost& host, env::ProcessId process) {
  const auto child = co_await host.env().process.adopt(process);
  co_return child.has_value();
}

Task<Result<void>> kill_from_outside(SuiteHost& host, env::ProcessId process) {
  BLX_CO_TRY(const std::unique_ptr<env::Child> child, co_await host.env().process.adopt(process));
  co_return child->kill(env::Kill::kNow);
}

Task<Result<void>> wait_for_console(SuiteHost& host, Record record, std::string_view text) {
  const Instant deadline = after(host, kBootMax);
  while (host.env().clock.monotonic() < deadline) {
    BLX_CO_TRY(const std::string console, co_await host.driver().console(record, 65536));
    if (console.find(text) != std::string::npos) co_return Result<void>();
    BLX_CO_TRY(co_await host.env().clock.sleep(50ms));
  }
  co_return broken(__LINE__, "the console shows the text in time", std::string(text));
}

// release(), twice, and nothing of the VM is there any more.
Task<Result<void>> release_all(SuiteHost& host, Record record) {
  BLX_CO_TRY(co_await host.driver().release(record));
  BLX_CO_TRY(co_await host.driver().release(record));
  if (record.process.pid != 0) EXPECT_THAT_HOLDS(!co_await is_alive(host, record.process));
  BLX_CO_TRY(const std::vector<VmId> left, co_await host.driver().leftovers());
  EXPECT_THAT_HOLDS(std::ranges::find(left, record.id) == left.end());
  const auto files = co_await host.env().disk.list(record.directory);
  EXPECT_THAT_HOLDS(!files && files.error().code() == Code::kNotFound);
  BLX_CO_TRY(const auto groups, co_await host.env().process.groups());
  EXPECT_THAT_HOLDS(std::ranges::find(groups, record.group) == groups.end());
  co_return Result<void>();
}

Task<Result<void>> starts_and_stops(SuiteHost& host) {
  BLX_CO_TRY(const Capabilities capabilities, co_await host.driver().probe());
  EXPECT_THAT_HOLDS(!capabilities.accelerator_reason.empty());
  EXPECT_THAT_HOLDS(capabilities.accelerator_reason.find('\n') == std::string::npos);
  BLX_CO_TRY(const Started vm, co_await start_ready(host, ""));
  EXPECT_THAT_HOLDS(vm.record.accelerator == capabilities.accelerator);
  BLX_CO_TRY(const Status status, co_await host.driver().inspect(vm.record));
  EXPECT_STATUS(status, Phase::kRunning, EndReason::kNone);
  BLX_CO_TRY(co_await wait_for_console(host, vm.record, "ready"));
  BLX_CO_TRY(const std::string little, co_await host.driver().console(vm.record, 5));
  EXPECT_THAT_HOLDS(little.size() <= 5);
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(vm.record, kPatientLadder));
  EXPECT_THAT_HOLDS(reason == EndReason::kStoppedByAgent);
  EXPECT_THAT_HOLDS(!co_await is_alive(host, vm.record.process));
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> second_start_gives_same_process(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_guest(host, ""));
  const Instant deadline = after(host, kStartMax);
  BLX_CO_TRY(const Record again, co_await host.driver().start(vm.spec, vm.record, deadline));
  EXPECT_THAT_HOLDS(again.process == vm.record.process);
  Record without_process = vm.record;
  without_process.process = {};
  BLX_CO_TRY(const Record found, co_await host.driver().start(vm.spec, without_process, deadline));
  EXPECT_THAT_HOLDS(found.process == vm.record.process);
  BLX_CO_TRY(const Record prepared, co_await host.driver().prepare(vm.spec));
  EXPECT_THAT_HOLDS(prepared.published == vm.record.published);
  // A daemon that died between the start and its note of it.
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(const Record after_restart,
             co_await host.driver().start(vm.spec, without_process, after(host, kStartMax)));
  EXPECT_THAT_HOLDS(after_restart.process == vm.record.process);
  EXPECT_THAT_HOLDS(co_await is_alive(host, vm.record.process));
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> pauses_and_resumes(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_ready(host, ""));
  BLX_CO_TRY(co_await host.driver().pause(vm.record));
  BLX_CO_TRY(const Status paused, co_await host.driver().next_change(vm.record));
  EXPECT_STATUS(paused, Phase::kPaused, EndReason::kNone);
  const auto ready = co_await host.driver().wait_ready(vm.record, after(host, 300ms));
  EXPECT_THAT_HOLDS(!ready && ready.error().code() == Code::kDeadlineExceeded);
  BLX_CO_TRY(co_await host.driver().resume(vm.record));
  BLX_CO_TRY(const Status resumed, co_await host.driver().next_change(vm.record));
  EXPECT_STATUS(resumed, Phase::kRunning, EndReason::kNone);
  BLX_CO_TRY(co_await host.driver().wait_ready(vm.record, after(host, kBootMax)));
  BLX_CO_TRY(co_await host.driver().pause(vm.record));
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(vm.record, kPatientLadder));
  EXPECT_THAT_HOLDS(reason == EndReason::kStoppedByAgent);
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> deaf_guest_is_stopped_by_quit(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_ready(host, "blx.test=ignore-shutdown"));
  const Instant begin = host.env().clock.monotonic();
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(vm.record, kShortLadder));
  EXPECT_THAT_HOLDS(reason == EndReason::kStoppedByQuit);
  const Duration least = kShortLadder.agent + kShortLadder.button;
  EXPECT_THAT_HOLDS(host.env().clock.monotonic() - begin >= least);
  EXPECT_THAT_HOLDS(!co_await is_alive(host, vm.record.process));
  BLX_CO_TRY(const Status status, co_await host.driver().inspect(vm.record));
  EXPECT_STATUS(status, Phase::kEnded, EndReason::kStoppedByQuit);
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> silent_agent_leaves_the_button(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_guest(host, "blx.test=hang-agent"));
  BLX_CO_TRY(co_await wait_for_console(host, vm.record, "ready"));
  constexpr StopLadder kLadder{.agent = 500ms, .button = 20s, .quit = 5s};
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(vm.record, kLadder));
  EXPECT_THAT_HOLDS(reason == EndReason::kStoppedByButton);
  EXPECT_THAT_HOLDS(!co_await is_alive(host, vm.record.process));
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> kill_is_the_last_rung(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_guest(host, ""));
  constexpr StopLadder kNoPatience{.agent = 0s, .button = 0s, .quit = 0s};
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(vm.record, kNoPatience));
  EXPECT_THAT_HOLDS(reason == EndReason::kStoppedByKill);
  EXPECT_THAT_HOLDS(!co_await is_alive(host, vm.record.process));
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> panic_is_told(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_guest(host, "blx.test=panic"));
  BLX_CO_TRY(const Status status, co_await host.driver().next_change(vm.record));
  EXPECT_STATUS(status, Phase::kPanicked, EndReason::kGuestPanic);
  EXPECT_SHOWS(status.detail, "panic");
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(const Status adopted, co_await host.driver().adopt(vm.record));
  EXPECT_STATUS(adopted, Phase::kPanicked, EndReason::kGuestPanic);
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(vm.record, kPatientLadder));
  EXPECT_THAT_HOLDS(reason == EndReason::kGuestPanic);
  EXPECT_THAT_HOLDS(!co_await is_alive(host, vm.record.process));
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> power_off_is_told(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_ready(host, ""));
  BLX_CO_TRY(co_await host.power_off_inside(vm.record));
  BLX_CO_TRY(const Status status, co_await host.driver().next_change(vm.record));
  EXPECT_STATUS(status, Phase::kEnded, EndReason::kGuestShutdown);
  // Not lost with the daemon.
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(const Status adopted, co_await host.driver().adopt(vm.record));
  EXPECT_STATUS(adopted, Phase::kEnded, EndReason::kGuestShutdown);
  BLX_CO_TRY(const Status again, co_await host.driver().next_change(vm.record));
  EXPECT_STATUS(again, Phase::kEnded, EndReason::kGuestShutdown);
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(vm.record, kPatientLadder));
  EXPECT_THAT_HOLDS(reason == EndReason::kGuestShutdown);
  EXPECT_THAT_HOLDS(!co_await is_alive(host, vm.record.process));
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> death_is_told(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_ready(host, ""));
  BLX_CO_TRY(co_await kill_from_outside(host, vm.record.process));
  BLX_CO_TRY(const Status status, co_await host.driver().next_change(vm.record));
  EXPECT_STATUS(status, Phase::kGone, EndReason::kProcessDied);
  EXPECT_SHOWS(status.detail, "signal 9");
  BLX_CO_TRY(const Status seen, co_await host.driver().inspect(vm.record));
  EXPECT_STATUS(seen, Phase::kGone, EndReason::kProcessDied);
  EXPECT_REFUSED(co_await host.driver().adopt(vm.record), Code::kNotFound, "process_gone");
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(vm.record, kShortLadder));
  EXPECT_THAT_HOLDS(reason == EndReason::kProcessDied);
  // It can be started again.
  BLX_CO_TRY(const Record again,
             co_await host.driver().start(vm.spec, vm.record, after(host, kStartMax)));
  EXPECT_THAT_HOLDS(again.process != vm.record.process);
  co_return co_await release_all(host, again);
}

Task<Result<void>> adopts_after_restart(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_ready(host, ""));
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  EXPECT_THAT_HOLDS(co_await is_alive(host, vm.record.process));
  // As the daemon keeps it.
  BLX_CO_TRY(const Record read, Record::decode(vm.record.encode()));
  BLX_CO_TRY(const Status status, co_await host.driver().adopt(read));
  EXPECT_STATUS(status, Phase::kRunning, EndReason::kNone);
  BLX_CO_TRY(co_await host.driver().wait_ready(read, after(host, kBootMax)));
  BLX_CO_TRY(co_await wait_for_console(host, read, "ready"));
  BLX_CO_TRY(co_await kill_from_outside(host, read.process));
  BLX_CO_TRY(const Status gone, co_await host.driver().next_change(read));
  EXPECT_STATUS(gone, Phase::kGone, EndReason::kProcessDied);
  co_return co_await release_all(host, read);
}

Task<Result<void>> strangers_are_left_alone(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_ready(host, ""));
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  Record reused_pid = vm.record;
  reused_pid.process.start_ticks += 1;
  EXPECT_REFUSED(co_await host.driver().adopt(reused_pid), Code::kNotFound, "process_gone");
  Record other_uuid = vm.record;
  other_uuid.uuid.bytes[0] ^= 0x40;
  EXPECT_REFUSED(co_await host.driver().adopt(other_uuid), Code::kFailedPrecondition, "not_ours");
  EXPECT_REFUSED(co_await host.driver().stop(other_uuid, kShortLadder), Code::kFailedPrecondition,
                 "not_ours");
  EXPECT_REFUSED(co_await host.driver().release(other_uuid), Code::kFailedPrecondition, "not_ours");
  EXPECT_THAT_HOLDS(co_await is_alive(host, vm.record.process));
  // A record whose process is another VM's.
  BLX_CO_TRY(const Started other, co_await start_guest(host, ""));
  Record mixed = other.record;
  BLX_CO_TRY(co_await host.driver().release(other.record));
  mixed.process = vm.record.process;
  const auto adopted = co_await host.driver().adopt(mixed);
  EXPECT_THAT_HOLDS(!adopted && adopted.error().reason() == "not_ours");
  BLX_CO_TRY(co_await host.driver().release(mixed));
  EXPECT_THAT_HOLDS(co_await is_alive(host, vm.record.process));
  BLX_CO_TRY(const Status status, co_await host.driver().adopt(vm.record));
  EXPECT_STATUS(status, Phase::kRunning, EndReason::kNone);
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> leftovers_are_found_and_released(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_guest(host, ""));
  const GuestSpec unstarted = host.guest("");
  BLX_CO_TRY(const Record prepared, co_await host.driver().prepare(unstarted));
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(const std::vector<VmId> left, co_await host.driver().leftovers());
  for (const VmId id : {vm.record.id, prepared.id}) {
    EXPECT_THAT_HOLDS(std::ranges::find(left, id) != left.end());
    BLX_CO_TRY(co_await host.driver().release_leftover(id));
  }
  EXPECT_THAT_HOLDS(!co_await is_alive(host, vm.record.process));
  BLX_CO_TRY(co_await release_all(host, vm.record));
  co_return co_await release_all(host, prepared);
}

Task<Result<void>> busy_port_is_refused(SuiteHost& host) {
  env::Network& network = host.env().network;
  BLX_CO_TRY(const auto listener, co_await network.listen(env::Endpoint::tcp("127.0.0.1", 0)));
  GuestSpec spec = host.guest("");
  spec.published = {{.host_port = listener->local().port, .guest_port = 80}};
  const auto refused = co_await host.driver().prepare(spec);
  EXPECT_THAT_HOLDS(!refused && refused.error().reason() == "port_in_use");
  const std::string port = std::to_string(listener->local().port);
  EXPECT_THAT_HOLDS(refused.error().detail().find(port) != std::string_view::npos);
  BLX_CO_TRY(co_await host.driver().release_leftover(spec.id));

  spec.published = {{.host_port = 0, .guest_port = 80}};
  BLX_CO_TRY(const Record first, co_await host.driver().prepare(spec));
  EXPECT_THAT_HOLDS(first.published.size() == 1 && first.published[0].host_port != 0);
  GuestSpec second = host.guest("");
  second.published = first.published;  // free still, but promised
  EXPECT_REFUSED(co_await host.driver().prepare(second), Code::kAlreadyExists, "port_in_use");
  BLX_CO_TRY(co_await host.driver().release_leftover(second.id));
  co_return co_await release_all(host, first);
}

Task<Result<void>> missing_file_is_refused(SuiteHost& host) {
  GuestSpec spec = host.guest("");
  const std::string kernel = spec.kernel_path;
  spec.kernel_path += ".missing";
  EXPECT_REFUSED(co_await host.driver().prepare(spec), Code::kNotFound, "image_file_missing");
  BLX_CO_TRY(co_await host.driver().release_leftover(spec.id));
  spec.kernel_path = kernel;
  BLX_CO_TRY(const Record prepared, co_await host.driver().prepare(spec));
  spec.kernel_path += ".missing";  // it went away since
  const Instant begin = host.env().clock.monotonic();
  const auto failed = co_await host.driver().start(spec, prepared, begin + kStartMax);
  EXPECT_THAT_HOLDS(!failed && failed.error().reason() == "start_failed");
  EXPECT_THAT_HOLDS(failed.error().code() == Code::kInternal);
  EXPECT_SHOWS(failed.error().detail(), ".missing");
  EXPECT_THAT_HOLDS(host.env().clock.monotonic() - begin < kStartMax / 2);  // at once
  co_return co_await release_all(host, prepared);
}

Task<Result<void>> bad_spec_is_refused(SuiteHost& host) {
  std::array<GuestSpec, 6> specs;
  specs.fill(host.guest(""));
  specs[0].name = "no,commas";
  specs[1].vcpus = 0;
  specs[2].memory = mib(1);
  specs[3].published = {{.host_port = 1, .guest_port = 0}};
  specs[4].cmdline = "two\nlines";
  specs[5].uuid = Uuid{};
  for (const GuestSpec& spec : specs)
    EXPECT_REFUSED(co_await host.driver().prepare(spec), Code::kInvalidArgument, "spec_invalid");
  BLX_CO_TRY(const std::vector<VmId> left, co_await host.driver().leftovers());
  EXPECT_THAT_HOLDS(std::ranges::find(left, specs[0].id) == left.end());
  co_return Result<void>();
}

Task<Result<void>> missing_hypervisor_is_told(SuiteHost& host) {
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kMissing));
  EXPECT_REFUSED(co_await host.driver().probe(), Code::kNotFound, "hypervisor_missing");
  EXPECT_REFUSED(co_await host.driver().prepare(host.guest("")), Code::kNotFound,
                 "hypervisor_missing");
  co_return Result<void>();
}

Task<Result<void>> failing_start_is_told(SuiteHost& host) {
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kExitsAtStart));
  const GuestSpec spec = host.guest("");
  BLX_CO_TRY(const Record prepared, co_await host.driver().prepare(spec));
  const Instant begin = host.env().clock.monotonic();
  const auto failed = co_await host.driver().start(spec, prepared, begin + kStartMax);
  EXPECT_THAT_HOLDS(!failed && failed.error().reason() == "start_failed");
  EXPECT_THAT_HOLDS(failed.error().code() == Code::kInternal);
  EXPECT_SHOWS(failed.error().detail(), "out of luck");
  EXPECT_THAT_HOLDS(host.env().clock.monotonic() - begin < kStartMax / 2);
  co_return co_await release_all(host, prepared);
}

Task<Result<void>> hanging_start_is_ended(SuiteHost& host) {
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kHangsAtStart));
  const GuestSpec spec = host.guest("");
  BLX_CO_TRY(const Record prepared, co_await host.driver().prepare(spec));
  const auto late = co_await host.driver().start(spec, prepared, after(host, 1s));
  EXPECT_THAT_HOLDS(!late && late.error().code() == Code::kDeadlineExceeded);
  EXPECT_SHOWS(late.error().detail(), "feeling sleepy");
  co_return co_await release_all(host, prepared);
}

Task<Result<void>> silent_guest_is_not_ready(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_guest(host, "blx.test=hang-agent"));
  BLX_CO_TRY(co_await wait_for_console(host, vm.record, "ready"));
  const auto late = co_await host.driver().wait_ready(vm.record, after(host, 2s));
  EXPECT_THAT_HOLDS(!late && late.error().code() == Code::kDeadlineExceeded);
  EXPECT_SHOWS(late.error().detail(), "ready");
  BLX_CO_TRY(const Status status, co_await host.driver().inspect(vm.record));
  EXPECT_STATUS(status, Phase::kStarting, EndReason::kNone);
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
  EXPECT_REFUSED(*ready, Code::kFailedPrecondition, "guest_ended");
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
    SuiteCase{"PausesAndResumes", pauses_and_resumes},
    SuiteCase{"DeafGuestIsStoppedByQuit", deaf_guest_is_stopped_by_quit},
    SuiteCase{"SilentAgentLeavesTheButton", silent_agent_leaves_the_button},
    SuiteCase{"KillIsTheLastRung", kill_is_the_last_rung},
    SuiteCase{"PanicIsTold", panic_is_told},
    SuiteCase{"PowerOffIsTold", power_off_is_told},
    SuiteCase{"DeathIsTold", death_is_told},
    SuiteCase{"AdoptsAfterRestart", adopts_after_restart},
    SuiteCase{"StrangersAreLeftAlone", strangers_are_left_alone},
    SuiteCase{"LeftoversAreFoundAndReleased", leftovers_are_found_and_released},
    SuiteCase{"BusyPortIsRefused", busy_port_is_refused},
    SuiteCase{"MissingFileIsRefused", missing_file_is_refused},
    SuiteCase{"BadSpecIsRefused", bad_spec_is_refused},
    SuiteCase{"MissingHypervisorIsTold", missing_hypervisor_is_told},
    SuiteCase{"FailingStartIsTold", failing_start_is_told},
    SuiteCase{"HangingStartIsEnded", hanging_start_is_ended},
    SuiteCase{"SilentGuestIsNotReady", silent_guest_is_not_ready},
    SuiteCase{"EndBeforeReadyIsTold", end_before_ready_is_told},
    SuiteCase{"SeveralRunAtOnce", several_run_at_once},
};

}  // namespace

std::span<const SuiteCase> driver_suite() { return kCases; }

env::Task<Result<void>> clean_up(SuiteHost& host) {
  BLX_CO_TRY(const std::vector<VmId> left, co_await host.driver().leftovers());
  for (const VmId id : left)
    BLX_CO_TRY(co_await host.driver().release_leftover(id));
  co_return Result<void>();
}

}  // namespace blixard::vm
