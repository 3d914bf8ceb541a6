#pragma once

// Rare-event points, after FoundationDB's "buggify": places where something allowed but seldom can
// be made to happen often, by the simulation and by nobody else. A point must only do what a
// correct program has to live with anyway: a queue that is full, a plan that is late, a connection
// that ends. On Linux none is ever taken.
//
//   if (env_.rare.happens(env::RareSite::kPeerClosesEarly)) co_return connection_lost();

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace blixard::env {

enum class RareSite : std::uint8_t {
  kLogSegmentRollsEarly,
  kSnapshotTakenEarly,
  kProposalQueueFull,
  kForwardAnswerLost,
  kReadRoundLate,
  kChangesCompacted,
  kPeerQueueFull,
  kPeerClosesEarly,
  kSnapshotTransferCut,
  kSnapshotRefused,
  kHttpTurnsAway,
  kHttpClosesBeforeAnswer,
  kPlacementLate,
  kMembershipLate,
  kAgentLate,
  kGuestStartLate,
  kReportsSplit,
  kReportAnswerLost,
  kEnrolmentAnswerLost,
  kCertificateRenewedEarly,
};
inline constexpr std::array<std::string_view, 20> kRareSites{
    "log-segment-rolls-early",
    "snapshot-taken-early",
    "proposal-queue-full",
    "forward-answer-lost",
    "read-round-late",
    "changes-compacted",
    "peer-queue-full",
    "peer-closes-early",
    "snapshot-transfer-cut",
    "snapshot-refused",
    "http-turns-away",
    "http-closes-before-answer",
    "placement-late",
    "membership-late",
    "agent-late",
    "guest-start-late",
    "reports-split",
    "report-answer-lost",
    "enrolment-answer-lost",
    "certificate-renewed-early",
};
[[nodiscard]] constexpr std::string_view rare_site_name(RareSite site) {
  return kRareSites[static_cast<std::size_t>(site)];
}

class RareEvents {
 public:
  virtual ~RareEvents() = default;
  virtual bool happens(RareSite site) = 0;
};

// Of the real world.
class NoRareEvents final : public RareEvents {
 public:
  bool happens(RareSite /*site*/) override { return false; }
};

}  // namespace blixard::env
