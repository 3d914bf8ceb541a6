#include "node/replica/reads.h"

#include <algorithm>
#include <utility>

namespace blixard::replica {
namespace {

void answer(std::vector<Read*>& reads, const Result<void>& result) {
  for (Read* read : reads)
    read->done.complete(result);
  reads.clear();
}

}  // namespace

std::size_t Reads::size() const {
  std::size_t size = waiting_.size() + asked_.size();
  for (const Confirmed& confirmed : confirmed_)
    size += confirmed.reads.size();
  return size;
}

raft::ReadId Reads::name() {
  if (++sequence_ == 0) ++sequence_;
  return {.origin = origin_, .sequence = sequence_};
}

std::optional<raft::ReadId> Reads::begin_round() {
  if (first_ || waiting_.empty()) return std::nullopt;
  asked_.swap(waiting_);
  ++rounds_;
  const raft::ReadId read = name();
  first_ = read.sequence;
  return read;
}

std::optional<raft::ReadId> Reads::ask_again() {
  if (!first_) return std::nullopt;
  return name();
}

void Reads::confirmed(raft::ReadId read, LogIndex index) {
  // Sequences may wrap around: distances do not.
  if (!first_ || read.origin != origin_ || read.sequence - *first_ > sequence_ - *first_) return;
  first_.reset();
  if (!confirmed_.empty()) index = std::max(index, confirmed_.back().index);
  confirmed_.push_back({index, std::move(asked_)});
  asked_.clear();
}

void Reads::applied(LogIndex index) {
  while (!confirmed_.empty() && confirmed_.front().index <= index) {
    answer(confirmed_.front().reads, {});
    confirmed_.pop_front();
  }
}

void Reads::expire(Instant now, const Error& why) {
  const auto late = [&](Read* read) {
    if (read->deadline > now) return false;
    read->done.complete(std::unexpected(why));
    return true;
  };
  std::erase_if(waiting_, late);
  std::erase_if(asked_, late);
  for (Confirmed& confirmed : confirmed_)
    std::erase_if(confirmed.reads, late);
  if (asked_.empty()) first_.reset();
}

void Reads::refuse_all(const Error& why) {
  answer(waiting_, std::unexpected(why));
  answer(asked_, std::unexpected(why));
  for (Confirmed& confirmed : confirmed_)
    answer(confirmed.reads, std::unexpected(why));
  confirmed_.clear();
  first_.reset();
}

}  // namespace blixard::replica
