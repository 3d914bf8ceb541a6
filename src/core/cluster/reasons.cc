#include "core/cluster/reasons.h"

#include <algorithm>
#include <array>

namespace blixard::cluster {

const char* known_reason(std::string_view text) {
  static constexpr auto kAll = std::to_array<const char*>({
      reason::kImageExists,       reason::kImageInUse,     reason::kImageInvalid,
      reason::kImageNotFound,     reason::kNameInvalid,    reason::kNodeExists,
      reason::kNodeFull,          reason::kNodeInvalid,    reason::kNodeNotFound,
      reason::kPortTaken,         reason::kReportInvalid,  reason::kRequestIdReused,
      reason::kSpecInvalid,       reason::kDesiredInvalid, reason::kStaleGeneration,
      reason::kTooManyImages,     reason::kTooManyNodes,   reason::kTooManyVms,
      reason::kTransitionRefused, reason::kUuidInvalid,    reason::kUuidTaken,
      reason::kVmBeingDeleted,    reason::kVmExists,       reason::kVmNotFound,
      reason::kVmNotPending,      reason::kVmReplaced,     reason::kLastVoter,
      reason::kNodeHasVms,        reason::kNodeLeaving,    reason::kNodeNotLeaving,
      reason::kTokenExists,       reason::kTokenExpired,   reason::kTokenInvalid,
      reason::kTokenNotFound,     reason::kTokenRefused,   reason::kTokenUsed,
      reason::kTooManyTokens,
  });
  const auto found =
      std::ranges::find(kAll, text, [](const char* word) { return std::string_view(word); });
  return found == kAll.end() ? nullptr : *found;
}

}  // namespace blixard::cluster
