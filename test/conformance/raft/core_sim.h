#pragma once

// Whole clusters of pure cores in virtual time: thousands of faulty lives a minute, without the
// seam, without I/O. A run is a function of its mix and seed; the same two give the same trace
// hash. What must hold is in core_sim_check.h, what may happen in core_sim_faults.cc, what is
// brought about on purpose in core_sim_scripts.cc.
//
// A tick of a core is kTick of virtual time. Whatever a core has to say is taken after each input.
// Scripts may stop the clocks, drop messages by rule and hold disks; random runs do neither.

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/raft/core.h"
#include "test/conformance/raft/core_sim_check.h"
#include "test/conformance/raft/core_sim_model.h"

namespace blixard::core_sim {

inline constexpr Time kTick = 10;

enum class Mix : std::uint8_t { kQuiet, kCalm, kHard };

enum class Fault : std::uint8_t {
  kIsolate,
  kSplit,
  kOneWay,
  kHeal,
  kCrash,
  kCrashAll,
  kSlowDisk,
  kWeather,
  kTransfer,
  kChange,
  kSnapshot,
  kCampaign,
  kForgetLeader,
  kEvict,  // entries leave the memory
  kCount
};
[[nodiscard]] const char* name_of(Fault fault);

// What a seed decides before the run.
struct Plan {
  std::uint64_t seed = 0;
  raft::ConfState initial;
  raft::Config config;  // of every node, but for id and seed
  Weather weather;
  Time disk_min = 1;
  Time disk_max = 1;
  Time apply_max = 0;
  Time client_every = 0;  // 0: never
  Time fault_every = 0;
  Time length = 0;
  bool hard = false;
};
[[nodiscard]] Plan plan_of(Mix mix, std::uint64_t seed);

struct Summary {
  std::uint64_t ticks = 0;
  std::uint64_t events = 0;
  std::uint64_t elections = 0;
  std::uint64_t commits = 0;
  std::uint64_t reads = 0;
  std::uint64_t changes = 0;
  std::uint64_t installs = 0;
  std::uint64_t finish_ticks = 0;  // from the last fault to a commit that everybody applied
  std::array<std::uint64_t, static_cast<std::size_t>(Fault::kCount)> faults{};
  std::uint64_t hash = 0;
  std::optional<Violation> violation;
  Time violated_at = 0;
};

class Sim {
 public:
  using Drop = std::function<bool(const raft::Message&)>;

  explicit Sim(const Plan& plan);

  // Time.
  void run_for(Time time);
  void run_mix();  // the plan's length of clients and faults
  // No more faults; then, within this many ticks, all of `members` (none: of the newest
  // configuration) are to apply something new. Else "progress" is violated.
  void finish(std::uint64_t ticks_max, std::vector<std::uint64_t> members = {});
  void stop_clocks(bool stopped) { clocks_stopped_ = stopped; }
  void tick(std::uint64_t id, int times);
  // Delivers and completes what is under way and what that causes. Clocks are to be stopped.
  void settle();
  // Brings `id` to lead, as far as the others let it: their clocks go on until they would listen.
  bool elect(std::uint64_t id);

  // Inputs.
  void propose(std::uint64_t id, std::size_t bytes = 0);
  void read(std::uint64_t id);
  void change(std::uint64_t id, const raft::ConfChange& change);
  void transfer(std::uint64_t id, std::uint64_t to);
  void crash(std::uint64_t id);
  void restart(std::uint64_t id);
  void snapshot(std::uint64_t id, std::uint64_t keep);

  // The world.
  void isolate(std::uint64_t id);
  void cut_both(std::uint64_t a, std::uint64_t b);
  void heal() { network_.heal(); }
  void set_drop(Drop drop) { drop_ = std::move(drop); }
  void hold_disk(std::uint64_t id, bool held);
  void complete_one(std::uint64_t id);
  void release();  // no rule drops messages any more, no disk is held, clocks go
  void set_weather(const Weather& weather) { network_.set_weather(weather); }

