#include "test/conformance/raft/memory_storage.h"

#include <algorithm>

#include <fmt/format.h>

namespace blixard::raft::interaction {

LogIndex MemoryStorage::last() const { return LogIndex(base_.index.value + log_.size()); }

std::optional<Term> MemoryStorage::term(LogIndex index) const {
  if (index == base_.index) return base_.term;
  if (index < first() || index > last()) return std::nullopt;
  return log_[index.value - first().value].term;
}

Storage::Fetch MemoryStorage::entries(LogIndex from, LogIndex to, std::size_t bytes_max,
                                      std::vector<Entry>& out) const {
  if (from < first()) return Fetch::kCompacted;
  std::size_t bytes = 0;
  for (std::uint64_t i = from.value; i <= std::min(to, last()).value; ++i) {
    const Entry& entry = log_[i - first().value];
    bytes += entry_bytes(entry);
    if (i > from.value && bytes > bytes_max) break;
    out.push_back(entry);
  }
  return Fetch::kFound;
}

std::optional<SnapshotMeta> MemoryStorage::snapshot() const {
  if (!applied_.back().index) return std::nullopt;
  return applied_.back();
}

Result<void> MemoryStorage::append(const std::vector<Entry>& entries) {
  for (const Entry& entry : entries) {
    if (entry.index < first()) continue;
    if (entry.index > last().next()) {
      return fail(Code::kInternal, "log_gap",
                  fmt::format("missing log entry [last: {}, append at: {}]", last().value,
                              entry.index.value));
    }
    log_.resize(entry.index.value - first().value);
    log_.push_back(entry);
  }
  return {};
}

Result<void> MemoryStorage::install(const SnapshotMeta& snapshot) {
  if (snapshot.index <= base_.index) {
    return fail(Code::kInternal, "snapshot_old",
                "requested index is older than the existing snapshot");
  }
  base_ = snapshot;
  log_.clear();
  applied_.push_back(snapshot);
  return {};
}

Result<void> MemoryStorage::compact(LogIndex index) {
  if (index <= base_.index || index > last()) {
    return fail(Code::kInternal, "compact_invalid",
                "requested index is unavailable due to compaction");
  }
  const Term term_there = log_[index.value - first().value].term;
  const auto dropped = static_cast<std::ptrdiff_t>(index.value - base_.index.value);
  log_.erase(log_.begin(), log_.begin() + dropped);
  for (const SnapshotMeta& state : applied_) {
    if (state.index <= index) base_.configuration = state.configuration;
  }
  base_.index = index;
  base_.term = term_there;
  return {};
}

void MemoryStorage::apply(const Entry& entry, const ConfState* configuration) {
  const ConfState& now = configuration ? *configuration : applied_.back().configuration;
  applied_.push_back(SnapshotMeta{entry.index, entry.term, now});
}

const SnapshotMeta& MemoryStorage::forget_applied() {
  applied_ = {base_};
  return base_;
}

}  // namespace blixard::raft::interaction
