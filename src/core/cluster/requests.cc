#include "core/cluster/requests.h"

#include "base/assert.h"
#include "base/bug.h"
#include "base/limits.h"

namespace blixard::cluster {

namespace {

bool same_outcome(const Result<Outcome>& a, const Result<Outcome>& b) {
  if (a.has_value() != b.has_value()) return false;
  if (a) return a->index == b->index && a->object_id == b->object_id;
  return a.error().code() == b.error().code() && a.error().reason() == b.error().reason() &&
         a.error().detail() == b.error().detail();
}

}  // namespace

bool operator==(const Answer& a, const Answer& b) {
  return a.request_id == b.request_id && a.fingerprint == b.fingerprint && a.index == b.index &&
         same_outcome(a.outcome, b.outcome);
}

const Answer* Requests::find(const Uuid& request_id) const {
  const auto position = positions_.find(request_id);
  if (position == positions_.end()) return nullptr;
  return &answers_[position->second - forgotten_];
}

void Requests::remember(Answer answer) {
  const bool added = positions_.try_emplace(answer.request_id, forgotten_ + answers_.size()).second;
  BLX_ASSERT(added);
  answers_.push_back(std::move(answer));
  if (answers_.size() > (BLX_BUG(kRemembersFewRequests) ? 2 : limits::kRememberedRequests)) {
    positions_.erase(answers_.front().request_id);
    answers_.pop_front();
    ++forgotten_;
  }
}

}  // namespace blixard::cluster
