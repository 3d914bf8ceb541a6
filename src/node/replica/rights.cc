#include "node/replica/rights.h"

#include <fmt/format.h>

#include "blixard/v1/cluster.pb.h"

namespace blixard::replica {
namespace {

std::unexpected<Error> servers_only(const cluster::Node& node, std::string_view what) {
  return fail(Code::kPermissionDenied, "servers_only",
              fmt::format("node {} is a worker, which may not {}: ask a server", node.name, what));
}

std::unexpected<Error> unknown(NodeId node) {
  return fail(Code::kUnavailable, "not_leader",
              fmt::format("it does not know node {} yet", node.value));
}

// What the command does that only servers may; empty: a worker may propose it.
std::string_view reserved(const v1::Command& command, NodeId worker) {
  const auto of_another = [&](std::uint64_t node) { return NodeId(node) != worker; };
  switch (command.kind_case()) {
    case v1::Command::kCreateVm:
    case v1::Command::kSetDesired:
    case v1::Command::kTakeSnapshot:
    case v1::Command::kRestoreSnapshot:
    case v1::Command::kDeleteSnapshot:
    case v1::Command::kAddImage:
    case v1::Command::kRemoveImage:
    case v1::Command::kSetGroup:
    case v1::Command::kRemoveGroup:
      return "";  // of users
    case v1::Command::kRegisterNode:
      return of_another(command.register_node().node_id()) ? "register another node" : "";
    case v1::Command::kReportVms:
      return of_another(command.report_vms().node_id()) ? "report for another node" : "";
    case v1::Command::kUpdateNodeAddress:
      return of_another(command.update_node_address().node_id()) ? "move another node" : "";
    case v1::Command::kRemoveNode:
      return of_another(command.remove_node().node_id()) ? "remove another node" : "";
    case v1::Command::kUpdateNode:
      return of_another(command.update_node().node_id()) ? "change another node" : "";
    case v1::Command::kDrainNode:
      return of_another(command.drain_node().node_id()) ? "drain another node" : "";
    case v1::Command::kSetPolicy:
    case v1::Command::kSetTenant:
    case v1::Command::kRemoveTenant:
    case v1::Command::kSetReservation:
    case v1::Command::kRemoveReservation:
      return "decide how the cluster places VMs";
    case v1::Command::kCreateToken:
    case v1::Command::kRevokeToken:
      return "make or revoke tokens";
    case v1::Command::kEnrolNode:
    case v1::Command::kDropNode:
      return "take nodes in or out";
    case v1::Command::kPlaceVm:
    case v1::Command::kPlaceGang:
    case v1::Command::kEvictVm:
    case v1::Command::kEndDrain:
    case v1::Command::kExplainPending:
      return "place VMs";
    case v1::Command::KIND_NOT_SET:
      break;
  }
  return "propose this";
}

}  // namespace

Result<void> may_propose(const cluster::State& state, NodeId from, const v1::Command& command) {
  const cluster::Node* node = state.find_node(from);
  if (node == nullptr) return unknown(from);
  if (node->role == cluster::NodeRole::kServer) return {};
  if (const auto what = reserved(command, from); !what.empty()) return servers_only(*node, what);
  return {};
}

Result<void> may_change_members(const cluster::State& state, NodeId from) {
  const cluster::Node* node = state.find_node(from);
  if (node == nullptr) return unknown(from);
  if (node->role == cluster::NodeRole::kServer) return {};
  return servers_only(*node, "change who votes or leads");
}

bool may_send(const cluster::State& state, peer::Sender from, raft::MessageType type,
              Term message_term, Term term) {
  const cluster::Node* node = state.find_node(from.node);
  if (node != nullptr ? node->role == cluster::NodeRole::kServer : from.server) return true;
  switch (type) {
    case raft::MessageType::kAppendResponse:
    case raft::MessageType::kHeartbeatResponse:
    case raft::MessageType::kReadIndex:
      return message_term <= term;
    default:
      return false;
  }
}

}  // namespace blixard::replica
