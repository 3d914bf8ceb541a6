// The script against the product's own driver: what both make of each other's words.

#include "sim/qemu/scripted_qemu.h"

#include "env/sync.h"
#include "node/vm/qemu/qemu_driver.h"
#include "sim/host.h"
#include "sim/world.h"

namespace blixard::sim {
namespace {

using env::Task;
using vm::Phase;

// run() keeps each body until it has ended.
// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)

class ScriptedQemuTest : public testing::Test {
 public:
  using Body = std::function<Task<Result<void>>()>;

  ScriptedQemuTest() : machine_(world_.add_machine("a")) {
    qemu_.install(machine_);
    qemu_.on_guest = [this](Machine& machine, const GuestView& guest, bool lives) {
      EXPECT_EQ(&machine, &machine_);
      told_.push_back(guest.uuid.text() + (lives ? " lives" : " ended"));
    };
  }

  void run(Body body) {
    Result<void> result;
    const auto main = [&]() -> Task<void> {
      result = co_await make_images();
      make_driver();
      if (result) result = co_await body();
      if (driver_) co_await driver_->close();
    };
    EXPECT_TRUE(world_.run(main())) << world_.log_lines().back();
    EXPECT_TRUE(result) << result.error().message();
    driver_.reset();
  }

  Task<Result<void>> make_images() {
    BLX_CO_TRY(co_await env().disk.make_directory(kImages));
    for (const char* name : {"/vmlinux", "/initrd"}) {
      BLX_CO_TRY(co_await env().disk.replace_file(kImages + name, "bytes"));
    }
    co_return Result<void>();
  }

  void make_driver() {
    driver_ = std::make_unique<qemu::QemuDriver>(
        machine_.env(), qemu::Options{.directory = "/var/lib/blixard/vms",
                                      .binary = {},
                                      .accelerator = vm::Accelerator::kTcg});
  }
  env::Env env() { return machine_.env(); }
  Instant in(Duration patience) { return env().clock.monotonic() + patience; }

  vm::GuestSpec guest(std::uint64_t number = 1) {
    vm::GuestSpec spec;
    spec.id = VmId(number);
    spec.generation = Generation(1);
    spec.uuid = env().random.uuid();
    spec.name = "vm-" + std::to_string(number);
    spec.kernel_path = kImages + "/vmlinux";
    spec.initrd_path = kImages + "/initrd";
    spec.memory = mib(128 * number);
    return spec;
  }

  Task<Result<vm::Record>> start(vm::GuestSpec spec) {
    BLX_CO_TRY(const vm::Record record, co_await driver_->prepare(spec));
    co_return co_await driver_->start(std::move(spec), record, in(15s));
  }
  Task<Result<vm::Record>> start_ready(vm::GuestSpec spec) {
    BLX_CO_TRY(const vm::Record record, co_await start(std::move(spec)));
    BLX_CO_TRY(co_await driver_->wait_ready(record, in(10s)));
    co_return record;
  }

  // What the driver believes is what is so. One disturbance may cost one answer.
  Task<Result<void>> expect_truth(vm::Record record) {
    BLX_CO_TRY(const vm::Status status, co_await driver_->inspect(record));
    const std::vector<GuestView> guests = qemu_.guests();
    if (guests.empty()) {
      EXPECT_TRUE(status.phase == Phase::kGone || status.phase == Phase::kEnded);
      co_return Result<void>();
    }
    EXPECT_EQ(guests.size(), 1u);
    if (guests[0].status == "paused") {
      EXPECT_EQ(vm::phase_name(status.phase), vm::phase_name(Phase::kPaused));
    } else if (guests[0].status == "running") {
      EXPECT_TRUE(status.phase == Phase::kRunning || status.phase == Phase::kStarting);
    } else {
      EXPECT_EQ(vm::phase_name(status.phase), vm::phase_name(Phase::kEnded));
    }
    co_return Result<void>();
  }

  Task<Result<void>> live_with_noise(vm::GuestSpec spec);

