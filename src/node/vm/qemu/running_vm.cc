#include "node/vm/qemu/running_vm.h"

#include <algorithm>
#include <array>
#include <utility>

#include <boost/json.hpp>

#include "base/limits.h"
#include "node/vm/label.h"
#include "node/vm/qemu/arguments.h"
#include "node/vm/qemu/base64.h"
#include "node/vm/qemu/process_identity.h"
#include "observe/failpoint.h"

namespace blixard::qemu {
namespace {

namespace json = boost::json;
using vm::EndReason;
using vm::Phase;

// A clone waits for nothing else, and QEMU is there after 30 ms: the more time went by, the less it
// matters to be late by a part of it.
constexpr Duration kDialAgain = 1ms;
constexpr Duration kDialAgainMax = 50ms;
constexpr int kDialLatePart = 32;
constexpr Duration kReconnectAgain = 1s;
constexpr Duration kCommandPatience = 2s;
constexpr Duration kReconnectPatience = 5s;
constexpr Duration kDrainInterval = 500ms;
constexpr int kReadsPerDrain = 8;
constexpr std::uint64_t kOutputMax = 256 * 1024;
constexpr std::size_t kPanicSearchBytes = 16 * 1024;
// States of QEMU that say nothing of the guest's phase: on the way to or from those that do.
constexpr std::array<std::string_view, 7> kOtherStates = {
    "prelaunch", "inmigrate", "restore-vm", "suspended", "watchdog", "debug", "colo"};

std::string member(const json::value& value, std::string_view key) {
  const json::object* object = value.if_object();
  const json::value* found = object != nullptr ? object->if_contains(key) : nullptr;
  const json::string* text = found != nullptr ? found->if_string() : nullptr;
  return text != nullptr ? std::string(text->data(), text->size()) : std::string();
}

}  // namespace

RunningVm::RunningVm(env::Env env, vm::Record record, std::unique_ptr<env::Child> child,
                     std::string output)
    : env_(env),
      record_(std::move(record)),
      child_(std::move(child)),
      output_(std::move(output)),
      console_(env.disk, record_.directory),
      console_turns_(env.executor),
      changed_(env.executor),
      scope_(env.executor, nullptr) {}

env::Task<Result<void>> RunningVm::connect(Instant deadline) {
  scope_.spawn(watch_process());
  BLX_CO_TRY(co_await dial(deadline));
  BLX_CO_TRY(co_await check_uuid(deadline));
  BLX_CO_TRY(co_await refresh(std::max(deadline - env_.clock.monotonic(), Duration{})));
  scope_.spawn(keep_connected());
  scope_.spawn(keep_draining());
  co_return Result<void>();
}

env::Task<void> RunningVm::become(vm::Record record, std::string output) {
  const auto turn = co_await console_turns_.take();
  record_ = std::move(record);
  output_ = std::move(output);
  console_.follow(record_.directory);
}

env::Task<void> RunningVm::close() {
  closed_ = true;
  changed_.notify_all();
  scope_.cancel();
  if (client_) client_->close();
  co_await scope_.join();
}

env::Task<void> RunningVm::run_client(std::shared_ptr<QmpClient> client) {
  co_await client->run();
  changed_.notify_all();
}

env::Task<void> RunningVm::watch_process() {
  const auto status = co_await child_->wait();
  if (status) set_exited(*status);
}

// Tries until the monitor answers, the process ends or the deadline comes.
env::Task<Result<void>> RunningVm::dial(Instant deadline) {
  const auto endpoint =
      env::Endpoint::unix_socket(env::join_path(record_.directory, kMonitorSocket));
  const Instant begun = env_.clock.monotonic();
  for (;;) {
    if (exited()) co_return fail(Code::kNotFound, "process_gone");
    auto stream = co_await env_.network.dial(endpoint, deadline);
    if (auto error = BLX_FAILPOINT_ERROR("qmp::connect", kUnavailable, "connection_refused")) {
      stream = std::unexpected(*std::move(error));
    }
    if (stream) {
      auto client = std::make_shared<QmpClient>(env_.executor, env_.clock, *std::move(stream),
                                                [this](const Event& event) { take(event); });
      client_ = client;
      scope_.spawn(run_client(client));
      const auto greeted = co_await client->handshake(deadline);
      if (greeted) co_return Result<void>();
      client->close();
      if (greeted.error().code() != Code::kUnavailable) {
        co_return std::unexpected(greeted.error());
      }
    } else if (stream.error().code() == Code::kCancelled) {
      co_return std::unexpected(stream.error());
    }
    if (env_.clock.monotonic() >= deadline) {
      co_return fail(Code::kDeadlineExceeded, "deadline_exceeded");
    }
    const Instant now = env_.clock.monotonic();
    const Duration pause = std::clamp((now - begun) / kDialLatePart, kDialAgain, kDialAgainMax);
    const Instant again = std::min(deadline, now + pause);
    const auto waited = co_await wait(again, [](const RunningVm& vm) { return vm.exited(); });
    if (!waited && waited.error().code() != Code::kDeadlineExceeded) co_return waited;
  }
}

env::Task<Result<void>> RunningVm::check_uuid(Instant deadline) {
  const Duration patience = std::max(deadline - env_.clock.monotonic(), Duration{});
  const auto answer = co_await execute("query-uuid", patience);
  if (!answer && exited()) co_return fail(Code::kNotFound, "process_gone");
  if (!answer) co_return std::unexpected(answer.error());
  const std::string text = member(*answer, "UUID");
  const auto uuid = Uuid::parse(text);
  const Uuid expected = process_uuid(record_);
  if (!uuid || *uuid != expected) {
    co_return fail(Code::kFailedPrecondition, "not_ours",
                   "the process that answers has uuid " + text + ", expected " + expected.text());
  }
  co_return Result<void>();
}

env::Task<void> RunningVm::keep_connected() {
  while (!exited() && !closed_) {
    const std::shared_ptr<QmpClient> client = client_;
    const auto lost = [](const RunningVm& vm) { return vm.exited() || !vm.connected(); };
    if (!co_await wait(Instant::never(), lost)) co_return;
    if (exited()) co_return;
    const Instant deadline = env_.clock.monotonic() + kReconnectPatience;
    auto connected = co_await dial(deadline);
    if (connected) connected = co_await check_uuid(deadline);
    if (connected) connected = co_await refresh(kCommandPatience);
    if (!connected && connected.error().code() == Code::kCancelled) co_return;
    if (!connected) {
      BLX_LOG(env_.log, kWarn, "vm {}: its monitor does not answer: {}", vm::label(record_.id),
              connected.error().message());
      client_->close();  // or nobody would ask this one for the state again
      if (!co_await env_.clock.sleep(kReconnectAgain)) co_return;
    }
  }
}

env::Task<void> RunningVm::keep_draining() {
  while (!exited() && !closed_) {
    const auto drained = is_incoming() ? Result<void>() : co_await drain();
    const auto bounded = co_await bound_output();
    for (const auto* result : {&drained, &bounded}) {
      if (*result || result->error().code() == Code::kCancelled) continue;
      if (result->error().reason() == "qmp_closed") continue;  // keep_connected() sees to it
      BLX_LOG(env_.log, kWarn, "vm {}: its console cannot be kept: {}", vm::label(record_.id),
              result->error().message());
    }
    const Instant next = env_.clock.monotonic() + kDrainInterval;
    const auto waited = co_await wait(next, [](const RunningVm& vm) { return vm.exited(); });
    if (!waited && waited.error().code() != Code::kDeadlineExceeded) co_return;
  }
}

env::Task<Result<void>> RunningVm::drain() {
  BLX_CO_TRY(const vm::Turns::Held turn, co_await console_turns_.take());
  for (int i = 0; i < kReadsPerDrain; ++i) {
    const std::shared_ptr<QmpClient> client = client_;
    if (!client || client->closed()) co_return Result<void>();
    json::object arguments{{"device", json::string_view(kConsoleDevice)},
                           {"size", limits::kConsoleReadBytes},
                           {"format", "base64"}};
    BLX_CO_TRY(const json::value answer,
               co_await client->execute("ringbuf-read", std::move(arguments),
                                        env_.clock.monotonic() + kCommandPatience));
    const json::string* text = answer.if_string();
    if (text == nullptr) co_return fail(Code::kDataLoss, "qmp_malformed");
    BLX_CO_TRY(std::string bytes, decode_base64({text->data(), text->size()}));
    const bool more = bytes.size() >= limits::kConsoleReadBytes;
    if (!bytes.empty()) BLX_CO_TRY(co_await console_.append(std::move(bytes)));
    if (!more) break;
  }
  co_return Result<void>();
}

// QEMU says little, but a guest may make it warn again and again.
env::Task<Result<void>> RunningVm::bound_output() {
  auto file = co_await env_.disk.open(output_, env::OpenMode::kReadWrite);
  if (!file) co_return Result<void>();
  BLX_CO_TRY(const std::uint64_t size, co_await (*file)->size());
  if (size > kOutputMax) co_return co_await (*file)->resize(0);
  co_return Result<void>();
}

env::Task<Result<json::value>> RunningVm::execute(std::string command, Duration patience,
                                                  json::object arguments) {
  const std::shared_ptr<QmpClient> client = client_;
  if (!client) co_return fail(Code::kUnavailable, "qmp_closed");
  co_return co_await client->execute(std::move(command), std::move(arguments),
                                     env_.clock.monotonic() + patience);
}

env::Task<Result<void>> RunningVm::hand_over(std::string name, std::unique_ptr<env::Stream> end,
                                             Duration patience) {
  const std::shared_ptr<QmpClient> client = client_;
  if (!client) co_return fail(Code::kUnavailable, "qmp_closed");
  co_return co_await client->hand_over(std::move(name), std::move(end),
                                       env_.clock.monotonic() + patience);
}

env::Task<Result<void>> RunningVm::refresh(Duration patience) {
  BLX_CO_TRY(const json::value answer, co_await execute("query-status", patience));
  const std::string state = member(answer, "status");
  if (!take_state(state)) co_return fail(Code::kDataLoss, "qmp_malformed", "no state: " + state);
  co_return Result<void>();
}

void RunningVm::take(const Event& event) {
  if (event.name == "SHUTDOWN") {
    goodbye_ = member(event.data, "reason");
    const bool by_guest = goodbye_ == "guest-shutdown";
    if (by_guest) set_phase(Phase::kEnded, reason_or_rung(EndReason::kGuestShutdown));
  } else if (event.name == "GUEST_PANICKED") {
    set_phase(Phase::kPanicked, EndReason::kGuestPanic);
  } else if (event.name == "STOP") {
    set_phase(Phase::kPaused);
  } else if (event.name == "RESUME") {
    set_phase(ready_ ? Phase::kRunning : Phase::kStarting);
  } else if (event.name == "RESET" && ready_ && !record_.standby.is_nil()) {
    set_rebooted();
  }
}

bool RunningVm::take_state(std::string_view state) {
  run_state_ = state;
  if (state == "running") {
    set_phase(ready_ ? Phase::kRunning : Phase::kStarting);
  } else if (state == "paused" || state == "save-vm" || state == "finish-migrate" ||
             state == "postmigrate") {
    set_phase(Phase::kPaused);
  } else if (state == "guest-panicked") {
    set_phase(Phase::kPanicked, EndReason::kGuestPanic);
  } else if (state == "shutdown") {
    set_phase(Phase::kEnded, reason_or_rung(EndReason::kGuestShutdown));
  } else if (state == "internal-error" || state == "io-error") {
    goodbye_ = state;
    set_phase(Phase::kEnded, EndReason::kProcessDied);
  } else {
    return std::ranges::find(kOtherStates, state) != kOtherStates.end();
  }
  return true;
}

// An end stays: what comes after it, as the STOP after a power-off, changes nothing.
void RunningVm::set_phase(Phase phase, EndReason end) {
  if (ended() || phase == phase_) return;
  phase_ = phase;
  end_ = end;
  changed_.notify_all();
}

void RunningVm::set_exited(env::ExitStatus status) {
  exit_ = status;
  if (rung_ == EndReason::kStoppedByQuit) {
    set_phase(Phase::kEnded, rung_);
  } else {
    set_phase(Phase::kGone, rung_ == EndReason::kStoppedByKill ? rung_ : EndReason::kProcessDied);
  }
  changed_.notify_all();
}

EndReason RunningVm::reason_or_rung(EndReason reason) const {
  return rung_ != EndReason::kNone ? rung_ : reason;
}

bool RunningVm::ended() const { return vm::has_ended(phase_); }

void RunningVm::set_ready() {
  ready_ = true;
  if (phase_ == Phase::kStarting) set_phase(Phase::kRunning);
}

void RunningVm::set_rebooted() {
  ready_ = false;
  has_rebooted_ = true;
  if (phase_ == Phase::kRunning) set_phase(Phase::kStarting);
  changed_.notify_all();
}

bool RunningVm::has_news() const {
  return ended() || has_rebooted_ ||
         vm::without_readiness(phase_) != vm::without_readiness(reported_);
}

env::Task<vm::Status> RunningVm::status() {
  vm::Status status{phase_, end_, {}};
  if (!ended()) co_return status;
  if (end_ == EndReason::kProcessDied || end_ == EndReason::kStoppedByKill) {
    status.detail = exit_ ? exit_->text() : "QEMU's state: " + goodbye_;
    if (goodbye_ == "host-signal") status.detail += " (asked to end by a signal)";
    const std::string output = co_await output_tail();
    if (!output.empty()) status.detail += "\n" + output;
  }
  const auto console = co_await console_tail(kPanicSearchBytes);
  const std::string text = console ? *console : std::string();
  const auto add = [&status](std::string_view label, const std::string& lines) {
    if (lines.empty()) return;
    if (!status.detail.empty()) status.detail += "\n";
    status.detail += label;
    status.detail += lines;
  };
  if (end_ == EndReason::kGuestPanic) add("", panic_line(text));
  add("console: ", last_lines(text, limits::kOutputTailBytes / 2));
  co_return status;
}

env::Task<std::string> RunningVm::output_tail() {
  const auto text = co_await read_tail(env_.disk, output_, limits::kOutputTailBytes / 2);
  co_return text ? last_lines(*text, limits::kOutputTailBytes / 2) : std::string();
}

env::Task<Result<std::string>> RunningVm::console_tail(std::size_t size_max) {
  ignore(co_await drain(), "what is on disk is better than nothing");
  co_return co_await console_.tail(size_max);
}

}  // namespace blixard::qemu
