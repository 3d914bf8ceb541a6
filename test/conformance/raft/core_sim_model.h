#pragma once

// The world of the core simulation: chance, a network and disks, as small as they can be.
//
// A disk completes its writes in order and late. Each is atomic: its snapshot, its entries and its
// hard state are there together or not at all. A crash keeps a random number of the oldest
// writes that were under way and loses the others. The network may lose, delay, repeat and reorder
// every message, and cut every direction of every link by itself.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "core/raft/core.h"
#include "core/raft/storage.h"

namespace blixard::core_sim {

using Time = std::uint64_t;

// splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
class Chance {
 public:
  explicit Chance(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  std::uint64_t below(std::uint64_t bound) { return bound == 0 ? 0 : next() % bound; }
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    return low + below(high - low + 1);
  }
  bool permille(std::uint64_t share) { return below(1000) < share; }
  bool one_in(std::uint64_t times) { return below(times) == 0; }

 private:
  std::uint64_t state_;
};

[[nodiscard]] std::uint64_t mixed(std::uint64_t hash, std::uint64_t value);

inline constexpr std::size_t kNodesMax = 8;           // ids 1 to 7
inline constexpr std::size_t kPayloadBytesMax = 120;  // of a proposal

struct Weather {
  std::uint64_t loss = 0;       // of 1000
  std::uint64_t duplicate = 0;  // of 1000
  std::uint64_t straggler = 0;  // of 1000: comes much later than what was sent after it
  std::uint64_t shorten = 0;    // of 1000 appends: only the first of its entries arrive
  Time delay_min = 1;
  Time delay_max = 1;
  Time straggler_max = 1;
};

class Network {
 public:
  struct Fate {
    std::size_t copies = 0;
    Time delay[2] = {0, 0};
  };

  void set_weather(const Weather& weather) { weather_ = weather; }
  [[nodiscard]] const Weather& weather() const { return weather_; }
  void cut(std::size_t from, std::size_t to, bool is_cut) { cut_[from][to] = is_cut; }
  [[nodiscard]] bool is_cut(std::size_t from, std::size_t to) const { return cut_[from][to]; }
  void heal();
  [[nodiscard]] Fate fate(Chance& chance, std::size_t from, std::size_t to) const;
  // An append may lose its last entries: another leader could have sent it like that, and a
  // follower must not take more from it than it says.
  void shorten(Chance& chance, raft::Message& message) const;

 private:
  [[nodiscard]] Time delay(Chance& chance) const;

  Weather weather_;
  bool cut_[kNodesMax][kNodesMax] = {};
};

class Disk final : public raft::Storage {
 public:
  // Storage: what is durable.
  [[nodiscard]] LogIndex first() const override { return base_.next(); }
  [[nodiscard]] LogIndex last() const override { return LogIndex(base_.value + entries_.size()); }
  [[nodiscard]] std::optional<Term> term(LogIndex index) const override;
  Fetch entries(LogIndex from, LogIndex to, std::size_t bytes_max,
                std::vector<raft::Entry>& out) const override;
  [[nodiscard]] std::optional<raft::SnapshotMeta> snapshot() const override { return snapshot_; }

  void submit(raft::Append append) { queue_.push_back(std::move(append)); }
  [[nodiscard]] std::size_t under_way() const { return queue_.size(); }
  // The oldest write is durable now. None: it does not fit the log, which is a fault of the core.
  // Precondition: something is under way.
  std::optional<raft::Append> complete();
  // The first `kept` of the writes under way reach the disk, the others never. False: as above.
  bool crash(std::size_t kept);

  // A snapshot of the state machine is durable. Precondition: first() - 1 <= index <= last().
  void save_snapshot(raft::SnapshotMeta meta);
  // Drops the entries up to `index`. Precondition: a snapshot covers them.
  void compact(LogIndex index);

  // Entries before this one are not in memory until they are loaded.
  void forget_below(LogIndex index) { in_memory_from_ = index; }

  [[nodiscard]] const raft::HardState& hard_state() const { return hard_state_; }
  [[nodiscard]] const raft::Entry& at(LogIndex index) const {
    return entries_[index.value - base_.value - 1];
  }

 private:
  [[nodiscard]] bool write(const raft::Append& append);

  LogIndex base_;  // behind which the entries begin
  Term base_term_;
  std::vector<raft::Entry> entries_;
  std::optional<raft::SnapshotMeta> snapshot_;
  raft::HardState hard_state_;
  LogIndex in_memory_from_;
  std::deque<raft::Append> queue_;
};

}  // namespace blixard::core_sim