  const std::string kImages = "/var/lib/blixard/images";
  std::vector<std::string> told_;
  ScriptedQemu qemu_;
  World world_{11};
  Machine& machine_;
  std::unique_ptr<qemu::QemuDriver> driver_;
};

TEST_F(ScriptedQemuTest, AGuestFromItsStartToItsEnd) {
  run([this]() -> Task<Result<void>> {
    const vm::GuestSpec spec = guest();
    const Instant begin = env().clock.monotonic();
    BLX_CO_TRY(const vm::Record record, co_await start(spec));
    EXPECT_EQ(told_, std::vector<std::string>{spec.uuid.text() + " lives"});
    std::vector<GuestView> guests = qemu_.guests();
    if (guests.size() != 1) co_return fail(Code::kInternal, "no_guest");
    EXPECT_EQ(guests[0].process, record.process);
    EXPECT_EQ(guests[0].uuid, spec.uuid);
    EXPECT_EQ(guests[0].name, "vm-1");
    EXPECT_EQ(guests[0].memory, mib(128));
    EXPECT_EQ(guests[0].status, "running");
    EXPECT_FALSE(guests[0].booted);
    EXPECT_TRUE(guests[0].is_vm);
    BLX_CO_TRY(co_await driver_->wait_ready(record, in(10s)));
    EXPECT_TRUE(qemu_.guests().at(0).booted);
    EXPECT_GE(env().clock.monotonic() - begin, qemu_.faults.boot.least);
    EXPECT_LE(env().clock.monotonic() - begin, qemu_.faults.boot.most + 500ms);
    BLX_CO_TRY(const std::string console, co_await driver_->console(record, 100));
    EXPECT_EQ(console, "booting\nvm-1 ready\n");

    // What waited for a paused guest is answered when it runs.
    BLX_CO_TRY(co_await driver_->pause(record));
    const auto deaf = co_await driver_->wait_ready(record, in(3s));
    EXPECT_TRUE(!deaf && deaf.error().reason() == "guest_not_ready");
    BLX_CO_TRY(co_await driver_->resume(record));
    BLX_CO_TRY(co_await driver_->wait_ready(record, in(3s)));

    BLX_CO_TRY(const vm::EndReason reason, co_await driver_->stop(record, {}));
    EXPECT_EQ(reason, vm::EndReason::kStoppedByAgent);
    EXPECT_EQ(told_.back(), spec.uuid.text() + " ended");
    EXPECT_EQ(told_.size(), 2u);
    EXPECT_TRUE(qemu_.guests().empty());
    co_return co_await driver_->release(record);
  });
}

TEST_F(ScriptedQemuTest, EveryEndIsToldInTheStepOfTheEnd) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Record killed, co_await start(guest(1)));
    machine_.kill_process(killed.process);
    EXPECT_EQ(told_.back(), killed.uuid.text() + " ended");
    BLX_CO_TRY(const vm::Record crashed, co_await start(guest(2)));
    qemu_.faults.dies_at = "stop";
    EXPECT_FALSE((co_await driver_->pause(crashed)).has_value());
    EXPECT_EQ(told_.back(), crashed.uuid.text() + " ended");
    BLX_CO_TRY(const vm::Record lives_on, co_await start(guest(3)));
    BLX_CO_TRY(const vm::Record large, co_await start(guest(4)));
    BLX_CO_TRY(co_await driver_->release(crashed));
    EXPECT_EQ(qemu_.largest()->process, large.process);
    co_await driver_->close();
    const std::size_t so_far = told_.size();
    machine_.crash_daemon();
    EXPECT_EQ(qemu_.guests().size(), 2u);
    EXPECT_EQ(told_.size(), so_far);
    machine_.lose_power();
    EXPECT_TRUE(qemu_.guests().empty());
    EXPECT_EQ(told_.size(), so_far + 2);
    EXPECT_EQ(told_[so_far], lives_on.uuid.text() + " ended");
    machine_.restart();
    EXPECT_FALSE(machine_.content("/proc/" + std::to_string(large.process.pid) + "/cmdline"));
    make_driver();
    BLX_CO_TRY(const vm::Status status, co_await driver_->inspect(large));
    EXPECT_EQ(status.phase, Phase::kGone);
    co_return Result<void>();
  });
}

TEST_F(ScriptedQemuTest, WhoNeverRunsIsNotTold) {
  run([this]() -> Task<Result<void>> {
    qemu_.faults.starts_fail = true;
    EXPECT_FALSE((co_await start(guest(1))).has_value());
    qemu_.faults = QemuFaults();
    qemu_.faults.starts_hang = true;
    EXPECT_FALSE((co_await start(guest(2))).has_value());
    qemu_.faults = QemuFaults();
    vm::GuestSpec bare = guest(3);
    BLX_CO_TRY(const vm::Record prepared, co_await driver_->prepare(bare));
    BLX_CO_TRY(co_await env().disk.remove(kImages + "/initrd"));
    const auto started = co_await driver_->start(bare, prepared, in(15s));
    EXPECT_TRUE(!started && started.error().message().contains("could not open")) << "initrd";
    EXPECT_TRUE(told_.empty());
    EXPECT_EQ(qemu_.started(), 3u);
    co_return Result<void>();
  });
}

TEST_F(ScriptedQemuTest, PublishedPortsAreTaken) {
  run([this]() -> Task<Result<void>> {
    vm::GuestSpec spec = guest();
    spec.published = {{.host_port = 8080, .guest_port = 80}};
    BLX_CO_TRY(const vm::Record prepared, co_await driver_->prepare(spec));
    const auto port = env::Endpoint::tcp("127.0.0.1", 8080);
    {
      BLX_CO_TRY(const auto stranger, co_await env().network.listen(port));
      const auto refused = co_await driver_->start(spec, prepared, in(15s));
      EXPECT_TRUE(!refused && refused.error().message().contains("forwarding rule"));
    }
    BLX_CO_TRY(const vm::Record record, co_await driver_->start(spec, prepared, in(15s)));
    EXPECT_FALSE((co_await env().network.listen(port)).has_value());
    BLX_CO_TRY(co_await driver_->release(record));
    EXPECT_TRUE((co_await env().network.listen(port)).has_value());
    co_return Result<void>();
  });
}

