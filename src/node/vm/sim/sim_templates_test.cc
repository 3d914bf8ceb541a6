#include <set>

#include "node/vm/sim/test_suite_host.h"
#include "node/vm/template_files.h"

namespace blixard::vm_sim {
namespace {

using env::Task;

// Why it failed; "none" if it did not.
template <class T>
std::string reason_of(const Result<T>& result) {
  return result ? std::string("none") : std::string(result.error().reason());
}

// A simulated machine with a driver, and a clock that goes on when the machine's daemon is killed.
struct OneMachine {
  // Runs `body` in the world, not in the machine's daemon.
  template <class Body>
  void run(Body body) {
    Result<void> result;
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
    const auto main = [&]() -> Task<void> {
      result = co_await host.prepare();
      if (result) result = co_await body(*this);
      ignore(co_await vm::clean_up(host), "what counts is the case");
      co_await host.driver().close();
    };
    EXPECT_TRUE(world.run(main())) << world.log_lines().back();
    EXPECT_TRUE(result) << result.error().message();
    EXPECT_EQ(machine.processes(), 0u);
  }

  Task<Result<void>> pause(Duration duration) {
    co_return co_await observer.env().clock.sleep(duration);
  }
  // kill -9, and a daemon that comes after.
  Task<Result<void>> kill_daemon() {
    machine.crash_daemon();
    BLX_CO_TRY(co_await pause(1ms));
    machine.restart();
    co_return co_await host.restart_driver(vm::HypervisorFault::kNone);
  }

  Instant after(Duration duration) { return host.env().clock.monotonic() + duration; }

  Task<Result<vm::Template>> make() {
    const vm::GuestSpec spec = host.guest("");
    BLX_CO_TRY(std::string key, co_await host.driver().template_key(spec));
    BLX_CO_TRY(std::string folder, co_await host.empty_folder());
    BLX_CO_TRY(std::vector<std::string> names,
               co_await host.driver().make_template(spec, folder, after(1min)));
    co_return co_await vm::measure_template(host.env().disk, std::move(key), std::move(folder),
                                            std::move(names));
  }

  vm::GuestSpec clone_of(const vm::Template& made) {
    vm::GuestSpec spec = host.guest("");
    spec.clone_of = made;
    return spec;
  }

  Task<Result<vm::Record>> start(vm::GuestSpec spec) {
    BLX_CO_TRY(const vm::Record prepared, co_await host.driver().prepare(spec));
    co_return co_await host.driver().start(spec, prepared, after(10s));
  }

  Task<Result<void>> expect_nothing_left() {
    BLX_CO_TRY(const std::vector<VmId> left, co_await host.driver().leftovers());
    EXPECT_TRUE(left.empty());
    BLX_CO_TRY(const auto groups, co_await host.env().process.groups());
    EXPECT_TRUE(groups.empty());
    EXPECT_EQ(machine.processes(), 0u);
    co_return Result<void>();
  }

  sim::World world{1};
  sim::Machine& machine = world.add_machine("a");
  sim::Machine& observer = world.add_machine("observer");
  SimHost host{machine};
};

TEST(SimClone, ComesUpInTheTimesItHas) {
  OneMachine().run([](OneMachine& test) -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Template made, co_await test.make());
    const vm::GuestSpec spec = test.clone_of(made);
    BLX_CO_TRY(const vm::Record prepared, co_await test.host.driver().prepare(spec));
    const SimTimes& times = test.host.hypervisor().times;
    const Instant begin = test.after(0s);
    BLX_CO_TRY(const vm::Record record,
               co_await test.host.driver().start(spec, prepared, test.after(10s)));
    const Instant started = test.after(0s);
    EXPECT_GE(started - begin, times.monitor + times.load);
    EXPECT_LT(started - begin, times.monitor + times.load + 20ms);
    BLX_CO_TRY(co_await test.host.driver().wait_ready(record, test.after(10s)));
    EXPECT_GE(test.after(0s) - started, times.answer);
    EXPECT_LT(test.after(0s) - started, times.answer + 20ms);
    co_return co_await test.host.driver().release(record);
  });
}

