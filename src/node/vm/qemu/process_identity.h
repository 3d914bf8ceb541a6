#pragma once

// Is that process a QEMU with this uuid? Asked of one whose monitor does not answer, before it is
// killed by its pid.

#include <string_view>

#include "base/ids.h"
#include "env/disk.h"
#include "env/process.h"
#include "env/task.h"
#include "node/vm/driver.h"

namespace blixard::qemu {

// Reads the process' command line. True only if it says "-uuid <uuid>".
env::Task<bool> was_started_with(env::Disk& disk, env::ProcessId process, Uuid uuid);

// What the process of this record was started with.
Uuid process_uuid(const vm::Record& record);

// Pure: `command_line` as in /proc/PID/cmdline, parts ended by zero bytes.
bool names_uuid(std::string_view command_line, const Uuid& uuid);

}  // namespace blixard::qemu
