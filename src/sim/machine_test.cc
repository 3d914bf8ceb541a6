#include "sim/machine.h"

#include <array>

#include "env/scope.h"
#include "env/sync.h"
#include "sim/world.h"

namespace blixard::sim {
namespace {

using env::Endpoint;
using env::Env;
using env::ExitStatus;
using env::Kill;
using env::ProcessId;
using env::SpawnSpec;
using env::Task;

constexpr const char* kProgram = "/usr/bin/guest";

Task<void> keep(Result<void>& into, Task<Result<void>> task) { into = co_await std::move(task); }

// What every operation of an Env answers.
struct Answers {
  std::vector<std::string> reasons;
  template <class T>
  void add(const Result<T>& result) {
    reasons.emplace_back(result ? std::string_view("ok") : result.error().reason());
  }
};

struct Held {
  std::unique_ptr<env::File> file;
  std::unique_ptr<env::Listener> listener;
  std::unique_ptr<env::Child> child;
};

// The daemon of the crash test: parked in every kind of wait, then trying everything again.
Task<void> try_everything(Env env, Held& held, Answers& answers) {
  const std::array<std::string_view, 1> parts{"after"};
  answers.add(co_await env.clock.sleep(1ms));
  answers.add(co_await env.disk.remove("/var/lib/f"));
  answers.add(co_await env.disk.make_directory("/var/lib/made"));
  answers.add(co_await env.disk.replace_file("/var/lib/new", "after"));
  answers.add(co_await held.file->write_at(0, parts));
  answers.add(co_await held.file->sync());
  answers.add(co_await env.network.listen(Endpoint::tcp("0.0.0.0", 99)));
  answers.add(co_await env.network.dial(Endpoint::tcp("127.0.0.1", 1), env.clock.monotonic() + 1s));
  answers.add(co_await held.listener->accept());
  answers.add(co_await env.process.spawn({.executable = kProgram}));
  answers.add(co_await env.process.kill_group("guests"));
  answers.add(held.child->kill(Kill::kNow));
  answers.add(co_await held.child->wait());
}

Task<void> tick(Env env, std::vector<Duration>& ticks, bool& has_ended) {
  const Instant begin = env.clock.monotonic();
  while (co_await env.clock.sleep(1s))
    ticks.push_back(env.clock.monotonic() - begin);
  has_ended = true;
}

Task<void> sleep_then_try(Env env, Held& held, Answers& answers) {
  answers.add(co_await env.clock.sleep(1h));
  co_await try_everything(env, held, answers);
}
Task<void> accept_then_try(Env env, Held& held, Answers& answers) {
  answers.add(co_await held.listener->accept());
  co_await try_everything(env, held, answers);
}
Task<void> wait_then_try(Env env, Held& held, Answers& answers) {
  answers.add(co_await held.child->wait());
  co_await try_everything(env, held, answers);
}

// A program that runs until told, by commands of one letter, and notes what became of it.
struct Guest {
  int starts = 0;
  int terminates = 0;
};

Task<void> play_guest(ProcessContext self, Guest& guest) {
  ++guest.starts;
  self.print("booting\n");
  self.set_usage({.resident = mib(100), .cpu = 2s});
  auto monitor = co_await self.env().network.listen(Endpoint::unix_socket("/run/monitor"));
  if (!monitor) {
    self.exit(1);
    co_return;
  }
  while (true) {
    auto client = co_await (*monitor)->accept();
    if (!client) co_return;
    std::array<char, 100> buffer{};
    const auto count = co_await (*client)->read_some(buffer);
    if (!count) co_return;
    const std::string_view command(buffer.data(), *count);
    if (command == "q") self.exit(3);
    if (command == "c") self.die(11);
    if (command == "t") {
      if (!co_await self.terminate_requested()) co_return;
      ++guest.terminates;
    }
    ignore(co_await (*client)->write_all(command), "the client may be gone");
  }
}

class MachineTest : public testing::Test {
 protected:
  MachineTest() : world(1), machine(world.add_machine("a")) {
    machine.install_program(
        kProgram, [this](ProcessContext self) { return play_guest(std::move(self), guest); });
  }

  void run(Task<Result<void>> task) {
    Result<void> result;
    EXPECT_TRUE(world.run(keep(result, std::move(task)))) << world.log_lines().back();
    EXPECT_TRUE(result) << result.error().message();
  }

