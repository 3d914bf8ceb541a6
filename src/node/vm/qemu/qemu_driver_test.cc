// The driver against a scripted QEMU in virtual time: what a real one does too rarely to wait for.

#include "node/vm/qemu/qemu_driver.h"

#include <algorithm>

#include "env/scope.h"
#include "node/vm/label.h"
#include "node/vm/qemu/arguments.h"
#include "node/vm/qemu/qmp_client.h"
#include "sim/qemu/scripted_qemu.h"
#include "sim/world.h"

namespace blixard::qemu {
namespace {

using env::Task;
using vm::Accelerator;
using vm::EndReason;
using vm::Phase;

const std::string kVms = "/var/lib/blixard/vms";

// run() keeps each body until it has ended.
// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)

class QemuDriverTest : public testing::Test {
 public:
  using Body = std::function<Task<Result<void>>()>;

  QemuDriverTest() : machine_(world_.add_machine("a")) { qemu_.install(machine_); }

  // Runs the body with a driver and files to boot from; afterwards nothing is left of it.
  void run(Body body) {
    Result<void> result;
    const auto main = [&]() -> Task<void> {
      result = co_await set_up();
      if (result) result = co_await body();
      if (driver_) co_await driver_->close();
    };
    EXPECT_TRUE(world_.run(main())) << world_.log_lines().back();
    EXPECT_TRUE(result) << result.error().message();
    driver_.reset();
  }

  Task<Result<void>> set_up() {
    BLX_CO_TRY(co_await env().disk.make_directory("/var/lib/blixard/images"));
    for (const char* name : {"vmlinux", "initrd"}) {
      BLX_CO_TRY(co_await env().disk.replace_file(image(name), "bytes"));
    }
    make_driver();
    co_return Result<void>();
  }

  Task<void> restart_driver() {
    co_await driver_->close();
    make_driver();
  }

  // As kill -9 and the next daemon, except that the driver has no calls under way.
  Task<void> restart_daemon() {
    co_await driver_->close();
    machine_.crash_daemon();
    machine_.restart();
    make_driver();
  }

  void make_driver() {
    driver_ = std::make_unique<QemuDriver>(
        machine_.env(), Options{.directory = kVms, .binary = {}, .accelerator = forced_});
  }

  static std::string image(const char* name) {
    return std::string("/var/lib/blixard/images/") + name;
  }
  env::Env env() { return machine_.env(); }
  Instant in(Duration patience) { return env().clock.monotonic() + patience; }

  vm::GuestSpec guest(std::uint64_t number = 1) {
    vm::GuestSpec spec;
    spec.id = VmId(number);
    spec.generation = Generation(1);
    spec.uuid = env().random.uuid();
    spec.name = "vm-" + std::to_string(number);
    spec.kernel_path = image("vmlinux");
    spec.initrd_path = image("initrd");
    return spec;
  }

  Task<Result<vm::Record>> start(vm::GuestSpec spec, Duration patience = 15s) {
    BLX_CO_TRY(vm::Record record, co_await driver_->prepare(spec));
    co_return co_await driver_->start(std::move(spec), std::move(record), in(patience));
  }

  Task<Result<vm::Record>> start_ready(vm::GuestSpec spec) {
    BLX_CO_TRY(vm::Record record, co_await start(std::move(spec)));
    BLX_CO_TRY(co_await driver_->wait_ready(record, in(10s)));
    co_return record;
  }

  Task<Result<vm::Status>> next_change(vm::Record record) {
    co_return co_await env::with_deadline(env().executor, env().clock, in(5s),
                                          driver_->next_change(std::move(record)));
  }

