#pragma once

// What a simulated machine consists of, whichever program runs on it: its clock, files, sockets,
// processes and facts. Internal to sim/; tests use Machine.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "env/machine.h"
#include "env/process.h"
#include "sim/disk_faults.h"
#include "sim/engine.h"
#include "sim/file_system.h"
#include "sim/incarnation.h"
#include "sim/journal.h"
#include "sim/process.h"
#include "sim/random.h"
#include "sim/rareness.h"

namespace blixard::sim {

class Fabric;
struct Port;

class Host {
 public:
  Host(Engine& engine, Fabric& fabric, Journal& journal, const Rareness& rareness,
       std::uint32_t number, std::string name, std::uint64_t seed);
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  ~Host();

  // Instants of this machine's clock and of the world; the world's is the first at which the
  // machine's clock shows the local one, as far as is known now.
  [[nodiscard]] Instant to_local(Instant world) const;
  [[nodiscard]] Instant to_world(Instant local) const;
  [[nodiscard]] WallTime wall() const;
  void set_drift(int ppm);
  void set_wall_offset(Duration offset);

  void boot();
  void power_off();
  // Kept until the world ends, see incarnation.h.
  Incarnation& add_incarnation(std::string label, env::Owner owner);
  [[nodiscard]] std::size_t unfinished_tasks() const;
  void end_all();

  void drop_locks(const Incarnation& holder);

  Engine& engine;
  Fabric& fabric;
  Journal& journal;
  const Rareness& rareness;  // the world's
  std::uint32_t number;
  std::string name;
  std::string address;
  SeededRandom random;
  SeededRandom disk_random;
  SeededRandom process_random;
  FileSystem files;
  DiskFaults disk_faults;
  bool powered = false;
  std::uint64_t boots = 0;
  Instant booted;  // in world time

  env::MachineFacts facts;
  env::KvmReport kvm;
  std::optional<std::uint64_t> tsc_khz;
  double load_average = 0.1;
  Bytes memory_available;

  // Listening sockets: by TCP port, and by the inode of a unix socket's name.
  std::multimap<std::uint16_t, std::shared_ptr<Port>> tcp_ports;
  std::map<std::uint64_t, std::shared_ptr<Port>> unix_ports;
  std::uint16_t next_port = 32768;
  bool sockets_exhausted = false;                     // nothing can be accepted
  std::map<std::uint64_t, const Incarnation*> locks;  // by the directory's inode

  ProcessTable processes;

 private:
  // What its clocks have gained since then, or lost.
  [[nodiscard]] Duration drifted(Instant since, Instant now) const;

  int drift_ppm_ = 0;
  Duration clock_offset_{};  // of the monotonic clock at clock_since_; another one with each boot
  Instant clock_since_;
  Duration wall_offset_{};  // of the wall clock at wall_since_, from the world's
  Instant wall_since_;
  std::vector<std::unique_ptr<Incarnation>> incarnations_;
};

}  // namespace blixard::sim
