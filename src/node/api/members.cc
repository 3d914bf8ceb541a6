// Requests about who belongs to the cluster, and the tokens to enter it with.

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/limits.h"
#include "blixard/v1/api.pb.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/codec.h"
#include "core/cluster/reasons.h"
#include "env/sync.h"
#include "node/api/api.h"
#include "node/api/convert.h"
#include "node/api/json.h"
#include "node/cluster/join_token.h"

namespace blixard::api {
namespace {

constexpr std::uint32_t kTokenSeconds = 3600;

std::string id_text(cluster::TokenId id) { return fmt::format("{:016x}", id.value); }

v1::Token to_message(const cluster::Token& token, WallTime now) {
  v1::Token message;
  message.set_id(id_text(token.id));
  message.set_role(cluster::write_role(token.role));
  message.set_created(time_text(token.created));
  message.set_expires(time_text(token.expires));
  message.set_used_by(token.used_by.value);
  message.set_expired(token.expires <= now);
  return message;
}

}  // namespace

std::string Api::name_of(NodeId node) {
  return cluster_.with_cluster_members(
      [&](const cluster::Members& members) { return std::string(members.name_of(node)); });
}

std::vector<const cluster::Member*> Api::by_name() {
  return cluster_.with_cluster_members([](const cluster::Members& members) {
    std::vector<const cluster::Member*> sorted;
    sorted.reserve(members.size());
    for (const cluster::Member& member : members)
      sorted.push_back(&member);
    std::ranges::sort(sorted, {}, [](const cluster::Member* member) -> const std::string& {
      return member->peer->name;
    });
    return sorted;
  });
}

http::Response Api::cluster_response() {
  const cluster::State& state = replica_.state();
  const replica::Status status = replica_.status();
  v1::Cluster message;
  message.set_id(state.cluster().text());
  message.set_leader(name_of(status.leader));
  message.set_term(status.term.value);
  message.set_commit(status.commit.value);
  message.set_revision(state.revision());
  std::map<NodeId, LogIndex> match;
  for (const replica::MemberProgress& member : replica_.members())
    match.emplace(member.node, member.match);
  std::map<NodeId, bool> connected;
  if (options_.peers) {
    for (const peer::PeerStatus& peer : options_.peers())
      connected.emplace(peer.node, peer.connected);
  }
  for (const cluster::Member* each : by_name()) {
    const cluster::Peer& peer = *each->peer;
    v1::Member& member = *message.add_members();
    member.set_id(peer.id.value);
    member.set_name(peer.name);
    member.set_role(cluster::write_role(peer.role));
    member.set_membership(static_cast<v1::Membership>(each->membership));
    member.set_address(peer.address);
    member.set_leader(peer.id == status.leader);
    member.set_leaving(each->leaving);
    if (const auto found = match.find(peer.id); found != match.end()) {
      member.set_lag(status.last.value - std::min(status.last.value, found->second.value));
    }
    if (const auto found = connected.find(peer.id); found != connected.end()) {
      member.set_connected(found->second);
    }
  }
  return json_response(200, message);
}

env::Task<Result<http::Response>> Api::cluster_members(const Call& call) {
  BLX_CO_TRY(co_await barrier(call));
  co_return cluster_response();
}

env::Task<Result<http::Response>> Api::state_digest(const Call& call) {
  BLX_CO_TRY(co_await barrier(call));
  v1::StateDigest message;
  message.set_log_applied(replica_.status().applied.value);
  message.set_revision(replica_.state().revision());
  message.set_hash(replica_.state().hash());
  co_return json_response(200, message);
}

// The leader's steward takes it out; here is only seen that it happened.
env::Task<Result<void>> Api::wait_until_gone(NodeId node) {
  const Instant deadline = env_.clock.monotonic() + limits::kApiCommandTimeout;
  while (replica_.state().find_node(node) != nullptr) {
    const auto changed =
        co_await env::with_deadline(env_.executor, env_.clock, deadline, replica_.applied().wait());
    if (changed) continue;
    if (changed.error().code() != Code::kDeadlineExceeded) co_return changed;
    co_return fail(Code::kDeadlineExceeded, "removal_unfinished", name_of(node));
  }
  co_return Result<void>();
}

env::Task<Result<http::Response>> Api::remove_node(const Call& call) {
  BLX_CO_TRY(co_await barrier(call));
  BLX_CO_TRY(const cluster::Node* found, node_named(call.name));
  const NodeId id = found->id;
  v1::Node removed = to_message(*replica_.state().find_node(id), replica_.state());
  v1::Command command;
  command.mutable_remove_node()->set_node_id(id.value);
  command.mutable_remove_node()->set_force(call.query.force);
  BLX_CO_TRY(co_await propose(call, std::move(command)));
  removed.set_leaving(true);
  // Its own end comes before it could see it: it is out, or the others go on with it.
  if (id != options_.self) BLX_CO_TRY(co_await wait_until_gone(id));
  co_return json_response(200, removed);
}

env::Task<Result<http::Response>> Api::promote_node(const Call& call) {
  BLX_CO_TRY(co_await barrier(call));
  const cluster::State& state = replica_.state();
  BLX_CO_TRY(const cluster::Node* found, node_named(call.name));
  const NodeId id = found->id;
  if (state.membership(id) != cluster::Membership::kVoter) {
    if (state.find_node(id)->role != cluster::NodeRole::kServer) {
      co_return fail(Code::kFailedPrecondition, "not_a_server",
                     fmt::format("node {} is a worker", call.name));
    }
    if (state.configuration().voters.size() >= limits::kVoters) {
      co_return fail(Code::kFailedPrecondition, "too_many_voters",
                     fmt::format("there are {}", limits::kVoters));
    }
    BLX_CO_TRY(co_await replica_.change_membership(
        {.kind = replica::MembershipChange::Kind::kPromote, .node = id, .command = {}}));
  }
  const cluster::Node* node = replica_.state().find_node(id);
  if (node == nullptr) {
    co_return fail(Code::kNotFound, cluster::reason::kNodeNotFound, "it was removed meanwhile");
  }
  co_return json_response(200, to_message(*node, replica_.state()));
}

env::Task<Result<http::Response>> Api::transfer_leader(const Call& call) {
  v1::TransferLeaderRequest request;
  BLX_CO_TRY(from_json(call.request.body, request));
  NodeId to;
  if (!request.node().empty()) {
    BLX_CO_TRY(const cluster::Node* node, node_named(request.node()));
    to = node->id;
  }
  BLX_CO_TRY(co_await replica_.transfer_leader(to));
  co_return cluster_response();
}

env::Task<Result<http::Response>> Api::rotate_certificate(const Call& /*call*/) {
  if (!options_.rotate_certificate) co_return fail(Code::kUnavailable, "not_ready");
  BLX_CO_TRY(const env::CertificateFacts facts, co_await options_.rotate_certificate());
  v1::Certificate message;
  message.set_node_id(facts.subject.node.value);
  message.set_not_before(time_text(facts.not_before));
  message.set_not_after(time_text(facts.not_after));
  message.set_fingerprint(facts.fingerprint);
  co_return json_response(200, message);
}

env::Task<Result<http::Response>> Api::create_token(const Call& call) {
  v1::CreateTokenRequest request;
  BLX_CO_TRY(from_json(call.request.body, request));
  const auto token = membership::JoinToken::make(options_.token_key, call.request_id,
                                                 options_.authority_fingerprint);
  const std::int64_t seconds =
      request.has_expires_seconds() ? request.expires_seconds() : kTokenSeconds;
  const v1::NodeRole role = request.has_role() ? request.role() : v1::NODE_ROLE_SERVER;
  v1::Command command;
  auto& create = *command.mutable_create_token();
  create.set_token_id(token.id.value);
  create.set_secret_hash(cluster::write_digest(membership::hash_of(token.secret)));
  create.set_role(role);
  create.set_lifetime_ms(seconds * 1000);
  BLX_CO_TRY(const cluster::Outcome outcome, co_await propose(call, std::move(command)));
  const auto made = replica_.state().tokens().find(token.id);
  if (outcome.object_id != token.id.value || made == replica_.state().tokens().end()) {
    // Of an earlier try, answered by a node with another key.
    co_return fail(Code::kFailedPrecondition, "token_lost",
                   "the token has id " + id_text(cluster::TokenId(outcome.object_id)));
  }
  v1::CreatedToken message;
  message.set_id(id_text(token.id));
  message.set_token(token.text());
  message.set_role(role);
  message.set_expires(time_text(made->second.expires));
  co_return json_response(201, message);
}

env::Task<Result<http::Response>> Api::list_tokens(const Call& call) {
  BLX_CO_TRY(co_await barrier(call));
  v1::TokenList list;
  for (const auto& [id, token] : replica_.state().tokens())
    *list.add_tokens() = to_message(token, env_.clock.wall());
  co_return json_response(200, list);
}

env::Task<Result<http::Response>> Api::revoke_token(const Call& call) {
  std::uint64_t number = 0;
  const char* end = call.name.data() + call.name.size();
  const auto [stop, error] = std::from_chars(call.name.data(), end, number, 16);
  BLX_CO_TRY(co_await barrier(call));
  const auto found = replica_.state().tokens().find(cluster::TokenId(number));
  if (error != std::errc() || stop != end || found == replica_.state().tokens().end()) {
    // A retry of one that was carried out gets here too: gone is what was asked for.
    co_return fail(Code::kNotFound, cluster::reason::kTokenNotFound,
                   fmt::format("no token has id {}", call.name.substr(0, 64)));
  }
  const v1::Token revoked = to_message(found->second, env_.clock.wall());
  v1::Command command;
  command.mutable_revoke_token()->set_token_id(number);
  BLX_CO_TRY(co_await propose(call, std::move(command)));
  co_return json_response(200, revoked);
}

}  // namespace blixard::api