  // Over the second monitor socket, which is for people.
  Task<Result<void>> say_as_operator(vm::Record record, std::string command) {
    const auto socket =
        env::Endpoint::unix_socket(env::join_path(record.directory, kOperatorSocket));
    BLX_CO_TRY(auto stream, co_await env().network.dial(socket, in(1s)));
    QmpClient client(env().executor, env().clock, std::move(stream), [](const Event&) {});
    env::Scope scope(env().executor, nullptr);
    scope.spawn(client.run());
    Result<void> said;
    if (const auto greeted = co_await client.handshake(in(1s)); !greeted) {
      said = std::unexpected(greeted.error());
    } else if (const auto done = co_await client.execute(command, {}, in(1s)); !done) {
      said = std::unexpected(done.error());
    }
    client.close();
    co_await scope.join();
    co_return said;
  }

  Task<Result<void>> expect_nothing_left() {
    EXPECT_EQ(machine_.processes(), 0u);
    BLX_CO_TRY(const std::vector<std::string> groups, co_await env().process.groups());
    EXPECT_TRUE(groups.empty());
    EXPECT_FALSE(machine_.content(kVms + "/1/record.json"));
    EXPECT_FALSE(machine_.content(kVms + "/trial/record.json"));
    co_return Result<void>();
  }

  sim::ScriptedQemu qemu_;
  sim::World world_{7};
  sim::Machine& machine_;
  std::optional<Accelerator> forced_ = Accelerator::kTcg;
  std::unique_ptr<QemuDriver> driver_;
};

// Starting.

TEST_F(QemuDriverTest, AGuestLivesAndEnds) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Record record, co_await start_ready(guest()));
    EXPECT_EQ(record.accelerator, Accelerator::kTcg);
    BLX_CO_TRY(const std::string console, co_await driver_->console(record, 100));
    EXPECT_TRUE(console.starts_with("booting\n")) << console;
    BLX_CO_TRY(const EndReason reason, co_await driver_->stop(record, {}));
    EXPECT_EQ(reason, EndReason::kStoppedByAgent);
    BLX_CO_TRY(co_await driver_->release(record));
    BLX_CO_TRY(co_await expect_nothing_left());
    co_return Result<void>();
  });
}

TEST_F(QemuDriverTest, CrashAtStartIsToldWithItsOutput) {
  run([this]() -> Task<Result<void>> {
    qemu_.faults.starts_fail = true;
    qemu_.faults.last_words = "a first line\nthe board is on fire";
    const vm::GuestSpec spec = guest();
    BLX_CO_TRY(const vm::Record record, co_await driver_->prepare(spec));
    const auto started = co_await driver_->start(spec, record, in(15s));
    EXPECT_TRUE(!started && started.error().reason() == "start_failed");
    EXPECT_TRUE(!started && started.error().message().contains("the board is on fire"));
    EXPECT_EQ(machine_.processes(), 0u);
    BLX_CO_TRY(co_await driver_->release(record));
    BLX_CO_TRY(co_await expect_nothing_left());
    co_return Result<void>();
  });
}

TEST_F(QemuDriverTest, HangAtStartEndsAtTheDeadline) {
  run([this]() -> Task<Result<void>> {
    qemu_.faults.starts_hang = true;
    const Instant begin = env().clock.monotonic();
    const auto started = co_await start(guest(), 3s);
    EXPECT_TRUE(!started && started.error().code() == Code::kDeadlineExceeded);
    EXPECT_GE(env().clock.monotonic() - begin, 3s);
    EXPECT_LE(env().clock.monotonic() - begin, 4s);
    EXPECT_EQ(machine_.processes(), 0u);
    qemu_.faults.starts_hang = false;
    BLX_CO_TRY(const vm::Record record, co_await start_ready(guest()));
    co_return co_await driver_->release(record);
  });
}

TEST_F(QemuDriverTest, NoSecondProcessWhereTheMonitorOfAFirstIsSilent) {
  run([this]() -> Task<Result<void>> {
    const vm::GuestSpec spec = guest();
    BLX_CO_TRY(const vm::Record record, co_await start_ready(spec));
    qemu_.faults.monitor_silent = true;
    co_await restart_driver();
    BLX_CO_TRY(const vm::Record prepared, co_await driver_->prepare(spec));
    EXPECT_EQ(prepared.process, record.process);
    const auto started = co_await driver_->start(spec, prepared, in(15s));
    EXPECT_TRUE(!started && started.error().code() == Code::kDeadlineExceeded);
    EXPECT_TRUE(machine_.is_alive(record.process));
    EXPECT_EQ(machine_.processes(), 1u);
    BLX_CO_TRY(co_await driver_->release(prepared));
    BLX_CO_TRY(co_await expect_nothing_left());
    co_return Result<void>();
  });
}

