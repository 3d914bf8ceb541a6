#pragma once

// The agent's memory of which process belongs to which VM: one small file each, replaced as a
// whole, so that after a crash either the old or the new one is there.

#include <map>
#include <string>

#include "env/env.h"
#include "env/task.h"
#include "node/vm/driver.h"

namespace blixard::agent {

class Records {
 public:
  Records(env::Env env, std::string directory) : env_(env), directory_(std::move(directory)) {}

  // Damaged files are reported in the log and left out: what they pointed to is found again as a
  // leftover of the driver.
  env::Task<Result<std::map<VmId, vm::Record>>> load();
  env::Task<Result<void>> save(vm::Record record);
  env::Task<Result<void>> remove(VmId id);

 private:
  [[nodiscard]] std::string path_of(VmId id) const;

  env::Env env_;
  std::string directory_;
};

}  // namespace blixard::agent
