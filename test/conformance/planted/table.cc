// What is planted, and who finds it.

#include <cstddef>

#include "test/conformance/planted/planted.h"

namespace blixard::planted {
namespace {

#define BLX_ROW(bug, scenario, seeds, ...)           \
  Row {                                              \
    Bug::bug, #bug, scenario, seeds, { __VA_ARGS__ } \
  }

constexpr std::array kTable{
    BLX_ROW(kStartsWithoutAdopting, "guests", 20, "one-copy", "adopts"),
    BLX_ROW(kIgnoresGeneration, "guests", 20, "settles"),
    BLX_ROW(kNeverReleases, "guests", 20, "settles"),
    BLX_ROW(kReleasesTooEarly, "guests", 20, "ownerless"),
    BLX_ROW(kReportsOnlyOnce, "leaders", 20, "settles"),
    BLX_ROW(kMissesGuestEnd, "deaths", 10, "settles"),
    BLX_ROW(kTrustsThePlan, "crowded", 10, "capacity"),
    BLX_ROW(kForgetsToFree, "crowded", 10, "settles", "equal-state"),
    BLX_ROW(kSnapshotForgetsSums, "crowded", 10, "capacity", "ports", "equal-state"),
    BLX_ROW(kPlacesOnLeaving, "members", 10, "places"),
    BLX_ROW(kIgnoresTakenPorts, "crowded", 10, "ports"),
    BLX_ROW(kDeleteFreesAtOnce, "guests", 20, "ownerless"),
    BLX_ROW(kDropsRequestIds, "retries", 10, "linearizable", "acknowledged"),
    BLX_ROW(kRemembersFewRequests, "retries", 10, "acts-once"),
    BLX_ROW(kSnapshotDropsRequests, "crowded", 10, "equal-state"),
    BLX_ROW(kReadsWithoutBarrier, "reads", 10, "linearizable", "read"),
    BLX_ROW(kReadsBeforeApplied, "reads", 10, "linearizable", "read"),
    BLX_ROW(kAnswersByIndex, "leaders", 20, "acknowledged", "equal-state"),
    BLX_ROW(kAnswersWhenPlaced, "leaders", 20, "acknowledged", "linearizable"),
    BLX_ROW(kSpeaksItsOwnVersion, "upgrades", 5, "model-version"),
    BLX_ROW(kSkipsReseed, "warm", 10, "souls"),
    BLX_ROW(kBelievesTemplates, "warm", 20, "souls"),
    BLX_ROW(kIdentifiesLate, "warm", 10, "souls"),
    BLX_ROW(kRunsSavedTwice, "saves", 5, "saved-once"),
};

#undef BLX_ROW

constexpr auto kFirst = static_cast<std::size_t>(Bug::kStartsWithoutAdopting);
constexpr auto kLast = static_cast<std::size_t>(Bug::kRunsSavedTwice);
static_assert(kTable.size() == kLast - kFirst + 1);
static_assert([] {
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<std::size_t>(kTable[i].bug) != kFirst + i) return false;
  }
  return true;
}());

}  // namespace

std::span<const Row> table() { return kTable; }

}  // namespace blixard::planted