TEST_F(ScriptedQemuTest, WhatASilentMonitorWasToldIsDoneAfterwards) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Record record, co_await start_ready(guest()));
    qemu_.faults.monitor_silent = true;
    const auto paused = co_await driver_->pause(record);
    EXPECT_TRUE(!paused && paused.error().code() == Code::kDeadlineExceeded);
    EXPECT_EQ(qemu_.guests().at(0).status, "running");
    qemu_.faults.monitor_silent = false;
    BLX_CO_TRY(const vm::Status status,
               co_await env::with_deadline(env().executor, env().clock, in(5s),
                                           driver_->next_change(record)));
    EXPECT_EQ(status.phase, Phase::kPaused);
    EXPECT_EQ(qemu_.guests().at(0).status, "paused");
    qemu_.faults.answer_delay = {300ms, 900ms};
    BLX_CO_TRY(co_await driver_->resume(record));
    BLX_CO_TRY(co_await expect_truth(record));
    co_return co_await driver_->release(record);
  });
}

// A life in which one answer is noise: each call ends with success or an error, and by then or
// after one more attempt the driver is right about the guest.
Task<Result<void>> ScriptedQemuTest::live_with_noise(vm::GuestSpec spec) {
  auto record = co_await start_ready(spec);
  if (!record) {
    EXPECT_TRUE(qemu_.faults.noise.empty());
    BLX_CO_TRY(record, co_await start_ready(spec));
  }
  BLX_CO_TRY(co_await env().clock.sleep(2s));
  BLX_CO_TRY(co_await expect_truth(*record));
  ignore(co_await driver_->pause(*record), "the truth is what counts");
  BLX_CO_TRY(co_await env().clock.sleep(3s));
  BLX_CO_TRY(co_await expect_truth(*record));
  if (qemu_.guests().at(0).status == "paused") {
    ignore(co_await driver_->resume(*record), "as above");
    BLX_CO_TRY(co_await env().clock.sleep(3s));
    BLX_CO_TRY(co_await expect_truth(*record));
  }
  EXPECT_EQ(qemu_.guests().size(), 1u);
  BLX_CO_TRY(co_await driver_->stop(*record, {}));
  BLX_CO_TRY(co_await expect_truth(*record));
  BLX_CO_TRY(co_await driver_->release(*record));
  EXPECT_EQ(machine_.processes(), 0u);
  co_return Result<void>();
}

TEST_F(ScriptedQemuTest, EachNoiseAtEachCommandIsSurvived) {
  const char* commands[] = {"",     "qmp_capabilities", "query-uuid",       "query-status",
                            "stop", "ringbuf-read",     "system_powerdown", "quit",
                            "cont"};
  for (const MonitorNoise& noise : kMonitorNoise) {
    for (const char* command : commands) {
      const std::string name = std::string(noise.name) + " at '" + command + "'";
      SCOPED_TRACE(name);
      run([&]() -> Task<Result<void>> {
        qemu_.faults = QemuFaults();
        qemu_.faults.noise = noise.text;
        qemu_.faults.noise_at = command;
        qemu_.faults.ignores_shutdown = std::string_view(command) == "system_powerdown";
        const auto lived = co_await live_with_noise(guest());
        EXPECT_TRUE(lived) << name << ": " << lived.error().message();
        EXPECT_TRUE(qemu_.faults.noise.empty()) << name << " was never said";
        co_return Result<void>();
      });
    }
  }
}

// A simulated cluster runs many guests for days of virtual time: what an idle one costs is bounded.
TEST_F(ScriptedQemuTest, AnIdleGuestCostsLittle) {
  run([this]() -> Task<Result<void>> {
    const Engine& engine = machine_.host().engine;
    BLX_CO_TRY(const vm::Record record, co_await start_ready(guest()));
    BLX_CO_TRY(co_await env().clock.sleep(2s));
    const std::uint64_t before = engine.steps();
    BLX_CO_TRY(co_await env().clock.sleep(100s));
    const std::uint64_t with_driver = (engine.steps() - before) / 100;
    co_await driver_->close();
    BLX_CO_TRY(co_await env().clock.sleep(2s));
    const std::uint64_t alone = engine.steps();
    BLX_CO_TRY(co_await env().clock.sleep(100s));
    EXPECT_LE(engine.steps() - alone, 5u);  // this task's own
    EXPECT_LE(with_driver, 200u) << "events and resumptions a second";
    RecordProperty("steps_a_second", std::to_string(with_driver));
    make_driver();
    co_return co_await driver_->release(record);
  });
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

}  // namespace
}  // namespace blixard::sim
