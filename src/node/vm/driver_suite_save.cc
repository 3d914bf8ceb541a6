// Guests that are saved, run on, and go on in another process.

#include <memory>
#include <set>

#include "node/vm/driver_suite_steps.h"

namespace blixard::vm::suite {
namespace {

using env::Task;

constexpr Duration kSaveMax = 30s;
constexpr Duration kStandStill = 3s;  // more than a clock may be wrong by
constexpr std::int64_t kClockErrorMaxMs = 1000;
constexpr std::size_t kPieceMax = std::size_t{256} << 10;

// Keeps what is saved, in memory.
class Memory final : public StateSink {
 public:
  explicit Memory(std::size_t bytes_max = std::string::npos) : bytes_max_(bytes_max) {}

  Task<Result<void>> write(std::string_view piece) override {
    if (piece.size() > kPieceMax) co_return fail(Code::kInternal, "piece_too_large");
    if (piece.size() > bytes_max_ - bytes.size()) {
      co_return fail(Code::kResourceExhausted, "sink_full");
    }
    bytes.append(piece);
    co_return Result<void>();
  }

  std::string bytes;

 private:
  std::size_t bytes_max_;
};

// Takes the first piece, and then nothing until it is given up.
class Stuck final : public StateSink {
 public:
  explicit Stuck(env::Clock& clock) : clock_(clock) {}

  Task<Result<void>> write(std::string_view) override {
    is_reached = true;
    co_return co_await clock_.sleep_until(Instant::never());
  }

  bool is_reached = false;

 private:
  env::Clock& clock_;
};

enum class Damage : std::uint8_t {
  kNone,
  kTold,        // at the end: it was something else that was saved
  kCut,         // half of it is missing, and nobody noticed
  kEmpty,       // all of it is
  kScrambled,   // from the first byte on, and nobody noticed
  kUnreadable,  // half way, where it is kept
};

class Giver final : public StateSource {
 public:
  Giver(std::shared_ptr<const Memory> saved, Damage damage)
      : saved_(std::move(saved)), damage_(damage) {}

  Task<Result<std::size_t>> read(std::span<char> buffer) override {
    const std::size_t size = saved_->bytes.size();
    const bool is_short = damage_ == Damage::kCut || damage_ == Damage::kUnreadable;
    const std::size_t end = damage_ == Damage::kEmpty ? 0 : is_short ? size / 2 : size;
    const std::size_t count = std::min(buffer.size(), end - read_);
    if (count == 0 && damage_ == Damage::kTold) co_return fail(Code::kDataLoss, "not_the_same");
    if (count == 0 && damage_ == Damage::kUnreadable) {
      co_return fail(Code::kUnavailable, "io_error");
    }
    std::copy_n(saved_->bytes.begin() + static_cast<std::ptrdiff_t>(read_), count, buffer.begin());
    if (damage_ == Damage::kScrambled) {
      for (char& c : buffer.first(count))
        c = static_cast<char>(c ^ 0x55);
    }
    read_ += count;
    co_return count;
  }