TEST_F(QemuDriverTest, AStartThatIsGivenUpIsFoundAgain) {
  run([this]() -> Task<Result<void>> {
    const vm::GuestSpec spec = guest();
    qemu_.faults.starts_hang = true;
    env::Scope scope(env().executor, nullptr);
    scope.spawn([](QemuDriverTest& test, vm::GuestSpec what) -> Task<void> {
      const auto started = co_await test.start(what);
      EXPECT_TRUE(!started && started.error().code() == Code::kCancelled);
    }(*this, spec));
    BLX_CO_TRY(co_await env().clock.sleep(1s));
    scope.cancel();
    co_await scope.join();
    EXPECT_EQ(machine_.processes(), 1u);
    BLX_CO_TRY(const std::vector<VmId> left, co_await driver_->leftovers());
    EXPECT_EQ(left, std::vector<VmId>{spec.id});
    BLX_CO_TRY(co_await driver_->release_leftover(spec.id));
    BLX_CO_TRY(co_await expect_nothing_left());
    co_return Result<void>();
  });
}

// A monitor that talks nonsense.

TEST_F(QemuDriverTest, NoiseAtStartCostsTheConnectionOnly) {
  const std::string noises[] = {"{nonsense", R"({"return":{}})", "[]", "<flood>"};
  for (const std::string& noise : noises) {
    run([&]() -> Task<Result<void>> {
      // Said in place of the greeting.
      qemu_.faults.noise = noise;
      BLX_CO_TRY(const vm::Record record, co_await start_ready(guest()));
      EXPECT_TRUE(qemu_.faults.noise.empty());
      BLX_CO_TRY(co_await driver_->release(record));
      BLX_CO_TRY(co_await expect_nothing_left());
      co_return Result<void>();
    });
  }
}

TEST_F(QemuDriverTest, NoiseLaterCostsTheConnectionOnly) {
  const std::string noises[] = {"{nonsense", "<flood>"};
  for (const std::string& noise : noises) {
    run([&]() -> Task<Result<void>> {
      BLX_CO_TRY(const vm::Record record, co_await start_ready(guest()));
      qemu_.faults.noise = noise;
      BLX_CO_TRY(co_await env().clock.sleep(5s));
      EXPECT_TRUE(qemu_.faults.noise.empty());
      EXPECT_TRUE(machine_.is_alive(record.process));
      BLX_CO_TRY(co_await driver_->pause(record));
      BLX_CO_TRY(const vm::Status status, co_await driver_->inspect(record));
      EXPECT_EQ(status.phase, Phase::kPaused);
      BLX_CO_TRY(co_await driver_->release(record));
      BLX_CO_TRY(co_await expect_nothing_left());
      co_return Result<void>();
    });
  }
}

TEST_F(QemuDriverTest, WhatHappenedBetweenConnectionsIsSeenDespiteNoise) {
  for (const char* noise : {"error", "unknown-status", "wrong-types", "garbage"}) {
    run([&]() -> Task<Result<void>> {
      BLX_CO_TRY(const vm::Record record, co_await start_ready(guest()));
      qemu_.faults.answer_delay = {400ms, 400ms};  // of which the guest uses one
      qemu_.faults.noise = "{nonsense";
      while (!qemu_.faults.noise.empty())
        BLX_CO_TRY(co_await env().clock.sleep(100ms));
      EXPECT_TRUE(qemu_.panic(record.process));
      const auto* said = std::ranges::find(sim::kMonitorNoise, noise, &sim::MonitorNoise::name);
      qemu_.faults.noise = said->text;
      qemu_.faults.noise_at = "query-status";
      const auto status = co_await next_change(record);
      EXPECT_TRUE(qemu_.faults.noise.empty()) << noise;
      EXPECT_TRUE(status && status->phase == Phase::kPanicked) << noise;
      qemu_.faults = sim::QemuFaults();
      co_return co_await driver_->release(record);
    });
  }
}