  // Views.
  [[nodiscard]] Checker& checker() { return checker_; }
  [[nodiscard]] bool failed() const { return checker_.violation().has_value(); }
  [[nodiscard]] const raft::Core* core(std::uint64_t id) const { return nodes_[id].core.get(); }
  [[nodiscard]] std::uint64_t leader() const;  // of the highest term; 0: none
  [[nodiscard]] Chance& chance() { return chance_; }
  [[nodiscard]] Summary summary() const;

 private:
  struct Node {
    raft::Config config;
    Disk disk;
    LogView view;
    std::unique_ptr<raft::Core> core;  // null: down, or never started
    std::uint32_t life = 0;
    bool started = false;
    bool disk_held = false;
    Time disk_free_at = 0;
    std::uint64_t slowness = 1;
    LogIndex commit;
    LogIndex applied;
    raft::ConfState configuration;  // as of `applied`
    std::deque<raft::Entry> to_apply;
    bool applying = false;
    bool loading = false;
    bool evicted = false;  // ever
  };
  enum class EventKind : std::uint8_t {
    kTick,
    kDeliver,
    kDisk,
    kApply,
    kLoaded,  // entries that were on disk only
    kSaved,   // a snapshot of the state machine
    kReport,  // of a snapshot that was sent
    kUnreachable,
    kClient,
    kFault,
    kRestart
  };
  struct Event {
    Time at = 0;
    std::uint64_t order = 0;
    EventKind kind = EventKind::kTick;
    bool flag = false;
    std::uint32_t node = 0;
    std::uint32_t life = 0;
    std::uint64_t value = 0;  // a message's place, a peer, an index to keep from
  };

  // core_sim.cc
  void start(std::uint64_t id);
  void push(Time delay, Event event);
  bool step_event();
  void handle(const Event& event);
  void deliver(const Event& event);
  void disk_done(Node& node);
  void schedule_disk(Node& node);
  void release(Node& node);
  void take_outputs(Node& node);
  void take_append(Node& node, raft::Append append);
  void send(Node& node, std::vector<raft::Message>& messages);
  void post(raft::Message message);
  void check_message(const Node& node, const raft::Message& message);
  void take_committed(Node& node, std::vector<raft::Entry>& entries);
  void apply_queued(Node& node);
  void apply_all(Node& node);
  void load_wanted(Node& node);
  void saved(Node& node, const Event& event);
  void note_commit(Node& node);
  void trace(std::uint64_t value) { hash_ = mixed(hash_, value); }
  [[nodiscard]] const LogView* view_of_leader(Term term) const;
  [[nodiscard]] bool is_alive(const Event& event) const;

  // core_sim_inputs.cc
  [[nodiscard]] bool all_applied(const std::vector<std::uint64_t>& members, LogIndex index) const;
  LogIndex propose_marker(std::uint64_t id);

  // core_sim_faults.cc
  void client();
  void fault();
  void inject(Fault fault);
  void partition(Fault fault);
  void change_members();
  [[nodiscard]] raft::ConfChange random_change(const raft::ConfState& now);
  void crash_for_a_while(std::uint64_t id);
  void end_of_faults();
  [[nodiscard]] std::uint64_t random_up();
  [[nodiscard]] std::uint64_t free_id(const raft::ConfState& now) const;

  Plan plan_;
  Chance chance_;
  Checker checker_;
  Network network_;
  std::array<Node, kNodesMax> nodes_;
  std::set<std::uint64_t> removed_;  // ids that never come back
  Time now_ = 0;
  std::uint64_t order_ = 0;
  std::vector<Event> queue_;  // a heap
  std::vector<raft::Message> messages_;
  std::vector<std::uint64_t> free_messages_;
  Drop drop_;
  bool clocks_stopped_ = false;
  bool mixing_ = false;
  std::uint64_t quiet_events_ = 0;  // under way, but for clocks, clients and faults
  std::uint64_t next_id_ = 1;       // of proposals and reads
  std::uint64_t hash_ = 0;
  Summary sums_;
  Time violated_at_ = 0;
};

// A whole run: perhaps a script, then the mix, then the end.
[[nodiscard]] Summary run(Mix mix, std::uint64_t seed);

}  // namespace blixard::core_sim