 private:
  std::shared_ptr<const Memory> saved_;
  Damage damage_;
  std::size_t read_ = 0;
};

Task<Result<std::shared_ptr<Memory>>> save(SuiteHost& host, Record record) {
  auto memory = std::make_shared<Memory>();
  BLX_CO_TRY(co_await host.driver().save(record, memory, after(host, kSaveMax)));
  BLX_EXPECT(!memory->bytes.empty());
  BLX_CO_TRY(const Status status, co_await host.driver().inspect(record));
  BLX_EXPECT_STATUS(status, Phase::kPaused, EndReason::kNone);
  co_return memory;
}

GuestSpec to_go_on(GuestSpec spec, std::shared_ptr<const Memory> saved,
                   Damage damage = Damage::kNone) {
  spec.generation = spec.generation.next();
  spec.clone_of.reset();
  spec.resumes = std::make_shared<Giver>(std::move(saved), damage);
  return spec;
}

// Loaded, and not let run.
Task<Result<Started>> load(SuiteHost& host, GuestSpec spec, std::shared_ptr<const Memory> saved) {
  BLX_CO_TRY(Started loaded,
             co_await start_spec(host, to_go_on(std::move(spec), std::move(saved))));
  BLX_EXPECT(loaded.record.is_resumed && loaded.record.template_key.empty());
  BLX_CO_TRY(const Status status, co_await host.driver().inspect(loaded.record));
  BLX_EXPECT_STATUS(status, Phase::kPaused, EndReason::kNone);
  co_return loaded;
}

Task<Result<void>> let_run(SuiteHost& host, Record record) {
  BLX_CO_TRY(co_await host.driver().resume(record));
  BLX_CO_TRY(co_await host.driver().wait_ready(record, after(host, kBootMax)));
  BLX_CO_TRY(const Status status, co_await host.driver().inspect(record));
  BLX_EXPECT_STATUS(status, Phase::kRunning, EndReason::kNone);
  co_return Result<void>();
}

// The guest of a VM whose process is gone afterwards.
struct Saved {
  GuestSpec spec;
  GuestInside inside;  // before the save
  std::shared_ptr<Memory> memory;
};

Task<Result<Saved>> save_and_release(SuiteHost& host, Started vm) {
  Saved saved{.spec = vm.spec, .inside = {}, .memory = {}};
  BLX_CO_TRY(saved.inside, co_await host.look_inside(vm.record));
  BLX_CO_TRY(saved.memory, co_await save(host, vm.record));
  BLX_CO_TRY(co_await release_all(host, vm.record));
  co_return saved;
}

Task<Result<Saved>> make_saved(SuiteHost& host) {
  BLX_CO_TRY(Started vm, co_await start_ready(host, ""));
  co_return co_await save_and_release(host, std::move(vm));
}

Task<Result<GuestInside>> expect_the_same(SuiteHost& host, Record record, GuestInside before) {
  BLX_CO_TRY(GuestInside inside, co_await host.look_inside(record));
  BLX_EXPECT(!inside.boot.empty() && inside.boot == before.boot);
  BLX_EXPECT(!inside.name.empty() && inside.name == before.name);
  BLX_EXPECT(inside.machine_id.size() == 32 && inside.machine_id == before.machine_id);
  BLX_EXPECT(!inside.mac.empty() && inside.mac == before.mac);
  BLX_EXPECT(inside.random.size() == 64 && inside.random != before.random);
  co_return inside;
}

Task<Result<void>> expect_the_time(SuiteHost& host, Record record) {
  const WallTime before = host.env().clock.wall();
  BLX_CO_TRY(const GuestInside inside, co_await host.look_inside(record));
  const WallTime later = host.env().clock.wall();
  BLX_EXPECT(inside.clock.unix_ms >= before.unix_ms - kClockErrorMaxMs);
  BLX_EXPECT(inside.clock.unix_ms <= later.unix_ms + kClockErrorMaxMs);
  co_return Result<void>();
}

Task<Result<void>> saves_and_resumes_elsewhere(SuiteHost& host) {
  BLX_CO_TRY(const Capabilities capabilities, co_await host.driver().probe());
  BLX_EXPECT(capabilities.snapshot);
  BLX_CO_TRY(const Saved saved, co_await make_saved(host));
  // Also what was saved once may go on twice: no two share a random byte.
  std::set<std::string> random{saved.inside.random};
  for (int i = 0; i < 2; ++i) {
    BLX_CO_TRY(const Started vm, co_await load(host, saved.spec, saved.memory));
    BLX_CO_TRY(co_await let_run(host, vm.record));
    BLX_CO_TRY(const GuestInside inside, co_await expect_the_same(host, vm.record, saved.inside));
    BLX_EXPECT(random.insert(inside.random).second);
    BLX_CO_TRY(const Record again,
               co_await host.driver().start(vm.spec, vm.record, after(host, kStartMax)));
    BLX_EXPECT(again.process == vm.record.process && again.is_resumed);

    BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
    BLX_CO_TRY(const Record read, Record::decode(vm.record.encode()));
    BLX_CO_TRY(const Status adopted, co_await host.driver().adopt(read));
    BLX_EXPECT_STATUS(adopted, Phase::kRunning, EndReason::kNone);
    BLX_CO_TRY(co_await host.driver().wait_ready(read, after(host, kBootMax)));
    BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(read, kPatientLadder));
    BLX_EXPECT(reason == EndReason::kStoppedByAgent);
    BLX_CO_TRY(co_await release_all(host, read));
  }
  co_return Result<void>();
}

Task<Result<void>> runs_on_after_a_save(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_ready(host, ""));
  BLX_CO_TRY(const GuestInside inside, co_await host.look_inside(vm.record));
  std::shared_ptr<Memory> last;
  for (int i = 0; i < 3; ++i) {
    BLX_CO_TRY(last, co_await save(host, vm.record));
    BLX_CO_TRY(co_await let_run(host, vm.record));
    BLX_CO_TRY(co_await expect_the_same(host, vm.record, inside));
  }
  // One that stands still already does so afterwards, however often it is saved.
  BLX_CO_TRY(co_await host.driver().pause(vm.record));
  for (int i = 0; i < 2; ++i) {
    BLX_CO_TRY(last, co_await save(host, vm.record));
  }
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(const Status adopted, co_await host.driver().adopt(vm.record));
  BLX_EXPECT_STATUS(adopted, Phase::kPaused, EndReason::kNone);
  BLX_CO_TRY(co_await let_run(host, vm.record));
  BLX_CO_TRY(co_await expect_the_same(host, vm.record, inside));
  BLX_CO_TRY(co_await host.power_off_inside(vm.record));
  BLX_CO_TRY(const Status ended, co_await host.driver().next_change(vm.record));
  BLX_EXPECT(ended.phase == Phase::kEnded || ended.phase == Phase::kRunning);
  if (ended.phase == Phase::kRunning) {
    BLX_CO_TRY(co_await host.driver().next_change(vm.record));
  }
  BLX_EXPECT_REFUSED(
      co_await host.driver().save(vm.record, std::make_shared<Memory>(), after(host, kSaveMax)),
      Code::kFailedPrecondition, "guest_ended");
  BLX_CO_TRY(co_await release_all(host, vm.record));
  // The last of the saves is as good as the first.
  BLX_CO_TRY(const Started resumed, co_await load(host, vm.spec, last));
  BLX_CO_TRY(co_await let_run(host, resumed.record));
  BLX_CO_TRY(co_await expect_the_same(host, resumed.record, inside));
  co_return co_await release_all(host, resumed.record);
}

