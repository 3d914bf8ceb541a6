// Changes of the cluster as server-sent events.

#include <utility>

#include "base/limits.h"
#include "blixard/v1/api.pb.h"
#include "node/api/api.h"
#include "node/api/convert.h"
#include "node/api/counted.h"
#include "node/api/json.h"
#include "node/http/event_stream.h"

namespace blixard::api {
namespace {

struct Named {
  v1::EventKind kind;
  const char* type;  // of the server-sent event
};

Named named(cluster::Change::Kind kind) {
  using Kind = cluster::Change::Kind;
  switch (kind) {
    case Kind::kVmChanged:
      return {v1::EVENT_KIND_VM_CHANGED, "vm"};
    case Kind::kVmRemoved:
      return {v1::EVENT_KIND_VM_REMOVED, "vm"};
    case Kind::kNodeChanged:
      return {v1::EVENT_KIND_NODE_CHANGED, "node"};
    case Kind::kNodeRemoved:
      return {v1::EVENT_KIND_NODE_REMOVED, "node"};
    case Kind::kImageChanged:
      return {v1::EVENT_KIND_IMAGE_CHANGED, "image"};
    case Kind::kImageRemoved:
      return {v1::EVENT_KIND_IMAGE_REMOVED, "image"};
    case Kind::kPolicyChanged:
      return {v1::EVENT_KIND_POLICY_CHANGED, "policy"};
    case Kind::kGroupChanged:
      return {v1::EVENT_KIND_GROUP_CHANGED, "group"};
    case Kind::kGroupRemoved:
      return {v1::EVENT_KIND_GROUP_REMOVED, "group"};
    case Kind::kTenantChanged:
      return {v1::EVENT_KIND_TENANT_CHANGED, "tenant"};
    case Kind::kTenantRemoved:
      return {v1::EVENT_KIND_TENANT_REMOVED, "tenant"};
    case Kind::kReservationChanged:
      return {v1::EVENT_KIND_RESERVATION_CHANGED, "reservation"};
    case Kind::kReservationRemoved:
      return {v1::EVENT_KIND_RESERVATION_REMOVED, "reservation"};
  }
  return {v1::EVENT_KIND_UNSPECIFIED, "message"};
}

std::string encoded(const v1::Event& event, const char* type) {
  return http::encode_event({std::to_string(event.revision()), type, to_json(event)});
}

}  // namespace

env::Task<Result<http::Response>> Api::events(const Call& call) {
  if (event_streams_ >= settings().event_streams) {
    co_return fail(Code::kResourceExhausted, "too_many_streams");
  }
  const std::uint64_t since = call.query.has_since ? call.query.since : replica_.state().revision();
  http::Response response;
  response.content_type = call.route.content_type;
  response.stream = [this, since](http::BodyWriter& writer) {
    return stream_events(writer, since);
  };
  co_return response;
}

env::Task<Result<void>> Api::stream_events(http::BodyWriter& writer, std::uint64_t since) {
  const Counted counted(event_streams_);
  // The head alone may wait in a proxy's buffer; a first comment shows that the stream is open.
  BLX_CO_TRY(co_await writer.write(http::encode_comment("since " + std::to_string(since))));
  while (true) {
    const std::uint64_t before = since;
    BLX_CO_TRY(co_await send_changes(writer, since));
    // More may have come while these were being sent.
    if (since != before) continue;
    const auto heartbeat = env_.clock.monotonic() + limits::kEventHeartbeat;
    const auto changed = co_await env::with_deadline(env_.executor, env_.clock, heartbeat,
                                                     replica_.applied().wait());
    if (changed) continue;
    if (changed.error().code() != Code::kDeadlineExceeded) co_return changed;
    BLX_CO_TRY(co_await writer.write(http::encode_comment("heartbeat")));
  }
}

env::Task<Result<void>> Api::send_changes(http::BodyWriter& writer, std::uint64_t& since) {
  const auto changes = replica_.changes(since);
  if (!changes) {
    v1::Event event;
    event.set_kind(v1::EVENT_KIND_RESET);
    event.set_revision(replica_.state().revision());
    since = event.revision();
    co_return co_await writer.write(encoded(event, "reset"));
  }
  for (const cluster::Change& change : *changes) {
    BLX_CO_TRY(co_await writer.write(event_text(change)));
    since = change.revision;
  }
  co_return Result<void>();
}

std::string Api::event_text(const cluster::Change& change) const {
  const cluster::State& state = replica_.state();
  const auto [kind, type] = named(change.kind);
  v1::Event event;
  event.set_kind(kind);
  event.set_revision(change.revision);
  event.set_object_id(change.object_id);
  event.set_name(change.name.text());
  if (kind == v1::EVENT_KIND_VM_CHANGED) {
    const cluster::Vm* vm = state.find_vm(VmId(change.object_id));
    if (vm != nullptr) *event.mutable_vm() = to_message(*vm, state);
  } else if (kind == v1::EVENT_KIND_NODE_CHANGED) {
    const cluster::Node* node = state.find_node(NodeId(change.object_id));
    if (node != nullptr) *event.mutable_node() = to_message(*node, state);
  } else if (kind == v1::EVENT_KIND_IMAGE_CHANGED) {
    const cluster::Image* image = state.find_image(change.name);
    if (image != nullptr) *event.mutable_image() = to_message(*image);
  }
  return encoded(event, type);
}

}  // namespace blixard::api
