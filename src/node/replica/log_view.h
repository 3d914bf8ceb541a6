#pragma once

// The log as the core may see it: what is known without waiting. Entries that are only on disk are
// answered kNotInMemory and noted as missing; whoever has read them puts them here, where they stay
// until others take their place.
//
// What was put here may be overwritten in the log later; an entry is only given out while its term
// is the log's (equal index and term mean the same entry).

#include <cstddef>
#include <deque>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "core/raft/storage.h"
#include "node/log/log.h"

namespace blixard::replica {

class LogView final : public raft::Storage {
 public:
  struct Missing {
    LogIndex from;
    LogIndex to;
    std::size_t bytes_max = 0;
  };

  explicit LogView(const log::Log& log) : log_(log) {}

  [[nodiscard]] LogIndex first() const override;
  [[nodiscard]] LogIndex last() const override;
  [[nodiscard]] std::optional<Term> term(LogIndex index) const override;
  Fetch entries(LogIndex from, LogIndex to, std::size_t bytes_max,
                std::vector<raft::Entry>& out) const override;
  [[nodiscard]] std::optional<raft::SnapshotMeta> snapshot() const override;

  // What the log's snapshot covers; the log itself knows no configurations.
  void set_snapshot(raft::SnapshotMeta meta) { snapshot_ = std::move(meta); }

  // The oldest that was asked for in vain; asked for again later if it is still missing.
  std::optional<Missing> take_missing();
  [[nodiscard]] bool has_missing() const { return !missing_.empty(); }
  void put(std::vector<raft::Entry> entries);

 private:
  bool find_loaded(LogIndex from, LogIndex to, std::size_t bytes_max,
                   std::vector<raft::Entry>& out) const;

  const log::Log& log_;
  std::optional<raft::SnapshotMeta> snapshot_;
  mutable std::deque<Missing> missing_;
  std::deque<std::vector<raft::Entry>> loaded_;  // pieces of consecutive entries, oldest first
};

}  // namespace blixard::replica
