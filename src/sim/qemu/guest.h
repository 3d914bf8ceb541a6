#pragma once

// One QEMU process and the guest in it: the guest's state, what it prints, and how both end. Its
// monitor and its agent are beside (monitor.h, agent.h).
//
// As with the real one, a guest that powers off or panics leaves the process paused, if the command
// line says so. Nothing here polls: a guest that nobody asks costs nothing once it has booted.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "env/scope.h"
#include "env/sync.h"
#include "sim/process.h"
#include "sim/qemu/command_line.h"
#include "sim/qemu/faults.h"

namespace blixard::sim {

class Host;
class QemuAgent;
class QemuMonitor;

enum class QemuState : std::uint8_t { kPrelaunch, kRunning, kPaused, kShutdown, kPanicked };
std::string_view qemu_state_name(QemuState state);  // as query-status tells it: "guest-panicked"

class QemuGuest {
 public:
  // `faults` are read at each step.
  QemuGuest(Host& host, QemuFaults& faults, ProcessContext process, QemuCommandLine line);
  QemuGuest(const QemuGuest&) = delete;
  QemuGuest& operator=(const QemuGuest&) = delete;
  ~QemuGuest();

  // The whole of the process; `begun` is called when the guest begins to run.
  env::Task<void> run(std::function<void()> begun);

  [[nodiscard]] QemuFaults& faults() { return faults_; }
  [[nodiscard]] const QemuCommandLine& line() const { return line_; }
  [[nodiscard]] const ProcessContext& process() const { return process_; }
  [[nodiscard]] QemuState state() const { return state_; }
  [[nodiscard]] bool booted() const { return is_booted_; }
  [[nodiscard]] bool listens() const;  // a program in it would hear something
  Duration draw(TimeRange range);      // by the process' own chance

  // What its own kernel does. False: it does not run.
  bool panic();
  bool power_off();

  // What the monitor orders.
  void pause();
  bool resume();  // false: it must be reset first
  void press_button();
  void quit();
  std::string read_console(std::size_t size_max);  // takes it out

  // The agent was asked to; it takes a moment.
  void shut_down();

 private:
  env::Task<Result<void>> open();
  env::Task<void> boot();
  env::Task<void> shut_down_soon();
  env::Task<void> quit_soon();
  env::Task<void> leave();
  void set_state(QemuState state);
  void print(std::string_view text);
  void tell(std::string_view name, std::string_view data);  // an event
  [[nodiscard]] bool has_file(const std::string& path) const;

  Host& host_;
  QemuFaults& faults_;
  ProcessContext process_;
  env::Env env_;
  QemuCommandLine line_;
  QemuState state_ = QemuState::kPrelaunch;
  bool is_booted_ = false;
  bool is_dead_ = false;    // its kernel panicked
  bool wants_off_ = false;  // as soon as it runs
  Instant boots_at_;        // while it runs
  Duration boot_left_{};    // while it is paused
  std::string console_;
  env::Signal changed_;
  std::vector<std::unique_ptr<env::Listener>> ports_;  // of the host, forwarded
  std::vector<std::unique_ptr<QemuMonitor>> monitors_;
  std::unique_ptr<QemuAgent> agent_;
  env::Scope* scope_ = nullptr;  // while it runs
};

// The next client of a socket; null: there will be none.
env::Task<std::unique_ptr<env::Stream>> next_client(env::Env env, env::Listener& listener);

}  // namespace blixard::sim
