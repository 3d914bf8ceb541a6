#pragma once

// One simulated host, as a test sees it: start the daemon on it, break it, look at what is left.
//
//   sim::Machine& a = world.add_machine("a");
//   a.start(daemon(a.env()));        // ends with a crash of the daemon or the world's end
//   a.lose_power();
//   a.restart();
//   a.start(daemon(a.env()));        // a fresh Env on what the disk kept
//
// Three ways to end a daemon: stop_daemon() asks it (its scope is cancelled and waited for),
// crash_daemon() is kill -9 (what was written stays, other processes live on), lose_power() takes
// the machine with it (unsynced data is lost or torn, processes end, peers are not told). The
// coroutines of a crashed daemon unwind in the same instant, without effect on anything; see
// incarnation.h.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "env/env.h"
#include "env/task.h"
#include "sim/disk_faults.h"
#include "sim/process.h"

namespace blixard::sim {

class Host;

class Machine {
 public:
  explicit Machine(std::unique_ptr<Host> host);
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine();

  [[nodiscard]] const std::string& name() const;
  [[nodiscard]] const std::string& address() const;  // "10.0.0.1"

  // Of the running daemon. Valid as long as the world, but of no effect once it has crashed.
  // Precondition: running().
  [[nodiscard]] env::Env env();
  [[nodiscard]] bool running() const;
  // Runs in the daemon's scope.
  void start(env::Task<void> task);

  env::Task<void> stop_daemon();
  void crash_daemon();
  void lose_power();
  // The daemon stands still, as if stopped by a signal or out of memory: what it asked for goes on,
  // what comes in waits, and it notices nothing until thaw_daemon(). A crash ends that, too. Both
  // are fine if nothing runs.
  void freeze_daemon();
  void thaw_daemon();
  // Starts a new daemon, and the machine if it is off. Precondition: not running().
  void restart();

  // Files. Content is what programs see; durable, what a loss of power leaves for certain.
  [[nodiscard]] std::optional<std::string> content(std::string_view path) const;
  [[nodiscard]] std::optional<std::string> durable_content(std::string_view path) const;
  [[nodiscard]] std::optional<std::uint32_t> mode(std::string_view path) const;
  [[nodiscard]] std::optional<env::Owner> owner(std::string_view path) const;
  DiskFaults& disk_faults();
  void set_disk_capacity(Bytes capacity);
  void corrupt(std::string_view path, std::uint64_t offset);  // flips a bit, on the disk too
  // A new disk: no file of the old one is there. Precondition: the machine is off.
  void replace_disk();
  // Flips one bit of one file that is stored below the path, both chosen by `where`; programs that
  // read it see it. The path of the file; none: nothing is stored there.
  std::optional<std::string> rot(std::string_view below, std::uint64_t where);
  // The next write of a file below the path goes to other sectors of it, chosen by `where`, rather
  // to ones that hold something, and is reported as done. See disk_faults.h.
  void misdirect_next_write(std::string_view below, std::uint64_t where);

  // While true no connection can be accepted, for want of file descriptors.
  void exhaust_sockets(bool exhausted);

  // Programs. Installed ones survive everything.
  void install_program(std::string path, Behaviour behaviour);
  [[nodiscard]] std::size_t processes() const;  // that live
  [[nodiscard]] bool is_alive(env::ProcessId id) const;
  void kill_process(env::ProcessId id);  // from outside, as the kernel out of memory does
  void fail_next_spawn(Error error);
  void set_group_support(env::Process::GroupSupport support);

  // Facts.
  env::MachineFacts& facts();
  env::KvmReport& kvm();
  void set_tsc_khz(std::optional<std::uint64_t> khz);
  void set_load_average(double load);
  void set_memory_available(Bytes memory);
  void set_wall_offset(Duration offset);  // from the world's wall clock
  // From now on the clocks, the monotonic and the wall clock, run fast by so many parts per million
  // of the world's time, or slow; up to 100,000 either way. Neither jumps. A sleep ends when the
  // machine's clock says so, also one that began before. A reboot does not mend it.
  void set_drift(int ppm);

  [[nodiscard]] Host& host() { return *host_; }

 private:
  std::unique_ptr<Host> host_;
  Incarnation* daemon_ = nullptr;  // null: not running
};

}  // namespace blixard::sim