// Taking over.

TEST_F(QemuDriverTest, AMonitorOfAnotherUuidIsLeftAlone) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Record record, co_await start_ready(guest()));
    qemu_.faults.uuid = env().random.uuid();
    co_await restart_driver();
    const auto adopted = co_await driver_->adopt(record);
    EXPECT_TRUE(!adopted && adopted.error().reason() == "not_ours");
    EXPECT_TRUE(machine_.is_alive(record.process));
    qemu_.faults.uuid.reset();
    BLX_CO_TRY(const vm::Status status, co_await driver_->adopt(record));
    EXPECT_EQ(status.phase, Phase::kRunning);
    co_return co_await driver_->release(record);
  });
}

TEST_F(QemuDriverTest, WhatHappenedWhileNobodyListenedIsSeenAtTakeOver) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Record record, co_await start_ready(guest()));
    co_await driver_->close();
    EXPECT_TRUE(qemu_.panic(record.process));
    BLX_CO_TRY(co_await env().clock.sleep(1s));
    make_driver();
    BLX_CO_TRY(const vm::Status status, co_await driver_->adopt(record));
    EXPECT_EQ(status.phase, Phase::kPanicked);
    EXPECT_EQ(status.end, EndReason::kGuestPanic);
    co_return co_await driver_->release(record);
  });
}

// Ends.

TEST_F(QemuDriverTest, EventsEndTheGuest) {
  struct Row {
    bool panics;
    Phase phase;
    EndReason end;
  };
  const Row rows[] = {{false, Phase::kEnded, EndReason::kGuestShutdown},
                      {true, Phase::kPanicked, EndReason::kGuestPanic}};
  for (const Row& row : rows) {
    run([&]() -> Task<Result<void>> {
      BLX_CO_TRY(const vm::Record record, co_await start_ready(guest()));
      EXPECT_TRUE(row.panics ? qemu_.panic(record.process) : qemu_.power_off(record.process));
      BLX_CO_TRY(const vm::Status status, co_await next_change(record));
      EXPECT_EQ(status.phase, row.phase);
      EXPECT_EQ(status.end, row.end);
      EXPECT_TRUE(machine_.is_alive(record.process));
      BLX_CO_TRY(co_await driver_->release(record));
      BLX_CO_TRY(co_await expect_nothing_left());
      co_return Result<void>();
    });
  }
}

TEST_F(QemuDriverTest, WhatAnOperatorPausesIsSeen) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Record record, co_await start_ready(guest()));
    BLX_CO_TRY(co_await say_as_operator(record, "stop"));
    BLX_CO_TRY(const vm::Status paused, co_await next_change(record));
    EXPECT_EQ(paused.phase, Phase::kPaused);
    EXPECT_EQ(paused.end, EndReason::kNone);
    BLX_CO_TRY(co_await say_as_operator(record, "cont"));
    BLX_CO_TRY(const vm::Status resumed, co_await next_change(record));
    EXPECT_EQ(resumed.phase, Phase::kRunning);
    co_return co_await driver_->release(record);
  });
}

