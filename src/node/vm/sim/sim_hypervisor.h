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
#include <set>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/units.h"
#include "env/env.h"
#include "env/process.h"
#include "env/sync.h"
#include "env/task.h"
#include "node/vm/driver.h"

namespace blixard::vm_sim {

inline constexpr std::string_view kSimHypervisorPath = "/usr/bin/sim-hypervisor";

// Times of the tiny guest in software emulation.
struct SimTimes {
  Duration monitor = 30ms;  // from exec until it can be asked
  Duration boot = 1500ms;   // from then until the agent answers
  Duration fault = 500ms;   // from ready until an ordered panic
  Duration obey = 40ms;     // from shutdown or button until the guest is off
  Duration quit = 11ms;
};

// One guest, as its process and the drivers share it.
struct SimGuest {
  explicit SimGuest(env::Executor& executor) : asked(executor) {}

  Uuid uuid;
  env::ProcessId process;
  bool monitor_answers = false;
  bool booted = false;
  bool agent_answers = false;
  bool paused = false;
  vm::Phase end = vm::Phase::kStarting;  // kEnded or kPanicked once it is over
  std::string console;
  bool shutdown_wanted = false;  // by agent or button
  bool quit_wanted = false;
  env::Signal asked;  // any of the wishes, or resumed
};

class SimHypervisor {
 public:
  SimTimes times;
  bool hang_next_starts = false;  // the monitor never answers
  bool fail_next_starts = false;  // the process ends at once

  // A guest's process, from its first step to its last; returns its exit code.
  env::Task<int> run_guest(env::Env env, env::SpawnSpec spec, env::ProcessId id);

  // Null: no process with this id runs a guest.
  [[nodiscard]] SimGuest* find(env::ProcessId id);

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
  env::Task<bool> boot(env::Env env, SimGuest& guest, const std::string& mode);

  std::map<std::int64_t, SimGuest*> guests_;
  std::set<Listener*> listeners_;
};

}  // namespace blixard::vm_sim
