#pragma once

// One run of one program on a simulated machine: the daemon between two crashes, or a scripted
// process. It owns the Env that the program sees.
//
// A crash must not resume a program, and must not free frames that others still point into. So a
// crash is in two parts. First, in one step of the world, the incarnation is dead: its sockets are
// gone, what it had parked is taken out of wherever it waited, and from now on nothing it asks for
// has any effect: every operation fails with kUnavailable "crashed". Then its scope is cancelled,
// so its coroutines find kCancelled or "crashed" wherever they are, unwind, and free themselves
// like those of a program that stops in order. A dead incarnation stays in memory until the world
// ends, since what its coroutines hold (files, streams) refers to it until they are gone.

#include <coroutine>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "env/env.h"
#include "env/scope.h"
#include "sim/engine.h"
#include "sim/random.h"

namespace blixard::sim {

class Host;

class Incarnation {
 public:
  // `label` names it in the log.
  Incarnation(Host& host, std::string label, env::Owner owner, std::uint64_t seed);
  Incarnation(const Incarnation&) = delete;
  Incarnation& operator=(const Incarnation&) = delete;
  ~Incarnation();

  [[nodiscard]] bool alive() const { return !death_.requested(); }
  // Everything of it stops. `silent`: its peers are not told (the machine lost power).
  void end(bool silent);

  // What becomes ready waits, in its order, until it may go on.
  void freeze() { frozen_ = true; }
  void thaw();
  void make_ready(std::coroutine_handle<> coroutine);

  [[nodiscard]] env::Env env();
  [[nodiscard]] Host& host() { return host_; }
  [[nodiscard]] Engine& engine();
  [[nodiscard]] env::Executor& executor() { return *executor_; }
  [[nodiscard]] env::Scope& scope() { return scope_; }
  [[nodiscard]] env::Cancellation& death() { return death_; }
  [[nodiscard]] env::Owner owner() const { return owner_; }

 private:
  Host& host_;
  env::Owner owner_;
  env::Cancellation death_;
  SeededRandom random_;
  std::unique_ptr<env::Executor> executor_;
  std::unique_ptr<env::Clock> clock_;
  std::unique_ptr<env::Network> network_;
  std::unique_ptr<env::Security> security_;
  std::unique_ptr<env::Disk> disk_;
  std::unique_ptr<env::Process> process_;
  std::unique_ptr<env::Machine> machine_;
  std::unique_ptr<env::RareEvents> rare_;
  std::unique_ptr<observe::LogSink> log_;
  bool frozen_ = false;
  std::vector<std::coroutine_handle<>> held_;
  env::Scope scope_;
};

std::unexpected<Error> crashed();

// What a program waits for in the world: a message, a time, the end of a process. Ends with
// kCancelled when the waiting task is cancelled and with "crashed" when its incarnation dies.
template <class T>
class Operation : public env::Parked<Result<T>> {
 public:
  explicit Operation(Incarnation& owner)
      : env::Parked<Result<T>>(owner.executor()), on_death_(*this) {
    if (owner.alive()) {
      owner.death().add(on_death_);
    } else {
      this->complete(crashed());
    }
  }

  // Once; who holds the operation in a list takes it out first.
  void finish(Result<T> result) {
    on_death_.unlink();
    this->complete(std::move(result));
  }

 protected:
  ~Operation() override = default;
  // Takes the operation out of where it waits: nobody will finish it from there any more.
  virtual void withdraw() = 0;
  // By default an operation ends at once when its task is cancelled.
  void cancelled() override {
    withdraw();
    finish(fail(Code::kCancelled, "cancelled"));
  }

 private:
  class OnDeath final : public env::CancelHook {
   public:
    explicit OnDeath(Operation& operation) : operation_(operation) {}

   private:
    void on_cancel() override {
      operation_.withdraw();
      operation_.complete(crashed());
    }
    Operation& operation_;
  };

  OnDeath on_death_;
};

// Waits for a time of the world or of the machine's clock, whichever comes first.
class Pause : public Operation<void>, private Event {
 public:
  Pause(Incarnation& owner, Instant until, Instant until_local = Instant::never());
  ~Pause() override { engine_.cancel(*this); }

 protected:
  void withdraw() override { engine_.cancel(*this); }

 private:
  void happen() override { finish(Result<void>()); }
  [[nodiscard]] Instant due() const override;

  Host& host_;
  Engine& engine_;
  Instant until_;
  Instant until_local_;
};

// The same for what, once begun, runs to its end even if its task is cancelled.
class UncutPause final : public Pause {
 public:
  using Pause::Pause;
  ~UncutPause() override = default;

 private:
  void cancelled() override {}
};

// The parts of an Env, each in its own file.
std::unique_ptr<env::Clock> make_clock(Incarnation& owner);
std::unique_ptr<env::Network> make_network(Incarnation& owner);
std::unique_ptr<env::Security> make_security(Incarnation& owner, std::uint64_t seed);
std::unique_ptr<env::Disk> make_disk(Incarnation& owner);
std::unique_ptr<env::Process> make_process(Incarnation& owner);
std::unique_ptr<env::Machine> make_machine(Incarnation& owner);

}  // namespace blixard::sim
