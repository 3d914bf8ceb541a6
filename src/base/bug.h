#pragma once

// The bug zoo: known faults of consensus implementations, and likely ones of what stands around it,
// each of which can be put back into our own code by tests that must catch it
// (test/conformance/zoo, test/conformance/planted). In every other build BLX_BUG(x) is the constant
// false, and nothing of this is left in the program.

#ifdef BLX_BUG_ZOO

#include <cstdint>

namespace blixard {

// Up to 15 numbered as in docs/consensus.md, and for judges of consensus; from 16 on for the
// simulation of whole clusters.
enum class Bug : std::uint8_t {
  kNone,
  kCommitsOldTerm,         // 1
  kAcknowledgesLogEnd,     // 2
  kCommitsBeyondMessage,   // 3
  kTrustsStaleCompletion,  // 4
  kAnswersBeforeDurable,   // 5
  kChangesConfigTooEarly,  // 6
  kNoPreVote,              // 7
  kLearnerRefusesVote,     // 8
  kReadsBeforeCommit,      // 9
  kTransfersToLagging,     // 10
  kSnapshotForgetsTail,    // 11
  kIgnoresSyncError,       // 12
  kUnboundedInflight,      // 13
  kForgetsRequestIds,      // 14
  kAppliesWithClock,       // 15

  // Of the agent and its driver.
  kStartsWithoutAdopting,  // 16: a new daemon starts what it finds nothing of in its memory
  kIgnoresGeneration,      // 17: a new assignment is taken for the old one
  kNeverReleases,          // 18: a VM that was deleted is never said to be gone
  kReleasesTooEarly,       // 19: said to be gone while its guest still stops
  kReportsOnlyOnce,        // 20: what the log did not take is thrown away
  kMissesGuestEnd,         // 21: a guest that ends by itself is not noticed

  // Of placement.
  kTrustsThePlan,        // 22: neither the plan nor apply counts what the plan takes
  kForgetsToFree,        // 23: what a VM was promised stays promised when it goes
  kSnapshotForgetsSums,  // 24: what is promised is forgotten with a restart
  kPlacesOnLeaving,      // 25
  kIgnoresTakenPorts,    // 26
  kDeleteFreesAtOnce,    // 27: a VM is gone when it is deleted, not when its node released it

  // Of requests and their answers.
  kDropsRequestIds,        // 28: the API does not pass them on
  kRemembersFewRequests,   // 29
  kSnapshotDropsRequests,  // 30
  kReadsWithoutBarrier,    // 31
  kReadsBeforeApplied,     // 32: at an index that is confirmed, in a state that is not there yet
  kAnswersByIndex,         // 33: whoever waits for an index gets the answer of what came there
  kAnswersWhenPlaced,      // 34: in the log of the leader, committed or not
  kSpeaksItsOwnVersion,    // 35: of the model, not the newest that all nodes know

  // Of templates and clones.
  kSkipsReseed,        // 36: clones are seeded with nothing of the host's
  kBelievesTemplates,  // 37: neither read through before they are used nor compared when loaded
  kIdentifiesLate,     // 38: a clone is ready when it answers, not when it knows who it is

  // Of guests that are saved.
  kRunsSavedTwice,  // 39: one goes on without waiting for the log to say that it is used
};

inline Bug active_bug = Bug::kNone;  // one thread, set before the run

}  // namespace blixard

#define BLX_BUG(name) (::blixard::active_bug == ::blixard::Bug::name)

#else

#define BLX_BUG(name) (false)

#endif
