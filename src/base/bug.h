#pragma once

// The bug zoo: known faults of consensus implementations, each of which can be put back into our
// own code by tests that must catch it (test/conformance/zoo). In every other build BLX_BUG(x) is
// the constant false, and nothing of this is left in the program.

#ifdef BLX_BUG_ZOO

#include <cstdint>

namespace blixard {

// Numbered as in docs/consensus.md.
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
};

inline Bug active_bug = Bug::kNone;  // one thread, set before the run

}  // namespace blixard

#define BLX_BUG(name) (::blixard::active_bug == ::blixard::Bug::name)

#else

#define BLX_BUG(name) (false)

#endif
