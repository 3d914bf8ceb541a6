// Who takes part, who leads, and what other nodes send.

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "core/raft/configuration.h"
#include "env/failpoint.h"
#include "node/replica/raft_replica.h"
#include "node/replica/rights.h"
#include "observe/allocations.h"

namespace blixard::replica {
namespace {

constexpr const char* kNotLeader = "not_leader";
constexpr const char* kNoLeader = "no_leader";

// A learner this close to the commit index has caught up: it fetches as much in one message.
constexpr std::uint64_t kPromotionLag = 1024;

raft::ConfChangeType type_of(MembershipChange::Kind kind) {
  switch (kind) {
    case MembershipChange::Kind::kAddLearner:
      return raft::ConfChangeType::kAddLearner;
    case MembershipChange::Kind::kPromote:
      return raft::ConfChangeType::kAddVoter;
    case MembershipChange::Kind::kRemove:
      break;
  }
  return raft::ConfChangeType::kRemove;
}

std::unexpected<Error> refuse(const char* reason, NodeId node) {
  return fail(Code::kFailedPrecondition, reason, fmt::format("node {}", node.value));
}

}  // namespace

// Members.

env::Task<Result<cluster::Outcome>> RaftReplica::change_membership(MembershipChange change) {
  const observe::AllocationTag tag(observe::Subsystem::kReplica);
  const Call call(*this);
  BLX_CO_FAILPOINT(env_, "raft::change_members", kFailedPrecondition, "change_in_progress");
  auto answer = co_await change_until_applied(change);
  // Who removes itself may hear from the others that it is gone before it hears of the commit.
  const bool left = change.kind == MembershipChange::Kind::kRemove && change.node == self_;
  if (!answer && left && end_ && end_->reason() == "removed") co_return cluster::Outcome{};
  co_return answer;
}

env::Task<Result<cluster::Outcome>> RaftReplica::change_until_applied(MembershipChange change) {
  const Instant begun = now();
  const Instant deadline = begun + limits::kProposalTimeout;
  do {
    BLX_CO_TRY(refusal(change.command.size()));
    if (driver_.core().is_leader()) {
      if (must_hand_over_first(change)) {
        BLX_CO_TRY(co_await transfer_leader(NodeId()));
        continue;
      }
      const auto position = change_here(change);
      if (position) co_return co_await applied_at(*position, deadline);
      if (position.error().reason() != kNotLeader) co_return std::unexpected(position.error());
    } else if (driver_.core().leader()) {
      bool taken = true;
      auto answer = co_await ask_leader(
          peer::RequestKind::kMembership,
          encode(MembershipRequest{.transfers = false, .change = change}), deadline, taken);
      if (taken) co_return answer;
    }
    if (!end_) co_await pulse();
  } while (now() - begun < 2 * election_timeout());  // leadership may move in between
  if (end_) co_return std::unexpected(*end_);
  co_return fail(Code::kUnavailable, kNoLeader);
}

Result<void> RaftReplica::may_change(const MembershipChange& change) const {
  const raft::Status status = driver_.core().status();
  const raft::ConfState& configuration = status.configuration;
  const bool voter = raft::is_voter(configuration, change.node);
  const bool learner = raft::is_learner(configuration, change.node);
  if (!change.node) return fail(Code::kInvalidArgument, "request_invalid", "no node");
  if (change.command.size() > limits::kConfChangeContextBytes) {
    return fail(Code::kInvalidArgument, "command_too_large");
  }
  const bool waits = change_.term == driver_.core().term() && change_.index > machine_.applied();
  if (waits || raft::is_joint(configuration)) {
    return refuse("change_in_progress", change.node);
  }
  if (change.kind == MembershipChange::Kind::kAddLearner) {
    if (voter || learner) return refuse("member_exists", change.node);
    return {};
  }
  if (!voter && !learner) return refuse("member_unknown", change.node);
  if (change.kind == MembershipChange::Kind::kRemove) {
    if (voter && configuration.voters.size() == 1) return refuse("last_voter", change.node);
    return {};
  }
  if (voter) return refuse("member_exists", change.node);
  const cluster::Node* node = machine_.state().find_node(change.node);
  if (node != nullptr && node->role != cluster::NodeRole::kServer) {
    return refuse("not_a_server", change.node);  // nobody would hear its votes (rights.h)
  }
  const auto progress = status.progress->find(change.node);
  const std::uint64_t match = progress != status.progress->end() ? progress->second.match.value : 0;
  // In a young cluster everybody is close to the end; who has nothing at all is not there yet.
  if (match == 0 || match + kPromotionLag < status.hard_state.commit.value) {
    return fail(Code::kFailedPrecondition, "not_caught_up",
                fmt::format("node {} has entry {} of {}", change.node.value, match,
                            status.hard_state.commit.value));
  }
  return {};
}

Result<Position> RaftReplica::change_here(MembershipChange change) {
  raft::Core& core = driver_.core();
  // Before the first entry of its term is applied, a leader does not know which change was the
  // last.
  if (!core.is_leader() || machine_.applied_term() < core.term()) {
    return fail(Code::kUnavailable, kNotLeader);
  }
  BLX_TRY(may_change(change));
  if (!change.command.empty()) {
    v1::Command command;
    if (!command.ParseFromString(change.command)) {
      return fail(Code::kInvalidArgument, "command_invalid");
    }
    BLX_TRY(stamp(command));
    change.command = command.SerializeAsString();
  }
  const raft::ConfChange conf_change{.transition = raft::ConfTransition::kAuto,
                                     .changes = {{type_of(change.kind), change.node}},
                                     .context = Payload(std::move(change.command))};
  if (!core.propose(conf_change)) return fail(Code::kUnavailable, kNotLeader);
  change_ = {core.term(), core.last_index()};
  driver_.wake();
  return change_;
}

// A leader that is to go lets another one carry out the change, so that the cluster is never
// without one for an election timeout.
bool RaftReplica::must_hand_over_first(const MembershipChange& change) const {
  return change.kind == MembershipChange::Kind::kRemove && change.node == self_ &&
         may_change(change).has_value();
}

// Leadership.

env::Task<Result<void>> RaftReplica::transfer_leader(NodeId to) {
  const Call call(*this);
  BLX_CO_FAILPOINT(env_, "raft::transfer_leader", kDeadlineExceeded, "transfer_failed");
  if (end_) co_return std::unexpected(*end_);
  const Instant begun = now();
  const Instant deadline = begun + 2 * election_timeout();
  Result<NodeId> target = fail(Code::kUnavailable, kNoLeader);
  while (true) {
    target = co_await choose_leader(to, deadline);
    if (end_) co_return std::unexpected(*end_);
    if (target) break;
    const auto reason = target.error().reason();
    const bool may_pass = reason == kNoLeader || reason == kNotLeader;
    if (!may_pass || now() - begun >= election_timeout()) {
      co_return std::unexpected(target.error());
    }
    co_await pulse();
  }
  while (!end_ && driver_.core().leader() != *target) {
    if (now() >= deadline) co_return fail(Code::kDeadlineExceeded, "transfer_failed");
    co_await pulse();
  }
  if (end_) co_return std::unexpected(*end_);
  co_return Result<void>();
}

// Asks the leader, which may be this node; who will be the next.
env::Task<Result<NodeId>> RaftReplica::choose_leader(NodeId to, Instant deadline) {
  if (driver_.core().is_leader()) co_return transfer_here(to);
  const NodeId leader = driver_.core().leader();
  if (!leader) co_return fail(Code::kUnavailable, kNoLeader);
  MembershipRequest request{.transfers = true, .change = {}};
  request.change.node = to;
  BLX_CO_TRY(
      const std::string reply,
      co_await peers_.request(leader, peer::RequestKind::kMembership, encode(request), deadline)
          .under(scope_.cancellation()));
  co_return decode_node(reply);
}

Result<NodeId> RaftReplica::transfer_here(NodeId to) {
  raft::Core& core = driver_.core();
  if (!core.is_leader()) return fail(Code::kUnavailable, kNotLeader);
  const raft::Status status = core.status();
  if (!to) {
    // Of those that were heard of, the one with most of the log.
    LogIndex most;
    for (const auto& [node, progress] : *status.progress) {
      if (node == self_ || progress.is_learner || !is_heard(node) ||
          (to && progress.match <= most)) {
        continue;
      }
      to = node;
      most = progress.match;
    }
  }
  if (!to || !raft::contains(status.configuration.voters, to)) return refuse("not_a_voter", to);
  if (to != self_) {
    core.transfer_leader(to);
    driver_.wake();
  }
  return to;
}

std::vector<MemberProgress> RaftReplica::members() const {
  std::vector<MemberProgress> members;
  const raft::Status status = driver_.core().status();
  if (end_ || status.progress == nullptr) return members;
  for (const auto& [node, progress] : *status.progress) {
    members.push_back({.node = node,
                       .learner = progress.is_learner,
                       .active = is_heard(node),
                       .match = progress.match});
  }
  return members;
}

// What other nodes send.

// One that this node has not heard of is let in: its certificate proves that it belongs to the
// cluster, and this node may be the one that is behind.
Result<void> RaftReplica::admit(NodeId from) const {
  if (machine_.state().was_removed(from)) {
    return fail(Code::kPermissionDenied, "node_removed",
                fmt::format("node {} was removed", from.value));
  }
  return {};
}

void RaftReplica::on_message(peer::Sender from, raft::Message message) {
  const observe::AllocationTag tag(observe::Subsystem::kReplica);
  if (end_) return;
  if (!may_send(machine_.state(), from, message.type, message.term, driver_.core().term())) {
    BLX_LOG(env_.log, kDebug, "replica: node {} is a worker, and not heard on this",
            from.node.value);
    return;
  }
  if (driver_.core().is_leader() && BLX_FAILPOINT_FIRES("network::recv_at_leader")) return;
  heard_[from.node] = now();
  driver_.step(std::move(message));
}

void RaftReplica::on_unreachable(NodeId node) {
  if (end_) return;
  driver_.core().report_unreachable(node);
  driver_.wake();
}

void RaftReplica::on_refused(NodeId node, const Error& why) {
  BLX_LOG(env_.log, kWarn, "replica: node {} says that this node is no member: {}", node.value,
          why.message());
  // A worker decides nothing about others. Who knows nobody yet has only who took it in to believe.
  const cluster::Node* sender = machine_.state().find_node(node);
  const bool counts = machine_.state().nodes().empty() ||
                      (sender != nullptr && sender->role == cluster::NodeRole::kServer);
  if (counts && why.reason() == "node_removed") {
    end(Error(Code::kUnavailable, "removed", why.message()));
  }
}

env::Task<Result<std::string>> RaftReplica::on_request(NodeId from, peer::RequestKind kind,
                                                       Payload body) {
  const observe::AllocationTag tag(observe::Subsystem::kReplica);
  const Call call(*this);
  if (end_) co_return std::unexpected(*end_);
  switch (kind) {
    case peer::RequestKind::kPropose:
      co_return co_await propose_for_other(from, std::move(body));
    case peer::RequestKind::kMembership:
      co_return co_await change_for_other(from, std::move(body));
    case peer::RequestKind::kEnrol:
    case peer::RequestKind::kRenew:
    case peer::RequestKind::kTrace:
    case peer::RequestKind::kSaved:
      if (requests_ != nullptr) {
        co_return co_await requests_->on_request(from, kind, std::move(body));
      }
      break;
  }
  co_return fail(Code::kUnimplemented, "request_kind_unknown");
}

env::Task<Result<std::string>> RaftReplica::change_for_other(NodeId from, Payload body) {
  BLX_CO_TRY(MembershipRequest request, decode_membership_request(body.view()));
  if (!driver_.core().is_leader()) co_return fail(Code::kUnavailable, kNotLeader);
  BLX_CO_TRY(may_change_members(machine_.state(), from));
  if (request.transfers) {
    BLX_CO_TRY(const NodeId target, transfer_here(request.change.node));
    co_return encode(target);
  }
  BLX_CO_TRY(refusal(request.change.command.size()));
  if (must_hand_over_first(request.change)) {
    BLX_CO_TRY(co_await transfer_leader(NodeId()));
    co_return fail(Code::kUnavailable, kNotLeader);  // the other asks the new one
  }
  BLX_CO_TRY(const Position position, change_here(std::move(request.change)));
  co_return encode(position);
}

}  // namespace blixard::replica