  Task<Result<std::unique_ptr<env::Child>>> spawn(std::string group = "") {
    BLX_CO_TRY(auto child,
               co_await machine.env().process.spawn({.executable = kProgram,
                                                     .output_path = "/var/log/guest",
                                                     .run_as = env::Owner{.uid = 5, .gid = 5},
                                                     .group = std::move(group)}));
    // Its monitor is there when it answers.
    while (!co_await tell("h"))
      BLX_CO_TRY(co_await machine.env().clock.sleep(1ms));
    co_return std::move(child);
  }

  Task<Result<std::string>> tell(std::string letter) {
    Env env = machine.env();
    const Instant deadline = env.clock.monotonic() + 1s;
    BLX_CO_TRY(auto stream,
               co_await env.network.dial(Endpoint::unix_socket("/run/monitor"), deadline));
    EXPECT_EQ(stream->peer().uid, 5);
    BLX_CO_TRY(co_await stream->write_all(letter));
    std::array<char, 100> buffer{};
    BLX_CO_TRY(const std::size_t count, co_await stream->read_some(buffer));
    co_return std::string(buffer.data(), count);
  }

  Task<Result<void>> set_up_held(Held& held) {
    Env env = machine.env();
    BLX_CO_TRY(co_await env.disk.replace_file("/var/lib/f", "before"));
    BLX_CO_TRY(held.file, co_await env.disk.open("/var/lib/f", env::OpenMode::kReadWrite));
    BLX_CO_TRY(held.listener, co_await env.network.listen(Endpoint::tcp("0.0.0.0", 80)));
    BLX_CO_TRY(co_await env.process.make_group("guests", {}));
    BLX_CO_TRY(held.child, co_await spawn("guests"));
    co_return Result<void>();
  }

  Task<Result<void>> stands_still() {
    Env onlooker = world.add_machine("b").env();
    std::vector<Duration> ticks;
    bool has_ended = false;
    machine.start(tick(machine.env(), ticks, has_ended));
    BLX_CO_TRY(co_await onlooker.clock.sleep(2500ms));
    machine.freeze_daemon();
    BLX_CO_TRY(co_await onlooker.clock.sleep(10s));
    EXPECT_THAT(ticks, testing::ElementsAre(1s, 2s));
    machine.thaw_daemon();
    BLX_CO_TRY(co_await onlooker.clock.sleep(1100ms));
    EXPECT_THAT(ticks, testing::ElementsAre(1s, 2s, 12500ms, 13500ms));
    machine.freeze_daemon();
    machine.crash_daemon();
    BLX_CO_TRY(co_await onlooker.clock.sleep(1ms));
    EXPECT_TRUE(has_ended);
    machine.restart();
    co_return Result<void>();
  }

  Task<Result<void>> crash_has_no_effect() {
    std::array<Held, 3> held;
    std::array<Answers, 3> answers;
    BLX_CO_TRY(co_await set_up_held(held[0]));
    Env old = machine.env();
    const ProcessId guest_id = held[0].child->id();
    for (std::size_t i : {1u, 2u}) {
      BLX_CO_TRY(held[i].file, co_await old.disk.open("/var/lib/f", env::OpenMode::kReadWrite));
      BLX_CO_TRY(held[i].listener, co_await old.network.listen(Endpoint::tcp("0.0.0.0", 0)));
      BLX_CO_TRY(held[i].child, co_await old.process.adopt(guest_id));
    }
    machine.start(sleep_then_try(old, held[0], answers[0]));
    machine.start(accept_then_try(old, held[1], answers[1]));
    machine.start(wait_then_try(old, held[2], answers[2]));
    BLX_CO_TRY(co_await old.clock.sleep(1s));
    machine.crash_daemon();
    machine.restart();
    BLX_CO_TRY(co_await machine.env().clock.sleep(1s));
    for (const Answers& each : answers) {
      EXPECT_EQ(each.reasons.size(), 14u);
      EXPECT_EQ(each.reasons[0], "cancelled");
      for (const std::string& reason : each.reasons)
        EXPECT_THAT(reason, testing::AnyOf("cancelled", "crashed"));
    }
    EXPECT_EQ(machine.content("/var/lib/f"), "before");
    EXPECT_EQ(machine.content("/var/lib/new"), std::nullopt);
    EXPECT_FALSE(machine.mode("/var/lib/made"));
    EXPECT_TRUE(machine.is_alive(guest_id));
    EXPECT_EQ(guest.starts, 1);
    // A task of nobody's that still uses the dead Env is told so too.
    EXPECT_EQ((co_await old.clock.sleep(1s)).error().reason(), "crashed");
    co_return Result<void>();
  }

