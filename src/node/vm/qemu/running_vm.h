#pragma once

// One VM whose process is there (or was, until just now), as this daemon sees it: the process, the
// connection to its monitor, and what both told about the guest.
//
// Three tasks run beside the callers: one waits for the process' end, one keeps the monitor
// connected and asks for the state after each new connection (events in between are lost), one
// moves the console from QEMU's memory to disk. They belong to the scope in here; close() ends
// them and leaves the process alone.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "base/result.h"
#include "base/units.h"
#include "env/env.h"
#include "env/scope.h"
#include "env/sync.h"
#include "env/task.h"
#include "node/vm/driver.h"
#include "node/vm/qemu/console.h"
#include "node/vm/qemu/qmp_client.h"
#include "node/vm/waiting.h"

namespace blixard::qemu {

class RunningVm {
 public:
  // `output` is the path of QEMU's own output.
  RunningVm(env::Env env, vm::Record record, std::unique_ptr<env::Child> child, std::string output);

  // Connects, checks that the uuid is the record's and asks for the state. Once, first of all;
  // when it fails, close() is what remains. Errors: kNotFound "process_gone" when the process ends
  // first, kFailedPrecondition "not_ours", kDeadlineExceeded.
  env::Task<Result<void>> connect(Instant deadline);

  // What stood by is this VM's process from now on, and has its folder.
  env::Task<void> become(vm::Record record, std::string output);

  // Ends the tasks and the connection. Whoever waits gets kCancelled.
  env::Task<void> close();

  env::Task<Result<boost::json::value>> execute(std::string command, Duration patience,
                                                boost::json::object arguments = {});
  // One end of a connection becomes QEMU's, by this name.
  env::Task<Result<void>> hand_over(std::string name, std::unique_ptr<env::Stream> end,
                                    Duration patience);
  // Asks QEMU for the guest's state. Errors: those of execute(), kDataLoss "qmp_malformed".
  env::Task<Result<void>> refresh(Duration patience);

  // Waits until condition(*this) holds; it is asked at each change. Errors: kDeadlineExceeded,
  // kCancelled.
  template <class Condition>
  env::Task<Result<void>> wait(Instant deadline, Condition condition) {
    const auto met = [this, condition] { return closed_ || condition(*this); };
    BLX_CO_TRY(co_await vm::wait_until(env_.executor, env_.clock, changed_, deadline, met));
    if (closed_) co_return fail(Code::kCancelled, "driver_closed");
    co_return Result<void>();
  }

  [[nodiscard]] const vm::Record& record() const { return record_; }
  [[nodiscard]] env::Child& child() { return *child_; }
  [[nodiscard]] bool exited() const { return exit_.has_value(); }
  [[nodiscard]] bool connected() const { return client_ != nullptr && !client_->closed(); }
  [[nodiscard]] bool was_connected() const { return client_ != nullptr; }

  // It waits for a saved guest, or loads one.
  [[nodiscard]] bool is_incoming() const { return run_state_ == "inmigrate"; }
  // In QEMU's words, as of the last refresh().
  [[nodiscard]] const std::string& run_state() const { return run_state_; }
  [[nodiscard]] vm::Phase phase() const { return phase_; }
  [[nodiscard]] vm::EndReason end() const { return end_; }
  [[nodiscard]] bool ended() const;  // the guest, or the process with it

  // The guest's agent answered.
  void set_ready();
  // It booted again, or may have, under the name that its process was given. Until its agent
  // answers it is starting, which is news.
  void set_rebooted();
  // Has every wait() ask its condition again.
  void wake() { changed_.notify_all(); }
  // The rung of the stop ladder that is being tried: what an end from now on is put down to.
  void set_rung(vm::EndReason rung) { rung_ = rung; }

  // With the detail, for which the console and the output are read.
  env::Task<vm::Status> status();
  env::Task<std::string> output_tail();
  env::Task<Result<std::string>> console_tail(std::size_t size_max);

  // next_change()'s memory: the phase its caller knows.
  [[nodiscard]] bool has_news() const;
  void set_reported() {
    reported_ = phase_;
    has_rebooted_ = false;
  }

 private:
  // Keeps the client until its last step, and has keep_connected() look at its end.
  env::Task<void> run_client(std::shared_ptr<QmpClient> client);
  env::Task<void> watch_process();
  env::Task<void> keep_connected();
  env::Task<void> keep_draining();
  env::Task<Result<void>> dial(Instant deadline);
  env::Task<Result<void>> check_uuid(Instant deadline);
  env::Task<Result<void>> drain();
  env::Task<Result<void>> bound_output();

  void take(const Event& event);
  bool take_state(std::string_view state);  // false: QEMU has no such state
  void set_phase(vm::Phase phase, vm::EndReason end = vm::EndReason::kNone);
  void set_exited(env::ExitStatus status);
  [[nodiscard]] vm::EndReason reason_or_rung(vm::EndReason reason) const;

  env::Env env_;
  vm::Record record_;
  std::unique_ptr<env::Child> child_;
  std::string output_;
  ConsoleFile console_;
  vm::Turns console_turns_;
  env::Signal changed_;
  env::Scope scope_;
  std::shared_ptr<QmpClient> client_;
  std::optional<env::ExitStatus> exit_;
  std::string goodbye_;  // the reason of QEMU's last SHUTDOWN
  std::string run_state_;
  vm::Phase phase_ = vm::Phase::kStarting;
  vm::EndReason end_ = vm::EndReason::kNone;
  vm::EndReason rung_ = vm::EndReason::kNone;
  vm::Phase reported_ = vm::Phase::kStarting;
  bool ready_ = false;
  bool has_rebooted_ = false;  // and that was not reported
  bool closed_ = false;
};

}  // namespace blixard::qemu
