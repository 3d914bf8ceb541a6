#pragma once

// The agent's memory of which process belongs to which VM: one small file each, replaced as a
// whole, so that after a crash of the daemon either the old or the new one is there. Nothing is
// synced: no guest survives a loss of power, and a start would wait for the disk. A record that a
// loss of power damaged or brought back points to no process, and its VM's remains are cleared.

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