Task<Result<void>> resumed_guest_keeps_time(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_ready(host, ""));
  BLX_CO_TRY(co_await host.driver().pause(vm.record));
  BLX_CO_TRY(co_await host.env().clock.sleep(kStandStill));
  BLX_CO_TRY(co_await host.driver().resume(vm.record));
  BLX_CO_TRY(co_await expect_the_time(host, vm.record));
  BLX_CO_TRY(std::shared_ptr<Memory> saved, co_await save(host, vm.record));
  BLX_CO_TRY(co_await host.env().clock.sleep(kStandStill));
  BLX_CO_TRY(co_await host.driver().resume(vm.record));
  BLX_CO_TRY(co_await expect_the_time(host, vm.record));
  BLX_CO_TRY(co_await release_all(host, vm.record));
  BLX_CO_TRY(const Started resumed, co_await load(host, vm.spec, std::move(saved)));
  BLX_CO_TRY(co_await host.env().clock.sleep(kStandStill));
  BLX_CO_TRY(co_await let_run(host, resumed.record));
  BLX_CO_TRY(co_await expect_the_time(host, resumed.record));
  co_return co_await release_all(host, resumed.record);
}

Task<Result<void>> damaged_saved_state_is_refused(SuiteHost& host) {
  BLX_CO_TRY(const Saved saved, co_await make_saved(host));
  BLX_CO_TRY(const Record prepared, co_await host.driver().prepare(saved.spec));
  for (const Damage damage : {Damage::kTold, Damage::kCut, Damage::kEmpty, Damage::kScrambled}) {
    BLX_EXPECT_REFUSED(co_await host.driver().start(to_go_on(saved.spec, saved.memory, damage),
                                                    prepared, after(host, kStartMax)),
                       Code::kDataLoss, "saved_state_unusable");
    BLX_CO_TRY(const Status status, co_await host.driver().inspect(prepared));
    BLX_EXPECT(status.phase == Phase::kGone);
  }
  // Nothing is said of a state that could not be read.
  BLX_EXPECT_REFUSED(
      co_await host.driver().start(to_go_on(saved.spec, saved.memory, Damage::kUnreadable),
                                   prepared, after(host, kStartMax)),
      Code::kUnavailable, "io_error");
  // It was the damage, and nothing else.
  BLX_CO_TRY(const Started resumed, co_await load(host, saved.spec, saved.memory));
  BLX_CO_TRY(co_await let_run(host, resumed.record));
  BLX_CO_TRY(co_await release_all(host, resumed.record));

  BLX_CO_TRY(const Started booted, co_await start_spec(host, saved.spec));
  BLX_EXPECT(!booted.record.is_resumed);
  BLX_CO_TRY(co_await host.driver().wait_ready(booted.record, after(host, kBootMax)));
  BLX_CO_TRY(const GuestInside inside, co_await host.look_inside(booted.record));
  BLX_EXPECT(inside.boot != saved.inside.boot);
  co_return co_await release_all(host, booted.record);
}

