#include "node/trace/traced_vms.h"

#include <algorithm>

#include "base/limits.h"

namespace blixard::trace {

void TracedVms::remember(VmId id, const observe::TraceContext& context) {
  if (vms_.size() >= limits::kTracedVms && !vms_.contains(id)) {
    vms_.erase(
        std::ranges::min_element(vms_, {}, [](const auto& known) { return known.second.since; }));
  }
  vms_[id] = {.context = context, .since = ++remembered_};
}

void TracedVms::forget(VmId id) {
  if (!vms_.empty()) vms_.erase(id);
}

}  // namespace blixard::trace
