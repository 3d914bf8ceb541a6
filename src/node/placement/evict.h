#pragma once

// Telling a VM to leave its node, whoever of the leader's loops wants it.

#include <string>

#include "base/ids.h"
#include "blixard/v1/cluster.pb.h"

namespace blixard::placement {

inline v1::Command evict_command(VmId vm, Generation generation, v1::EvictCause cause,
                                 const std::string& explanation) {
  v1::Command command;
  auto& evict = *command.mutable_evict_vm();
  evict.set_vm_id(vm.value);
  evict.set_generation(generation.value);
  evict.set_cause(cause);
  evict.set_explanation(explanation);
  return command;
}

}  // namespace blixard::placement