TEST_F(QemuDriverTest, StopLadderRungByRung) {
  struct Row {
    bool ignores_shutdown;
    std::set<std::string, std::less<>> ignored;
    std::string dies_at;
    EndReason expected;
  };
  const Row rows[] = {
      {false, {}, "", EndReason::kStoppedByAgent},
      {true, {}, "", EndReason::kStoppedByButton},
      {true, {"system_powerdown"}, "", EndReason::kStoppedByQuit},
      {true, {"system_powerdown", "quit"}, "", EndReason::kStoppedByKill},
      {true, {}, "system_powerdown", EndReason::kProcessDied},
      {false, {}, "quit", EndReason::kStoppedByAgent},
  };
  for (const Row& row : rows) {
    run([&]() -> Task<Result<void>> {
      qemu_.faults = sim::QemuFaults();
      BLX_CO_TRY(const vm::Record record, co_await start_ready(guest()));
      qemu_.faults.ignores_shutdown = row.ignores_shutdown;
      qemu_.faults.ignored = row.ignored;
      qemu_.faults.dies_at = row.dies_at;
      const Instant begin = env().clock.monotonic();
      BLX_CO_TRY(const EndReason reason, co_await driver_->stop(record, {}));
      EXPECT_EQ(vm::end_reason_name(reason), vm::end_reason_name(row.expected));
      EXPECT_LE(env().clock.monotonic() - begin, 20s);
      EXPECT_EQ(machine_.processes(), 0u);
      BLX_CO_TRY(co_await driver_->release(record));
      BLX_CO_TRY(co_await expect_nothing_left());
      co_return Result<void>();
    });
  }
}

TEST_F(QemuDriverTest, AnAgentThatAnswersOldNoncesIsNotReady) {
  run([this]() -> Task<Result<void>> {
    qemu_.faults.agent_is_stale = true;
    BLX_CO_TRY(const vm::Record record, co_await start(guest()));
    const auto ready = co_await driver_->wait_ready(record, in(5s));
    EXPECT_TRUE(!ready && ready.error().reason() == "guest_not_ready");
    EXPECT_TRUE(!ready && ready.error().message().contains("booting"));
    BLX_CO_TRY(const vm::Status status, co_await driver_->inspect(record));
    EXPECT_EQ(status.phase, Phase::kStarting);
    qemu_.faults.agent_is_stale = false;
    BLX_CO_TRY(co_await driver_->wait_ready(record, in(5s)));
    co_return co_await driver_->release(record);
  });
}

// Without groups, without records.

TEST_F(QemuDriverTest, WithoutGroupsAProcessEndsByPidStartTimeAndUuid) {
  machine_.set_group_support(env::Process::GroupSupport::kNone);
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Record record, co_await start_ready(guest()));
    qemu_.faults.monitor_silent = true;
    co_await restart_daemon();
    BLX_CO_TRY(co_await driver_->release(record));
    BLX_CO_TRY(co_await expect_nothing_left());
    co_return Result<void>();
  });
}

TEST_F(QemuDriverTest, WithoutGroupsAStrangerWithThePidIsLeftAlone) {
  machine_.set_group_support(env::Process::GroupSupport::kNone);
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Record record, co_await start_ready(guest()));
    qemu_.faults.monitor_silent = true;
    co_await restart_daemon();
    const std::string path = "/proc/" + std::to_string(record.process.pid) + "/cmdline";
    std::string stranger("qemu\0-uuid\0", 11);
    stranger += env().random.uuid().text() + '\0';
    BLX_CO_TRY(co_await env().disk.replace_file(path, stranger));
    BLX_CO_TRY(co_await driver_->release(record));
    EXPECT_TRUE(machine_.is_alive(record.process));
    co_return Result<void>();
  });
}

TEST_F(QemuDriverTest, LeftoversWithoutARecordAreReleased) {
  for (const auto support :
       {env::Process::GroupSupport::kUnified, env::Process::GroupSupport::kNone}) {
    machine_.set_group_support(support);
    run([&]() -> Task<Result<void>> {
      BLX_CO_TRY(const vm::Record record, co_await start_ready(guest()));
      BLX_CO_TRY(co_await env().disk.remove(kVms + "/1/record.json"));
      BLX_CO_TRY(co_await env().disk.make_directory(kVms + "/no-vm"));
      co_await restart_daemon();
      BLX_CO_TRY(const std::vector<VmId> left, co_await driver_->leftovers());
      EXPECT_EQ(left, std::vector<VmId>{VmId(1)});
      BLX_CO_TRY(co_await driver_->release_leftover(VmId(1)));
      BLX_CO_TRY(co_await expect_nothing_left());
      BLX_CO_TRY(const std::vector<VmId> none, co_await driver_->leftovers());
      EXPECT_TRUE(none.empty());
      co_return Result<void>();
    });
  }
}

