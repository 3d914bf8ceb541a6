#pragma once

// A node's disk as the reference's MemoryStorage has it: a log behind a place up to which it was
// compacted, the newest snapshot, the hard state.

#include <vector>

#include "core/raft/storage.h"
#include "core/raft/types.h"

namespace blixard::raft::lockstep {

class Disk : public Storage {
 public:
  [[nodiscard]] LogIndex first() const override { return base_.next(); }
  [[nodiscard]] LogIndex last() const override { return LogIndex(base_.value + log_.size()); }
  [[nodiscard]] std::optional<Term> term(LogIndex index) const override;
  Fetch entries(LogIndex from, LogIndex to, std::size_t bytes_max,
                std::vector<Entry>& out) const override;
  [[nodiscard]] std::optional<SnapshotMeta> snapshot() const override;

  [[nodiscard]] const HardState& hard_state() const { return hard_state_; }
  [[nodiscard]] const SnapshotMeta& newest_snapshot() const { return snapshot_; }

  void set_hard_state(const HardState& state) { hard_state_ = state; }
  void set_available(bool available) { available_ = available; }
  void install(const SnapshotMeta& snapshot);
  // Continues the log or overwrites its tail.
  void append(const std::vector<Entry>& entries);
  // Of the state at `index`, if that is newer than the newest. Precondition: index <= last().
  void take_snapshot(LogIndex index, const ConfState& configuration);
  // Drops everything up to `index`; nothing if it is dropped already.
  void compact(LogIndex index);

 private:
  LogIndex base_;
  Term base_term_;
  std::vector<Entry> log_;
  SnapshotMeta snapshot_;
  HardState hard_state_;
  bool available_ = true;
};

}  // namespace blixard::raft::lockstep
