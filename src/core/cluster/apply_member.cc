// The commands about who belongs to the cluster.

#include <algorithm>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "base/limits.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/codec.h"
#include "core/cluster/reasons.h"
#include "core/cluster/state.h"

namespace blixard::cluster {

namespace {

constexpr std::int64_t kTokenLifetimeMaxMs = 30LL * 24 * 3600 * 1000;

std::unexpected<Error> bad_token(const char* field) {
  return fail(Code::kInvalidArgument, reason::kTokenInvalid, field);
}

}  // namespace

Result<State> State::found(const Founder& founder) {
  BLX_TRY(check_name(founder.name));
  BLX_TRY(check_peer_address(founder.peer_address));
  State state;
  state.cluster_ = founder.cluster;
  const NodeId id(state.next_node_id_++);
  state.nodes_.emplace(
      id, Node{.id = id, .name = Name(founder.name), .peer_address = founder.peer_address});
  state.node_names_.emplace(Name(founder.name), id);
  state.configuration_.voters = {id};
  return state;
}

Result<std::uint64_t> State::carry_out(const v1::CreateToken& command, const Step& step) {
  const auto hash = read_digest(command.secret_hash());
  const auto role = read_role(command.role());
  if (command.token_id() == 0) return bad_token("token_id");
  if (!hash) return bad_token("secret_hash");
  if (!role) return bad_token("role");
  if (command.lifetime_ms() <= 0 || command.lifetime_ms() > kTokenLifetimeMaxMs) {
    return bad_token("lifetime: not between 1 ms and 30 days");
  }
  const WallTime expires{step.time.unix_ms + command.lifetime_ms()};
  const TokenId id(command.token_id());
  if (tokens_.contains(id)) return fail(Code::kAlreadyExists, reason::kTokenExists);
  const auto expired = [&](const auto& entry) { return entry.second.expires <= step.time; };
  if (tokens_.size() >= limits::kTokens && std::ranges::none_of(tokens_, expired)) {
    return fail(Code::kResourceExhausted, reason::kTooManyTokens,
                fmt::format("there are {} tokens, the most possible", tokens_.size()));
  }
  std::erase_if(tokens_, expired);
  tokens_.emplace(id, Token{.id = id,
                            .secret_hash = *hash,
                            .role = *role,
                            .created = step.time,
                            .expires = expires,
                            .used_by = {}});
  return id.value;
}

Result<std::uint64_t> State::carry_out(const v1::RevokeToken& command, const Step& /*step*/) {
  if (tokens_.erase(TokenId(command.token_id())) == 0) {
    return fail(Code::kNotFound, reason::kTokenNotFound,
                fmt::format("no token has id {:016x}", command.token_id()));
  }
  return command.token_id();
}

// A token that is not there and a wrong secret are not told apart: who guesses learns nothing.
Result<const Token*> State::token_of(const v1::EnrolNode& command) const {
  const auto hash = read_digest(command.secret_hash());
  const auto found = tokens_.find(TokenId(command.token_id()));
  if (!hash || found == tokens_.end() || found->second.secret_hash != *hash) {
    return fail(Code::kPermissionDenied, reason::kTokenRefused,
                "the token is unknown: mistyped, revoked or expired long ago");
  }
  return &found->second;
}

Result<const Node*> State::may_enrol(const v1::EnrolNode& command, WallTime time) const {
  BLX_TRY(check_name(command.name()));
  BLX_TRY(check_peer_address(command.peer_address()));
  const auto key_digest = read_digest(command.key_digest());
  if (!key_digest || *key_digest == Digest{}) {
    return fail(Code::kInvalidArgument, reason::kNodeInvalid, "key_digest");
  }
  BLX_TRY(const Token* token, token_of(command));
  if (token->used_by) {
    const Node* user = find_node(token->used_by);
    if (user != nullptr && user->key_digest == *key_digest) return user;
    return fail(Code::kFailedPrecondition, reason::kTokenUsed,
                fmt::format("the token was used by node {}", token->used_by.value));
  }
  if (token->expires <= time) {
    return fail(Code::kFailedPrecondition, reason::kTokenExpired, "the token has expired");
  }
  if (const Node* namesake = find_node(command.name())) {
    return fail(Code::kAlreadyExists, reason::kNodeExists,
                fmt::format("node {} has the name {}", namesake->id.value, namesake->name));
  }
  if (nodes_.size() >= limits::kNodes) {
    return fail(Code::kResourceExhausted, reason::kTooManyNodes,
                fmt::format("there are {} nodes, the most possible", nodes_.size()));
  }
  return nullptr;
}

Result<std::uint64_t> State::carry_out(const v1::EnrolNode& command, const Step& step) {
  BLX_TRY(const Node* known, may_enrol(command, step.time));
  if (known != nullptr) {
    Node& node = nodes_.at(known->id);  // it lost the answer, and may have moved since
    if (node.peer_address != command.peer_address()) {
      node.peer_address = command.peer_address();
      announce(Change::Kind::kNodeChanged, node.id.value, node.name, step);
    }
    return node.id.value;
  }
  Token& token = tokens_.at(TokenId(command.token_id()));
  const NodeId id(next_node_id_++);
  token.used_by = id;
  nodes_.emplace(id, Node{.id = id,
                          .name = Name(command.name()),
                          .role = token.role,
                          .peer_address = command.peer_address(),
                          .key_digest = *read_digest(command.key_digest())});
  node_names_.emplace(Name(command.name()), id);
  announce(Change::Kind::kNodeChanged, id.value, Name(command.name()), step);
  return id.value;
}

Result<Node*> State::member(NodeId id) {
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) {
    return fail(Code::kNotFound, reason::kNodeNotFound, fmt::format("no node has id {}", id.value));
  }
  return &found->second;
}

