#include "test/conformance/raft/core_sim_model.h"

#include <utility>

#include "base/assert.h"

namespace blixard::core_sim {

std::uint64_t Chance::next() {
  state_ += 0x9e3779b97f4a7c15;
  std::uint64_t value = state_;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

std::uint64_t mixed(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9fb21c651e98df25;
  return hash ^ (hash >> 32);
}

void Network::heal() {
  for (auto& row : cut_) {
    for (bool& is_cut : row)
      is_cut = false;
  }
}

Network::Fate Network::fate(Chance& chance, std::size_t from, std::size_t to) const {
  Fate fate;
  if (cut_[from][to] || chance.permille(weather_.loss)) return fate;
  fate.copies = chance.permille(weather_.duplicate) ? 2 : 1;
  for (std::size_t copy = 0; copy < fate.copies; ++copy)
    fate.delay[copy] = delay(chance);
  return fate;
}

void Network::shorten(Chance& chance, raft::Message& message) const {
  if (message.type != raft::MessageType::kAppend || message.entries.empty() ||
      !chance.permille(weather_.shorten))
    return;
  message.entries.resize(chance.below(message.entries.size()));
}

Time Network::delay(Chance& chance) const {
  if (chance.permille(weather_.straggler))
    return chance.between(weather_.delay_max, weather_.straggler_max);
  return chance.between(weather_.delay_min, weather_.delay_max);
}

std::optional<Term> Disk::term(LogIndex index) const {
  if (index == base_) return base_term_;
  if (index < base_ || index > last()) return std::nullopt;
  return at(index).term;
}

raft::Storage::Fetch Disk::entries(LogIndex from, LogIndex to, std::size_t bytes_max,
                                   std::vector<raft::Entry>& out) const {
  if (from < first()) return Fetch::kCompacted;
  BLX_ASSERT(from <= to && to <= last());
  if (from < in_memory_from_) return Fetch::kNotInMemory;
  std::size_t bytes = 0;
  for (LogIndex index = from; index <= to; index = index.next()) {
    bytes += raft::entry_bytes(at(index));
    if (bytes > bytes_max && index != from) break;
    out.push_back(at(index));
  }
  return Fetch::kFound;
}

std::optional<raft::Append> Disk::complete() {
  raft::Append append = std::move(queue_.front());
  queue_.pop_front();
  if (!write(append)) return std::nullopt;
  return append;
}

bool Disk::crash(std::size_t kept) {
  bool fits = true;
  for (std::size_t at = 0; at < kept && at < queue_.size() && fits; ++at)
    fits = write(queue_[at]);
  queue_.clear();
  return fits;
}

bool Disk::write(const raft::Append& append) {
  if (append.snapshot) {
    entries_.clear();
    base_ = append.snapshot->index;
    base_term_ = append.snapshot->term;
    snapshot_ = append.snapshot;
  }
  if (append.hard_state) hard_state_ = *append.hard_state;
  if (append.entries.empty()) return true;
  const LogIndex from = append.entries.front().index;
  if (from <= base_ || from > last().next()) return false;
  entries_.resize(from.value - base_.value - 1);
  entries_.insert(entries_.end(), append.entries.begin(), append.entries.end());
  return true;
}

void Disk::save_snapshot(raft::SnapshotMeta meta) {
  if (!snapshot_ || snapshot_->index < meta.index) snapshot_ = std::move(meta);
}

void Disk::compact(LogIndex index) {
  BLX_ASSERT(snapshot_ && index <= snapshot_->index);
  if (index <= base_ || index > last()) return;
  const Term its_term = *term(index);
  entries_.erase(entries_.begin(),
                 entries_.begin() + static_cast<std::ptrdiff_t>(index.value - base_.value));
  base_ = index;
  base_term_ = its_term;
}

}  // namespace blixard::core_sim