// What the suite compares would be equal if nobody told clones who they are.
TEST(SimClone, IsItsTemplatesGuestUntilItIsToldOtherwise) {
  OneMachine().run([](OneMachine& test) -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Template made, co_await test.make());
    BLX_CO_TRY(co_await test.pause(5s));
    std::set<std::string> names;
    std::set<std::string> macs;
    std::set<std::string> random;
    for (int i = 0; i < 3; ++i) {
      BLX_CO_TRY(const vm::Record record, co_await test.start(test.clone_of(made)));
      BLX_CO_TRY(co_await test.pause(1s));
      BLX_CO_TRY(const vm::GuestInside inside, co_await test.host.look_inside(record));
      names.insert(inside.name);
      macs.insert(inside.mac);
      random.insert(inside.random);
      EXPECT_LT(inside.clock.unix_ms, test.host.env().clock.wall().unix_ms - 5000);
    }
    EXPECT_EQ(names, std::set<std::string>{"tpl-" + made.key.substr(0, 8)});
    EXPECT_EQ(macs.size(), 1u);
    EXPECT_EQ(random.size(), 1u);
    co_return Result<void>();
  });
}

TEST(SimClone, OfAnotherGuestIsRefused) {
  OneMachine().run([](OneMachine& test) -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Template made, co_await test.make());
    std::vector<vm::GuestSpec> others(3, test.clone_of(made));
    others[0].vcpus = 2;
    others[1].kernel_digest.reset();
    others[2].clone_of->files.pop_back();
    EXPECT_EQ(others[2].clone_of->files.size(), 1u);
    for (const vm::GuestSpec& spec : others) {
      const auto started = co_await test.start(spec);
      EXPECT_EQ(reason_of(started), "template_unusable");
      EXPECT_EQ(test.machine.processes(), 0u);
    }
    co_return Result<void>();
  });
}

// Memory is too large to be read at each start: what was changed there shows in the guest.
TEST(SimClone, WithOtherMemoryIsAnotherGuest) {
  OneMachine().run([](OneMachine& test) -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Template made, co_await test.make());
    test.machine.corrupt(env::join_path(made.directory, kRamFile), 70);
    BLX_CO_TRY(const vm::Record record, co_await test.start(test.clone_of(made)));
    const auto ready = co_await test.host.driver().wait_ready(record, test.after(10s));
    EXPECT_EQ(reason_of(ready), "template_unusable");
    co_return co_await test.host.driver().release(record);
  });
}

// A daemon that dies after it let a clone run may not have told it who it is.
TEST(SimClone, IsNotSaidToRunBeforeItIsTheVm) {
  OneMachine().run([](OneMachine& test) -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Template made, co_await test.make());
    BLX_CO_TRY(const vm::Record record, co_await test.start(test.clone_of(made)));
    BLX_CO_TRY(co_await test.pause(1s));
    BLX_CO_TRY(co_await test.kill_daemon());
    BLX_CO_TRY(const vm::Status adopted, co_await test.host.driver().adopt(record));
    EXPECT_EQ(adopted.phase, vm::Phase::kStarting);
    BLX_CO_TRY(co_await test.host.driver().wait_ready(record, test.after(10s)));
    BLX_CO_TRY(co_await test.kill_daemon());
    BLX_CO_TRY(const vm::Status again, co_await test.host.driver().adopt(record));
    EXPECT_EQ(again.phase, vm::Phase::kRunning);
    co_return Result<void>();
  });
}

TEST(SimClone, ThatIsNotLoadedInTimeIsEnded) {
  OneMachine().run([](OneMachine& test) -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Template made, co_await test.make());
    test.host.hypervisor().times.load = 1h;
    const auto started = co_await test.start(test.clone_of(made));
    EXPECT_EQ(reason_of(started), "template_unusable");
    EXPECT_EQ(test.machine.processes(), 0u);
    co_return Result<void>();
  });
}

