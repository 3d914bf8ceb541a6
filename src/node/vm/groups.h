#pragma once

// Which groups of processes are a VM's: its own, and that of the standby whose process it took.

#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "env/process.h"
#include "env/task.h"
#include "node/vm/driver.h"

namespace blixard::vm {

// Ends what is in the standby's group that the record names, if it names one, and removes it.
env::Task<Result<void>> give_up_standby_group(env::Process& process, Record record);

// Both of them, which must be empty.
env::Task<Result<void>> remove_groups(env::Process& process, Record record);

// The VMs of all groups but `taken`, those of standbys whose process a VM took.
env::Task<Result<std::vector<VmId>>> vms_with_groups(env::Process& process,
                                                     std::set<std::string> taken);

}  // namespace blixard::vm
