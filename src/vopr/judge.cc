#include "vopr/judge.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "blixard/v1/cluster.pb.h"

namespace blixard::vopr {
namespace {

using raft::MessageType;

// States are compared at every so many entries.
constexpr std::uint64_t kStateEvery = 16;

class Hash {
 public:
  void mix(std::uint64_t word) {
    hash_ = (hash_ ^ word) * 0x100000001b3;
    hash_ ^= hash_ >> 29;
  }
  void mix(std::string_view bytes) {
    mix(bytes.size());
    for (; !bytes.empty(); bytes.remove_prefix(std::min<std::size_t>(8, bytes.size()))) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data(), std::min<std::size_t>(8, bytes.size()));
      mix(word);
    }
  }
  [[nodiscard]] std::uint64_t value() const { return hash_; }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325;
};

std::uint64_t hash_of(const raft::Entry& entry) {
  Hash hash;
  hash.mix(static_cast<std::uint64_t>(entry.kind));
  hash.mix(entry.payload.view());
  return hash.value();
}

std::uint64_t hash_of(const Result<cluster::Outcome>& outcome) {
  Hash hash;
  hash.mix(outcome.has_value() ? 1 : 0);
  if (outcome) {
    hash.mix(outcome->index.value);
    hash.mix(outcome->object_id);
  } else {
    hash.mix(static_cast<std::uint64_t>(outcome.error().code()));
    hash.mix(outcome.error().reason());
  }
  return hash.value();
}

std::string text_of(const Result<cluster::Outcome>& outcome) {
  if (!outcome) return outcome.error().message();
  return fmt::format("done at {}, object {}", outcome->index.value, outcome->object_id);
}

bool is_of_leader(const raft::Message& message) {
  return message.type == MessageType::kAppend || message.type == MessageType::kHeartbeat ||
         message.type == MessageType::kSnapshot;
}

}  // namespace

void Judge::fail(std::string_view checker, const std::string& text) {
  if (violation_) return;
  violation_ = text;
  on_violation_(checker, text);
}

const Judge::Applied* Judge::applied_at(LogIndex index) const {
  if (index.value < kFirst || index > last()) return nullptr;
  return &history_[index.value - kFirst];
}

// Messages.

void Judge::on_sent(NodeId node, const raft::Message& message) {
  if (is_of_leader(message)) check_leader(node, message);
  if (message.type == MessageType::kAppend) check_log(node, message);
  Promises& promises = promises_[node];
  if (message.type == MessageType::kAppendResponse && !message.reject) {
    LogIndex& most = promises.acknowledged[message.term];
    most = std::max(most, message.index);
  }
  if (message.type == MessageType::kVoteResponse && !message.reject) {
    const auto [vote, first] = promises.votes.try_emplace(message.term, message.to);
    if (!first && vote->second != message.to) {
      fail("promises", fmt::format("node {} votes for {} and for {} in term {}", node.value,
                                   vote->second.value, message.to.value, message.term.value));
    }
  }
}

void Judge::check_leader(NodeId node, const raft::Message& message) {
  const auto [leader, first] = leaders_.try_emplace(message.term, node);
  if (leader->second != node) {
    fail("one-leader", fmt::format("nodes {} and {} lead in term {}", leader->second.value,
                                   node.value, message.term.value));
  }
  if (!first || message.type != MessageType::kAppend) return;
  // What stands before its first entry is the end of the log it was elected with.
  for (std::size_t i = history_.size(); i-- > 0;) {
    if (history_[i].known_in >= message.term) continue;
    if (message.index.value < kFirst + i) {
      fail("leader-completeness",
           fmt::format("node {} leads in term {} with a log that ends at {}, but {} was applied",
                       node.value, message.term.value, message.index.value, kFirst + i));
    }
    break;
  }
}

void Judge::check_log(NodeId node, const raft::Message& message) {
  check_against_history(node, message.term, message.index, message.log_term);
  Term before = message.log_term;
  for (const raft::Entry& entry : message.entries) {
    check_logged(node, entry, before);
    check_against_history(node, message.term, entry.index, entry.term);
    before = entry.term;
  }
}

