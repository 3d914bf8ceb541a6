// Saves and loads that go wrong, against a scripted QEMU. What goes right is the suite's.

#include <array>
#include <vector>

#include "node/vm/driver_suite_steps.h"
#include "node/vm/qemu/state_transfer.h"
#include "node/vm/qemu/test_scripted_host.h"

namespace blixard::qemu {
namespace {

using env::Task;
using vm::Phase;

class Memory final : public vm::StateSink, public vm::StateSource {
 public:
  Task<Result<void>> write(std::string_view piece) override {
    bytes += piece;
    co_return Result<void>();
  }
  Task<Result<std::size_t>> read(std::span<char> buffer) override {
    const std::size_t count = bytes.copy(buffer.data(), buffer.size(), read_);
    read_ += count;
    co_return count;
  }

  std::string bytes;

 private:
  std::size_t read_ = 0;
};

// It takes no more than so many pieces.
class Stuck final : public vm::StateSink {
 public:
  explicit Stuck(env::Clock& clock, int pieces = 0) : clock_(clock), left_(pieces) {}
  Task<Result<void>> write(std::string_view) override {
    if (left_-- > 0) co_return Result<void>();
    is_stuck = true;
    co_return co_await clock_.sleep_until(Instant::never());
  }

  bool is_stuck = false;

 private:
  env::Clock& clock_;
  int left_;
};

// run() keeps each body until it has ended.
// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)

class SaveTest : public ScriptedTest {
 public:
  Task<Result<std::shared_ptr<Memory>>> save(vm::Record record) {
    auto memory = std::make_shared<Memory>();
    BLX_CO_TRY(co_await driver().save(std::move(record), memory, in(5s)));
    co_return memory;
  }
  // Its VM is to go on from there.
  Task<Result<vm::GuestSpec>> saved_guest() {
    vm::GuestSpec spec = host_.guest("");
    BLX_CO_TRY(const vm::Record record, co_await start_ready(spec));
    BLX_CO_TRY(spec.resumes, co_await save(record));
    BLX_CO_TRY(co_await driver().release(record));
    co_return spec;
  }
  Task<Result<void>> expect_paused(vm::Record record) {
    BLX_CO_TRY(const vm::Status status, co_await driver().inspect(std::move(record)));
    EXPECT_EQ(status.phase, Phase::kPaused);
    co_return Result<void>();
  }
  // It goes on, and can be saved.
  Task<Result<void>> expect_whole(vm::Record record) {
    BLX_CO_TRY(co_await driver().resume(record));
    BLX_CO_TRY(co_await driver().wait_ready(record, in(5s)));
    BLX_CO_TRY(const auto memory, co_await save(record));
    EXPECT_FALSE(memory->bytes.empty());
    co_return co_await driver().release(record);
  }
};

TEST_F(SaveTest, ALoadedGuestLivesFromItsFirstStepOn) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const vm::GuestSpec spec, co_await saved_guest());
    std::vector<bool> told;
    qemu_.on_guest = [&told](sim::Machine&, const sim::GuestView&, bool lives) {
      told.push_back(lives);
    };
    BLX_CO_TRY(const vm::Record record, co_await start(spec));
    BLX_CO_TRY(co_await host_.env().clock.sleep(5s));
    EXPECT_TRUE(told.empty());
    BLX_CO_TRY(co_await driver().resume(record));
    EXPECT_EQ(told, std::vector<bool>{true});
    EXPECT_FALSE(qemu_.guests().at(0).identified);
    BLX_CO_TRY(co_await driver().wait_ready(record, in(5s)));
    const sim::GuestView guest = qemu_.guests().at(0);
    EXPECT_TRUE(guest.identified && !guest.damaged && guest.save != 0);
    EXPECT_EQ(guest.host_name, spec.name);
    BLX_CO_TRY(co_await driver().release(record));
    EXPECT_EQ(told, (std::vector<bool>{true, false}));
    qemu_.on_guest = {};
    co_return Result<void>();
  });
}

TEST_F(SaveTest, AFailedSaveLeavesAGuestThatGoesOn) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Record record, co_await start_ready(host_.guest("")));
    qemu_.faults.save_fails = true;
    const auto saved = co_await save(record);
    EXPECT_TRUE(!saved && saved.error().reason() == "save_failed");
    EXPECT_TRUE(!saved && saved.error().detail().contains("Broken pipe"));
    BLX_CO_TRY(co_await expect_paused(record));
    qemu_.faults.save_fails = false;
    co_return co_await expect_whole(record);
  });
}

