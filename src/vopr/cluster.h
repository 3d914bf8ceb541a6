#pragma once

// The machines of a run and the daemons on them. A daemon is the product's own node with the
// product's driver for QEMU; machine, disk, network and QEMU are the simulator's.
//
// A service manager starts again what ended by itself, as systemd does. What may end a daemon is
// known: it was removed, its disk was made to fail. Anything else is a violation ("ended").

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "env/scope.h"
#include "node/node.h"
#include "sim/qemu/scripted_qemu.h"
#include "sim/random.h"
#include "sim/world.h"
#include "vopr/judge.h"
#include "vopr/plan.h"
#include "vopr/recorder.h"
#include "vopr/saves_judge.h"
#include "vopr/soul_judge.h"
#include "vopr/state_judge.h"
#include "vopr/watched_peers.h"

namespace blixard::vopr {

// A machine, and its place in the cluster.
struct Site {
  static constexpr std::uint16_t kApiPort = 7600;
  static constexpr std::uint16_t kPeerPort = 7481;

  std::uint32_t number = 0;  // from 1
  std::string name;          // of the machine
  sim::Machine* machine = nullptr;
  sim::ScriptedQemu qemu;
  sim::TimeRange boot;  // of its guests

  // The node, as its operator set it up.
  bool belongs = false;     // is a node, or is to become one
  std::uint32_t terms = 0;  // how often it became one: each has a data directory and a name
  bool bootstrap = false;
  std::string join;           // TOKEN@HOST:PORT
  std::uint32_t version = 1;  // of the program; Settings::version at first
  // The newest version of the model that its program knows: the first one is of before.
  [[nodiscard]] std::uint32_t model_version() const {
    return version > 1 ? cluster::kModelVersion : cluster::kModelVersion - 1;
  }

  // Its daemon.
  std::uint64_t lives = 0;
  bool running = false;
  bool ready = false;
  node::Node* node = nullptr;  // while it runs
  NodeId id;                   // once known
  Standing seen;               // when somebody looked
  LogIndex snapshot;           // the same
  std::uint32_t holds = 0;     // faults that keep it down

  // What may be wrong.
  bool removal_begun = false;
  bool removed = false;
  bool disk_trouble = false;           // was ordered: the daemon may end of it
  bool spawn_trouble = false;          // the same
  Duration wall_offset{};              // of its wall clock
  std::uint64_t wall_jumps = 0;        // of it, so far
  bool damaged = false;                // what it stored is wrong or gone: it must be replaced
  bool given_up = false;               // its daemon said so
  std::set<std::string> harmed_saves;  // files of saved guests that were damaged or lost

  // It waits for its replacement.
  [[nodiscard]] bool lost() const { return damaged && given_up; }
  [[nodiscard]] std::string data() const;
  [[nodiscard]] std::string node_name() const;
  [[nodiscard]] env::Endpoint api() const;
  [[nodiscard]] std::string peer_address() const;
  [[nodiscard]] std::string api_token() const;
  [[nodiscard]] const replica::Replica* replica() const {
    return node == nullptr ? nullptr : node->replica();
  }
};

class Cluster {
 public:
  static constexpr std::size_t kStandbys = 2;  // of a node with templates, at most

  Cluster(const Plan& plan, sim::World& world, Recorder& recorder, Judge& judge);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  [[nodiscard]] const Plan& plan() const { return plan_; }
  [[nodiscard]] sim::World& world() { return world_; }
  [[nodiscard]] Recorder& recorder() { return recorder_; }
  [[nodiscard]] Judge& judge() { return judge_; }
  [[nodiscard]] const StateJudge& states() const { return states_; }
  [[nodiscard]] const SoulJudge& souls() const { return souls_; }
  [[nodiscard]] Weather& weather() { return weather_; }
  // Of the clients' machine.
  [[nodiscard]] env::Env env() { return observer_.env(); }
  [[nodiscard]] Instant now() { return env().clock.monotonic(); }
  [[nodiscard]] std::vector<std::unique_ptr<Site>>& sites() { return sites_; }
  [[nodiscard]] Standing standing(std::uint32_t number) const;

  // Of the highest term; null: nobody.
  [[nodiscard]] Site* leader();
  // A step's node: 0 means the leader, or the first if there is none. Null: no such machine.
  [[nodiscard]] Site* resolve(std::uint32_t number);
  // Whoever has a node that runs, beginning with `first` (from 1); null: nobody.
  [[nodiscard]] Site* serving(std::uint32_t first);

  void start(Site& site);
  void crash(Site& site);
  void lose_power(Site& site);
  env::Task<void> stop(Site& site);  // in order
  // Its node is over: what it becomes next has a new name and an empty directory.
  void retire(Site& site);

  // Notes what can only be seen by looking: snapshots, and who does not lead any more.
  void look();
  // Starts again what ended by itself, until it is cancelled.
  env::Task<void> manage();
  // False: the end of the run.
  env::Task<bool> pause(Duration duration);
  // False: the time was up, or the end of the run.
  env::Task<bool> until(std::function<bool()> condition, Duration limit);

  // Guests' processes that live, by machine and in order of their start.
  [[nodiscard]] std::size_t guests_running() const { return alive_.size(); }
  struct Guest {
    Uuid uuid;
    std::uint32_t site = 0;
    env::ProcessId process;
  };
  [[nodiscard]] const std::vector<Guest>& guests() const { return alive_; }

 private:
  class Watch;

  void add_site();
  env::Task<void> live(Site& site, std::uint64_t life, env::Env env);
  env::Task<Result<void>> run_node(Site& site, std::uint64_t life, env::Env env, Watch& watch,
                                   vm::Driver& driver);
  void note_end(Site& site, const Error& why);
  void on_sent(Site& site, NodeId self, const raft::Message& message);
  void watch(Site& site);
  void on_guest(Site& site, const sim::GuestView& guest, bool lives);
  void on_turn(Site& site, const sim::GuestView& guest, bool runs);
  void on_saved(Site& site, const sim::GuestView& guest, std::uint64_t save);
  [[nodiscard]] std::optional<SoulJudge::Living> living(const Uuid& uuid) const;

  const Plan& plan_;
  sim::World& world_;
  Recorder& recorder_;
  Judge& judge_;
  StateJudge states_;
  SoulJudge souls_;
  SavesJudge saves_;
  sim::SeededRandom random_;
  Weather weather_;
  sim::Machine& observer_;
  std::vector<std::unique_ptr<Site>> sites_;
  std::vector<Guest> alive_;
  Term led_;  // the highest term somebody was seen to lead in
};

}  // namespace blixard::vopr
