#include "sim/qemu/guest.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "sim/host.h"
#include "sim/qemu/agent.h"
#include "sim/qemu/migration.h"
#include "sim/qemu/monitor.h"
#include "sim/qemu/number.h"

namespace blixard::sim {
namespace {

constexpr std::size_t kConsoleBytes = 65536;
constexpr Duration kQuit = 11ms;
constexpr TimeRange kShutDown{43ms, 91ms};
constexpr Duration kAcceptAgain = 100ms;

// "../../images/a" seen from "/var/lib/vms/1": without the dots.
std::string resolve(std::string_view directory, std::string_view path) {
  std::string whole = path.starts_with('/') ? std::string() : std::string(directory);
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (name == "..") {
      whole.erase(std::min(whole.rfind('/'), whole.size()));
    } else if (!name.empty() && name != ".") {
      whole += '/';
      whole += name;
    }
  }
  return whole;
}

}  // namespace

QemuGuest::QemuGuest(Host& host, QemuFaults& faults, ProcessContext process, QemuCommandLine line)
    : host_(host),
      faults_(faults),
      process_(process),
      env_(process.env()),
      line_(std::move(line)),
      memory_(host.files, line_),
      changed_(env_.executor),
      migration_(std::make_unique<QemuMigration>(*this)) {}

QemuGuest::~QemuGuest() = default;

Duration QemuGuest::draw(TimeRange range) {
  const Duration width = range.most - range.least;
  if (width <= Duration{}) return range.least;
  const auto count = static_cast<std::uint64_t>(width.count()) + 1;
  return range.least + Duration(static_cast<Duration::rep>(env_.random.below(count)));
}

std::string QemuGuest::find(const std::string& path) const {
  return resolve(process_.spec().working_directory, path);
}

void QemuGuest::spawn(env::Task<void> task) { scope_->spawn(std::move(task)); }

env::Task<Result<void>> QemuGuest::open() {
  for (const std::string& file : line_.files) {
    if (!host_.files.find(find(file)))
      co_return fail(Code::kNotFound, "refused", "could not open '" + file + "'");
  }
  BLX_CO_TRY(memory_.open(find(line_.memory_file), process_.spec()));
  for (const std::uint16_t port : line_.host_ports) {
    auto listener = co_await env_.network.listen(env::Endpoint::tcp("127.0.0.1", port));
    if (!listener) {
      co_return fail(Code::kAlreadyExists, "refused",
                     fmt::format("Could not set up host forwarding rule 'tcp:127.0.0.1:{}'", port));
    }
    ports_.push_back(*std::move(listener));
  }
  const std::string& directory = process_.spec().working_directory;
  const auto path = [&directory](const std::string& name) {
    return env::Endpoint::unix_socket(env::join_path(directory, name));
  };
  for (const std::string& name : line_.monitors) {
    BLX_CO_TRY(auto listener, co_await env_.network.listen(path(name)));
    monitors_.push_back(std::make_unique<QemuMonitor>(*this, std::move(listener)));
  }
  if (!line_.agent.empty()) {
    BLX_CO_TRY(auto listener, co_await env_.network.listen(path(line_.agent)));
    agent_ = std::make_unique<QemuAgent>(*this, std::move(listener));
  }
  co_return Result<void>();
}

env::Task<void> QemuGuest::run(QemuGuestHooks hooks) {
  const Instant start = env_.clock.monotonic();
  const Duration boot_time = draw(line_.is_kvm ? faults_.kvm_boot : faults_.boot);
  const bool boots = !line_.is_kvm || faults_.kvm_boots;
  const Duration opening = draw(faults_.open);
  if (faults_.starts_hang) {
    ignore(co_await env_.clock.sleep_until(Instant::never()), "it hangs until it is killed");
    co_return;
  }
  if (!co_await env_.clock.sleep(opening)) co_return;
  if (const auto opened = co_await open(); !opened) {
    process_.print(fmt::format("qemu-system-x86_64: {}\n", opened.error().message()));
    process_.exit(1);
    co_return;
  }
  env::Scope scope(env_.executor, co_await env::this_cancellation());
  scope_ = &scope;
  hooks_ = std::move(hooks);
  if (line_.is_incoming) {
    state_ = QemuState::kInMigrate;
  } else {
    soul_ = be_born();
    boots_at_ = boots ? std::max(start + boot_time, now()) : Instant::never();
    print("booting\n");
    set_state(QemuState::kRunning);
  }
  for (const auto& monitor : monitors_)
    scope.spawn(monitor->serve());
  if (agent_) scope.spawn(agent_->serve());
  scope.spawn(boot());
  co_await scope.join();
  scope_ = nullptr;
}