// The daemon is killed after so many milliseconds of a clone's start, whatever it is at.
Task<Result<void>> start_is_cut_short(OneMachine& test, Duration at,
                                      std::multiset<std::string>& found) {
  BLX_CO_TRY(const vm::Template made, co_await test.make());
  const vm::GuestSpec spec = test.clone_of(made);
  BLX_CO_TRY(const vm::Record prepared, co_await test.host.driver().prepare(spec));
  constexpr auto kWork = [](vm::Driver& driver, vm::GuestSpec what, vm::Record as,
                            Instant deadline) -> Task<void> {
    const auto started = co_await driver.start(what, as, deadline);
    if (!started) co_return;
    ignore(co_await driver.wait_ready(*started, deadline), "it is cut short");
  };
  test.machine.start(kWork(test.host.driver(), spec, prepared, test.after(10s)));
  BLX_CO_TRY(co_await test.pause(at));
  BLX_CO_TRY(co_await test.kill_daemon());

  const std::string path = env::join_path(prepared.directory, "record.json");
  BLX_CO_TRY(const std::string text, co_await test.host.env().disk.read_file(path, 16384));
  BLX_CO_TRY(const vm::Record stored, vm::Record::decode(text));
  const auto adopted = co_await test.host.driver().adopt(stored);
  found.insert(adopted ? std::string(vm::phase_name(adopted->phase)) : reason_of(adopted));
  // A daemon that has not seen the process starts the VM, and gets one that becomes it.
  BLX_CO_TRY(const vm::Record record,
             co_await test.host.driver().start(spec, prepared, test.after(10s)));
  EXPECT_EQ(test.machine.processes(), 1u);
  EXPECT_EQ(record.process == stored.process, adopted.has_value());
  BLX_CO_TRY(co_await test.host.driver().wait_ready(record, test.after(10s)));
  BLX_CO_TRY(const vm::GuestInside inside, co_await test.host.look_inside(record));
  EXPECT_EQ(inside.name, spec.name);
  BLX_CO_TRY(co_await test.host.driver().release(record));
  co_return co_await test.expect_nothing_left();
}

TEST(SimClone, StartMayBeCutShortAnywhere) {
  std::multiset<std::string> found;
  for (Duration at = 0ms; at <= 120ms; at += 1ms)
    OneMachine().run([&](OneMachine& test) { return start_is_cut_short(test, at, found); });
  const std::set<std::string> kinds(found.begin(), found.end());
  const std::set<std::string> all{"process_gone", "running", "start_unfinished", "starting"};
  EXPECT_EQ(kinds, all);
}

// The daemon is killed after so long a part of a making. `is_swept`: the next daemon clears away
// what is left before it makes one; otherwise the making itself does.
Task<Result<void>> making_is_cut_short(OneMachine& test, Duration at, bool is_swept,
                                       std::set<std::size_t>& processes) {
  constexpr auto kWork = [](vm::Driver& driver, vm::GuestSpec spec, std::string folder,
                            Instant deadline) -> Task<void> {
    ignore(co_await driver.make_template(spec, folder, deadline), "it is cut short");
  };
  BLX_CO_TRY(const std::string folder, co_await test.host.empty_folder());
  vm::GuestSpec other = test.host.guest("");  // than the next making's
  other.memory = mib(256);
  test.machine.start(kWork(test.host.driver(), other, folder, test.after(10s)));
  BLX_CO_TRY(co_await test.pause(at));
  BLX_CO_TRY(co_await test.kill_daemon());
  processes.insert(test.machine.processes());
  BLX_CO_TRY(const std::vector<VmId> left, co_await test.host.driver().leftovers());
  EXPECT_LE(left.size(), 1u);
  if (test.machine.processes() != 0) EXPECT_EQ(left, std::vector<VmId>{vm::kTemplateVm});
  if (is_swept) {
    BLX_CO_TRY(co_await vm::clean_up(test.host));
    BLX_CO_TRY(co_await test.expect_nothing_left());
  }
  BLX_CO_TRY(const vm::Template made, co_await test.make());
  BLX_CO_TRY(co_await test.expect_nothing_left());
  BLX_CO_TRY(const vm::Record clone, co_await test.start(test.clone_of(made)));
  co_return co_await test.host.driver().wait_ready(clone, test.after(10s));
}

TEST(SimTemplate, MakingMayBeCutShortAnywhere) {
  std::set<std::size_t> processes;
  for (Duration at = 0ms; at <= 1700ms; at += 17ms) {
    for (const bool is_swept : {true, false}) {
      OneMachine().run(
          [&](OneMachine& test) { return making_is_cut_short(test, at, is_swept, processes); });
    }
  }
  EXPECT_EQ(processes, (std::set<std::size_t>{0, 1}));
}

