#include "node/peer/reasons.h"

#include <algorithm>
#include <array>
#include <string>

#include "core/cluster/reasons.h"

namespace blixard::peer {

const char* known_reason(std::string_view text) {
  // Of node/replica, of joining and renewing, of saved guests, and of this folder; apply()'s are
  // core/cluster's.
  static constexpr auto kAll = std::to_array<const char*>({
      "cancelled",
      "certificate_invalid",
      "change_in_progress",
      "command_invalid",
      "command_too_large",
      "crypto_failed",
      "deadline_exceeded",
      "disk_full",
      "key_invalid",
      "last_voter",
      "leader_unreachable",
      "leadership_lost",
      "log_failed",
      "member_exists",
      "member_removed",
      "member_unknown",
      "no_leader",
      "no_quorum",
      "node_removed",
      "node_unknown",
      "not_a_server",
      "not_a_voter",
      "not_caught_up",
      "not_committed",
      "not_leader",
      "peer_cluster_wrong",
      "peer_error",
      "peer_version_unsupported",
      "removed",
      "request_invalid",
      "request_kind_unknown",
      "request_malformed",
      "request_too_large",
      "saved_guest_not_here",
      "saved_guest_not_yours",
      "servers_only",
      "snapshot_aborted",
      "snapshot_damaged",
      "snapshot_in_progress",
      "snapshot_invalid",
      "snapshot_stalled",
      "stopped",
      "token_expired",
      "token_invalid",
      "token_unknown",
      "token_used",
      "too_many_proposals",
      "too_many_requests",
      "transfer_failed",
      kUnreachable,
      kQueueFull,
  });
  const auto found =
      std::ranges::find(kAll, text, [](const char* word) { return std::string_view(word); });
  return found == kAll.end() ? cluster::known_reason(text) : *found;
}

Error error_of(const wire::Failure& failure) {
  if (const char* reason = known_reason(failure.reason)) {
    return failure.detail.empty() ? Error(failure.code, reason)
                                  : Error(failure.code, reason, failure.detail);
  }
  std::string detail = failure.reason;
  if (!failure.detail.empty()) detail += ": " + failure.detail;
  return {failure.code, "peer_error", std::move(detail)};
}

}  // namespace blixard::peer