TEST_F(SaveTest, AGuestThatDiesOfItsSaveHasEnded) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Record record, co_await start_ready(host_.guest("")));
    qemu_.faults.dies_at = "migrate";
    const auto saved = co_await save(record);
    EXPECT_TRUE(!saved && saved.error().reason() == "guest_ended");
    BLX_CO_TRY(const vm::Status status, co_await driver().inspect(record));
    EXPECT_EQ(status.end, vm::EndReason::kProcessDied);
    co_return co_await driver().release(record);
  });
}

TEST_F(SaveTest, AQemuWithoutSharedMemorySavesToo) {
  run([this]() -> Task<Result<void>> {
    qemu_.faults.no_ignore_shared = true;
    BLX_CO_TRY(const vm::GuestSpec spec, co_await saved_guest());
    BLX_CO_TRY(const vm::Record record, co_await start(spec));
    co_return co_await expect_whole(record);
  });
}

TEST_F(SaveTest, AQemuWithoutSharedMemoryClonesFromTheWholeState) {
  run([this]() -> Task<Result<void>> {
    qemu_.faults.no_ignore_shared = true;
    BLX_CO_TRY(const vm::Template made, co_await vm::suite::make_template(host_, host_.guest("")));
    EXPECT_EQ(made.files.size(), 1u);
    BLX_CO_TRY(const auto entries, co_await host_.env().disk.list(made.directory));
    EXPECT_EQ(entries.size(), 1u);
    for (int i = 0; i < 2; ++i) {
      BLX_CO_TRY(const auto clone, co_await vm::suite::clone_ready(host_, made));
      BLX_CO_TRY(const vm::GuestInside inside, co_await host_.look_inside(clone.record));
      EXPECT_EQ(inside.name, clone.spec.name);
      BLX_CO_TRY(co_await driver().release(clone.record));
    }

    const std::string path = env::join_path(made.directory, made.files.front().name);
    BLX_CO_TRY(const auto file, co_await host_.env().disk.open(path, env::OpenMode::kReadWrite));
    const std::array<std::string_view, 1> bytes{"x"};
    BLX_CO_TRY(co_await file->write_at(made.files.front().size.value / 2, bytes));
    vm::GuestSpec spec = host_.guest("");
    spec.clone_of = made;
    const auto damaged = co_await start(spec);
    EXPECT_TRUE(!damaged && damaged.error().reason() == "template_unusable");
    BLX_CO_TRY(co_await driver().release_leftover(spec.id));
    co_return co_await vm::suite::remove_template(host_, made);
  });
}

TEST_F(SaveTest, WhatIsTooLargeIsNotTaken) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Record record, co_await start_ready(host_.guest("")));
    co_await driver().close();
    BLX_CO_TRY(auto child, co_await host_.env().process.adopt(record.process));
    RunningVm vm(host_.env(), record, std::move(child), record.directory + "/output");
    const auto connected = co_await vm.connect(in(5s));
    Memory memory;
    const auto saved =
        co_await save_state(host_.env(), vm, memory, StateOf::kWholeGuest, 1000, in(5s));
    EXPECT_TRUE(!saved && saved.error().code() == Code::kResourceExhausted);
    EXPECT_TRUE(!saved && saved.error().reason() == "state_too_large");
    EXPECT_LE(memory.bytes.size(), 1000u);
    EXPECT_EQ(vm.phase(), Phase::kPaused);
    co_await vm.close();
    BLX_CO_TRY(connected);
    BLX_CO_TRY(co_await host_.restart_driver(vm::HypervisorFault::kNone));
    co_return co_await expect_whole(record);
  });
}

TEST_F(SaveTest, AGuestGoesOnWhereverItsSaveWasGivenUp) {
  for (const int pieces : {0, 1, 2}) {
    run([&]() -> Task<Result<void>> {
      BLX_CO_TRY(const vm::Record record, co_await start_ready(host_.guest("")));
      const auto stuck = std::make_shared<Stuck>(host_.env().clock, pieces);
      env::Scope scope(host_.env().executor, nullptr);
      scope.spawn([](SaveTest& test, vm::Record what, std::shared_ptr<Stuck> sink) -> Task<void> {
        EXPECT_FALSE(co_await test.driver().save(std::move(what), sink, test.in(1min)));
      }(*this, record, stuck));
      while (!stuck->is_stuck)
        BLX_CO_TRY(co_await host_.env().clock.sleep(1us));
      scope.cancel();
      co_await scope.join();
      co_return co_await expect_whole(record);
    });
  }
}

