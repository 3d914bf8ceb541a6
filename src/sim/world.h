#pragma once

// The simulated side of the seam: a world of machines in virtual time, driven by one seed.
//
// Nothing here takes real time: the clock jumps to the next event. All that happens is ordered by
// (virtual time, sequence number), and every choice comes from the seed, so that the same seed
// gives the same trace hash.
//
//   sim::World world(seed);
//   sim::Machine& a = world.add_machine("a");
//   EXPECT_TRUE(world.run(test(a.env())));
//
// Tasks are never destroyed half-way: one that has to go is cancelled and runs until it ends, and
// one that then still does not end within kUnwindLimit of virtual time ends the program, since on
// Linux it would hang a daemon that stops. So what a task refers to must outlive run() for the
// task given to it, and the world for tasks started on a machine (or stop_daemon() is called).
// Streams, files and whatever else an Env handed out must be gone before the world is.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "env/env.h"
#include "env/task.h"
#include "sim/machine.h"
#include "sim/rareness.h"

namespace blixard::sim {

class World {
 public:
  static constexpr Duration kUnwindLimit = 10min;

  explicit World(std::uint64_t seed);
  ~World();  // every daemon and process still running is ended as by crash_daemon()
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // A host named `name`, reachable as address "10.0.0.<n>" from the others, n from 1.
  Machine& add_machine(std::string name);

  // Runs until `task` has ended, with every machine's spawned work beside it. False when `limit`
  // of virtual time passed first or nothing was left to do (a deadlock); the task is then cancelled
  // and gone, and the last of log_lines() says which it was. Machines' work stays, for another
  // run().
  bool run(env::Task<void> task, Duration limit = 1h);

  // Links; link.h says what each fault is. Bytes on a cut link wait until it heals; dials over it
  // run into their deadline.
  void partition(Machine& a, Machine& b);
  void partition_one_way(Machine& from, Machine& to);
  void heal(Machine& a, Machine& b);
  void heal_all();
  void set_latency(Machine& from, Machine& to, Duration least, Duration most);
  void set_loss(Machine& from, Machine& to, std::uint32_t percent);
  void set_bandwidth(Machine& from, Machine& to, Bytes a_second);     // 0: no limit
  void set_damage(Machine& from, Machine& to, std::uint64_t one_in);  // segments; 0: none
  // Some of the connections between the two, new ones too, deliver nothing until unclogged.
  void clog(Machine& a, Machine& b);
  void unclog(Machine& a, Machine& b);
  // This direction as at the beginning, but not the cuts.
  void restore_link(Machine& from, Machine& to);
  // Every connection between the two is lost for both ends at once, with what was under way; as
  // when a box in between forgets them.
  void reset_connections(Machine& a, Machine& b);
  // Every connection between the two is lost at a's end without a word to b, which finds out when
  // it sends; as when a box in between resets one end.
  void half_open(Machine& a, Machine& b);

  // Which rare-event points are taken, and how often: none at the beginning.
  void set_rareness(Rareness rareness);

  void set_log_level(observe::Level level);  // from which lines are kept: kInfo

  [[nodiscard]] Duration elapsed() const;
  [[nodiscard]] std::uint64_t steps() const;  // events and resumed coroutines so far
  // Of all of them, what links delivered and disks were given. The log is no part of it.
  [[nodiscard]] std::uint64_t trace_hash() const;
  [[nodiscard]] const std::vector<std::string>& log_lines() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace blixard::sim
