#include "node/cluster/enrolment.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "blixard/v1/cluster.pb.h"
#include "blixard/v1/enrol.pb.h"
#include "core/cluster/codec.h"
#include "core/cluster/reasons.h"
#include "core/image/digest.h"
#include "env/sync.h"
#include "node/peer/peers.h"

namespace blixard::membership {
namespace {

constexpr Duration kRetryDelay = 1s;
constexpr Duration kTryTimeout = 15s;

std::unexpected<Error> malformed() {
  return fail(Code::kInvalidArgument, "request_malformed", "another version of the program?");
}

std::unexpected<Error> invalid(const char* what) {
  return fail(Code::kDataLoss, "enrolment_invalid", what);
}

template <class Message>
bool read(std::string_view bytes, Message& message) {
  return bytes.size() <= limits::kEnrolBytes &&
         message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

// The same for every try of one machine, so that the cluster knows a retry when it sees one.
Uuid request_id_of(const v1::EnrolNode& command) {
  const cluster::Digest digest = image::digest_of(command.SerializeAsString());
  const auto word = [&](std::size_t at) {
    std::uint64_t value = 0;
    for (std::size_t byte = 0; byte < 8; ++byte)
      value = value << 8 | digest.at(at + byte);
    return value;
  };
  return Uuid::from_random(word(0), word(8));
}

void add_members(const cluster::State& state, v1::EnrolAnswer& answer) {
  for (const auto& [id, node] : state.nodes()) {
    // The leader tells the rest; these are enough to be heard by it.
    if (node.leaving || state.membership(id) != cluster::Membership::kVoter) continue;
    auto* member = answer.add_members();
    member->set_node_id(id.value);
    member->set_peer_address(node.peer_address);
  }
}

Result<Enrolment> read_answer(env::Env env, const JoinToken& token, std::string_view bytes) {
  v1::EnrolAnswer answer;
  if (!read(bytes, answer)) return invalid("not an answer");
  const auto cluster = cluster::read_uuid(answer.cluster());
  const auto role = cluster::read_role(answer.role());
  if (!cluster || cluster->is_nil() || !role) return invalid("cluster or role");
  if (!cluster::check_name(answer.name())) return invalid("name");
  BLX_TRY(const auto authority, env.security.inspect(answer.authority_certificate()));
  BLX_TRY(const auto own, env.security.inspect(answer.certificate()));
  if (authority.fingerprint != token.authority) return invalid("another authority's");
  if (!own.subject.node || own.subject.node != NodeId(answer.node_id()) ||
      own.subject.cluster != cluster->text()) {
    return invalid("the certificate is another node's");
  }
  if ((*role == cluster::NodeRole::kServer) == answer.authority_key().empty()) {
    return invalid("a server needs the authority's key, and only a server");
  }
  Enrolment enrolment{.cluster = *cluster,
                      .id = own.subject.node,
                      .name = answer.name(),
                      .role = *role,
                      .certificate = answer.certificate(),
                      .authority_certificate = answer.authority_certificate(),
                      .authority_key = answer.authority_key(),
                      .members = {}};
  for (const auto& member : answer.members()) {
    const auto address = env::Endpoint::parse(member.peer_address());
    if (member.node_id() == 0 || !address) return invalid("members");
    enrolment.members.push_back({.id = NodeId(member.node_id()), .address = *address});
  }
  if (enrolment.members.empty()) return invalid("no members");
  return enrolment;
}

bool may_pass(const Error& error) {
  return error.code() == Code::kUnavailable || error.code() == Code::kDeadlineExceeded ||
         error.code() == Code::kAborted;
}

}  // namespace

env::Task<Result<Enrolment>> ask_to_enrol(env::Env env, JoinTarget target, Applicant applicant,
                                          Instant deadline) {
  v1::EnrolRequest request;
  request.set_token_id(target.token.id.value);
  request.set_secret(target.token.secret);
  request.set_name(applicant.name);
  request.set_peer_address(applicant.peer_address);
  request.set_certificate_request(applicant.certificate_request);
  BLX_CO_TRY(auto stream,
             co_await env.security.dial_to_enrol(target.address, target.token.authority, deadline));
  BLX_CO_TRY(const std::string answer,
             co_await peer::ask_once(env, std::move(stream), peer::RequestKind::kEnrol,
                                     request.SerializeAsString(), deadline));
  co_return read_answer(env, target.token, answer);
}

env::Task<Result<Enrolment>> enrol(env::Env env, JoinTarget target, Applicant applicant,
                                   Instant deadline) {
  while (true) {
    const Instant now = env.clock.monotonic();
    auto enrolment =
        co_await ask_to_enrol(env, target, applicant, std::min(deadline, now + kTryTimeout));
    if (enrolment || !may_pass(enrolment.error())) co_return enrolment;
    if (env.clock.monotonic() + kRetryDelay >= deadline) co_return enrolment;
    BLX_LOG(env.log, kWarn, "not enrolled yet: {}", enrolment.error().message());
    BLX_CO_TRY(co_await env.clock.sleep(kRetryDelay));
  }
}

Result<void> Enroller::check_token(const JoinToken& token) const {
  const auto& tokens = replica_.state().tokens();
  const auto found = tokens.find(token.id);
  if (found != tokens.end() && found->second.secret_hash == hash_of(token.secret)) return {};
  return fail(Code::kPermissionDenied, cluster::reason::kTokenRefused,
              "the token is unknown: mistyped, revoked or expired long ago");
}

Result<std::string> Enroller::issue(NodeId node, std::string_view certificate_request) {
  if (!authority_) {
    return fail(Code::kFailedPrecondition, "not_a_server",
                "this node has not the authority's key: ask a server");
  }
  return env_.security.issue(*authority_, certificate_request,
                             {.cluster = replica_.state().cluster().text(), .node = node},
                             env_.clock.wall(), kNodeLifetime);
}

env::Task<Result<std::string>> Enroller::enrol(Payload body) {
  v1::EnrolRequest request;
  if (!read(body.view(), request)) co_return malformed();
  if (!authority_) co_return issue(NodeId(), "");
  const JoinToken token{
      .id = cluster::TokenId(request.token_id()), .secret = request.secret(), .authority = ""};
  if (!env::Endpoint::parse(request.peer_address())) {
    co_return fail(Code::kInvalidArgument, cluster::reason::kNodeInvalid,
                   "peer_address: not an IP address and a port");
  }
  BLX_CO_TRY(co_await replica_.read_barrier());
  BLX_CO_TRY(check_token(token));
  BLX_CO_TRY(issue(NodeId(1), request.certificate_request()));  // is it one at all?

  v1::Command command;
  auto& node = *command.mutable_enrol_node();
  node.set_token_id(request.token_id());
  node.set_secret_hash(cluster::write_digest(hash_of(request.secret())));
  node.set_name(request.name());
  node.set_peer_address(request.peer_address());
  node.set_key_digest(cluster::write_digest(image::digest_of(request.certificate_request())));
  command.set_request_id(cluster::write_uuid(request_id_of(node)));
  BLX_CO_TRY(const cluster::Outcome outcome, co_await replica_.propose(std::move(command)));

  const NodeId id(outcome.object_id);
  const cluster::State& state = replica_.state();
  const cluster::Node* enrolled = state.find_node(id);
  if (enrolled == nullptr || enrolled->leaving) {
    co_return fail(Code::kFailedPrecondition, "removed",
                   fmt::format("node {} was removed meanwhile", id.value));
  }
  v1::EnrolAnswer answer;
  answer.set_cluster(cluster::write_uuid(state.cluster()));
  answer.set_node_id(id.value);
  answer.set_name(enrolled->name);
  answer.set_role(cluster::write_role(enrolled->role));
  answer.set_authority_certificate(authority_->certificate);
  if (enrolled->role == cluster::NodeRole::kServer) answer.set_authority_key(authority_->key);
  add_members(state, answer);
  BLX_CO_TRY(*answer.mutable_certificate(), issue(id, request.certificate_request()));
  BLX_LOG(env_.log, kInfo, "node {} \"{}\" has enrolled", id.value, answer.name());
  co_return answer.SerializeAsString();
}

env::Task<Result<std::string>> Enroller::renew(NodeId from, Payload body) {
  v1::RenewRequest request;
  if (!read(body.view(), request)) co_return malformed();
  v1::RenewAnswer answer;
  if (!request.certificate_request().empty()) {
    // A member that was removed must not get another ninety days from one that did not hear of it.
    BLX_CO_TRY(co_await replica_.read_barrier());
    const cluster::Node* member = replica_.state().find_node(from);
    if (member == nullptr || member->leaving) {
      co_return fail(Code::kFailedPrecondition, "removed",
                     fmt::format("node {} is not a member", from.value));
    }
    BLX_CO_TRY(*answer.mutable_certificate(), issue(from, request.certificate_request()));
  }
  if (!request.peer_address().empty()) {
    v1::Command command;
    command.mutable_update_node_address()->set_node_id(from.value);
    command.mutable_update_node_address()->set_peer_address(request.peer_address());
    BLX_CO_TRY(co_await replica_.propose(std::move(command)));
  }
  co_return answer.SerializeAsString();
}

}  // namespace blixard::membership
