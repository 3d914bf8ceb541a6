#pragma once

// A node's disk as the reference's scripts have it: a log that can be compacted, the hard state,
// and the state after each applied entry, any of which can serve as a snapshot.
//
// Whoever asks for the newest snapshot gets the newest applied state, compacted or not: that is how
// the scripts expect it.

#include <string>
#include <vector>

#include "base/result.h"
#include "core/raft/storage.h"
#include "core/raft/types.h"

namespace blixard::raft::interaction {

class MemoryStorage : public Storage {
 public:
  MemoryStorage() : applied_(1) {}
  // Begins with a snapshot, as if everything before had been compacted.
  explicit MemoryStorage(const SnapshotMeta& begin) : base_(begin), applied_{begin} {}

  [[nodiscard]] LogIndex first() const override { return base_.index.next(); }
  [[nodiscard]] LogIndex last() const override;
  [[nodiscard]] std::optional<Term> term(LogIndex index) const override;
  Fetch entries(LogIndex from, LogIndex to, std::size_t bytes_max,
                std::vector<Entry>& out) const override;
  [[nodiscard]] std::optional<SnapshotMeta> snapshot() const override;

  [[nodiscard]] const HardState& hard_state() const { return hard_state_; }
  void set_hard_state(const HardState& state) { hard_state_ = state; }
  // Continues the log or overwrites its tail. Errors: "log_gap".
  Result<void> append(const std::vector<Entry>& entries);
  // Errors: "snapshot_old".
  Result<void> install(const SnapshotMeta& snapshot);
  // Drops everything up to `index`. Errors: "compact_invalid".
  Result<void> compact(LogIndex index);
  // The state machine took an entry; the configuration is none if it did not change.
  void apply(const Entry& entry, const ConfState* configuration);
  // What is left of a crash: the log and the state at its beginning, everything else forgotten.
  const SnapshotMeta& forget_applied();

 private:
  SnapshotMeta base_;  // what the log begins behind
  std::vector<Entry> log_;
  HardState hard_state_;
  std::vector<SnapshotMeta> applied_;  // oldest first; never empty
};

}  // namespace blixard::raft::interaction
