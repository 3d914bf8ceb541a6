#include "node/telemetry/sources.h"

#include <algorithm>
#include <array>
#include <utility>

namespace blixard::telemetry {
namespace {

using observe::Answer;

constexpr std::array<std::pair<raft::Role, std::string_view>, 4> kRoleNames{
    {{raft::Role::kFollower, "follower"},
     {raft::Role::kPreCandidate, "pre_candidate"},
     {raft::Role::kCandidate, "candidate"},
     {raft::Role::kLeader, "leader"}}};

// As in peer::Urgency.
constexpr std::array<std::string_view, peer::kUrgencies> kUrgencyNames{"urgent", "normal", "bulk"};

// As in peer::Refusal.
constexpr std::array<std::string_view, peer::kRefusals> kRefusalNames{
    "handshake", "not_admitted", "greeting", "displaced", "full", "enrolment"};

double real(std::uint64_t number) { return static_cast<double>(number); }

template <std::size_t N>
void answer_all(Answer& answer, const std::array<std::string_view, N>& values,
                const std::array<std::uint64_t, N>& numbers) {
  for (std::size_t i = 0; i < N; ++i)
    answer({values[i]}, real(numbers[i]));
}

void answer_both(Answer& answer, std::uint64_t received, std::uint64_t sent) {
  answer({"received"}, real(received));
  answer({"sent"}, real(sent));
}

}  // namespace

void register_sources(observe::Metrics& metrics, Telemetry& telemetry, replica::Replica& replica) {
  using Status = replica::Status;
  const auto number = [&](observe::MetricName<observe::Kind::kGauge> name, observe::Help help,
                          std::uint64_t (*of)(const Status&)) {
    metrics.computed_gauge(name, help,
                           [&replica, of](Answer& answer) { answer(real(of(replica.status()))); });
  };
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
  metrics.computed_gauge("blixard_raft_role", "Role of this node: 1 for the one it has.",
                         [&replica](Answer& answer) {
                           const raft::Role role = replica.status().role;
                           for (const auto& [each, name] : kRoleNames)
                             answer({name}, each == role ? 1 : 0);
                         },
                         {"role"});
  metrics.computed_gauge("blixard_cluster_nodes", "Nodes of the cluster, by role.",
                         [&replica](Answer& answer) {
                           std::size_t servers = 0;
                           const auto& nodes = replica.state().nodes();
                           for (const auto& [id, node] : nodes)
                             servers += node.role == cluster::NodeRole::kServer ? 1 : 0;
                           answer({"server"}, static_cast<double>(servers));
                           answer({"worker"}, static_cast<double>(nodes.size() - servers));
                         },
                         {"role"});
  metrics.computed_gauge(
      "blixard_cluster_members",
      "Nodes in consensus, by whether the leader hears them; of the leader only.",
      [&replica](Answer& answer) {
        if (!replica.is_leader()) return;
        const auto members = replica.members();
        const auto active = std::ranges::count_if(members, &replica::MemberProgress::active);
        answer({"active"}, static_cast<double>(active));
        answer({"silent"}, static_cast<double>(members.size()) - static_cast<double>(active));
      },
      {"state"});
  metrics.computed_counter(
      "blixard_raft_read_rounds_total",
      "Rounds to a quorum that confirmed reads; one serves many of them.",
      [&replica](Answer& answer) { answer(real(replica.status().read_rounds)); });
  metrics.before_reading([&telemetry, &replica] {
    telemetry.follow_nodes(
        replica.state(), replica.is_leader() ? std::nullopt : std::optional(replica.status().self));
  });
}

void register_sources(observe::Metrics& metrics, const peer::Peers& peers) {
  using Counters = peer::Counters;
  metrics.computed_counter("blixard_peer_frames_total", "Frames exchanged with other nodes.",
                           [&peers](Answer& answer) {
                             const Counters all = peers.counters();
                             answer_both(answer, all.traffic.frames_received,
                                         all.traffic.frames_sent);
                           },
                           {"direction"});
  metrics.computed_counter(
      "blixard_peer_bytes_total", "Bytes of the frames exchanged with other nodes.",
      [&peers](Answer& answer) {
        const Counters all = peers.counters();
        answer_both(answer, all.traffic.bytes_received, all.traffic.bytes_sent);
      },
      {"direction"});
  metrics.computed_counter(
      "blixard_peer_dropped_frames_total",
      "Frames for other nodes that were not sent: no connection, or a full queue.",
      [&peers](Answer& answer) {
        answer_all(answer, kUrgencyNames, peers.counters().traffic.dropped);
      },
      {"priority"});
  metrics.computed_counter(
      "blixard_peer_violations_total",
      "Damaged, invalid or unexpected frames; each ended a connection.",
      [&peers](Answer& answer) { answer(real(peers.counters().traffic.violations)); });
  metrics.computed_counter(
      "blixard_peer_reconnects_total",
      "Connections this node made to another one after it had lost an earlier one.",
      [&peers](Answer& answer) { answer(real(peers.counters().reconnects)); });
  metrics.computed_counter(
      "blixard_peer_refused_connections_total",
      "Connections of others that were not served, by reason.",
      [&peers](Answer& answer) { answer_all(answer, kRefusalNames, peers.counters().refused); },
      {"reason"});
  metrics.computed_gauge(
      "blixard_peer_connections", "Connections with other nodes, by who dialled.",
      [&peers](Answer& answer) {
        const auto all = peers.status();
        const auto ours = std::ranges::count_if(all, &peer::PeerStatus::connected);
        const auto theirs = std::ranges::count_if(all, &peer::PeerStatus::accepted);
        answer({"this"}, static_cast<double>(ours));
        answer({"other"}, static_cast<double>(theirs));
      },
      {"dialled_by"});
}

}  // namespace blixard::telemetry
