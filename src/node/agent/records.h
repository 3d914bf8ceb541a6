#pragma once

// The agent's memory of which process belongs to which VM: one small file each, replaced as a
// whole, so that after a crash either the old or the new one is there.

#include <map>
#include <set>
#include <string>

#include "env/env.h"
#include "env/task.h"
#include "node/vm/driver.h"

namespace blixard::agent {

struct FoundRecords {
  std::map<VmId, vm::Record> records;
  std::set<VmId> damaged;  // what they pointed to is still known to the driver as a leftover
};

class Records {
 public:
  Records(env::Env env, std::string directory) : env_(env), directory_(std::move(directory)) {}

  // Damaged files are reported in the log.
  env::Task<Result<FoundRecords>> load();
  env::Task<Result<void>> save(vm::Record record);
  env::Task<Result<void>> remove(VmId id);  // fine if it is not there

 private:
  [[nodiscard]] std::string path_of(VmId id) const;
  env::Task<Result<void>> load_one(VmId id, FoundRecords& found);

  env::Env env_;
  std::string directory_;
};

}  // namespace blixard::agent
