#pragma once

// The state with its latest changes, and the way of a log entry into both.
//
// Entries come in order, each once. A refused command is part of the history and was answered to
// whoever proposed it; an entry that cannot be read at all is not: is_fatal() tells one from the
// other, and after a fatal one the node must stop, because its state would differ from the others'.

#include <cstdint>
#include <memory>
#include <string_view>

#include <google/protobuf/arena.h>

#include "base/ids.h"
#include "base/result.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/state.h"
#include "core/raft/types.h"
#include "env/clock.h"
#include "node/replica/change_ring.h"
#include "node/trace/tracer.h"

namespace blixard::replica {

class StateMachine {
 public:
  explicit StateMachine(env::Clock& clock);
  StateMachine(const StateMachine&) = delete;
  StateMachine& operator=(const StateMachine&) = delete;

  // Goes on from a snapshot; who watched before is told that its revision is forgotten.
  void restore(cluster::State state, LogIndex index, Term term);

  // `parsed` is the command in the entry, where the caller has it already. Precondition: the entry
  // is the next one and a command, not empty.
  Result<cluster::Outcome> apply(const raft::Entry& entry, const v1::Command* parsed);
  // `configuration` is what holds from this entry on, `command` what travelled with it.
  Result<cluster::Outcome> apply(const raft::Entry& entry, const raft::ConfState& configuration,
                                 std::string_view command);
  // Commands of traced requests leave spans with it from here on.
  void set_tracer(trace::Tracer* tracer) { tracer_ = tracer; }

  // An entry that says nothing.
  void skip(const raft::Entry& entry) { pass(entry); }

  // kDataLoss "command_invalid", kFailedPrecondition "model_too_new": of apply().
  [[nodiscard]] static bool is_fatal(const Error& error);

  [[nodiscard]] const cluster::State& state() const { return state_; }
  [[nodiscard]] const ChangeRing& changes() const { return changes_; }
  [[nodiscard]] LogIndex applied() const { return applied_; }
  [[nodiscard]] Term applied_term() const { return applied_term_; }
  // Of commands since the last snapshot was begun.
  [[nodiscard]] std::uint64_t entries_since_snapshot() const { return entries_since_snapshot_; }
  [[nodiscard]] std::uint64_t bytes_since_snapshot() const { return bytes_since_snapshot_; }
  void snapshot_begun() { entries_since_snapshot_ = bytes_since_snapshot_ = 0; }
  // Whether a node's record or the configuration changed since it was last asked.
  [[nodiscard]] bool take_nodes_changed() { return std::exchange(nodes_changed_, false); }

 private:
  void pass(const raft::Entry& entry);
  void follow_trace(const v1::Command& command, const Result<cluster::Outcome>& outcome);

  env::Clock& clock_;
  trace::Tracer* tracer_ = nullptr;
  cluster::State state_;
  ChangeRing changes_;
  cluster::State::ChangeSink sink_;
  // Of the command that is being applied; what fits costs the allocator nothing but the bytes of
  // its strings.
  static constexpr std::size_t kArenaBytes = std::size_t{16} << 10;
  std::unique_ptr<char[]> arena_memory_ = std::make_unique_for_overwrite<char[]>(kArenaBytes);
  google::protobuf::Arena arena_{arena_memory_.get(), kArenaBytes};
  LogIndex applied_;
  Term applied_term_;
  std::uint64_t entries_since_snapshot_ = 0;
  std::uint64_t bytes_since_snapshot_ = 0;
  bool nodes_changed_ = true;
};

}  // namespace blixard::replica