  Task<Result<void>> processes_survive() {
    BLX_CO_TRY(auto child, co_await spawn());
    const ProcessId id = child->id();
    machine.crash_daemon();
    machine.restart();
    BLX_CO_TRY(const std::string answer, co_await tell("s"));
    EXPECT_EQ(answer, "s");
    BLX_CO_TRY(auto adopted, co_await machine.env().process.adopt(id));
    BLX_CO_TRY(const env::Child::Usage usage, adopted->usage());
    EXPECT_EQ(usage.resident, mib(100));
    EXPECT_FALSE(co_await tell("q"));
    BLX_CO_TRY(const ExitStatus status, co_await adopted->wait());
    EXPECT_EQ(status.text(), "ended");  // it is not our child
    EXPECT_EQ(machine.content("/var/log/guest"), "booting\n");
    co_return Result<void>();
  }

  Task<Result<void>> power_loss_ends_processes() {
    BLX_CO_TRY(auto child, co_await spawn());
    const ProcessId id = child->id();
    const std::string boot_id = machine.facts().boot_id;
    machine.lose_power();
    EXPECT_EQ(machine.processes(), 0u);
    machine.restart();
    EXPECT_NE(machine.facts().boot_id, boot_id);
    // The pid comes again, for another process.
    BLX_CO_TRY(co_await machine.env().clock.sleep(1min));
    BLX_CO_TRY(auto other, co_await spawn());
    EXPECT_EQ(other->id().pid, id.pid);
    EXPECT_EQ((co_await machine.env().process.adopt(id)).error().reason(), "process_gone");
    EXPECT_EQ(guest.starts, 2);
    co_return Result<void>();
  }

  Task<Result<void>> ends() {
    BLX_CO_TRY(auto quits, co_await spawn());
    EXPECT_FALSE(co_await tell("q"));
    EXPECT_EQ((co_await quits->wait())->text(), "exit code 3");
    EXPECT_EQ(quits->kill(Kill::kNow).error().code(), Code::kNotFound);
    BLX_CO_TRY(auto crashes, co_await spawn());
    EXPECT_FALSE(co_await tell("c"));
    EXPECT_EQ((co_await crashes->wait())->text(), "signal 11");
    BLX_CO_TRY(auto terminated, co_await spawn());
    EXPECT_TRUE(terminated->kill(Kill::kTerminate));
    EXPECT_EQ((co_await terminated->wait())->text(), "signal 15");
    BLX_CO_TRY(auto killed, co_await spawn());
    machine.kill_process(killed->id());
    EXPECT_EQ((co_await killed->wait())->text(), "signal 9");
    co_return Result<void>();
  }

  Task<void> terminate_soon(env::Child& child) {
    EXPECT_TRUE(co_await machine.env().clock.sleep(100ms));
    EXPECT_TRUE(child.kill(Kill::kTerminate));
  }

  Task<Result<void>> handled_terminate() {
    BLX_CO_TRY(auto child, co_await spawn());
    env::Scope scope(machine.env().executor, co_await env::this_cancellation());
    scope.spawn(terminate_soon(*child));
    const auto answer = co_await tell("t");
    co_await scope.join();
    EXPECT_TRUE(answer);
    EXPECT_EQ(guest.terminates, 1);
    EXPECT_TRUE(machine.is_alive(child->id()));
    co_return Result<void>();
  }

  Task<Result<void>> groups() {
    env::Process& process = machine.env().process;
    const auto missing = co_await process.spawn({.executable = kProgram, .group = "g"});
    EXPECT_EQ(missing.error().reason(), "group_missing");
    BLX_CO_TRY(co_await process.make_group("g", {.pids = 1}));
    BLX_CO_TRY(auto child, co_await spawn("g"));
    const auto full = co_await process.spawn({.executable = kProgram, .group = "g"});
    EXPECT_EQ(full.error().reason(), "group_full");
    EXPECT_EQ((co_await process.remove_group("g")).error().reason(), "group_not_empty");
    machine.crash_daemon();
    machine.restart();
    env::Process& next = machine.env().process;
    BLX_CO_TRY(const auto names, co_await next.groups());
    EXPECT_THAT(names, testing::ElementsAre("g"));
    BLX_CO_TRY(co_await next.kill_group("g"));
    EXPECT_EQ(machine.processes(), 0u);
    co_return co_await next.remove_group("g");
  }

