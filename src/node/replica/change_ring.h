#pragma once

// The latest changes of the state, by revision, for those who watch it. Bounded: who falls behind
// is told to read the state again.

#include <cstdint>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "base/ring.h"
#include "core/cluster/state.h"

namespace blixard::replica {

class ChangeRing {
 public:
  // Nothing at or before `revision` is remembered.
  void begin_at(std::uint64_t revision) {
    changes_.clear();
    latest_ = revision;
  }

  void add(const cluster::Change& change) {
    BLX_ASSERT(change.revision == latest_ + 1);
    latest_ = change.revision;
    changes_.push_back(change);
    if (changes_.size() > limits::kEventBacklog) changes_.pop_front();
  }

  // Those after `since`, oldest first. Errors: kFailedPrecondition "revision_compacted", also for
  // a revision that is not reached yet: it was another history's.
  [[nodiscard]] Result<std::vector<cluster::Change>> after(std::uint64_t since) const {
    const std::uint64_t forgotten = latest_ - changes_.size();
    if (since < forgotten || since > latest_) {
      return fail(Code::kFailedPrecondition, "revision_compacted");
    }
    return std::vector<cluster::Change>(
        changes_.begin() + static_cast<std::ptrdiff_t>(since - forgotten), changes_.end());
  }

 private:
  std::uint64_t latest_ = 0;
  Ring<cluster::Change> changes_;
};

}  // namespace blixard::replica