// The trial of KVM.

class KvmTrialTest : public QemuDriverTest {
 public:
  KvmTrialTest() {
    forced_.reset();
    machine_.kvm() = {.usable = true, .module = "kvm_intel", .loop_time = {}, .explanation = {}};
    qemu_.on_guest = [this](sim::Machine&, const sim::GuestView& guest, bool lives) {
      if (lives) started_.emplace_back(vm::accelerator_name(guest.accelerator));
    };
  }

  using Names = std::vector<std::string>;
  [[nodiscard]] Names started() { return std::exchange(started_, {}); }
  [[nodiscard]] std::optional<std::string> verdict() const {
    return machine_.content(kVms + "/kvm-trial.json");
  }

 private:
  Names started_;  // the accelerators of guests that began to run
};

TEST_F(KvmTrialTest, AGuestThatBootsProvesItOnce) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Record first, co_await start_ready(guest(1)));
    EXPECT_EQ(first.accelerator, Accelerator::kKvm);
    EXPECT_EQ(started(), (Names{"kvm", "kvm"}));
    EXPECT_EQ(machine_.processes(), 1u);
    EXPECT_FALSE(machine_.content(kVms + "/trial/record.json"));
    BLX_CO_TRY(const vm::Record second, co_await start_ready(guest(2)));
    EXPECT_EQ(started(), (Names{"kvm"}));
    co_await restart_driver();
    BLX_CO_TRY(co_await start_ready(guest(3)));
    EXPECT_EQ(started(), (Names{"kvm"}));
    co_return Result<void>();
  });
}

TEST_F(KvmTrialTest, AnotherBootVersionOrModuleIsTriedAgain) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(co_await start_ready(guest(1)));
    EXPECT_EQ(started(), (Names{"kvm", "kvm"}));
    machine_.facts().boot_id = "another";
    co_await restart_driver();
    BLX_CO_TRY(co_await start_ready(guest(2)));
    EXPECT_EQ(started(), (Names{"kvm", "kvm"}));
    machine_.kvm().module = "kvm_amd";
    co_await restart_driver();
    BLX_CO_TRY(co_await start_ready(guest(3)));
    EXPECT_EQ(started(), (Names{"kvm", "kvm"}));
    BLX_CO_TRY(co_await env().disk.replace_file(kVms + "/kvm-trial.json", "{\"boots\":true}"));
    co_await restart_driver();
    BLX_CO_TRY(co_await start_ready(guest(4)));
    EXPECT_EQ(started(), (Names{"kvm", "kvm"}));
    co_return Result<void>();
  });
}

TEST_F(KvmTrialTest, AGuestThatDoesNotBootLeadsToSoftwareEmulation) {
  run([this]() -> Task<Result<void>> {
    qemu_.faults.kvm_boots = false;
    BLX_CO_TRY(const vm::Capabilities before, co_await driver_->probe());
    EXPECT_EQ(before.accelerator, Accelerator::kKvm);
    const Instant begin = env().clock.monotonic();
    BLX_CO_TRY(const vm::Record record, co_await start_ready(guest(1)));
    EXPECT_EQ(record.accelerator, Accelerator::kTcg);
    EXPECT_GE(env().clock.monotonic() - begin, 5s);
    EXPECT_EQ(started(), (Names{"kvm", "tcg"}));
    EXPECT_EQ(machine_.processes(), 1u);
    BLX_CO_TRY(const vm::Capabilities after, co_await driver_->probe());
    EXPECT_EQ(after.accelerator, Accelerator::kTcg);
    EXPECT_EQ(after.accelerator_reason,
              "tcg: KVM (module kvm_intel) did not boot a guest within 5 s; using software "
              "emulation, guests are about 20 times slower");
    // Remembered by the next daemon, from its first question on.
    co_await restart_driver();
    BLX_CO_TRY(const vm::Capabilities next, co_await driver_->probe());
    EXPECT_EQ(next.accelerator, Accelerator::kTcg);
    EXPECT_EQ(next.accelerator_reason, after.accelerator_reason);
    BLX_CO_TRY(co_await start_ready(guest(2)));
    EXPECT_EQ(started(), (Names{"tcg"}));
    co_return Result<void>();
  });
}

