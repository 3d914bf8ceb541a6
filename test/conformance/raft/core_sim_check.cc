#include "test/conformance/raft/core_sim_check.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "base/assert.h"

namespace blixard::core_sim {

void LogView::load(const Disk& disk) {
  reset(LogIndex(disk.first().value - 1), *disk.term(LogIndex(disk.first().value - 1)));
  for (LogIndex index = disk.first(); index <= disk.last(); index = index.next())
    items_.push_back({disk.at(index).term, hash_of(disk.at(index))});
}

void LogView::reset(LogIndex base, Term term) {
  base_ = base;
  base_term_ = term;
  items_.clear();
}

void LogView::append(LogIndex index, Item item) {
  BLX_ASSERT(index > base_ && index <= last().next());
  items_.resize(index.value - base_.value - 1);
  items_.push_back(item);
}

std::optional<Term> LogView::term(LogIndex index) const {
  if (index == base_) return base_term_;
  const Item* item = find(index);
  if (item == nullptr) return std::nullopt;
  return item->term;
}

const LogView::Item* LogView::find(LogIndex index) const {
  if (index <= base_ || index > last()) return nullptr;
  return &items_[index.value - base_.value - 1];
}

std::uint64_t hash_of(const raft::Entry& entry) {
  std::uint64_t hash = mixed(static_cast<std::uint64_t>(entry.kind), entry.payload.size());
  for (const char byte : entry.payload.view())
    hash = mixed(hash, static_cast<unsigned char>(byte));
  return hash;
}

Checker::Checker(const raft::ConfState& initial) : known_(1), history_(1) {
  configurations_[LogIndex()] = initial;
}

void Checker::violate(const char* checker, std::string text) {
  if (!violation_) violation_ = Violation{checker, std::move(text)};
}

void Checker::appends(NodeId node, const LogView& view, const raft::Entry& entry,
                      std::uint64_t hash) {
  const std::optional<Term> before = view.term(LogIndex(entry.index.value - 1));
  if (!before)
    return violate("log-matching",
                   fmt::format("node {} leaves a gap before {}", node.value, entry.index.value));
  if (known_.size() <= entry.index.value) known_.resize(entry.index.value + 1);
  for (const Known& known : known_[entry.index.value]) {
    if (known.term != entry.term) continue;
    if (known.before != *before || known.hash != hash) {
      violate("log-matching",
              fmt::format("node {} has another entry {} of term {} (behind term {}, not {})",
                          node.value, entry.index.value, entry.term.value, before->value,
                          known.before.value));
    }
    return;
  }
  known_[entry.index.value].push_back({entry.term, *before, hash});
}

void Checker::leads(NodeId node, Term term, const LogView& view) {
  // A second life of the same node would not know what it wrote in the first one.
  const auto [found, first] = leaders_.emplace(term, node);
  if (!first) {
    return violate("one-leader", fmt::format("node {} and then node {} lead in term {}",
                                             found->second.value, node.value, term.value));
  }
  if (view.base().value >= history_.size())
    return violate("leader-completeness", "a log begins behind what is committed");
  for (LogIndex index = view.base().next(); index.value < history_.size(); index = index.next()) {
    const Committed& committed = history_[index.value];
    if (committed.committed_in >= term) continue;
    const LogView::Item* item = view.find(index);
    if (item != nullptr && item->term == committed.term && item->hash == committed.hash) continue;
    return violate("leader-completeness",
                   fmt::format("node {} leads in term {} without entry {} of term {}", node.value,
                               term.value, index.value, committed.term.value));
  }
}

void Checker::commits(NodeId node, Term term, LogIndex before, LogIndex now, const LogView& view) {
  if (now < before) {
    return violate("commit", fmt::format("the commit index of node {} falls from {} to {}",
                                         node.value, before.value, now.value));
  }
  for (LogIndex index = before.next(); index <= now; index = index.next()) {
    if (index <= view.base()) continue;  // within a snapshot, which is checked by itself
    const LogView::Item* item = view.find(index);
    if (item == nullptr) {
      return violate("commit",
                     fmt::format("node {} commits {}, behind its log", node.value, index.value));
    }
    if (index.value > history_.size())
      return violate("commit", fmt::format("nobody committed what is before {}", index.value));
    if (index.value == history_.size()) {
      const std::uint64_t chain = mixed(mixed(history_.back().chain, item->term.value), item->hash);
      history_.push_back({item->term, item->hash, term, chain});
      continue;
    }
    const Committed& committed = history_[index.value];
    if (committed.term == item->term && committed.hash == item->hash) continue;
    return violate("commit",
                   fmt::format("node {} commits entry {} of term {}, it was of term {}", node.value,
                               index.value, item->term.value, committed.term.value));
  }
}

void Checker::applies(NodeId node, const raft::Entry& entry) {
  if (entry.index.value >= history_.size()) {
    return violate("applied", fmt::format("node {} applies {}, which nobody committed", node.value,
                                          entry.index.value));
  }
  const Committed& committed = history_[entry.index.value];
  if (committed.term == entry.term && committed.hash == hash_of(entry)) return;
  violate("applied", fmt::format("node {} applies another entry {} (term {}, not {})", node.value,
                                 entry.index.value, entry.term.value, committed.term.value));
}

void Checker::configures(NodeId node, LogIndex index, const raft::ConfState& configuration) {
  const auto [found, first] = configurations_.emplace(index, configuration);
  if (!first && found->second != configuration) {
    violate("configuration", fmt::format("node {} has another configuration from entry {}",
                                         node.value, index.value));
  }
}

const raft::ConfState& Checker::configuration_at(LogIndex index) const {
  return std::prev(configurations_.upper_bound(index))->second;
}

void Checker::snapshots(NodeId node, const raft::SnapshotMeta& meta) {
  const bool sound = meta.index.value < history_.size() &&
                     history_[meta.index.value].term == meta.term &&
                     configuration_at(meta.index) == meta.configuration;
  if (!sound) {
    violate("snapshot", fmt::format("the snapshot of node {} at {} is of another history",
                                    node.value, meta.index.value));
  }
}

void Checker::votes(NodeId node, Term term, NodeId candidate) {
  const auto [found, first] = votes_.emplace(Granted{term, node}, candidate);
  if (!first && found->second != candidate) {
    violate("one-vote", fmt::format("node {} votes for {} and {} in term {}", node.value,
                                    found->second.value, candidate.value, term.value));
  }
}

void Checker::promises(const raft::Message& message, const Disk& disk, const LogView* leader) {
  if (message.reject) return;
  if (message.type == raft::MessageType::kVoteResponse) {
    votes(message.from, message.term, message.to);
    const raft::HardState& hard = disk.hard_state();
    const bool kept =
        hard.term > message.term || (hard.term == message.term && hard.vote == message.to);
    if (!kept) {
      violate("promise", fmt::format("node {} votes in term {} before its disk has it",
                                     message.from.value, message.term.value));
    }
  } else if (message.type == raft::MessageType::kAppendResponse && message.index) {
    promises_entries(message, disk, leader);
  }
}

void Checker::promises_entries(const raft::Message& message, const Disk& disk,
                               const LogView* leader) {
  if (disk.last() < message.index || disk.hard_state().term < message.term) {
    return violate("promise",
                   fmt::format("node {} acknowledges {} in term {} before its disk has "
                               "it",
                               message.from.value, message.index.value, message.term.value));
  }
  if (leader == nullptr || message.index <= leader->base() || message.index.next() < disk.first())
    return;
  const std::optional<Term> ours = disk.term(message.index);
  const std::optional<Term> its = leader->term(message.index);
  if (ours == its) return;
  violate(
      "acknowledgement",
      fmt::format("node {} acknowledges entry {} of term {}; its leader has {}", message.from.value,
                  message.index.value, ours.value_or(Term()).value, its.value_or(Term()).value));
}

void Checker::hands_over(NodeId node, NodeId to, LogIndex last, Term term, const Disk& disk) {
  if (disk.hard_state().term != term || disk.last() >= last) return;
  violate("transfer", fmt::format("node {} hands leadership to {}, which ends at {} of {}",
                                  node.value, to.value, disk.last().value, last.value));
}

void Checker::window(NodeId node, const raft::Status& status, const raft::Config& config) {
  if (status.progress == nullptr) return;
  for (const auto& [member, progress] : *status.progress) {
    // The message that passes the limit is still sent; it has at least one entry.
    const std::size_t bytes_max =
        config.inflight_bytes_max + std::max(config.message_bytes_max, kPayloadBytesMax);
    if (progress.inflights.count() <= config.inflight_messages_max &&
        progress.inflights.bytes() <= bytes_max)
      continue;
    return violate("window", fmt::format("node {} has {} messages and {} bytes on the way to {}",
                                         node.value, progress.inflights.count(),
                                         progress.inflights.bytes(), member.value));
  }
}

void Checker::reads(std::uint64_t read) { floors_.emplace(read, LogIndex(history_.size() - 1)); }

void Checker::answers(NodeId node, const raft::ReadState& answer) {
  const auto found = floors_.find(answer.read.sequence);
  if (found == floors_.end()) return;
  if (answer.index < found->second) {
    violate("read", fmt::format("a read at node {} gets {}, but {} was committed before it",
                                node.value, answer.index.value, found->second.value));
  }
  floors_.erase(found);
  ++answered_reads_;
}

}  // namespace blixard::core_sim
