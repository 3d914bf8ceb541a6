// Linearizable reads without log writes (thesis, section 6.4).

#include <utility>

#include "core/raft/core_impl.h"

namespace blixard::raft {

void Core::Impl::read_index(ReadId read) {
  Message message{.type = MessageType::kReadIndex};
  message.read = read;
  if (read.none()) return refuse_read(NodeId(), read);
  ignore(step(message), "reads are answered or refused in the output");
}

void Core::Impl::on_read_request(NodeId from, ReadId read) {
  const bool alone = tracker_.is_singleton();
  if (alone && series_.singleton_reads_at_once) return answer_read(from, read, log_.committed());
  // Until then an earlier leader may have acknowledged more than we know to be committed.
  if (!committed_in_own_term() && !BLX_BUG(kReadsBeforeCommit)) {
    if (postponed_reads_.size() >= config_.pending_reads_max) return refuse_read(from, read);
    postponed_reads_.push_back({from, read});
    return;
  }
  if (alone) return answer_read(from, read, log_.committed());
  confirm_read(from, read);
}

void Core::Impl::confirm_read(NodeId from, ReadId read) {
  if (config_.lease_reads) return answer_read(from, read, log_.committed());
  if (reads_.size() >= config_.pending_reads_max) return refuse_read(from, read);
  reads_.add(read, from, log_.committed());
  if (series_.reads_wait_for_others) {
    static_cast<void>(reads_.acknowledge(id_, read));
  } else {
    acknowledge_read(id_, read);
  }
  broadcast_heartbeats(read);
}

void Core::Impl::acknowledge_read(NodeId from, ReadId read) {
  const Votes* acks = reads_.acknowledge(from, read);
  if (acks == nullptr) return;
  const ConfState& configuration = tracker_.configuration();
  if (vote_result(configuration.voters, configuration.voters_outgoing, *acks) != VoteResult::kWon)
    return;
  for (const PendingRead& pending : reads_.confirm(read))
    answer_read(pending.from, pending.read, pending.index);
}

void Core::Impl::answer_read(NodeId from, ReadId read, LogIndex index) {
  if (!from || from == id_) {
    read_states_.push_back({.read = read, .index = index});
    return;
  }
  Message message{.type = MessageType::kReadIndexResponse, .to = from};
  message.index = index;
  message.read = read;
  send(std::move(message));
}

// Of another node: it will ask again.
void Core::Impl::refuse_read(NodeId from, ReadId read) {
  if (!from || from == id_) refused_reads_.push_back(read);
}

void Core::Impl::release_postponed_reads() {
  if (postponed_reads_.empty() || !committed_in_own_term()) return;
  const bool alone = tracker_.is_singleton();
  for (const PostponedRead& postponed : std::exchange(postponed_reads_, {})) {
    if (alone && !series_.singleton_reads_at_once) {
      answer_read(postponed.from, postponed.read, log_.committed());
    } else {
      confirm_read(postponed.from, postponed.read);
    }
  }
}

void Core::Impl::drop_reads() {
  for (const PendingRead& pending : reads_.all())
    refuse_read(pending.from, pending.read);
  reads_.clear();
  if (series_.keeps_postponed_reads) return;
  for (const PostponedRead& postponed : std::exchange(postponed_reads_, {}))
    refuse_read(postponed.from, postponed.read);
}

bool Core::Impl::committed_in_own_term() const {
  return log_.term_or_none(log_.committed()) == term_;
}

}  // namespace blixard::raft