// It does not wait for the next daemon to clear it away.
Task<Result<void>> making_is_cancelled(vm::SuiteHost& host, Duration at) {
  constexpr auto kMake = [](vm::Driver& driver, vm::GuestSpec spec, std::string folder,
                            Instant deadline, bool& is_made) -> Task<void> {
    is_made = (co_await driver.make_template(spec, folder, deadline)).has_value();
  };
  BLX_CO_TRY(const std::string folder, co_await host.empty_folder());
  const Instant deadline = host.env().clock.monotonic() + 10s;
  bool is_made = false;
  env::Scope scope(host.env().executor, co_await env::this_cancellation());
  scope.spawn(kMake(host.driver(), host.guest(""), folder, deadline, is_made));
  const auto slept = co_await host.env().clock.sleep(at);
  scope.cancel();
  co_await scope.join();
  BLX_CO_TRY(slept);
  EXPECT_FALSE(is_made);
  BLX_CO_TRY(const std::vector<VmId> left, co_await host.driver().leftovers());
  EXPECT_TRUE(left.empty()) << at.count();
  BLX_CO_TRY(const auto groups, co_await host.env().process.groups());
  EXPECT_TRUE(groups.empty());
  co_return Result<void>();
}

TEST(SimTemplate, MakingThatIsCancelledLeavesNothing) {
  OneMachine().run([](OneMachine& test) -> Task<Result<void>> {
    for (Duration at = 0ms; at < 1500ms; at += 17ms)
      BLX_CO_TRY(co_await making_is_cancelled(test.host, at));
    co_return Result<void>();
  });
  sim::World world(1);
  sim::Machine& machine = world.add_machine("a");
  PretendedSuiteHost host(machine);
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
  const auto main = [&]() -> Task<void> {
    EXPECT_TRUE(co_await host.prepare());
    for (Duration at = 0ms; at < 1500ms; at += 17ms)
      EXPECT_TRUE(co_await making_is_cancelled(host, at));
    co_await host.driver().close();
    EXPECT_EQ(host.processes().running(), 0u);
    co_await host.processes().close();
  };
  EXPECT_TRUE(world.run(main())) << world.log_lines().back();
}

TEST(SimTemplate, MakingThatFailsLeavesNothing) {
  OneMachine().run([](OneMachine& test) -> Task<Result<void>> {
    BLX_CO_TRY(const std::string folder, co_await test.host.empty_folder());
    const auto silent = co_await test.host.driver().make_template(
        test.host.guest("blx.test=hang-agent"), folder, test.after(10s));
    EXPECT_EQ(reason_of(silent), "guest_not_ready");
    BLX_CO_TRY(co_await test.expect_nothing_left());
    const auto nowhere = co_await test.host.driver().make_template(
        test.host.guest(""), "/var/lib/blixard/missing", test.after(10s));
    EXPECT_TRUE(!nowhere && nowhere.error().code() == Code::kNotFound) << reason_of(nowhere);
    BLX_CO_TRY(co_await test.expect_nothing_left());
    BLX_CO_TRY(co_await test.host.restart_driver(vm::HypervisorFault::kExitsAtStart));
    const auto broken =
        co_await test.host.driver().make_template(test.host.guest(""), folder, test.after(10s));
    EXPECT_EQ(reason_of(broken), "start_failed");
    co_return co_await test.expect_nothing_left();
  });
}

TEST(Soul, ComesBackAsItWasSaved) {
  const Uuid uuid = *Uuid::parse("00112233-4455-6677-8899-aabbccddeeff");
  Soul soul = Soul::born("web", uuid, "secret");
  EXPECT_EQ(soul.machine_id, "00112233445566778899aabbccddeeff");
  EXPECT_EQ(soul.mac, "02:bb:cc:dd:ee:ff");
  EXPECT_NE(soul.draw(), soul.draw());
  const std::string text = soul.encode(WallTime{100'000});
  auto again = Soul::decode(text, WallTime{130'000});
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->late_ms, 30'000);
  EXPECT_EQ(again->encode(WallTime{130'000}), text);
  Soul other = *again;
  EXPECT_EQ(again->draw(), soul.draw());
  other.add_entropy("one");
  soul.add_entropy("two");
  const std::set<std::string> drawn{again->draw(), other.draw(), soul.draw()};
  EXPECT_EQ(drawn.size(), 3u);
}

TEST(Soul, DamagedTextIsRefused) {
  const Soul soul = Soul::born("web", *Uuid::parse("00112233-4455-6677-8899-aabbccddeeff"), "s");
  const std::string text = soul.encode(WallTime{100'000});
  for (std::size_t size = 0; size + 7 < text.size(); ++size)
    EXPECT_FALSE(Soul::decode(text.substr(0, size), WallTime{0})) << size;
  EXPECT_FALSE(Soul::decode(text + std::string(kSoulBytes, ' '), WallTime{0}));
}

}  // namespace
}  // namespace blixard::vm_sim
