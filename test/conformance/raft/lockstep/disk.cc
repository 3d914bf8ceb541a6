#include "test/conformance/raft/lockstep/disk.h"

#include <algorithm>

#include "base/assert.h"

namespace blixard::raft::lockstep {

std::optional<Term> Disk::term(LogIndex index) const {
  if (index == base_) return base_term_;
  if (index < base_ || index > last()) return std::nullopt;
  return log_[index.value - base_.value - 1].term;
}

Storage::Fetch Disk::entries(LogIndex from, LogIndex to, std::size_t bytes_max,
                             std::vector<Entry>& out) const {
  BLX_ASSERT(from <= to && to <= last());
  if (from <= base_) return Fetch::kCompacted;
  std::size_t bytes = 0;
  for (std::uint64_t index = from.value; index <= to.value; ++index) {
    const Entry& entry = log_[index - base_.value - 1];
    bytes += entry_bytes(entry);
    if (bytes > bytes_max && index > from.value) break;
    out.push_back(entry);
  }
  return Fetch::kFound;
}

std::optional<SnapshotMeta> Disk::snapshot() const {
  return available_ && snapshot_.index ? std::optional(snapshot_) : std::nullopt;
}

void Disk::install(const SnapshotMeta& snapshot) {
  BLX_ASSERT(snapshot.index > snapshot_.index);
  snapshot_ = snapshot;
  base_ = snapshot.index;
  base_term_ = snapshot.term;
  log_.clear();
}

void Disk::append(const std::vector<Entry>& entries) {
  for (const Entry& entry : entries) {
    if (entry.index <= base_) continue;
    BLX_ASSERT(entry.index <= last().next());
    log_.resize(entry.index.value - base_.value - 1);
    log_.push_back(entry);
  }
}

void Disk::take_snapshot(LogIndex index, const ConfState& configuration) {
  if (index <= snapshot_.index) return;
  const auto at = term(index);
  BLX_ASSERT(at.has_value());
  snapshot_ = {index, *at, configuration};
}

void Disk::compact(LogIndex index) {
  if (index <= base_) return;
  BLX_ASSERT(index <= last());
  base_term_ = *term(index);
  log_.erase(log_.begin(), log_.begin() + static_cast<std::ptrdiff_t>(index.value - base_.value));
  base_ = index;
}

}  // namespace blixard::raft::lockstep
