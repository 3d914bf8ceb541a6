// Requests that look at the cluster and at this node.

#include <algorithm>

#include "blixard/v1/api.pb.h"
#include "node/api/api.h"
#include "node/api/convert.h"
#include "node/api/openapi.h"
#include "observe/text.h"

namespace blixard::api {
namespace {

http::Response text_response(std::string_view content_type, std::string body) {
  http::Response response;
  response.content_type = content_type;
  response.body = std::move(body);
  return response;
}

v1::ConsensusRole role_of(const replica::Status& status) {
  if (cluster::membership_in(status.configuration, status.self) != cluster::Membership::kVoter) {
    return v1::CONSENSUS_ROLE_LEARNER;
  }
  switch (status.role) {
    case raft::Role::kFollower:
      return v1::CONSENSUS_ROLE_FOLLOWER;
    case raft::Role::kPreCandidate:
    case raft::Role::kCandidate:
      return v1::CONSENSUS_ROLE_CANDIDATE;
    case raft::Role::kLeader:
      return v1::CONSENSUS_ROLE_LEADER;
  }
  return v1::CONSENSUS_ROLE_UNSPECIFIED;
}

}  // namespace

env::Task<Result<http::Response>> Api::list_nodes(const Call& call) {
  BLX_CO_TRY(co_await barrier(call));
  const cluster::State& state = replica_.state();
  std::vector<const cluster::Node*> by_name;
  for (const auto& [id, node] : state.nodes())
    by_name.push_back(&node);
  std::ranges::sort(by_name, {}, &cluster::Node::name);
  v1::NodeList list;
  for (const cluster::Node* node : by_name)
    *list.add_nodes() = to_message(*node, state);
  list.set_revision(state.revision());
  co_return json_response(200, list);
}

env::Task<Result<http::Response>> Api::status(const Call& call) {
  BLX_CO_TRY(co_await barrier(call));
  const cluster::State& state = replica_.state();
  const replica::Status replica = replica_.status();
  v1::ClusterStatus message;
  message.set_version(options_.version);
  message.set_node_id(options_.self.value);
  message.set_leader_id(replica.leader.value);
  message.set_term(replica.term.value);
  message.set_log_last(replica.last.value);
  message.set_log_applied(replica.applied.value);
  message.set_log_snapshot(replica.snapshot.value);
  message.set_cluster(state.cluster().text());
  message.set_node(name_of(options_.self));
  message.set_leader(name_of(replica.leader));
  message.set_role(role_of(replica));
  message.set_log_commit(replica.commit.value);
  message.set_voters(static_cast<std::uint32_t>(replica.configuration.voters.size()));
  message.set_learners(static_cast<std::uint32_t>(replica.configuration.learners.size()));
  message.set_revision(state.revision());
  message.set_nodes(static_cast<std::uint32_t>(cluster_.cluster_member_count()));
  message.set_images(static_cast<std::uint32_t>(state.images().size()));
  message.set_vms(static_cast<std::uint32_t>(state.vms().size()));
  for (const cluster::VmState vm_state : cluster::kVmStates) {
    const std::size_t count = state.vms_in(vm_state);
    if (count == 0) continue;
    auto* added = message.add_vms_by_state();
    added->set_state(static_cast<v1::VmState>(vm_state));
    added->set_count(static_cast<std::uint32_t>(count));
  }
  co_return json_response(200, message);
}

env::Task<Result<http::Response>> Api::healthz(const Call& call) {
  co_return text_response(call.route.content_type, "ok\n");
}

env::Task<Result<http::Response>> Api::readyz(const Call& call) {
  if (!replica_.status().leader) {
    co_return fail(Code::kUnavailable, "not_ready", "the cluster has no leader that is known here");
  }
  co_return text_response(call.route.content_type, "ready\n");
}

env::Task<Result<http::Response>> Api::metrics_text(const Call& call) {
  const std::string* const accept = http::find_header(call.request.headers, "Accept");
  const auto format = observe::text_format_for(accept == nullptr ? "" : *accept);
  std::string text;
  text.reserve(metrics_bytes_);
  observe::write_text(metrics_, format, text);
  metrics_bytes_ = text.size() + text.size() / 8;
  co_return text_response(observe::content_type(format), std::move(text));
}

env::Task<Result<http::Response>> Api::openapi(const Call& call) {
  if (openapi_.empty()) openapi_ = openapi_document(routes(), options_.version);
  co_return text_response(call.route.content_type, openapi_);
}

}  // namespace blixard::api