  Task<Result<void>> run_programs() {
    env::Process& process = machine.env().process;
    EXPECT_EQ(*co_await process.find_program("guest"), kProgram);
    EXPECT_EQ((co_await process.find_program("other")).error().reason(), "program_missing");
    EXPECT_EQ((co_await process.spawn({.executable = "/x"})).error().reason(), "program_missing");
    const Instant deadline = machine.env().clock.monotonic() + 10s;
    const auto late = co_await process.run({.executable = kProgram}, deadline, 1000);
    EXPECT_EQ(late.error().code(), Code::kDeadlineExceeded);
    EXPECT_EQ(machine.processes(), 0u);
    machine.install_program("/usr/bin/version", [](ProcessContext self) -> Task<void> {
      self.print("version 7 and more");
      self.exit(4);
      co_return;
    });
    BLX_CO_TRY(const env::RunResult result,
               co_await process.run({.executable = "/usr/bin/version"},
                                    machine.env().clock.monotonic() + 1s, 9));
    EXPECT_EQ(result.output, "version 7");
    EXPECT_EQ(result.status.exit_code, 4);
    machine.fail_next_spawn(Error(Code::kResourceExhausted, "no_memory"));
    EXPECT_EQ((co_await process.spawn({.executable = kProgram})).error().reason(), "no_memory");
    co_return Result<void>();
  }

  Task<void> stop_at(Duration after, int& steps) {
    const auto slept = co_await machine.env().clock.sleep(after);
    ++steps;
    EXPECT_FALSE(slept);
    // Stopping in order, it may still save what it has.
    EXPECT_TRUE(co_await disk_of_first_daemon->replace_file("/var/lib/saved", "x"));
    ++steps;
  }

  Task<Result<void>> orderly_stop() {
    int steps = 0;
    disk_of_first_daemon = &machine.env().disk;
    machine.start(stop_at(1h, steps));
    BLX_CO_TRY(co_await machine.env().clock.sleep(1s));
    co_await machine.stop_daemon();
    EXPECT_EQ(steps, 2);
    EXPECT_FALSE(machine.running());
    machine.restart();
    EXPECT_EQ(machine.content("/var/lib/saved"), "x");
    co_return Result<void>();
  }

  Task<Result<void>> facts() {
    Env env = machine.env();
    EXPECT_EQ(env.machine.facts().host_name, "a");
    machine.facts().cpus = 3;
    machine.kvm().usable = false;
    machine.set_tsc_khz(std::nullopt);
    EXPECT_EQ(env.machine.facts().cpus, 3u);
    BLX_CO_TRY(const env::KvmReport report, co_await env.machine.probe_kvm());
    EXPECT_FALSE(report.usable);
    EXPECT_EQ((co_await env.machine.measure_tsc_khz()).error().code(), Code::kUnavailable);
    co_return Result<void>();
  }

  Guest guest;
  World world;
  Machine& machine;
  env::Disk* disk_of_first_daemon = nullptr;
};

TEST_F(MachineTest, CrashedDaemonHasNoEffectAndUnwinds) { run(crash_has_no_effect()); }
TEST_F(MachineTest, AFrozenDaemonNoticesNothing) { run(stands_still()); }
TEST_F(MachineTest, ProcessesSurviveACrashOfTheDaemon) { run(processes_survive()); }
TEST_F(MachineTest, ProcessesEndWithThePower) { run(power_loss_ends_processes()); }
TEST_F(MachineTest, WaysForAProcessToEnd) { run(ends()); }
TEST_F(MachineTest, AProgramMayHandleTerminate) { run(handled_terminate()); }
TEST_F(MachineTest, GroupsLimitAndOutliveTheDaemon) { run(groups()); }
TEST_F(MachineTest, ProgramsAreFoundAndRun) { run(run_programs()); }
TEST_F(MachineTest, OrderlyStopMaySaveItsState) { run(orderly_stop()); }
TEST_F(MachineTest, FactsAreScripted) { run(facts()); }

}  // namespace
}  // namespace blixard::sim