TEST_F(SaveTest, ADaemonThatDiesInASaveLeavesThePausedGuest) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Record record, co_await start_ready(host_.guest("")));
    env::Scope scope(host_.env().executor, nullptr);
    scope.spawn([](SaveTest& test, vm::Record what) -> Task<void> {
      const auto stuck = std::make_shared<Stuck>(test.host_.env().clock);
      EXPECT_FALSE(co_await test.driver().save(std::move(what), stuck, test.in(1min)));
    }(*this, record));
    BLX_CO_TRY(co_await host_.env().clock.sleep(1s));
    scope.cancel();
    co_await scope.join();
    co_await driver().close();
    machine_.crash_daemon();
    machine_.restart();
    BLX_CO_TRY(co_await host_.restart_driver(vm::HypervisorFault::kNone));
    BLX_CO_TRY(const vm::Status status, co_await driver().adopt(record));
    EXPECT_EQ(status.phase, Phase::kPaused);
    co_return co_await expect_whole(record);
  });
}

TEST_F(SaveTest, LoadsThatFailAreTold) {
  struct Row {
    const char* name;
    std::function<void(sim::QemuFaults&)> fault;
    Code code;
    std::string_view reason;
  };
  const Row rows[] = {
      {"fails", [](auto& faults) { faults.load_fails = true; }, Code::kDataLoss,
       "saved_state_unusable"},
      {"dies", [](auto& faults) { faults.dies_at = "migrate-incoming"; }, Code::kDataLoss,
       "saved_state_unusable"},
      {"stalls", [](auto& faults) { faults.load_stalls = true; }, Code::kDeadlineExceeded,
       "start_failed"},
      // The state is not to blame.
      {"no start", [](auto& faults) { faults.starts_fail = true; }, Code::kInternal,
       "start_failed"},
  };
  for (const Row& row : rows) {
    run([&]() -> Task<Result<void>> {
      BLX_CO_TRY(vm::GuestSpec spec, co_await saved_guest());
      row.fault(qemu_.faults);
      BLX_CO_TRY(const vm::Record prepared, co_await driver().prepare(spec));
      const Instant begin = host_.env().clock.monotonic();
      const auto started = co_await driver().start(spec, prepared, in(3s));
      EXPECT_TRUE(!started && started.error().code() == row.code) << row.name;
      EXPECT_TRUE(!started && started.error().reason() == row.reason) << row.name;
      EXPECT_LE(host_.env().clock.monotonic() - begin, 5s);
      EXPECT_EQ(machine_.processes(), 0u) << row.name;
      qemu_.faults = {};
      spec.resumes.reset();
      BLX_CO_TRY(const vm::Record record, co_await start_ready(spec));
      co_return co_await driver().release(record);
    });
  }
}

TEST_F(SaveTest, AGuestThatRefusesToBeToldIsNotReady) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const vm::GuestSpec spec, co_await saved_guest());
    qemu_.faults.refuses_identity = true;
    BLX_CO_TRY(const vm::Record record, co_await start(spec));
    BLX_CO_TRY(co_await driver().resume(record));
    const auto ready = co_await driver().wait_ready(record, in(5s));
    EXPECT_TRUE(!ready && ready.error().code() == Code::kDataLoss);
    EXPECT_TRUE(!ready && ready.error().reason() == "saved_state_unusable");
    co_return co_await driver().release(record);
  });
}

TEST_F(SaveTest, AnAgentThatCannotTakeTheTimeDoesNotKeepAGuestPaused) {
  for (const bool is_deaf : {false, true}) {
    run([&]() -> Task<Result<void>> {
      BLX_CO_TRY(const vm::Record record, co_await start_ready(host_.guest("")));
      qemu_.faults.refuses_identity = !is_deaf;
      qemu_.faults.agent_is_stale = is_deaf;
      BLX_CO_TRY(co_await driver().pause(record));
      const Instant begin = host_.env().clock.monotonic();
      BLX_CO_TRY(co_await driver().resume(record));
      EXPECT_LE(host_.env().clock.monotonic() - begin, 1100ms);
      BLX_CO_TRY(const vm::Status status, co_await driver().inspect(record));
      EXPECT_EQ(status.phase, Phase::kRunning);
      qemu_.faults = {};
      co_return co_await driver().release(record);
    });
  }
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

}  // namespace
}  // namespace blixard::qemu