Task<Result<void>> saved_guest_is_loaded_and_not_run(SuiteHost& host) {
  BLX_CO_TRY(const Saved saved, co_await make_saved(host));
  GuestSpec both = to_go_on(saved.spec, saved.memory);
  both.clone_of = Template{};
  BLX_EXPECT_REFUSED(co_await host.driver().prepare(both), Code::kInvalidArgument, "spec_invalid");
  BLX_CO_TRY(const Started vm, co_await load(host, saved.spec, saved.memory));
  const auto ready = co_await host.driver().wait_ready(vm.record, after(host, 1s));
  BLX_EXPECT(!ready && ready.error().code() == Code::kDeadlineExceeded);
  BLX_CO_TRY(const Status status, co_await host.driver().inspect(vm.record));
  BLX_EXPECT_STATUS(status, Phase::kPaused, EndReason::kNone);
  BLX_CO_TRY(co_await host.driver().resume(vm.record));
  BLX_CO_TRY(const Status resumed, co_await host.driver().next_change(vm.record));
  BLX_EXPECT(resumed.end == EndReason::kNone && resumed.phase != Phase::kPaused);
  BLX_CO_TRY(co_await host.driver().wait_ready(vm.record, after(host, kBootMax)));
  BLX_CO_TRY(co_await expect_the_same(host, vm.record, saved.inside));
  co_return co_await release_all(host, vm.record);
}

