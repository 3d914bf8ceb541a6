#include "node/replica/proposals.h"

#include "base/bug.h"
#include "base/limits.h"

namespace blixard::replica {
namespace {

std::unexpected<Error> lost() { return fail(Code::kUnavailable, "leadership_lost"); }

}  // namespace

void Proposals::track(Proposal& proposal) {
  // Nearly always at the end: the log gives the positions in order.
  Proposal* before = last_;
  while (before != nullptr && before->position.index > proposal.position.index)
    before = before->previous_;
  proposal.previous_ = before;
  proposal.next_ = before != nullptr ? before->next_ : first_;
  (before != nullptr ? before->next_ : first_) = &proposal;
  (proposal.next_ != nullptr ? proposal.next_->previous_ : last_) = &proposal;
}

void Proposals::unlink(Proposal& proposal) {
  (proposal.previous_ != nullptr ? proposal.previous_->next_ : first_) = proposal.next_;
  (proposal.next_ != nullptr ? proposal.next_->previous_ : last_) = proposal.previous_;
  proposal.previous_ = proposal.next_ = nullptr;
}

Proposal* Proposals::take(Position position) {
  const bool by_index = BLX_BUG(kAnswersByIndex);
  if (position.term != term_ && !by_index) lose_earlier_terms(position.term);
  Proposal* found = nullptr;
  while (first_ != nullptr && first_->position.index <= position.index) {
    Proposal* const proposal = first_;
    unlink(*proposal);
    if (found == nullptr && (proposal->position == position ||
                             (by_index && proposal->position.index == position.index))) {
      found = proposal;
    } else {
      proposal->done.complete(lost());
    }
  }
  return found;
}

void Proposals::lose_earlier_terms(Term term) {
  term_ = term;
  expire([&](const Proposal& proposal) -> std::optional<Error> {
    if (proposal.position.term >= term) return std::nullopt;
    return Error(Code::kUnavailable, "leadership_lost");
  });
}

void Proposals::skip_to(LogIndex index) {
  expire([&](const Proposal& proposal) -> std::optional<Error> {
    if (proposal.position.index > index) return std::nullopt;
    return Error(Code::kUnavailable, "leadership_lost");
  });
  kept_.clear();
}

void Proposals::expected() {
  BLX_ASSERT(expecting_ > 0);
  if (--expecting_ == 0) kept_.clear();
}

void Proposals::keep(Position position, const Result<cluster::Outcome>& outcome) {
  kept_.push_back({position, outcome});
  if (kept_.size() > limits::kProposalsInFlight) kept_.pop_front();
}

std::optional<Result<cluster::Outcome>> Proposals::kept(Position position) const {
  if (kept_.empty() || position.index < kept_.front().position.index ||
      position.index > kept_.back().position.index) {
    return std::nullopt;
  }
  const Kept& kept = kept_[position.index.value - kept_.front().position.index.value];
  if (kept.position != position) return lost();
  return kept.outcome;
}

}  // namespace blixard::replica
