#include "node/replica/instruments.h"

#include <array>
#include <utility>

namespace blixard::replica {
namespace {

using observe::HistogramShape;

constexpr std::array<std::pair<std::string_view, ProposalFailure>, 14> kFailures{{
    {"command_invalid", ProposalFailure::kInvalid},
    {"command_too_large", ProposalFailure::kInvalid},
    {"servers_only", ProposalFailure::kNotAllowed},
    {"too_many_proposals", ProposalFailure::kTooMany},
    {"peer_queue_full", ProposalFailure::kTooMany},
    {"too_many_requests", ProposalFailure::kTooMany},
    {"disk_full", ProposalFailure::kDiskFull},
    {"no_leader", ProposalFailure::kNoLeader},
    {"leadership_lost", ProposalFailure::kLeadershipLost},
    {"leader_unreachable", ProposalFailure::kLeaderUnreachable},
    {"not_committed", ProposalFailure::kNotCommitted},
    {"stopped", ProposalFailure::kStopped},
    {"removed", ProposalFailure::kStopped},
    {"log_failed", ProposalFailure::kStopped},
}};

}  // namespace

ProposalFailure failure_of(const Error& error) {
  for (const auto& [reason, failure] : kFailures)
    if (error.reason() == reason) return failure;
  switch (error.code()) {
    case Code::kUnavailable:
    case Code::kDeadlineExceeded:
    case Code::kInternal:
    case Code::kDataLoss:
      return ProposalFailure::kOther;
    default:
      return ProposalFailure::kRefused;
  }
}

Instruments::Instruments(observe::Metrics& metrics)
    : proposals(metrics.counter("blixard_raft_proposals_total",
                                "Commands that somebody on this node proposed.")),
      proposals_failed(metrics.counters<ProposalFailure>(
          "blixard_raft_proposals_failed_total",
          "Proposals that were not carried out; refused: by the model, which is an answer.",
          {"reason"})),
      proposal_duration(metrics.histogram(
          "blixard_raft_proposal_duration_seconds",
          "Time from a proposal on this node until it was applied here or failed.",
          HistogramShape::seconds(64us, 16s))),
      batch_commands(metrics.histogram("blixard_raft_batch_commands",
                                       "Commands that this node, leading, appended as one.",
                                       HistogramShape::counts(1, 4096))),
      applied_commands(metrics.counters<Applied>("blixard_raft_applied_commands_total",
                                                 "Commands applied to the state of this node.",
                                                 {"outcome"})),
      reads(metrics.counters<ReadOutcome>("blixard_raft_reads_total",
                                          "Linearizable reads, by whether a quorum confirmed.",
                                          {"outcome"})),
      read_duration(metrics.histogram("blixard_raft_read_duration_seconds",
                                      "Time until a linearizable read was confirmed or failed.",
                                      HistogramShape::seconds(16us, 4s))),
      leader_changes(metrics.counter("blixard_raft_leader_changes_total",
                                     "Times that this node learnt of another leader.")),
      elections(metrics.counter("blixard_raft_elections_total",
                                "Times that this node stood for election.")) {}

}  // namespace blixard::replica
