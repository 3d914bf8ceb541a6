#pragma once

// The machines of a simulation and the daemons on them. A daemon is the product's own replica, log
// and connections; everything around it is the judge's.
//
// A daemon that ends by itself is started again after a while, as a service manager does it, unless
// the cluster removed it. What may end one is known: a failed sync. Anything else is a violation.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/assert.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/state.h"
#include "node/peer/peers.h"
#include "node/replica/replica.h"
#include "sim/world.h"
#include "test/conformance/consensus/settings.h"
#include "vopr/judge.h"
#include "vopr/watched_peers.h"

namespace blixard::consensus_sim {

using vopr::Judge;
using vopr::WatchedPeers;
using vopr::Weather;

// A machine with its place in the cluster. After it was removed it may come back as another node.
struct Daemon {
  std::size_t number = 0;  // of the machine, from 1
  sim::Machine* machine = nullptr;
  NodeId id;  // none: it was never a node
  std::string name;
  std::string directory;
  env::Credentials credentials;
  bool founder = false;
  bool removal_begun = false;
  bool removed = false;      // the cluster decided so, whether it knows or not
  bool sync_failed = false;  // a failed sync was ordered: it may end by itself
  bool disk_was_full = false;
  std::uint64_t lives = 0;
  replica::Replica* replica = nullptr;  // null: not running, or not open yet
  bool running = false;
  bool ended = false;  // by itself

  [[nodiscard]] bool leads() const { return replica != nullptr && replica->is_leader(); }
};

class Cluster {
 public:
  Cluster(const Settings& settings, sim::World& world, Judge& judge);

  [[nodiscard]] const Settings& settings() const { return settings_; }
  [[nodiscard]] sim::World& world() { return world_; }
  [[nodiscard]] Judge& judge() { return judge_; }
  [[nodiscard]] env::Env env() { return tester_.env(); }
  [[nodiscard]] Weather& weather() { return weather_; }
  [[nodiscard]] sim::SeededRandom& random() { return random_; }
  std::vector<std::unique_ptr<Daemon>>& daemons() { return daemons_; }

  void start(Daemon& daemon);
  void crash(Daemon& daemon);
  void lose_power(Daemon& daemon);

  // Starts again what ended by itself, until it is cancelled.
  env::Task<void> manage();

  // A daemon that serves; null: none. The leader is chosen as often as everybody else.
  Daemon* any_serving();
  // Of the highest term; null: nobody.
  Daemon* leader();
  // Gives the machine a new place: another id, another directory.
  void become(Daemon& daemon, NodeId id, const std::string& name);
  [[nodiscard]] env::Endpoint endpoint_of(const Daemon& daemon) const;

  // False: the end of the simulation.
  env::Task<bool> pause(Duration duration);
  Duration up_to(Duration most) { return random_.between(most / 10, most); }

 private:
  class Watch;

  void make_authority();
  void issue(Daemon& daemon);
  void make_first_state();
  env::Task<void> live(Daemon& daemon);
  env::Task<Result<std::unique_ptr<replica::Replica>>> open(env::Env env, Daemon& daemon,
                                                            peer::Peers& peers, Watch& watch);
  void note_end(Daemon& daemon, const Error& why);

  const Settings& settings_;
  sim::World& world_;
  Judge& judge_;
  sim::SeededRandom random_;
  Weather weather_;
  sim::Machine& tester_;
  env::Authority authority_;
  cluster::State first_;
  std::vector<std::unique_ptr<Daemon>> daemons_;
};

}  // namespace blixard::consensus_sim
