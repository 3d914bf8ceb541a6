#pragma once

// Which request each VM is being changed for, so that what the cluster does about it later and
// elsewhere (placing, starting, reporting) is part of that request's trace.
//
// Every node learns it by applying the command that carries the context, and forgets it when the VM
// has become as desired or has failed. It is not replicated and lost at a restart: traces are best
// effort. Bounded: the one remembered first makes room.

#include <cstdint>
#include <map>

#include "base/ids.h"
#include "observe/trace.h"

namespace blixard::trace {

class TracedVms {
 public:
  // A later request takes the place of an earlier one.
  void remember(VmId id, const observe::TraceContext& context);
  void forget(VmId id);

  // Not valid: nothing is known of that VM.
  [[nodiscard]] observe::TraceContext find(VmId id) const {
    if (vms_.empty()) return {};
    const auto found = vms_.find(id);
    return found != vms_.end() ? found->second.context : observe::TraceContext();
  }
  [[nodiscard]] bool empty() const { return vms_.empty(); }
  [[nodiscard]] std::size_t size() const { return vms_.size(); }

 private:
  struct Entry {
    observe::TraceContext context;
    std::uint64_t since = 0;
  };

  std::map<VmId, Entry> vms_;
  std::uint64_t remembered_ = 0;
};

}  // namespace blixard::trace