Task<Result<void>> loaded_guest_of_a_dead_daemon_is_start_unfinished(SuiteHost& host) {
  BLX_CO_TRY(const Saved saved, co_await make_saved(host));
  BLX_CO_TRY(const Started first, co_await load(host, saved.spec, saved.memory));
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_EXPECT_REFUSED(co_await host.driver().adopt(first.record), Code::kAborted,
                     "start_unfinished");
  // Nobody has used it yet: it is loaded once more.
  BLX_CO_TRY(const Record record,
             co_await host.driver().start(to_go_on(saved.spec, saved.memory), first.record,
                                          after(host, kStartMax)));
  BLX_EXPECT(record.process != first.record.process);
  BLX_EXPECT(!co_await is_alive(host, first.record.process));

  // From here on it runs, and is no other daemon's to end: not before it has said who it is, and
  // not while it stands still.
  BLX_CO_TRY(co_await host.driver().resume(record));
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(const Status adopted, co_await host.driver().adopt(record));
  BLX_EXPECT_STATUS(adopted, Phase::kStarting, EndReason::kNone);
  BLX_CO_TRY(co_await host.driver().pause(record));
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(const Status paused, co_await host.driver().adopt(record));
  BLX_EXPECT_STATUS(paused, Phase::kPaused, EndReason::kNone);
  BLX_CO_TRY(co_await let_run(host, record));
  BLX_CO_TRY(co_await expect_the_same(host, record, saved.inside));
  co_return co_await release_all(host, record);
}

Task<void> save_into(SuiteHost& host, Record record, std::shared_ptr<StateSink> sink,
                     std::optional<Result<void>>& result) {
  result = co_await host.driver().save(std::move(record), std::move(sink), after(host, kSaveMax));
}

// A save that is given up in the middle of its first piece.
Task<Result<void>> give_up_a_save(SuiteHost& host, Record record) {
  const auto stuck = std::make_shared<Stuck>(host.env().clock);
  std::optional<Result<void>> result;
  env::Scope scope(host.env().executor, co_await env::this_cancellation());
  scope.spawn(save_into(host, std::move(record), stuck, result));
  const Instant deadline = after(host, kSaveMax);
  while (!stuck->is_reached && !result && host.env().clock.monotonic() < deadline) {
    ignore(co_await host.env().clock.sleep(1ms), "the deadline ends it");
  }
  scope.cancel();
  co_await scope.join();
  BLX_EXPECT(stuck->is_reached);
  BLX_EXPECT(!*result && result->error().code() == Code::kCancelled);
  co_return Result<void>();
}

Task<Result<void>> save_that_fails_leaves_the_paused_guest(SuiteHost& host) {
  BLX_CO_TRY(const Started vm, co_await start_ready(host, ""));
  BLX_CO_TRY(const GuestInside inside, co_await host.look_inside(vm.record));
  constexpr std::size_t kFew = 2000;
  for (const bool is_late : {false, true}) {
    std::shared_ptr<StateSink> sink = std::make_shared<Memory>(kFew);
    if (is_late) sink = std::make_shared<Stuck>(host.env().clock);
    const auto saved =
        co_await host.driver().save(vm.record, sink, after(host, is_late ? 500ms : kSaveMax));
    BLX_EXPECT(!saved && (is_late ? saved.error().code() == Code::kDeadlineExceeded
                                  : saved.error().reason() == "sink_full"));
    BLX_CO_TRY(const Status status, co_await host.driver().inspect(vm.record));
    BLX_EXPECT_STATUS(status, Phase::kPaused, EndReason::kNone);
    BLX_CO_TRY(co_await let_run(host, vm.record));
    BLX_CO_TRY(co_await expect_the_same(host, vm.record, inside));
  }
  BLX_CO_TRY(co_await give_up_a_save(host, vm.record));
  BLX_CO_TRY(co_await let_run(host, vm.record));
  BLX_CO_TRY(co_await give_up_a_save(host, vm.record));
  // What failed before does not stand in the way of the next one.
  BLX_CO_TRY(std::shared_ptr<Memory> saved, co_await save(host, vm.record));
  BLX_CO_TRY(co_await release_all(host, vm.record));
  BLX_CO_TRY(const Started resumed, co_await load(host, vm.spec, std::move(saved)));
  BLX_CO_TRY(co_await let_run(host, resumed.record));
  BLX_CO_TRY(co_await expect_the_same(host, resumed.record, inside));
  co_return co_await release_all(host, resumed.record);
}

