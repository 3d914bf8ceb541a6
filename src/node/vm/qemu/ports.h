#pragma once

// Host ports of published guest ports. QEMU binds them itself when it starts, so what is found free
// here may be taken in between: QEMU then ends with one clear line, and the start fails with it.
// Ports of VMs of this driver are remembered, which leaves that gap to strangers only.

#include <cstdint>
#include <map>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "env/network.h"
#include "env/task.h"
#include "node/vm/driver.h"

namespace blixard::qemu {

class HostPorts {
 public:
  explicit HostPorts(env::Network& network) : network_(network) {}

  // With a number in place of each 0. Errors: kAlreadyExists "port_in_use" naming the port.
  env::Task<Result<std::vector<vm::Publish>>> choose(VmId id, std::vector<vm::Publish> wanted);
  void keep(VmId id, const std::vector<vm::Publish>& published);
  void forget(VmId id) { kept_.erase(id); }

 private:
  [[nodiscard]] bool is_kept_by_other(VmId id, std::uint16_t port) const;

  env::Network& network_;
  std::map<VmId, std::vector<std::uint16_t>> kept_;
};

}  // namespace blixard::qemu
