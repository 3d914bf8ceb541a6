#pragma once

// What the replica counts, at both ends of a command's way: proposed and answered here, applied
// everywhere.

#include "base/result.h"
#include "observe/metrics.h"

namespace blixard::replica {

// Why a proposal was not carried out. kRefused: the model said no, which is an answer.
enum class ProposalFailure : std::uint8_t {
  kRefused,
  kInvalid,
  kNotAllowed,
  kTooMany,
  kDiskFull,
  kNoLeader,
  kLeadershipLost,
  kLeaderUnreachable,
  kNotCommitted,
  kStopped,
  kOther,
};
ProposalFailure failure_of(const Error& error);

enum class Applied : std::uint8_t { kAccepted, kRefused };
enum class ReadOutcome : std::uint8_t { kConfirmed, kFailed };

}  // namespace blixard::replica

namespace blixard::observe {
template <>
inline constexpr std::array<std::string_view, 11> kLabelValues<replica::ProposalFailure>{
    "refused",   "invalid",         "not_allowed",        "too_many",      "disk_full",
    "no_leader", "leadership_lost", "leader_unreachable", "not_committed", "stopped",
    "other"};
template <>
inline constexpr std::array<std::string_view, 2> kLabelValues<replica::Applied>{"accepted",
                                                                                "refused"};
template <>
inline constexpr std::array<std::string_view, 2> kLabelValues<replica::ReadOutcome>{"confirmed",
                                                                                    "failed"};
}  // namespace blixard::observe

namespace blixard::replica {

struct Instruments {
  Instruments() = default;  // counts into nothing
  explicit Instruments(observe::Metrics& metrics);

  observe::Counter proposals;
  observe::CounterFamily<ProposalFailure> proposals_failed;
  observe::Histogram proposal_duration;
  observe::Histogram batch_commands;
  observe::CounterFamily<Applied> applied_commands;
  observe::CounterFamily<ReadOutcome> reads;
  observe::Histogram read_duration;
  observe::Counter leader_changes;
  observe::Counter elections;
};

}  // namespace blixard::replica