Task<Result<void>> clone_of_a_template_is_saved_whole(SuiteHost& host) {
  BLX_CO_TRY(const Template made, co_await make_template(host, host.guest("")));
  BLX_CO_TRY(const Started clone, co_await start_spec(host, clone_spec(host, made)));
  BLX_EXPECT_REFUSED(
      co_await host.driver().save(clone.record, std::make_shared<Memory>(), after(host, kSaveMax)),
      Code::kFailedPrecondition, "guest_not_ready");
  BLX_CO_TRY(co_await host.driver().wait_ready(clone.record, after(host, kBootMax)));
  BLX_CO_TRY(const Saved saved, co_await save_and_release(host, clone));
  BLX_CO_TRY(co_await remove_template(host, made));
  BLX_CO_TRY(const Started first, co_await load(host, saved.spec, saved.memory));
  BLX_CO_TRY(co_await let_run(host, first.record));
  BLX_CO_TRY(co_await expect_the_same(host, first.record, saved.inside));
  // And what was resumed is saved as any other.
  BLX_CO_TRY(const Saved again, co_await save_and_release(host, first));
  BLX_CO_TRY(const Started second, co_await load(host, saved.spec, again.memory));
  BLX_CO_TRY(co_await let_run(host, second.record));
  BLX_CO_TRY(co_await expect_the_same(host, second.record, again.inside));
  co_return co_await release_all(host, second.record);
}

Task<Result<void>> saved_key_is_of_what_matters(SuiteHost& host) {
  const GuestSpec spec = host.guest("");
  BLX_CO_TRY(const std::string key, co_await host.driver().saved_key(spec));
  BLX_EXPECT(image::parse_digest(key).has_value());
  BLX_CO_TRY(std::string other, co_await host.driver().saved_key(host.guest("")));
  BLX_EXPECT(other == key);
  std::array<GuestSpec, 4> others{spec, spec, spec, spec};
  others[0].memory = spec.memory + mib(16);
  others[1].vcpus = 2;
  others[2].cmdline = "blx.test=panic";
  others[3].kernel_digest->front() ^= 1;
  std::set<std::string> keys{key};
  for (const GuestSpec& each : others) {
    BLX_CO_TRY(other, co_await host.driver().saved_key(each));
    BLX_EXPECT(keys.insert(other).second);
  }
  BLX_CO_TRY(other, co_await host.driver().template_key(spec));
  BLX_EXPECT(keys.insert(other).second);
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(other, co_await host.driver().saved_key(spec));
  BLX_EXPECT(other == key);
  GuestSpec unknown = spec;
  unknown.initrd_digest.reset();
  BLX_EXPECT_REFUSED(co_await host.driver().saved_key(unknown), Code::kFailedPrecondition,
                     "saves_unsupported");
  co_return Result<void>();
}

constexpr std::array kCases = {
    SuiteCase{"SavesAndResumesElsewhere", saves_and_resumes_elsewhere},
    SuiteCase{"RunsOnAfterASave", runs_on_after_a_save},
    SuiteCase{"ResumedGuestKeepsTime", resumed_guest_keeps_time},
    SuiteCase{"DamagedSavedStateIsRefused", damaged_saved_state_is_refused},
    SuiteCase{"SavedGuestIsLoadedAndNotRun", saved_guest_is_loaded_and_not_run},
    SuiteCase{"LoadedGuestOfADeadDaemonIsStartUnfinished",
              loaded_guest_of_a_dead_daemon_is_start_unfinished},
    SuiteCase{"SaveThatFailsLeavesThePausedGuest", save_that_fails_leaves_the_paused_guest},
    SuiteCase{"CloneOfATemplateIsSavedWhole", clone_of_a_template_is_saved_whole},
    SuiteCase{"SavedKeyIsOfWhatMatters", saved_key_is_of_what_matters},
};

}  // namespace

std::span<const SuiteCase> save_cases() { return kCases; }

}  // namespace blixard::vm::suite
