#pragma once

// Linearizable reads: who asks while a round to a quorum is under way shares the next one, so any
// number of readers costs one round at a time and nobody is answered by a round that began before
// he asked (thesis, section 6.4).
//
// A round's message may be lost, and a leader may fall: ask_again() names the same round anew. Each
// name is good for the round's readers, since all of them came before the first.

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "core/raft/types.h"
#include "env/scope.h"

namespace blixard::replica {

// One, on the frame of the coroutine that waits.
struct Read {
  explicit Read(env::Executor& executor) : done(executor) {}
  Instant deadline;
  env::Parked<Result<void>> done;
};

class Reads {
 public:
  // `sequence`: random, see raft::ReadId.
  Reads(NodeId self, std::uint64_t sequence) : origin_(self.value), sequence_(sequence) {}

  // Precondition: fewer than limits::kReadsInFlight.
  void add(Read& read) { waiting_.push_back(&read); }
  [[nodiscard]] std::size_t size() const;

  // The name to give to consensus; none when there is nobody or a round is under way.
  std::optional<raft::ReadId> begin_round();
  // None when no round is under way.
  std::optional<raft::ReadId> ask_again();

  // The round's readers see everything they must once `index` is applied.
  void confirmed(raft::ReadId read, LogIndex index);
  void applied(LogIndex index);

  void expire(Instant now, const Error& why);
  void refuse_all(const Error& why);

  [[nodiscard]] std::uint64_t rounds() const { return rounds_; }

 private:
  struct Confirmed {
    LogIndex index;
    std::vector<Read*> reads;
  };

  raft::ReadId name();

  std::uint64_t origin_;
  std::uint64_t sequence_;
  std::uint64_t rounds_ = 0;
  std::vector<Read*> waiting_;          // for the next round
  std::optional<std::uint64_t> first_;  // name of the round under way
  std::vector<Read*> asked_;            // its readers
  std::deque<Confirmed> confirmed_;     // that wait for their index, which grows
};

}  // namespace blixard::replica
