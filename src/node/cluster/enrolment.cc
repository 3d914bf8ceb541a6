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
#include "env/failpoint.h"
#include "env/sync.h"
#include "node/peer/peers.h"

namespace blixard::membership {
namespace {

constexpr Duration kRetryDelay = 1s;
constexpr Duration kTryTimeout = 15s;

std::unexpected<Error> malformed() {
  return fail(Code::kInvalidArgument, "request_malformed", "another version of the program?");
}

std::unexpected<Error> invalid(std::string what) {
  return fail(Code::kDataLoss, "enrolment_invalid", std::move(what));
}

template <class Message>
bool read(std::string_view bytes, Message& message) {
  return bytes.size() <= limits::kEnrolBytes &&
         message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

void add_members(const cluster::Members& members, v1::EnrolAnswer& answer) {
  for (const auto& [peer, membership, leaving] : members) {
    // The leader tells the rest; these are enough to be heard by it.
    if (leaving || peer->id.value == answer.node_id() || membership != cluster::Membership::kVoter)
      continue;
    auto* member = answer.add_members();
    member->set_node_id(peer->id.value);
    member->set_peer_address(peer->address);
  }
}

// Whether the parts belong together: the authority signed the certificate, for this machine's key,
// and the key of the authority is the authority's.
Result<void> check_keys(env::Env env, const Enrolment& enrolment, const env::KeyRequest& key) {
  const auto opened = env.security.open({.certificate = enrolment.certificate,
                                         .key = key.key,
                                         .authority = enrolment.authority_certificate});
  if (!opened) return invalid(opened.error().message());
  if (enrolment.role != cluster::NodeRole::kServer) return {};
  const auto issued = env.security.issue(
      {.certificate = enrolment.authority_certificate, .key = enrolment.authority_key}, key.request,
      {.cluster = enrolment.cluster.text(), .node = enrolment.id, .server = true}, env.clock.wall(),
      kNodeLifetime);
  if (!issued) return invalid("the authority's key: " + issued.error().message());
  return {};
}

Result<void> read_members(const v1::EnrolAnswer& answer, Enrolment& enrolment) {
  const auto count = static_cast<std::size_t>(answer.members_size());
  if (count == 0 || count > limits::kNodes) return invalid("no members, or too many");
  for (const auto& member : answer.members()) {
    const auto address = env::Endpoint::parse(member.peer_address());
    const NodeId id(member.node_id());
    if (!id || !address || address->kind != env::Endpoint::Kind::kTcp) return invalid("members");
    if (id == enrolment.id) return invalid("it names this node among the members there are");
    enrolment.members.push_back({.id = id, .address = *address});
  }
  return {};
}

bool may_pass(const Error& error) {
  return error.code() == Code::kUnavailable || error.code() == Code::kDeadlineExceeded ||
         error.code() == Code::kAborted;
}

}  // namespace

Result<Enrolment> read_answer(env::Env env, const JoinToken& token, const env::KeyRequest& key,
                              std::string_view bytes) {
  v1::EnrolAnswer answer;
  if (!read(bytes, answer)) return invalid("not an answer");
  const auto cluster = cluster::read_uuid(answer.cluster());
  const auto role = cluster::read_role(answer.role());
  if (!cluster || cluster->is_nil() || !role) return invalid("cluster or role");
  if (!cluster::check_name(answer.name())) return invalid("name");
  const bool server = *role == cluster::NodeRole::kServer;
  const auto authority = env.security.inspect(answer.authority_certificate());
  const auto own = env.security.inspect(answer.certificate());
  if (!authority || !own) return invalid("a certificate cannot be read");
  if (authority->fingerprint != token.authority) return invalid("another authority's");
  if (!own->subject.node || own->subject.node != NodeId(answer.node_id()) ||
      own->subject.cluster != cluster->text()) {
    return invalid("the certificate is another node's");
  }
  if (own->subject.server != server) return invalid("the certificate is of another role");
  if (server == answer.authority_key().empty()) {
    return invalid("a server needs the authority's key, and only a server");
  }
  Enrolment enrolment{.cluster = *cluster,
                      .id = own->subject.node,
                      .name = answer.name(),
                      .role = *role,
                      .certificate = answer.certificate(),
                      .authority_certificate = answer.authority_certificate(),
                      .authority_key = answer.authority_key(),
                      .members = {}};
  BLX_TRY(check_keys(env, enrolment, key));
  BLX_TRY(read_members(answer, enrolment));
  return enrolment;
}

env::Task<Result<Enrolment>> ask_to_enrol(env::Env env, JoinTarget target, Applicant applicant,
                                          Instant deadline) {
  v1::EnrolRequest request;
  request.set_token_id(target.token.id.value);
  request.set_secret(target.token.secret);
  request.set_name(applicant.name);
  request.set_peer_address(applicant.peer_address);
  request.set_certificate_request(applicant.key.request);
  BLX_CO_TRY(auto stream,
             co_await env.security.dial_to_enrol(target.address, target.token.authority, deadline));
  BLX_CO_TRY(const std::string answer,
             co_await peer::ask_once(env, std::move(stream), peer::RequestKind::kEnrol,
                                     request.SerializeAsString(), deadline));
  co_return read_answer(env, target.token, applicant.key, answer);
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

Result<std::string> Enroller::issue(NodeId node, cluster::NodeRole role,
                                    std::string_view certificate_request) {
  if (!authority_) {
    return fail(Code::kFailedPrecondition, "not_a_server",
                "this node has not the authority's key: ask a server");
  }
  return env_.security.issue(*authority_, certificate_request,
                             {.cluster = replica_.state().cluster().text(),
                              .node = node,
                              .server = role == cluster::NodeRole::kServer},
                             env_.clock.wall(), kNodeLifetime);
}

env::Task<Result<std::string>> Enroller::enrol(Payload body) {
  BLX_CO_FAILPOINT(env_, "cluster::enrol", kUnavailable, "not_ready");
  v1::EnrolRequest request;
  if (!read(body.view(), request)) co_return malformed();
  if (!authority_) co_return issue(NodeId(), {}, "");
  if (!env::Endpoint::parse(request.peer_address())) {
    co_return fail(Code::kInvalidArgument, cluster::reason::kNodeInvalid,
                   "peer_address: not an IP address and a port");
  }
  v1::Command command;
  auto& node = *command.mutable_enrol_node();
  node.set_token_id(request.token_id());
  node.set_secret_hash(cluster::write_digest(hash_of(request.secret())));
  node.set_name(request.name());
  node.set_peer_address(request.peer_address());
  node.set_key_digest(cluster::write_digest(image::digest_of(request.certificate_request())));
  BLX_CO_TRY(co_await replica_.read_barrier());
  // The leader's clock decides in the end; until then this one's is given some room.
  const WallTime about_now{(env_.clock.wall().unix_ms) - env::kBackdated / 1ms};
  BLX_CO_TRY(const cluster::Node* known, replica_.state().may_enrol(node, about_now));
  // Is it a request at all?
  BLX_CO_TRY(issue(NodeId(1), cluster::NodeRole::kWorker, request.certificate_request()));

  NodeId id;
  if (known != nullptr && known->peer_address == request.peer_address()) {
    id = known->id;  // it lost the answer
  } else {
    // Without a request id: the token and the key make it act once, and a refusal that would be
    // remembered outlives its cause.
    BLX_CO_TRY(const cluster::Outcome outcome, co_await replica_.propose(std::move(command)));
    id = NodeId(outcome.object_id);
  }
  const cluster::State& state = replica_.state();
  const cluster::Node* enrolled = state.find_node(id);
  if (enrolled == nullptr || enrolled->leaving) {
    co_return fail(Code::kFailedPrecondition, "removed",
                   fmt::format("node {} was removed meanwhile", id.value));
  }
  v1::EnrolAnswer answer;
  answer.set_cluster(cluster::write_uuid(state.cluster()));
  answer.set_node_id(id.value);
  answer.set_name(enrolled->name.text());
  answer.set_role(cluster::write_role(enrolled->role));
  answer.set_authority_certificate(authority_->certificate);
  if (enrolled->role == cluster::NodeRole::kServer) answer.set_authority_key(authority_->key);
  add_members(replica_.cluster_view().members(), answer);
  BLX_CO_TRY(*answer.mutable_certificate(),
             issue(id, enrolled->role, request.certificate_request()));
  BLX_LOG(env_.log, kInfo, "node {} \"{}\" has enrolled", id.value, answer.name());
  if (env_.rare.happens(env::RareSite::kEnrolmentAnswerLost)) {
    co_return fail(Code::kUnavailable, "not_ready");
  }
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
    BLX_CO_TRY(*answer.mutable_certificate(),
               issue(from, member->role, request.certificate_request()));
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