env::Task<void> QemuGuest::boot() {
  while (!is_dead_) {
    const bool runs = state_ == QemuState::kRunning;
    if (runs && env_.clock.monotonic() >= boots_at_) break;
    const bool comes_up = runs && boots_at_ != Instant::never();
    const auto waited =
        comes_up ? co_await env_.clock.sleep_until(boots_at_) : co_await changed_.wait();
    if (!waited) co_return;
  }
  if (is_dead_) co_return;
  is_booted_ = true;
  if (soul_->save == 0) print(fmt::format("{} ready\n", soul_->host_name));
  if (agent_) co_await agent_->wake();
}

bool QemuGuest::listens() const { return state_ == QemuState::kRunning && is_booted_ && !is_dead_; }

void QemuGuest::print(std::string_view text) {
  console_ += text;
  if (console_.size() > kConsoleBytes) console_.erase(0, console_.size() - kConsoleBytes);
}

std::string QemuGuest::read_console(std::size_t size_max) {
  std::string bytes = console_.substr(0, size_max);
  console_.erase(0, bytes.size());
  return bytes;
}

void QemuGuest::tell(std::string_view name, std::string_view data) {
  const auto micros = env_.clock.monotonic().since_start / 1us;
  const std::string line = fmt::format(
      R"({{"timestamp": {{"seconds": {}, "microseconds": {}}}, "event": "{}"{}{}}})",
      micros / 1'000'000, micros % 1'000'000, name, data.empty() ? "" : R"(, "data": )", data);
  for (const auto& monitor : monitors_) {
    if (monitor->tell(line)) scope_->spawn(monitor->flush());
  }
}

void QemuGuest::set_state(QemuState state) {
  const bool ran = state_ == QemuState::kRunning;
  state_ = state;
  const bool runs = state == QemuState::kRunning;
  if (soul_ && runs) soul_->clock.run(now());
  if (soul_ && !runs) soul_->clock.stop(now());
  if (runs && hooks_.begins) std::exchange(hooks_.begins, nullptr)();
  if (runs != ran && hooks_.turns) hooks_.turns(runs);
  changed_.notify_all();
}

bool QemuGuest::panic() {
  if (state_ != QemuState::kRunning || is_dead_) return false;
  is_dead_ = true;
  print("Kernel panic - not syncing: simulated\n");
  changed_.notify_all();
  if (!line_.has_pvpanic) return true;  // nobody hears of it
  if (line_.panic_pauses) {
    tell("GUEST_PANICKED", R"({"action": "pause"})");
    set_state(QemuState::kPanicked);
    tell("STOP", {});
  } else {
    tell("GUEST_PANICKED", R"({"action": "poweroff"})");
    tell("SHUTDOWN", R"({"guest": true, "reason": "guest-panic"})");
    scope_->spawn(leave());
  }
  return true;
}

bool QemuGuest::power_off() {
  if (state_ != QemuState::kRunning || is_dead_) return false;
  print("reboot: Power down\n");
  tell("SHUTDOWN", R"({"guest": true, "reason": "guest-shutdown"})");
  if (line_.shutdown_pauses) {
    set_state(QemuState::kShutdown);
    tell("STOP", {});
  } else {
    scope_->spawn(leave());
  }
  return true;
}

