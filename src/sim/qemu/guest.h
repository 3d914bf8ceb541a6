#pragma once

// One QEMU process and the guest in it: the guest's state, what it prints, and how both end. Its
// monitor and its agent are beside (monitor.h, agent.h).
//
// As with the real one, a guest that powers off or panics leaves the process paused, if the command
// line says so. A process that was started to load a guest has none until then, and one that was
// loaded begins to run when it is told to. Nothing here polls: a guest that nobody asks costs
// nothing once it has booted.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "env/scope.h"
#include "env/sync.h"
#include "sim/process.h"
#include "sim/qemu/command_line.h"
#include "sim/qemu/faults.h"
#include "sim/qemu/guest_memory.h"
#include "sim/qemu/saved_state.h"
#include "sim/qemu/soul.h"

namespace blixard::sim {

class Host;
class QemuAgent;
class QemuMigration;
class QemuMonitor;

// Who wants to know of a guest; each may be null.
struct QemuGuestHooks {
  std::function<void()> begins;          // it runs, for the first time in this process
  std::function<void(bool runs)> turns;  // each time it goes on or stands still, after `begins`
  std::function<void(std::uint64_t save)> is_saved;  // whole
};

class QemuGuest {
 public:
  // `faults` are read at each step.
  QemuGuest(Host& host, QemuFaults& faults, ProcessContext process, QemuCommandLine line);
  QemuGuest(const QemuGuest&) = delete;
  QemuGuest& operator=(const QemuGuest&) = delete;
  ~QemuGuest();

  // The whole of the process.
  env::Task<void> run(QemuGuestHooks hooks);

  [[nodiscard]] QemuFaults& faults() { return faults_; }
  [[nodiscard]] const QemuCommandLine& line() const { return line_; }
  [[nodiscard]] const ProcessContext& process() const { return process_; }
  [[nodiscard]] QemuState state() const { return state_; }
  [[nodiscard]] bool booted() const { return is_booted_; }
  [[nodiscard]] const std::optional<Soul>& soul() const { return soul_; }
  [[nodiscard]] bool identified() const { return is_identified_; }
  [[nodiscard]] bool damaged() const { return is_damaged_; }
  [[nodiscard]] QemuMigration& migration() { return *migration_; }
  [[nodiscard]] Instant now() const { return env_.clock.monotonic(); }
  void spawn(env::Task<void> task);                         // ends with the process
  [[nodiscard]] bool listens() const;                       // a program in it would hear something
  Duration draw(TimeRange range);                           // by the process' own chance
  void tell(std::string_view name, std::string_view data);  // an event

  // What its own kernel does. False: it does not run.
  bool panic();
  bool power_off();
  bool reboot();

  // What the monitor orders.
  void pause();
  std::optional<std::string_view> resume();  // why not
  void press_button();
  // "n0 tcp:127.0.0.1:40000-10.0.2.15:80"; returns QEMU's complaint, or "".
  env::Task<std::string> forward(std::string rule);
  void quit();
  std::string read_console(std::size_t size_max);  // takes it out

  // What the agent does. Precondition: listens().
  void shut_down();  // it takes a moment
  [[nodiscard]] Soul& awake_soul() { return *soul_; }
  void become_whole() { is_identified_ = true; }
  // Looks whether the memory is what it was; false: that was the end of the guest.
  bool memory_holds();

  // Saving it, from where it stands. Nothing: its memory cannot be written.
  std::optional<SavedState> begin_save(bool ignores_shared);
  void end_save(bool is_saved);
  // Its process has loaded this. Precondition: kInMigrate.
  void take_in(const SavedState& saved);

 private:
  env::Task<Result<void>> open();
  env::Task<void> boot();
  env::Task<void> shut_down_soon();
  env::Task<void> quit_soon();
  env::Task<void> leave();
  void set_state(QemuState state);
  void stand_still(QemuState state);
  void run_on();
  [[nodiscard]] Soul be_born();
  void boot_after_crash();
  void wake_up(Soul soul);
  void print(std::string_view text);
  [[nodiscard]] std::string find(const std::string& path) const;  // from its own directory

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
  GuestMemory memory_;
  std::optional<Soul> soul_;  // none: no guest was loaded yet, or what was is none
  std::string loaded_;        // the page of the file that it was loaded from
  QemuState before_save_ = QemuState::kPaused;  // while it is being saved
  bool runs_after_load_ = true;                 // if it was saved while it ran
  bool is_identified_ = false;                  // since the load
  bool is_damaged_ = false;                     // it was loaded from something else than was saved
  std::string console_;
  env::Signal changed_;
  std::vector<std::unique_ptr<env::Listener>> ports_;  // of the host, forwarded
  std::vector<std::unique_ptr<QemuMonitor>> monitors_;
  std::unique_ptr<QemuAgent> agent_;
  std::unique_ptr<QemuMigration> migration_;
  std::uint64_t being_saved_ = 0;  // the number of that save
  QemuGuestHooks hooks_;           // `begins` is null once it has
  env::Scope* scope_ = nullptr;    // while it runs
};

// The next client of a socket; null: there will be none.
env::Task<std::unique_ptr<env::Stream>> next_client(env::Env env, env::Listener& listener);

}  // namespace blixard::sim
