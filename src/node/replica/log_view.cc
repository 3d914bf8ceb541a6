#include "node/replica/log_view.h"

#include <algorithm>
#include <utility>

namespace blixard::replica {
namespace {

// Pieces kept for slow followers and for a start; each at most as large as it was asked for.
constexpr std::size_t kPieces = 8;
constexpr std::size_t kMissing = 16;

}  // namespace

LogIndex LogView::first() const { return log_.first(); }
LogIndex LogView::last() const { return log_.last(); }
std::optional<Term> LogView::term(LogIndex index) const { return log_.term(index); }

std::optional<raft::SnapshotMeta> LogView::snapshot() const {
  const auto in_log = log_.snapshot();
  if (!in_log || !snapshot_ || snapshot_->index != in_log->index) return std::nullopt;
  return snapshot_;
}

raft::Storage::Fetch LogView::entries(LogIndex from, LogIndex to, std::size_t bytes_max,
                                      std::vector<raft::Entry>& out) const {
  if (from < log_.first()) return Fetch::kCompacted;
  if (log_.cached(from, to, bytes_max, out)) return Fetch::kFound;
  if (find_loaded(from, to, bytes_max, out)) return Fetch::kFound;
  const auto same = [&](const Missing& missing) { return missing.from == from; };
  if (missing_.size() < kMissing && std::ranges::none_of(missing_, same)) {
    missing_.push_back({from, to, bytes_max});
  }
  return Fetch::kNotInMemory;
}

bool LogView::find_loaded(LogIndex from, LogIndex to, std::size_t bytes_max,
                          std::vector<raft::Entry>& out) const {
  for (const auto& piece : loaded_) {
    if (from < piece.front().index || from > piece.back().index) continue;
    std::size_t bytes = 0;
    const std::size_t before = out.size();
    for (auto entry =
             piece.begin() + static_cast<std::ptrdiff_t>(from.value - piece.front().index.value);
         entry != piece.end() && entry->index <= to; ++entry) {
      bytes += raft::entry_bytes(*entry);
      if (out.size() > before && bytes > bytes_max) break;
      if (log_.term(entry->index) != entry->term) break;
      out.push_back(*entry);
    }
    if (out.size() > before) return true;
  }
  return false;
}

std::optional<LogView::Missing> LogView::take_missing() {
  if (missing_.empty()) return std::nullopt;
  const Missing missing = missing_.front();
  missing_.pop_front();
  return missing;
}

void LogView::put(std::vector<raft::Entry> entries) {
  if (entries.empty()) return;
  loaded_.push_back(std::move(entries));
  if (loaded_.size() > kPieces) loaded_.pop_front();
}

}  // namespace blixard::replica