TEST_F(KvmTrialTest, ForcedKvmThatDoesNotBootIsAnError) {
  forced_ = Accelerator::kKvm;
  run([this]() -> Task<Result<void>> {
    qemu_.faults.kvm_boots = false;
    for (std::uint64_t number = 1; number <= 2; ++number) {
      const auto refused = co_await start(guest(number));
      EXPECT_TRUE(!refused && refused.error().reason() == "accelerator_unusable");
      EXPECT_TRUE(!refused && refused.error().message().contains("did not boot a guest"));
      EXPECT_TRUE(!refused && refused.error().message().contains("--accelerator tcg"));
      EXPECT_EQ(machine_.processes(), 0u);
    }
    EXPECT_EQ(started(), (Names{"kvm"}));
    // It was mended, and the node started again.
    qemu_.faults.kvm_boots = true;
    co_await restart_driver();
    BLX_CO_TRY(co_await start_ready(guest(3)));
    EXPECT_EQ(started(), (Names{"kvm", "kvm"}));
    co_return Result<void>();
  });
}

TEST_F(KvmTrialTest, FirstStartsAtOnceShareOneTrial) {
  for (const bool boots : {true, false}) {
    run([&]() -> Task<Result<void>> {
      qemu_.faults.kvm_boots = boots;
      machine_.facts().boot_id = boots ? "one" : "two";
      env::Scope scope(env().executor, nullptr);
      for (std::uint64_t number = 1; number <= 4; ++number) {
        scope.spawn([](KvmTrialTest& test, vm::GuestSpec spec, bool native) -> Task<void> {
          const auto record = co_await test.start_ready(std::move(spec));
          EXPECT_TRUE(record.has_value());
          if (record) {
            EXPECT_EQ(record->accelerator == Accelerator::kKvm, native);
          }
        }(*this, guest((boots ? 0 : 10) + number), boots));
      }
      co_await scope.join();
      const Names all = started();
      EXPECT_EQ(std::ranges::count(all, "kvm"), boots ? 5 : 1);
      EXPECT_EQ(std::ranges::count(all, "tcg"), boots ? 0 : 4);
      co_return Result<void>();
    });
  }
}

TEST_F(KvmTrialTest, WhatQemuSaysAboutKvmIsTheReason) {
  run([this]() -> Task<Result<void>> {
    qemu_.faults.kvm_starts_fail = true;
    qemu_.faults.last_words = "Could not access KVM kernel module: Permission denied";
    BLX_CO_TRY(const vm::Record record, co_await start_ready(guest()));
    EXPECT_EQ(record.accelerator, Accelerator::kTcg);
    BLX_CO_TRY(const vm::Capabilities after, co_await driver_->probe());
    EXPECT_TRUE(after.accelerator_reason.contains("Permission denied")) << after.accelerator_reason;
    EXPECT_FALSE(after.accelerator_reason.contains('\n'));
    co_return Result<void>();
  });
}

TEST_F(KvmTrialTest, ABadImageSaysNothingAboutKvm) {
  run([this]() -> Task<Result<void>> {
    qemu_.faults.starts_fail = true;
    qemu_.faults.last_words = "could not load kernel";
    const auto refused = co_await start(guest());
    EXPECT_TRUE(!refused && refused.error().message().contains("could not load kernel"));
    EXPECT_FALSE(verdict());
    qemu_.faults.starts_fail = false;
    BLX_CO_TRY(const vm::Record record, co_await start_ready(guest(2)));
    EXPECT_EQ(record.accelerator, Accelerator::kKvm);
    co_return Result<void>();
  });
}

