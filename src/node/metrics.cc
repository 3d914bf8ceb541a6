#include "node/metrics.h"

#include <algorithm>
#include <array>
#include <utility>

namespace blixard::node {
namespace {

using observe::MetricKind;
using observe::Sample;

constexpr std::array<std::pair<raft::Role, const char*>, 4> kRoleNames{
    {{raft::Role::kFollower, "follower"},
     {raft::Role::kPreCandidate, "pre_candidate"},
     {raft::Role::kCandidate, "candidate"},
     {raft::Role::kLeader, "leader"}}};

// As in peer::Urgency.
constexpr std::array<const char*, peer::kUrgencies> kUrgencyNames{"urgent", "normal", "bulk"};

// As in peer::Refusal.
constexpr std::array<const char*, peer::kRefusals> kRefusalNames{
    "handshake", "not_admitted", "greeting", "displaced", "full", "enrolment"};

std::vector<Sample> single(std::uint64_t number) {
  return {{.labels = {}, .value = static_cast<double>(number)}};
}

Sample labelled(const char* label, const char* value, std::uint64_t number) {
  return {.labels = {{label, value}}, .value = static_cast<double>(number)};
}

template <std::size_t N>
std::vector<Sample> labelled(const char* label, const std::array<const char*, N>& values,
                             const std::array<std::uint64_t, N>& numbers) {
  std::vector<Sample> samples;
  for (std::size_t i = 0; i < N; ++i)
    samples.push_back(labelled(label, values[i], numbers[i]));
  return samples;
}

std::vector<Sample> both_ways(std::uint64_t received, std::uint64_t sent) {
  return {labelled("direction", "received", received), labelled("direction", "sent", sent)};
}

}  // namespace

void register_metrics(observe::Metrics& metrics, const replica::Replica& replica) {
  const auto number = [&](std::string_view name, std::string_view help,
                          std::uint64_t (*of)(const replica::Status&)) {
    metrics.computed(name, help, MetricKind::kGauge,
                     [&replica, of] { return single(of(replica.status())); });
  };
  using Status = replica::Status;
  number("blixard_raft_term", "Term of this node.",
         [](const Status& status) { return status.term.value; });
  number("blixard_raft_last_index", "Last entry of the replicated log on this node.",
         [](const Status& status) { return status.last.value; });
  number("blixard_raft_commit_index", "Last entry that this node knows to be committed.",
         [](const Status& status) { return status.commit.value; });
  number("blixard_raft_applied_index", "Last entry applied on this node.",
         [](const Status& status) { return status.applied.value; });
  number("blixard_raft_proposals_in_flight",
         "Commands that wait on this node to be committed and applied.",
         [](const Status& status) -> std::uint64_t { return status.proposals_in_flight; });
  number("blixard_raft_appends_waiting", "Appends to this node's log that are not durable yet.",
         [](const Status& status) -> std::uint64_t { return status.appends_waiting; });
  metrics.computed("blixard_raft_role", "Role of this node: 1 for the one it has.",
                   MetricKind::kGauge, [&replica] {
                     const raft::Role role = replica.status().role;
                     std::vector<Sample> samples;
                     for (const auto& [each, name] : kRoleNames)
                       samples.push_back(labelled("role", name, each == role ? 1 : 0));
                     return samples;
                   });
}

void register_metrics(observe::Metrics& metrics, const peer::Peers& peers) {
  const auto counted = [&](std::string_view name, std::string_view help,
                           std::vector<Sample> (*of)(const peer::Counters&)) {
    metrics.computed(name, help, MetricKind::kCounter,
                     [&peers, of] { return of(peers.counters()); });
  };
  using Counters = peer::Counters;
  counted("blixard_peer_frames_total", "Frames exchanged with other nodes.",
          [](const Counters& all) {
            return both_ways(all.traffic.frames_received, all.traffic.frames_sent);
          });
  counted("blixard_peer_bytes_total", "Bytes of the frames exchanged with other nodes.",
          [](const Counters& all) {
            return both_ways(all.traffic.bytes_received, all.traffic.bytes_sent);
          });
  counted(
      "blixard_peer_dropped_frames_total",
      "Frames for other nodes that were not sent: no connection, or a full queue.",
      [](const Counters& all) { return labelled("priority", kUrgencyNames, all.traffic.dropped); });
  counted("blixard_peer_violations_total",
          "Damaged, invalid or unexpected frames; each ended a connection.",
          [](const Counters& all) { return single(all.traffic.violations); });
  counted("blixard_peer_reconnects_total",
          "Connections this node made to another one after it had lost an earlier one.",
          [](const Counters& all) { return single(all.reconnects); });
  counted("blixard_peer_refused_connections_total",
          "Connections of others that were not served, by reason.",
          [](const Counters& all) { return labelled("reason", kRefusalNames, all.refused); });
  metrics.computed("blixard_peer_connections", "Connections with other nodes, by who dialled.",
                   MetricKind::kGauge, [&peers] {
                     const auto all = peers.status();
                     const auto ours = std::ranges::count_if(all, &peer::PeerStatus::connected);
                     const auto theirs = std::ranges::count_if(all, &peer::PeerStatus::accepted);
                     return std::vector<Sample>{
                         labelled("dialled_by", "this", static_cast<std::uint64_t>(ours)),
                         labelled("dialled_by", "other", static_cast<std::uint64_t>(theirs))};
                   });
}

}  // namespace blixard::node
