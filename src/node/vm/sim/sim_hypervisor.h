#pragma once

// The hypervisor of a simulated machine: what a guest does once its process runs, with the times
// and faults of the real one.
//
// It is the machine's, not the daemon's: processes live on when the daemon is gone, and the next
// driver attaches to the same SimHypervisor. Its guests' processes are programs of the simulated
// machine, so they are killed, lose power and are found again by pid as any other; the owner of
// the machine installs run_guest() as the program kSimHypervisorPath.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "env/env.h"
#include "env/process.h"
#include "env/sync.h"
#include "env/task.h"
#include "node/vm/driver.h"
#include "node/vm/sim/soul.h"

namespace blixard::vm_sim {

inline constexpr std::string_view kSimHypervisorPath = "/usr/bin/sim-hypervisor";

// Times of the tiny guest in software emulation.
struct SimTimes {
  Duration monitor = 30ms;  // from exec until it can be asked
  Duration boot = 1500ms;   // from then until the agent answers
  Duration fault = 500ms;   // from ready until an ordered panic
  Duration obey = 40ms;     // from shutdown or button until the guest is off
  Duration quit = 11ms;
  Duration save = 10ms;
  Duration load = 5ms;     // of a template or a saved guest, once it is told to
  Duration answer = 30ms;  // from when it is let run until its agent answers
};

// Names in a template's folder.
inline constexpr std::string_view kRamFile = "ram";
inline constexpr std::string_view kStateFile = "state";

// What a program is started with, as its arguments.
struct GuestArguments {
  Uuid uuid;
  std::string cmdline;
  std::string name;
  std::string clone_of;     // the folder of its template; empty: it is no clone
  bool is_resumed = false;  // it waits for a saved guest; neither: it boots

  [[nodiscard]] std::vector<std::string> encode() const;
  static std::optional<GuestArguments> decode(const std::vector<std::string>& arguments);
};

// Who a guest that was loaded is to be.
struct Identity {
  std::string was;  // the name that it had when it was saved
  std::string name;
  Uuid uuid;
  std::string entropy;
};

// One guest, as its process and the drivers share it.
struct SimGuest {
  explicit SimGuest(env::Executor& executor) : asked(executor) {}

  Uuid uuid;
  env::ProcessId process;
  Soul soul;
  std::string clone_of;  // of a clone: its template's folder
  bool is_resumed = false;
  std::string saved;  // what it loads that is resumed
  bool load_wanted = false;
  bool loaded = false;
  bool run_wanted = false;  // what was loaded stands still until then
  bool identified = false;  // after it was loaded
  bool monitor_answers = false;
  bool booted = false;
  bool agent_answers = false;
  bool paused = false;
  WallTime paused_at;
  vm::Phase end = vm::Phase::kStarting;  // kEnded or kPanicked once it is over
  std::string console;
  bool shutdown_wanted = false;  // by agent or button
  bool quit_wanted = false;
  env::Signal asked;  // any of the wishes, or resumed

  [[nodiscard]] bool is_loaded_one() const { return is_resumed || !clone_of.empty(); }
  [[nodiscard]] bool never_ran() const { return is_loaded_one() && !run_wanted; }
};

class SimHypervisor {
 public:
  SimTimes times;
  bool hang_next_starts = false;  // the monitor never answers
  bool fail_next_starts = false;  // the process ends at once
  bool fail_next_loads = false;   // the process ends while it loads
  bool fail_saves = false;        // half way
  bool stale_clones = false;      // what runs in a clone is another guest than was saved
  bool agent_refuses_identity = false;

  // A guest's process, from its first step to its last; returns its exit code.
  env::Task<int> run_guest(env::Env env, env::SpawnSpec spec, env::ProcessId id);

  // Null: no process with this id runs a guest.
  [[nodiscard]] SimGuest* find(env::ProcessId id);

  // What the agent does when it is told who it is; again and again, if need be. Precondition: it
  // answers. Errors: kFailedPrecondition "identity_refused", and it is who it was.
  Result<void> identify(SimGuest& guest, const Identity& identity);

  // Its clock stands still in between, and is right again if its agent answers.
  void pause(SimGuest& guest, WallTime now);
  void go_on(SimGuest& guest, WallTime now);

  // Told after every change of a guest, also of its end.
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void guest_changed(env::ProcessId id) = 0;
  };
  void attach(Listener& listener) { listeners_.insert(&listener); }
  void detach(Listener& listener) { listeners_.erase(&listener); }
  void tell(env::ProcessId id);

 private:
  env::Task<int> serve(env::Env env, SimGuest& guest, std::string mode);
  env::Task<bool> come_up(env::Env env, SimGuest& guest);
  env::Task<bool> boot(env::Env env, SimGuest& guest);
  env::Task<bool> load(env::Env env, SimGuest& guest);

  std::map<std::int64_t, SimGuest*> guests_;
  std::set<Listener*> listeners_;
};

}  // namespace blixard::vm_sim
