#include "core/cluster/reasons.h"

#include <algorithm>
#include <array>

namespace blixard::cluster {

namespace {

constexpr auto kAll = std::to_array<const char*>({
    reason::kDesiredInvalid,
    reason::kDrainInvalid,
    reason::kDrainNotFound,
    reason::kEvictionInvalid,
    reason::kGroupCycle,
    reason::kGroupInUse,
    reason::kGroupInvalid,
    reason::kGroupNotFound,
    reason::kGroupRule,
    reason::kImageExists,
    reason::kImageInUse,
    reason::kImageInvalid,
    reason::kImageNotFound,
    reason::kLastVoter,
    reason::kNameInvalid,
    reason::kNoSnapshot,
    reason::kNodeChanged,
    reason::kNodeClosed,
    reason::kNodeExists,
    reason::kNodeFull,
    reason::kNodeHasVms,
    reason::kNodeHoldsSaved,
    reason::kNodeInvalid,
    reason::kNodeLeaving,
    reason::kNodeNotFound,
    reason::kNodeNotLeaving,
    reason::kNodeTainted,
    reason::kPlacementInvalid,
    reason::kPolicyInvalid,
    reason::kPortTaken,
    reason::kPreemptionBudget,
    reason::kPreemptionRefused,
    reason::kQueueFull,
    reason::kQuotaExceeded,
    reason::kRateExceeded,
    reason::kReportInvalid,
    reason::kRequestIdReused,
    reason::kReservationExists,
    reason::kReservationInvalid,
    reason::kReservationNotExpired,
    reason::kReservationNotFound,
    reason::kSavedGuestUsed,
    reason::kSavedUnfit,
    reason::kSnapshotInUse,
    reason::kSpecInvalid,
    reason::kStaleGeneration,
    reason::kTenantInvalid,
    reason::kTenantNotFound,
    reason::kTokenExists,
    reason::kTokenExpired,
    reason::kTokenInvalid,
    reason::kTokenNotFound,
    reason::kTokenRefused,
    reason::kTokenUsed,
    reason::kTooManyGroups,
    reason::kTooManyImages,
    reason::kTooManyNodes,
    reason::kTooManyReservations,
    reason::kTooManyTenants,
    reason::kTooManyTokens,
    reason::kTooManyVms,
    reason::kTransitionRefused,
    reason::kUuidInvalid,
    reason::kUuidTaken,
    reason::kVmBeingDeleted,
    reason::kVmBusy,
    reason::kVmEvicting,
    reason::kVmExists,
    reason::kVmLost,
    reason::kVmNotFound,
    reason::kVmNotPending,
    reason::kVmNotPlaced,
    reason::kVmNotRunning,
    reason::kVmReplaced,
});

}  // namespace

const char* known_reason(std::string_view text) {
  const auto found =
      std::ranges::find(kAll, text, [](const char* word) { return std::string_view(word); });
  return found == kAll.end() ? nullptr : *found;
}

}  // namespace blixard::cluster
