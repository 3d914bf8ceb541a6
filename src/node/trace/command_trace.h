#pragma once

// The span that a replicated command is part of, and the span of the client's request, which is the
// parent of what the cluster does for it later.
//
// What comes from other nodes may hold anything; ids that are none mean that nothing is traced.

#include "blixard/v1/cluster.pb.h"
#include "node/trace/tracer.h"

namespace blixard::trace {

// Not traced: nothing valid is in it. `request_of` is of the client's request.
[[nodiscard]] TraceContext context_of(const v1::Command& command);
[[nodiscard]] TraceContext request_of(const v1::Command& command);

// Makes the command part of that span; one that is not traced clears what is there. `request`: none
// is as if it were `span`'s own.
void set_trace(v1::Command& command, const TraceContext& span, const TraceContext& request = {});
// Another span of the same trace, which has the command from here on. Precondition: it is traced.
void move_trace(v1::Command& command, const TraceContext& span);

// "apply CreateVm", "propose CreateVm"
[[nodiscard]] const char* apply_name(const v1::Command& command);
[[nodiscard]] const char* propose_name(const v1::Command& command);

}  // namespace blixard::trace
