#pragma once

// Proposals between their place in the log and their answer.
//
// What was proposed is known by the (term, index) its entry got. When the entry at that index is
// applied, the terms say whether it is the same; and once an entry of a later term was applied
// before that index, no entry of the earlier term will ever follow (log matching), so whoever
// waits for one is told at once that leadership was lost.
//
// A follower learns the place of a command it forwarded from the leader's answer, by when the entry
// may have been applied here already. So while somebody waits for such an answer, the outcomes of
// the entries applied meanwhile are kept, at most limits::kProposalsInFlight of them.

#include <cstddef>
#include <deque>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/model.h"
#include "env/scope.h"
#include "node/trace/tracer.h"

namespace blixard::replica {

// Where in the log.
struct Position {
  Term term;
  LogIndex index;
  friend bool operator==(const Position&, const Position&) = default;
};

// One, on the frame of the coroutine that waits for its answer.
struct Proposal {
  explicit Proposal(env::Executor& executor) : done(executor) {}

  const v1::Command* command = nullptr;  // stamped; null: not known here
  std::size_t bytes = 0;                 // of it; its size was just computed (it is cached)
  bool answer_placed = false;            // when it has its place: another node waits for it
  Instant begun;
  Instant deadline;
  Position position;
  trace::ActiveSpan span;  // until it has its place
  env::Parked<Result<cluster::Outcome>> done;

 private:
  friend class Proposals;
  Proposal* previous_ = nullptr;
  Proposal* next_ = nullptr;
};

class Proposals {
 public:
  // Precondition: it has its position, which is not applied yet.
  void track(Proposal& proposal);

  // Before the entry at `position` is applied: answers those that lost their place by it and
  // returns the one whose it is, which the caller answers. Null: nobody's.
  Proposal* take(Position position);
  // Everything up to here was replaced by a snapshot: what became of them is not known.
  void skip_to(LogIndex index);

  // Answers those for which `late` has an error.
  template <class Late>
  void expire(Late late) {
    for (Proposal* proposal = first_; proposal != nullptr;) {
      Proposal* const next = proposal->next_;
      if (std::optional<Error> error = late(*proposal)) {
        unlink(*proposal);
        proposal->done.complete(std::unexpected(std::move(*error)));
      }
      proposal = next;
    }
  }
  [[nodiscard]] bool empty() const { return first_ == nullptr; }
  // The one with the lowest index; null: none.
  [[nodiscard]] const Proposal* oldest() const { return first_; }

  // Of those who wait to be told the place of what they forwarded.
  void expect() { ++expecting_; }
  void expected();
  [[nodiscard]] bool keeps_outcomes() const { return expecting_ > 0; }
  void keep(Position position, const Result<cluster::Outcome>& outcome);
  // Of an entry that is applied. None: it was not kept.
  [[nodiscard]] std::optional<Result<cluster::Outcome>> kept(Position position) const;

 private:
  struct Kept {
    Position position;
    Result<cluster::Outcome> outcome;
  };

  void unlink(Proposal& proposal);
  void lose_earlier_terms(Term term);

  // By index, linked through the proposals: keeping one takes no memory.
  Proposal* first_ = nullptr;
  Proposal* last_ = nullptr;
  Term term_;  // of the last entry that was applied
  std::size_t expecting_ = 0;
  std::deque<Kept> kept_;  // consecutive
};

}  // namespace blixard::replica
