#include "node/trace/command_trace.h"

#include "base/assert.h"

namespace blixard::trace {
namespace {

TraceContext context(const v1::Command& command, std::uint64_t span) {
  const v1::TraceContext& trace = command.trace();
  const TraceContext read{.trace = {.high = trace.trace_high(), .low = trace.trace_low()},
                          .span = {span},
                          .sampled = true};
  return read.is_valid() ? read : TraceContext();
}

// Both names of a command's kind.
struct Names {
  const char* propose;
  const char* apply;
};

Names names_of(const v1::Command& command) {
  switch (command.kind_case()) {
    case v1::Command::kRegisterNode:
      return {"propose RegisterNode", "apply RegisterNode"};
    case v1::Command::kCreateVm:
      return {"propose CreateVm", "apply CreateVm"};
    case v1::Command::kSetDesired:
      return {"propose SetDesired", "apply SetDesired"};
    case v1::Command::kPlaceVm:
      return {"propose PlaceVm", "apply PlaceVm"};
    case v1::Command::kExplainPending:
      return {"propose ExplainPending", "apply ExplainPending"};
    case v1::Command::kReportVms:
      return {"propose ReportVms", "apply ReportVms"};
    case v1::Command::kAddImage:
      return {"propose AddImage", "apply AddImage"};
    case v1::Command::kRemoveImage:
      return {"propose RemoveImage", "apply RemoveImage"};
    case v1::Command::kCreateToken:
      return {"propose CreateToken", "apply CreateToken"};
    case v1::Command::kRevokeToken:
      return {"propose RevokeToken", "apply RevokeToken"};
    case v1::Command::kEnrolNode:
      return {"propose EnrolNode", "apply EnrolNode"};
    case v1::Command::kRemoveNode:
      return {"propose RemoveNode", "apply RemoveNode"};
    case v1::Command::kDropNode:
      return {"propose DropNode", "apply DropNode"};
    case v1::Command::kUpdateNodeAddress:
      return {"propose UpdateNodeAddress", "apply UpdateNodeAddress"};
    case v1::Command::kPlaceGang:
      return {"propose PlaceGang", "apply PlaceGang"};
    case v1::Command::kEvictVm:
      return {"propose EvictVm", "apply EvictVm"};
    case v1::Command::kUpdateNode:
      return {"propose UpdateNode", "apply UpdateNode"};
    case v1::Command::kDrainNode:
      return {"propose DrainNode", "apply DrainNode"};
    case v1::Command::kEndDrain:
      return {"propose EndDrain", "apply EndDrain"};
    case v1::Command::kSetPolicy:
      return {"propose SetPolicy", "apply SetPolicy"};
    case v1::Command::kSetGroup:
      return {"propose SetGroup", "apply SetGroup"};
    case v1::Command::kRemoveGroup:
      return {"propose RemoveGroup", "apply RemoveGroup"};
    case v1::Command::kSetTenant:
      return {"propose SetTenant", "apply SetTenant"};
    case v1::Command::kRemoveTenant:
      return {"propose RemoveTenant", "apply RemoveTenant"};
    case v1::Command::kSetReservation:
      return {"propose SetReservation", "apply SetReservation"};
    case v1::Command::kRemoveReservation:
      return {"propose RemoveReservation", "apply RemoveReservation"};
    case v1::Command::kTakeSnapshot:
      return {"propose TakeSnapshot", "apply TakeSnapshot"};
    case v1::Command::kRestoreSnapshot:
      return {"propose RestoreSnapshot", "apply RestoreSnapshot"};
    case v1::Command::kDeleteSnapshot:
      return {"propose DeleteSnapshot", "apply DeleteSnapshot"};
    case v1::Command::KIND_NOT_SET:
      break;
  }
  return {"propose", "apply"};
}

}  // namespace

TraceContext context_of(const v1::Command& command) {
  return command.has_trace() ? context(command, command.trace().span()) : TraceContext();
}

TraceContext request_of(const v1::Command& command) {
  return command.has_trace() ? context(command, command.trace().request()) : TraceContext();
}

void set_trace(v1::Command& command, const TraceContext& span, const TraceContext& request) {
  if (!span.is_traced()) {
    command.clear_trace();
    return;
  }
  v1::TraceContext& trace = *command.mutable_trace();
  trace.set_trace_high(span.trace.high);
  trace.set_trace_low(span.trace.low);
  trace.set_span(span.span.value);
  trace.set_request(request.is_traced() ? request.span.value : span.span.value);
}

void move_trace(v1::Command& command, const TraceContext& span) {
  BLX_ASSERT(command.has_trace() && span.is_traced());
  command.mutable_trace()->set_span(span.span.value);
}

const char* propose_name(const v1::Command& command) { return names_of(command).propose; }

const char* apply_name(const v1::Command& command) { return names_of(command).apply; }

}  // namespace blixard::trace