TEST_F(KvmTrialTest, AnImageThatBootsNowhereSaysNothingAboutKvm) {
  run([this]() -> Task<Result<void>> {
    qemu_.faults.agent_is_stale = true;
    BLX_CO_TRY(const vm::Record record, co_await start(guest()));
    EXPECT_EQ(record.accelerator, Accelerator::kTcg);
    const auto ready = co_await driver_->wait_ready(record, in(10s));
    EXPECT_FALSE(ready.has_value());
    EXPECT_FALSE(verdict());
    BLX_CO_TRY(const vm::Capabilities after, co_await driver_->probe());
    EXPECT_EQ(after.accelerator, Accelerator::kKvm);
    qemu_.faults.agent_is_stale = false;
    BLX_CO_TRY(const vm::Record next, co_await start_ready(guest(2)));
    EXPECT_EQ(next.accelerator, Accelerator::kKvm);
    EXPECT_EQ(started(), (Names{"kvm", "tcg", "kvm", "kvm"}));
    co_return Result<void>();
  });
}

TEST_F(KvmTrialTest, AStartWithLittleTimeSaysNothingAboutKvm) {
  run([this]() -> Task<Result<void>> {
    qemu_.faults.kvm_boots = false;
    const auto late = co_await start(guest(), 2s);
    EXPECT_TRUE(!late && late.error().code() == Code::kDeadlineExceeded);
    EXPECT_FALSE(verdict());
    EXPECT_EQ(machine_.processes(), 0u);
    co_return Result<void>();
  });
}

TEST_F(KvmTrialTest, ATrialThatIsGivenUpEndsItsGuest) {
  for (const bool hangs : {true, false}) {
    run([&]() -> Task<Result<void>> {
      qemu_.faults.kvm_boots = false;
      qemu_.faults.starts_hang = hangs;
      env::Scope scope(env().executor, nullptr);
      scope.spawn([](KvmTrialTest& test) -> Task<void> {
        const auto started = co_await test.start(test.guest());
        EXPECT_TRUE(!started && started.error().code() == Code::kCancelled);
      }(*this));
      BLX_CO_TRY(co_await env().clock.sleep(2s));
      EXPECT_EQ(machine_.processes(), 1u);
      scope.cancel();
      co_await scope.join();
      EXPECT_EQ(machine_.processes(), 0u);
      EXPECT_FALSE(verdict());
      qemu_.faults = sim::QemuFaults();
      BLX_CO_TRY(const vm::Record record, co_await start_ready(guest()));
      EXPECT_EQ(record.accelerator, Accelerator::kKvm);
      BLX_CO_TRY(co_await driver_->release(record));
      BLX_CO_TRY(co_await expect_nothing_left());
      co_return co_await env().disk.remove(kVms + "/kvm-trial.json");
    });
  }
}

TEST_F(KvmTrialTest, ATrialThatADaemonLeftBehindIsALeftover) {
  run([this]() -> Task<Result<void>> {
    qemu_.faults.kvm_boots = false;
    machine_.start([](KvmTrialTest& test) -> Task<void> {
      QemuDriver driver(test.env(), Options{.directory = kVms, .binary = {}, .accelerator = {}});
      const vm::GuestSpec spec = test.guest();
      const auto record = co_await driver.prepare(spec);
      EXPECT_TRUE(record.has_value());
      if (!record) co_return;
      const auto started = co_await driver.start(spec, *record, test.in(15s));
      EXPECT_FALSE(started.has_value());
      co_await driver.close();
    }(*this));
    BLX_CO_TRY(co_await env().clock.sleep(2s));
    EXPECT_EQ(machine_.processes(), 1u);
    machine_.crash_daemon();
    machine_.restart();
    co_await restart_driver();
    BLX_CO_TRY(const std::vector<VmId> left, co_await driver_->leftovers());
    EXPECT_EQ(left, (std::vector<VmId>{VmId(1), vm::kTrialVm}));
    for (const VmId id : left)
      BLX_CO_TRY(co_await driver_->release_leftover(id));
    BLX_CO_TRY(co_await expect_nothing_left());
    co_return Result<void>();
  });
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

}  // namespace
}  // namespace blixard::qemu