Result<void> State::may_leave(const Node& node, bool force) const {
  const auto stays = [&](NodeId voter) {
    const Node* other = find_node(voter);
    return voter != node.id && other != nullptr && !other->leaving;
  };
  if (membership(node.id) == Membership::kVoter &&
      std::ranges::none_of(configuration_.voters, stays)) {
    return fail(Code::kFailedPrecondition, reason::kLastVoter,
                fmt::format("node {} is the last voter that stays", node.name));
  }
  const std::size_t vms = vms_on(node.id).size();
  if (vms != 0 && !force) {
    return fail(Code::kFailedPrecondition, reason::kNodeHasVms,
                fmt::format("{} VMs are on node {}", vms, node.name));
  }
  return force ? Result<void>() : may_lose_saved(node);
}

Result<std::uint64_t> State::carry_out(const v1::RemoveNode& command, const Step& step) {
  BLX_TRY(Node * node, member(NodeId(command.node_id())));
  if (node->leaving) return node->id.value;
  BLX_TRY(may_leave(*node, command.force()));
  free_vms_of(*node, step);
  forget_saved_at(*node, step);
  node->leaving = true;
  revise(*node);
  announce(Change::Kind::kNodeChanged, node->id.value, node->name, step);
  return node->id.value;
}

// The generation grows now and not only when the VM is placed again: whatever the node still says
// of it is stale from here on.
void State::free_vms_of(const Node& node, const Step& step) {
  const std::vector<VmId> on_it(vms_on(node.id).begin(), vms_on(node.id).end());
  for (const VmId id : on_it) {
    if (find_vm(id)->desired == VmDesired::kDeleted) {
      remove_vm(id, step);
      continue;
    }
    change_vm(id, step, [&](Vm& vm) {
      vm.reason = fmt::format("node {} was removed", node.name);
      unassign(vm);
      vm.generation = vm.generation.next();
      vm.state = VmState::kPending;
      vm.changed = step.time;
    });
  }
}

Result<std::uint64_t> State::carry_out(const v1::DropNode& command, const Step& step) {
  const auto found = nodes_.find(NodeId(command.node_id()));
  if (found == nodes_.end()) return command.node_id();  // dropped before
  if (!found->second.leaving) {
    return fail(Code::kFailedPrecondition, reason::kNodeNotLeaving, found->second.name.text());
  }
  const Node node = std::move(found->second);
  node_names_.erase(node.name);
  nodes_.erase(found);
  const std::set<Name> reserved = reservations_on(node.id);
  for (const Name& name : reserved) {
    erase_reservation(name);
    announce(Change::Kind::kReservationRemoved, 0, name, step);
  }
  raise_model_version();
  announce(Change::Kind::kNodeRemoved, node.id.value, node.name, step);
  return node.id.value;
}

Result<std::uint64_t> State::carry_out(const v1::UpdateNodeAddress& command, const Step& step) {
  BLX_TRY(check_peer_address(command.peer_address()));
  BLX_TRY(Node * node, member(NodeId(command.node_id())));
  if (node->peer_address != command.peer_address()) {
    node->peer_address = command.peer_address();
    announce(Change::Kind::kNodeChanged, node->id.value, node->name, step);
  }
  return node->id.value;
}

}  // namespace blixard::cluster
