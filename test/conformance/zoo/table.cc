// Who catches what.

#include <array>

#include "test/conformance/raft/core_sim_scripts.h"
#include "test/conformance/zoo/zoo.h"

namespace blixard::zoo {
namespace {

std::optional<Finding> finding_of(const core_sim::Summary& summary) {
  if (!summary.violation) return std::nullopt;
  return Finding{summary.violation->checker, summary.violation->text};
}

std::optional<Finding> hard_mix(std::uint64_t seed) {
  return finding_of(core_sim::run(core_sim::Mix::kHard, seed));
}

std::optional<Finding> script(const char* name, std::uint64_t seed) {
  const core_sim::Script* found = core_sim::find_script(name);
  if (found == nullptr) return Finding{"table", "there is no such script"};
  return finding_of(core_sim::run(*found, seed));
}

constexpr Test chance(std::string_view checker, std::uint64_t seeds) {
  return {"hard mix", checker, seeds, hard_mix};
}

constexpr std::array kCommitsOldTerm{
    Test{"figure-8", "leader-completeness", 10,
         [](std::uint64_t seed) { return script("figure-8", seed); }},
};
constexpr std::array kAcknowledgesLogEnd{
    Test{"divergent-tail", "acknowledgement", 10,
         [](std::uint64_t seed) { return script("divergent-tail", seed); }},
    chance("acknowledgement", 100),
};
constexpr std::array kCommitsBeyondMessage{
    Test{"divergent-tail", "commit", 10,
         [](std::uint64_t seed) { return script("divergent-tail", seed); }},
    chance("commit", 200),
};
constexpr std::array kTrustsStaleCompletion{
    Test{"append-race", "applied", 5,
         [](std::uint64_t seed) { return script("append-race", seed); }},
};
constexpr std::array kAnswersBeforeDurable{
    chance("promise", 5),
};
constexpr std::array kChangesConfigTooEarly{
    Test{"two-changes", "leader-completeness", 10,
         [](std::uint64_t seed) { return script("two-changes", seed); }},
};
constexpr std::array kNoPreVote{
    Test{"returning-node", "stable-leader", 5,
         [](std::uint64_t seed) { return script("returning-node", seed); }},
};
constexpr std::array kLearnerRefusesVote{
    Test{"unaware-voter", "progress", 5,
         [](std::uint64_t seed) { return script("unaware-voter", seed); }},
};
constexpr std::array kReadsBeforeCommit{
    Test{"early-read", "read", 10, [](std::uint64_t seed) { return script("early-read", seed); }},
    chance("read", 100),
};
constexpr std::array kTransfersToLagging{
    Test{"lagging-successor", "transfer", 5,
         [](std::uint64_t seed) { return script("lagging-successor", seed); }},
    chance("transfer", 50),
};
constexpr std::array kSnapshotForgetsTail{
    chance("promise", 50),
};
constexpr std::array kIgnoresSyncError{
    Test{"failed-sync", "acknowledged", 40, judge_failed_sync},
};
constexpr std::array kUnboundedInflight{
    chance("window", 10),
};
constexpr std::array kForgetsRequestIds{
    Test{"retries", "acts-once", 5, judge_retries},
};
constexpr std::array kAppliesWithClock{
    Test{"clocks", "equal-state", 5, judge_clocks},
};

}  // namespace

#define BLX_ROW(bug) \
  case Bug::bug:     \
    return { Bug::bug, #bug, bug }

Row row_of(Bug bug) {
  switch (bug) {
    case Bug::kNone:
      return {};
      BLX_ROW(kCommitsOldTerm);
      BLX_ROW(kAcknowledgesLogEnd);
      BLX_ROW(kCommitsBeyondMessage);
      BLX_ROW(kTrustsStaleCompletion);
      BLX_ROW(kAnswersBeforeDurable);
      BLX_ROW(kChangesConfigTooEarly);
      BLX_ROW(kNoPreVote);
      BLX_ROW(kLearnerRefusesVote);
      BLX_ROW(kReadsBeforeCommit);
      BLX_ROW(kTransfersToLagging);
      BLX_ROW(kSnapshotForgetsTail);
      BLX_ROW(kIgnoresSyncError);
      BLX_ROW(kUnboundedInflight);
      BLX_ROW(kForgetsRequestIds);
      BLX_ROW(kAppliesWithClock);
    default:
      break;  // of whole clusters: test/conformance/planted
  }
  return {};
}

#undef BLX_ROW

}  // namespace blixard::zoo
