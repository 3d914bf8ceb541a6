#include "sim/incarnation.h"

#include <algorithm>

#include <fmt/format.h>

#include "sim/fabric.h"
#include "sim/host.h"

namespace blixard::sim {
namespace {

class ReadyQueue final : public env::Executor {
 public:
  explicit ReadyQueue(Incarnation& owner) : owner_(owner) {}
  void post(std::coroutine_handle<> ready) override { owner_.make_ready(ready); }

 private:
  Incarnation& owner_;
};

class LogLines final : public observe::LogSink {
 public:
  LogLines(Incarnation& owner, std::string label) : owner_(owner), label_(std::move(label)) {}

  bool wants(observe::Level level) const override {
    return level >= owner_.host().journal.level && owner_.alive();
  }
  void write(observe::Level level, std::string_view line) override {
    owner_.host().journal.write(owner_.engine(), label_, observe::level_name(level), line);
  }

 private:
  Incarnation& owner_;
  std::string label_;
};

class SeededRareEvents final : public env::RareEvents {
 public:
  SeededRareEvents(Host& host, std::uint64_t seed) : host_(host), random_(seed) {}
  bool happens(env::RareSite site) override {
    const Rareness& rareness = host_.rareness;
    if (!rareness.on[static_cast<std::size_t>(site)]) return false;
    if (random_.below(100) >= rareness.percent) return false;
    if (rareness.taken) rareness.taken(host_.number, site);
    return true;
  }

 private:
  Host& host_;
  SeededRandom random_;
};

class VirtualClock final : public env::Clock {
 public:
  explicit VirtualClock(Incarnation& owner) : owner_(owner) {}

  Instant monotonic() const override { return owner_.host().to_local(owner_.engine().now()); }
  WallTime wall() const override { return owner_.host().wall(); }
  env::Task<Result<void>> sleep_until(Instant deadline) override {
    Pause pause(owner_, Instant::never(), deadline);
    co_return co_await pause;
  }

 private:
  Incarnation& owner_;
};

}  // namespace

std::unexpected<Error> crashed() { return fail(Code::kUnavailable, "crashed"); }

Incarnation::Incarnation(Host& host, std::string label, env::Owner owner, std::uint64_t seed)
    : host_(host),
      owner_(owner),
      random_(seed),
      executor_(std::make_unique<ReadyQueue>(*this)),
      clock_(make_clock(*this)),
      network_(make_network(*this)),
      security_(make_security(*this, random_.seed_for("security"))),
      disk_(make_disk(*this)),
      process_(make_process(*this)),
      machine_(make_machine(*this)),
      rare_(std::make_unique<SeededRareEvents>(host, random_.seed_for("rare"))),
      log_(std::make_unique<LogLines>(*this, std::move(label))),
      scope_(*executor_, nullptr) {}

Incarnation::~Incarnation() = default;

Engine& Incarnation::engine() { return host_.engine; }

env::Env Incarnation::env() {
  return {.executor = *executor_,
          .clock = *clock_,
          .random = random_,
          .network = *network_,
          .security = *security_,
          .disk = *disk_,
          .process = *process_,
          .machine = *machine_,
          .rare = *rare_,
          .log = *log_};
}

void Incarnation::make_ready(std::coroutine_handle<> coroutine) {
  if (frozen_) {
    held_.push_back(coroutine);
  } else {
    host_.engine.make_ready(coroutine, host_.number);
  }
}

void Incarnation::thaw() {
  frozen_ = false;
  for (const auto coroutine : std::exchange(held_, {}))
    make_ready(coroutine);
}

void Incarnation::end(bool silent) {
  if (!alive()) return;
  thaw();  // to unwind
  // The scope first, so that its tasks see kCancelled, which they unwind for; the rest, which
  // belongs to others who use this Env, sees "crashed".
  scope_.cancel();
  death_.request();
  host_.fabric.drop(*this, silent);
  host_.drop_locks(*this);
}

Pause::Pause(Incarnation& owner, Instant until, Instant until_local)
    : Operation(owner),
      host_(owner.host()),
      engine_(owner.engine()),
      until_(until),
      until_local_(until_local) {
  if (completed()) return;
  const Instant at = due();
  if (at <= engine_.now()) {
    finish(Result<void>());
  } else if (at != Instant::never()) {
    engine_.schedule(*this, at, host_.number);
  }
}

Instant Pause::due() const { return std::min(until_, host_.to_world(until_local_)); }

std::unique_ptr<env::Clock> make_clock(Incarnation& owner) {
  return std::make_unique<VirtualClock>(owner);
}

}  // namespace blixard::sim
