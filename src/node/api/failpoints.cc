// Requests about the failpoints of the node that is asked. They arm the whole process, and so are
// refused unless it was started for it.

#include "blixard/v1/api.pb.h"
#include "node/api/api.h"
#include "node/api/convert.h"
#include "node/api/json.h"
#include "observe/failpoint.h"

namespace blixard::api {
namespace {

v1::FailpointKind kind_of(observe::FailpointKind kind) {
  switch (kind) {
    case observe::FailpointKind::kError:
      return v1::FAILPOINT_KIND_ERROR;
    case observe::FailpointKind::kWaiting:
      return v1::FAILPOINT_KIND_WAITING;
    case observe::FailpointKind::kTrigger:
      break;
  }
  return v1::FAILPOINT_KIND_TRIGGER;
}

v1::Failpoint to_message(const observe::FailpointStatus& status) {
  v1::Failpoint message;
  message.set_name(std::string(status.name));
  message.set_kind(kind_of(status.kind));
  message.set_actions(status.actions);
  message.set_seed(status.seed);
  message.set_passed(status.passed);
  message.set_fired(status.fired);
  message.set_waiting(status.waiting);
  return message;
}

}  // namespace

Result<void> Api::may_use_failpoints() const {
  if (!observe::failpoints_built()) return fail(Code::kUnimplemented, "failpoints_not_built");
  if (!options_.allow_failpoints) return fail(Code::kPermissionDenied, "failpoints_not_allowed");
  return {};
}

env::Task<Result<http::Response>> Api::list_failpoints(const Call& /*call*/) {
  BLX_CO_TRY(may_use_failpoints());
  v1::FailpointList list;
  for (const observe::FailpointStatus& status : observe::failpoints())
    *list.add_failpoints() = to_message(status);
  co_return json_response(200, list);
}

env::Task<Result<http::Response>> Api::set_failpoint(const Call& call) {
  BLX_CO_TRY(may_use_failpoints());
  v1::SetFailpointRequest request;
  BLX_CO_TRY(from_json(call.request.body, request));
  const std::uint64_t seed = request.has_seed() ? request.seed() : observe::kFailpointSeed;
  BLX_CO_TRY(observe::arm_failpoint(call.name, request.actions(), seed));
  BLX_LOG(env_.log, kWarn, "failpoint {} is armed: {}", call.name, request.actions());
  BLX_CO_TRY(const observe::FailpointStatus status, observe::failpoint(call.name));
  co_return json_response(200, to_message(status));
}

env::Task<Result<http::Response>> Api::clear_failpoint(const Call& call) {
  BLX_CO_TRY(may_use_failpoints());
  BLX_CO_TRY(observe::disarm_failpoint(call.name));
  BLX_LOG(env_.log, kWarn, "failpoint {} is disarmed", call.name);
  BLX_CO_TRY(const observe::FailpointStatus status, observe::failpoint(call.name));
  co_return json_response(200, to_message(status));
}

}  // namespace blixard::api
