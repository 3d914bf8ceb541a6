#pragma once

// QEMU on a simulated machine: a program that understands the driver's command line, opens the
// monitor's and the agent's sockets, boots, and has what QemuFaults wants go wrong. The product's
// own driver runs against it.
//
//   sim::ScriptedQemu qemu;              // before the world: processes refer to it until its end
//   sim::World world(seed);
//   qemu.install(world.add_machine("a"));
//   qemu.faults.starts_fail = true;
//
// Guests belong to the machine: they live on when the daemon crashes and end with its power.
//
// Invariant: on_guest() hears of each guest that runs exactly twice, in the very step in which it
// begins to run and in which its process ends, however it ends. So what it was told is, at every
// instant, what runs. What was loaded begins with its first `cont`.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "env/process.h"
#include "env/task.h"
#include "node/vm/driver.h"
#include "sim/machine.h"
#include "sim/qemu/faults.h"
#include "sim/qemu/guest.h"

namespace blixard::sim {

inline constexpr const char* kQemuPath = "/usr/bin/qemu-system-x86_64";

struct GuestView {
  env::ProcessId process;
  Uuid uuid;  // of the VM; of one whose process stood by: as its folder says
  std::string name;
  vm::Accelerator accelerator = vm::Accelerator::kTcg;
  Bytes memory;
  bool is_vm = true;  // false: the trial of KVM, or a guest that becomes a template
  // "prelaunch" (the guest does not run yet), "running", "paused", "shutdown", "guest-panicked",
  // "inmigrate", "finish-migrate", "postmigrate"
  std::string_view status;
  bool booted = false;  // its agent answers, or did

  // What the guest takes itself for; empty while there is none in the process.
  std::string host_name;
  std::string machine_id;
  std::string mac;
  std::uint64_t random_seed = 0;  // two guests of one seed: of the same random bytes
  Duration clock_offset{};        // of its time of day from the machine's
  std::uint64_t save = 0;         // the one that it was loaded from; 0: it booted
  bool identified = false;        // after the load it was named, and its generator seeded
  bool damaged = false;           // it was loaded from something else than was saved
};

class ScriptedQemu {
 public:
  // They must not do anything to the world.
  using OnGuest = std::function<void(Machine& machine, const GuestView& guest, bool lives)>;
  using OnTurn = std::function<void(Machine& machine, const GuestView& guest, bool runs)>;
  using OnSaved = std::function<void(Machine& machine, const GuestView& guest, std::uint64_t save)>;

  ScriptedQemu() = default;
  ScriptedQemu(const ScriptedQemu&) = delete;
  ScriptedQemu& operator=(const ScriptedQemu&) = delete;
  ~ScriptedQemu();

  void install(Machine& machine);  // once

  QemuFaults faults;
  OnGuest on_guest;
  OnTurn on_turn;    // a guest runs, after on_guest() the first time, or stands still
  OnSaved on_saved;  // its state was written whole, under this number

  [[nodiscard]] std::vector<GuestView> guests() const;  // whose process lives, in order of start
  [[nodiscard]] std::size_t standing_by() const;        // processes that nobody took yet
  // The one with the most memory, of several the newest: what the kernel ends when there is none
  // left (Machine::kill_process).
  [[nodiscard]] std::optional<GuestView> largest() const;
  [[nodiscard]] std::uint64_t started() const { return started_; }  // processes for guests

  // The guest's own doing. False: no guest runs in this process.
  bool panic(env::ProcessId process);
  bool power_off(env::ProcessId process);
  bool reboot(env::ProcessId process);

 private:
  class Life;

  env::Task<void> run(ProcessContext process);
  env::Task<void> run_guest(ProcessContext process);
  [[nodiscard]] QemuGuest* find(env::ProcessId process) const;

  Machine* machine_ = nullptr;
  std::vector<Life*> lives_;
  std::uint64_t started_ = 0;
};

}  // namespace blixard::sim