void Judge::check_logged(NodeId node, const raft::Entry& entry, std::optional<Term> before) {
  const std::uint64_t hash = hash_of(entry);
  const auto [at, first] =
      log_.try_emplace({entry.index, entry.term}, Logged{.entry = hash, .before = {}});
  Logged& logged = at->second;
  if (logged.entry != hash) {
    fail("log-matching", fmt::format("node {} has another entry {} of term {} than others",
                                     node.value, entry.index.value, entry.term.value));
  }
  if (!before) return;
  if (logged.before_known && logged.before != *before) {
    fail("log-matching",
         fmt::format("before entry {} of term {} node {} has term {}, others {}", entry.index.value,
                     entry.term.value, node.value, before->value, logged.before.value));
  }
  logged.before = *before;
  logged.before_known = true;
}

void Judge::check_against_history(NodeId node, Term leads, LogIndex index, Term term) {
  const Applied* applied = applied_at(index);
  if (applied == nullptr || applied->known_in > leads || applied->term == term) return;
  fail("leader-completeness",
       fmt::format("node {} leads in term {} with entry {} of term {}; that of term {} was applied",
                   node.value, leads.value, index.value, term.value, applied->term.value));
}

// Lives.

void Judge::on_started(NodeId node) { promises_[node].applied = LogIndex(); }

LogIndex Judge::promised(const Promises& promises) const {
  LogIndex most;
  for (const auto& [term, index] : promises.acknowledged) {
    // Only what was committed by then must stay: the rest may be overwritten.
    for (LogIndex i = std::min(index, last()); i > most; i = LogIndex(i.value - 1)) {
      const Applied* applied = applied_at(i);
      if (applied != nullptr && applied->known_in <= term) most = i;
    }
  }
  return most;
}

void Judge::on_opened(NodeId node, const replica::Status& status) {
  const Promises& promises = promises_[node];
  if (const LogIndex most = promised(promises); status.last < most) {
    fail("promises", fmt::format("node {} acknowledged entry {} and finds its log end at {}",
                                 node.value, most.value, status.last.value));
  }
  Term term;
  if (!promises.votes.empty()) term = promises.votes.rbegin()->first;
  if (!promises.acknowledged.empty()) {
    term = std::max(term, promises.acknowledged.rbegin()->first);
  }
  if (status.term < term) {
    fail("promises", fmt::format("node {} answered in term {} and finds term {}", node.value,
                                 term.value, status.term.value));
  }
}

// Application.

void Judge::on_restored(NodeId node, const cluster::State& state, LogIndex index, Term term) {
  Promises& promises = promises_[node];
  if (index < promises.applied) {
    fail("equal-state", fmt::format("node {} goes back from {} to the snapshot at {}", node.value,
                                    promises.applied.value, index.value));
  }
  promises.applied = index;
  if (index.value < kFirst) return;
  const Applied* applied = applied_at(index);
  if (applied == nullptr) {
    fail("equal-state", fmt::format("node {} has a snapshot at {}, but {} was applied last",
                                    node.value, index.value, last().value));
    return;
  }
  if (applied->term != term) {
    fail("equal-state", fmt::format("node {} has a snapshot at {} of term {}, not {}", node.value,
                                    index.value, term.value, applied->term.value));
  }
  check_state(node, state, index);
}

void Judge::check_state(NodeId node, const cluster::State& state, LogIndex index) {
  std::string hash = state.hash();
  const auto [at, first] = states_.try_emplace(index, hash);
  if (at->second != hash) {
    fail("equal-state",
         fmt::format("node {} has another state at {} than others", node.value, index.value));
  }
}