// Nothing of its memory is used again: it boots as its process was told at the start.
bool QemuGuest::reboot() {
  if (state_ != QemuState::kRunning || is_dead_) return false;
  tell("RESET", R"({"guest": true, "reason": "guest-reset"})");
  soul_ = be_born();
  soul_->clock.run(now());
  loaded_.clear();
  const bool was_booted = std::exchange(is_booted_, false);
  boots_at_ = now() + draw(line_.is_kvm ? faults_.kvm_boot : faults_.boot);
  print("booting\n");
  if (was_booted) scope_->spawn(boot());
  changed_.notify_all();
  return true;
}

void QemuGuest::pause() {
  if (state_ == QemuState::kInMigrate) runs_after_load_ = false;
  if (state_ == QemuState::kRunning) stand_still(QemuState::kPaused);
}

void QemuGuest::stand_still(QemuState state) {
  if (!is_booted_ && boots_at_ != Instant::never()) {
    boot_left_ = std::max(boots_at_ - now(), Duration{});
  }
  set_state(state);
  tell("STOP", {});
}

std::optional<std::string_view> QemuGuest::resume() {
  if (state_ == QemuState::kShutdown) return "Resetting the Virtual Machine is required";
  if (state_ == QemuState::kFinishMigrate) return "Migration is not finalized yet";
  if (state_ == QemuState::kInMigrate) {
    runs_after_load_ = true;
    return std::nullopt;
  }
  if (state_ == QemuState::kRunning) {
    tell("STOP", {});  // QEMU says both, for clients that wait for them
    tell("RESUME", {});
    return std::nullopt;
  }
  run_on();
  return std::nullopt;
}

void QemuGuest::run_on() {
  if (!is_booted_ && boots_at_ != Instant::never()) boots_at_ = now() + boot_left_;
  set_state(QemuState::kRunning);
  tell("RESUME", {});
  if (wants_off_) {
    power_off();
  } else if (agent_ && is_booted_) {
    scope_->spawn(agent_->wake());
  }
}

env::Task<std::string> QemuGuest::forward(std::string rule) {
  constexpr std::string_view kHost = "tcp:127.0.0.1:";
  const std::size_t at = rule.find(kHost);
  const std::string_view rest =
      at != rule.npos ? std::string_view(rule).substr(at + kHost.size()) : std::string_view();
  const auto port = parse_number<std::uint16_t>(rest.substr(0, rest.find('-')));
  if (!port) co_return "invalid host forwarding rule '" + rule + "'\r\n";
  auto listener = co_await env_.network.listen(env::Endpoint::tcp("127.0.0.1", *port));
  if (!listener) co_return "could not set up host forwarding rule '" + rule + "'\r\n";
  ports_.push_back(*std::move(listener));
  co_return "";
}

void QemuGuest::press_button() {
  tell("POWERDOWN", {});
  if (listens() && !faults_.ignores_button) shut_down();
}

void QemuGuest::shut_down() { scope_->spawn(shut_down_soon()); }

env::Task<void> QemuGuest::shut_down_soon() {
  if (!co_await env_.clock.sleep(draw(kShutDown))) co_return;
  wants_off_ = true;
  power_off();
}

void QemuGuest::quit() { scope_->spawn(quit_soon()); }

env::Task<void> QemuGuest::quit_soon() {
  if (!co_await env_.clock.sleep(kQuit)) co_return;
  tell("SHUTDOWN", R"({"guest": false, "reason": "host-qmp-quit"})");
  co_await leave();
}

env::Task<void> QemuGuest::leave() {
  for (const auto& monitor : monitors_)
    co_await monitor->flush();
  process_.exit(0);
}

env::Task<std::unique_ptr<env::Stream>> next_client(env::Env env, env::Listener& listener) {
  for (;;) {
    auto client = co_await listener.accept();
    if (client) co_return *std::move(client);
    const Code code = client.error().code();
    if (code == Code::kCancelled || code == Code::kUnavailable) co_return nullptr;
    if (!co_await env.clock.sleep(kAcceptAgain)) co_return nullptr;
  }
}

}  // namespace blixard::sim
