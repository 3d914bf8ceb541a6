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

// A source that asks `told`, if there is one.
template <class T, class Tell>
observe::Source of(const T* told, Tell tell) {
  return [told, tell](Answer& answer) {
    if (told != nullptr) tell(*told, answer);
  };
}

void tell_roles(const replica::Replica& replica, Answer& answer) {
  const raft::Role role = replica.status().role;
  for (const auto& [each, name] : kRoleNames)
    answer({name}, each == role ? 1 : 0);
}

void tell_nodes(const replica::Replica& replica, Answer& answer) {
  std::size_t servers = 0;
  const auto& nodes = replica.state().nodes();
  for (const auto& [id, node] : nodes)
    servers += node.role == cluster::NodeRole::kServer ? 1 : 0;
  answer({"server"}, real(servers));
  answer({"worker"}, real(nodes.size() - servers));
}

void tell_members(const replica::Replica& replica, Answer& answer) {
  if (!replica.is_leader()) return;
  std::size_t active = 0;
  const auto members = replica.members();
  for (const replica::MemberProgress& member : members)
    active += member.active ? 1 : 0;
  answer({"active"}, real(active));
  answer({"silent"}, real(members.size() - active));
}

void tell_connections(const peer::Peers& peers, Answer& answer) {
  const auto all = peers.status();
  const auto ours = std::ranges::count_if(all, &peer::PeerStatus::connected);
  const auto theirs = std::ranges::count_if(all, &peer::PeerStatus::accepted);
  answer({"this"}, static_cast<double>(ours));
  answer({"other"}, static_cast<double>(theirs));
}

}  // namespace

void register_sources(observe::Metrics& metrics, Telemetry& telemetry,
                      const replica::Replica* replica) {
  using Status = replica::Status;
  const auto number = [&](observe::MetricName<observe::Kind::kGauge> name, observe::Help help,
                          std::uint64_t (*get)(const Status&)) {
    metrics.computed_gauge(name, help,
                           of(replica, [get](const replica::Replica& told, Answer& answer) {
                             answer(real(get(told.status())));
                           }));
  };
  number("blixard_raft_term", "Term of this node.",
         [](const Status& status) { return status.term.value; });
  number("blixard_raft_last_index", "Last entry of the replicated log on this node.",
         [](const Status& status) { return status.last.value; });
  number("blixard_raft_commit_index", "Last entry that this node knows to be committed.",
         [](const Status& status) { return status.commit.value; });
  number("blixard_raft_applied_index", "Last entry applied on this node.",
         [](const Status& status) { return status.applied.value; });
  number("blixard_raft_has_leader", "1 while this node knows who leads, else 0.",
         [](const Status& status) -> std::uint64_t { return status.leader ? 1 : 0; });
  number("blixard_raft_proposals_in_flight",
         "Commands that wait on this node to be committed and applied.",
         [](const Status& status) -> std::uint64_t { return status.proposals_in_flight; });
  number("blixard_raft_appends_waiting", "Appends to this node's log that are not durable yet.",
         [](const Status& status) -> std::uint64_t { return status.appends_waiting; });
  metrics.computed_gauge("blixard_raft_role", "Role of this node: 1 for the one it has.",
                         of(replica, tell_roles), {"role"});
  metrics.computed_gauge("blixard_cluster_nodes", "Nodes of the cluster, by role.",
                         of(replica, tell_nodes), {"role"});
  metrics.computed_gauge(
      "blixard_cluster_members",
      "Nodes in consensus, by whether the leader hears them; of the leader only.",
      of(replica, tell_members), {"state"});
  metrics.computed_counter("blixard_raft_read_rounds_total",
                           "Rounds to a quorum that confirmed reads; one serves many of them.",
                           of(replica, [](const replica::Replica& told, Answer& answer) {
                             answer(real(told.status().read_rounds));
                           }));
  if (replica == nullptr) return;
  metrics.before_reading([&telemetry, replica] {
    telemetry.follow_nodes(replica->state(), replica->is_leader()
                                                 ? std::nullopt
                                                 : std::optional(replica->status().self));
  });
}

void register_sources(observe::Metrics& metrics, const peer::Peers* peers) {
  using Peers = peer::Peers;
  metrics.computed_counter("blixard_peer_frames_total", "Frames exchanged with other nodes.",
                           of(peers,
                              [](const Peers& told, Answer& answer) {
                                const peer::Traffic traffic = told.counters().traffic;
                                answer_both(answer, traffic.frames_received, traffic.frames_sent);
                              }),
                           {"direction"});
  metrics.computed_counter("blixard_peer_bytes_total",
                           "Bytes of the frames exchanged with other nodes.",
                           of(peers,
                              [](const Peers& told, Answer& answer) {
                                const peer::Traffic traffic = told.counters().traffic;
                                answer_both(answer, traffic.bytes_received, traffic.bytes_sent);
                              }),
                           {"direction"});
  metrics.computed_counter(
      "blixard_peer_copied_bytes_total",
      "Of those bytes, moved in memory: into the records of TLS, and from what was read ahead.",
      of(peers,
         [](const Peers& told, Answer& answer) {
           const peer::Traffic traffic = told.counters().traffic;
           answer_both(answer, traffic.bytes_received_copied, traffic.bytes_sent_copied);
         }),
      {"direction"});
  metrics.computed_counter("blixard_peer_requests_total",
                           "Requests this node made to others over their connections.",
                           of(peers, [](const Peers& told, Answer& answer) {
                             answer(real(told.counters().traffic.requests));
                           }));
  metrics.computed_counter("blixard_peer_connects_total", "Connections this node made to others.",
                           of(peers, [](const Peers& told, Answer& answer) {
                             answer(real(told.counters().traffic.connections));
                           }));
  metrics.computed_counter(
      "blixard_peer_dropped_frames_total",
      "Frames for other nodes that were not sent: no connection, or a full queue.",
      of(peers,
         [](const Peers& told, Answer& answer) {
           answer_all(answer, kUrgencyNames, told.counters().traffic.dropped);
         }),
      {"priority"});
  metrics.computed_counter("blixard_peer_violations_total",
                           "Damaged, invalid or unexpected frames; each ended a connection.",
                           of(peers, [](const Peers& told, Answer& answer) {
                             answer(real(told.counters().traffic.violations));
                           }));
  metrics.computed_counter(
      "blixard_peer_reconnects_total",
      "Connections this node made to another one after it had lost an earlier one.",
      of(peers,
         [](const Peers& told, Answer& answer) { answer(real(told.counters().reconnects)); }));
  metrics.computed_counter(
      "blixard_peer_refused_connections_total",
      "Connections of others that were not served, by reason.",
      of(peers, [](const Peers& told,
                   Answer& answer) { answer_all(answer, kRefusalNames, told.counters().refused); }),
      {"reason"});
  metrics.computed_gauge("blixard_peer_connections",
                         "Connections with other nodes, by who dialled.",
                         of(peers, tell_connections), {"dialled_by"});
}

}  // namespace blixard::telemetry