void Judge::on_applied(NodeId node, const cluster::State& state, const raft::Entry& entry,
                       const Result<cluster::Outcome>& outcome) {
  Promises& promises = promises_[node];
  if (entry.index != promises.applied.next()) {
    fail("equal-state", fmt::format("node {} applies {} behind {}", node.value, entry.index.value,
                                    promises.applied.value));
  }
  promises.applied = entry.index;
  if (entry.index.value < kFirst || entry.index > last().next()) {
    fail("equal-state", fmt::format("node {} applies {}, but {} was applied last", node.value,
                                    entry.index.value, last().value));
    return;
  }
  check_logged(node, entry, std::nullopt);
  const std::uint64_t entry_hash = hash_of(entry);
  const std::uint64_t outcome_hash = hash_of(outcome);
  if (entry.index == last().next()) {
    if (!history_.empty() && history_.back().term > entry.term) {
      fail("log-matching",
           fmt::format("node {} applies {} of term {} behind term {}", node.value,
                       entry.index.value, entry.term.value, history_.back().term.value));
    }
    history_.push_back({.term = entry.term,
                        .entry = entry_hash,
                        .outcome = outcome_hash,
                        .known_in = leaders_.empty()
                                        ? entry.term
                                        : std::max(leaders_.rbegin()->first, entry.term)});
    remember_request(entry, outcome);
  } else {
    const Applied& applied = *applied_at(entry.index);
    if (applied.term != entry.term || applied.entry != entry_hash) {
      fail("equal-state",
           fmt::format("node {} applies another entry {} (term {}) than others (term {})",
                       node.value, entry.index.value, entry.term.value, applied.term.value));
    } else if (applied.outcome != outcome_hash) {
      fail("equal-state", fmt::format("at entry {} node {} comes to another end than others: {}",
                                      entry.index.value, node.value, text_of(outcome)));
    }
  }
  if (entry.index.value % kStateEvery == 0) check_state(node, state, entry.index);
}

void Judge::remember_request(const raft::Entry& entry, const Result<cluster::Outcome>& outcome) {
  if (entry.kind != raft::EntryKind::kNormal || entry.payload.empty()) return;
  v1::Command command;
  const std::string_view bytes = entry.payload.view();
  if (!command.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  Uuid id;
  if (command.request_id().size() != id.bytes.size()) return;
  std::memcpy(id.bytes.data(), command.request_id().data(), id.bytes.size());
  const Request request{.answer = hash_of(outcome), .done = outcome ? outcome->index : LogIndex()};
  const auto [at, first] = requests_.try_emplace(id, request);
  if (first) return;
  ++repeated_requests_;
  if (at->second.answer != request.answer) {
    fail("acts-once", fmt::format("request {} acts again at {}: {}", id.text(), entry.index.value,
                                  text_of(outcome)));
  }
}

// Clients.

void Judge::on_answer(const Uuid& request, const Result<cluster::Outcome>& outcome) {
  const auto at = requests_.find(request);
  if (at == requests_.end()) {
    fail("acknowledged", fmt::format("request {} was answered and is nowhere in the history: {}",
                                     request.text(), text_of(outcome)));
  } else if (at->second.answer != hash_of(outcome)) {
    fail("acknowledged", fmt::format("request {} was answered otherwise than in the history: {}",
                                     request.text(), text_of(outcome)));
  }
  if (outcome) read_floor_ = std::max(read_floor_, outcome->index);
}

void Judge::on_acknowledged(const Uuid& request) {
  const auto at = requests_.find(request);
  if (at == requests_.end()) {
    fail("acknowledged",
         fmt::format("request {} was acknowledged and is nowhere in the history", request.text()));
  } else if (!at->second.done) {
    fail("acknowledged",
         fmt::format("request {} was acknowledged, and was refused", request.text()));
  } else {
    read_floor_ = std::max(read_floor_, at->second.done);
  }
}

void Judge::on_digest(NodeId node, LogIndex index, const std::string& hash) {
  const auto [at, first] = states_.try_emplace(index, hash);
  if (at->second != hash) {
    fail("equal-state",
         fmt::format("node {} shows another state at {} than others", node.value, index.value));
  }
}

void Judge::on_read(NodeId node, LogIndex floor_when_begun, LogIndex shown) {
  if (shown < floor_when_begun) {
    fail("read", fmt::format("a read on node {} shows {}, but {} was acknowledged before it began",
                             node.value, shown.value, floor_when_begun.value));
  }
  read_floor_ = std::max(read_floor_, shown);
}

}  // namespace blixard::vopr
