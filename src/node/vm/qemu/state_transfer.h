#pragma once

// A guest's saved state on its way out of QEMU and into it: QEMU's migration stream ("fd:"), over
// a connection of which QEMU is handed one end. So the daemon sees every byte, and the guests'
// processes need no right to any file of it.
//
// QEMU takes almost any bytes for a state, so a file is only believed with its digest.

#include <cstdint>

#include "base/result.h"
#include "base/units.h"
#include "core/image/digest.h"
#include "env/disk.h"
#include "env/env.h"
#include "env/task.h"
#include "node/vm/qemu/running_vm.h"

namespace blixard::qemu {

// Whether this QEMU can leave memory that lies in a file out of the state ("x-ignore-shared", which
// it calls experimental).
env::Task<Result<bool>> can_share_memory(RunningVm& vm);

// Stops the guest and writes its state, without its memory, into the empty `file`. Errors:
// kResourceExhausted "state_too_large" beyond `bytes_max`, kInternal "save_failed", of the disk and
// of the monitor, kDeadlineExceeded. The guest stays stopped in any case.
env::Task<Result<void>> save_state(env::Env env, RunningVm& vm, env::File& file,
                                   std::uint64_t bytes_max, Instant deadline);

// Loads it into a QEMU that waits for one (-incoming defer). The guest is then stopped. Errors:
// kDataLoss "state_damaged" when it is not what the digest says, kInternal "load_failed", of the
// disk and of the monitor, kDeadlineExceeded. Whatever the error, the process is of no use then.
env::Task<Result<void>> load_state(env::Env env, RunningVm& vm, env::File& file,
                                   image::Digest digest, Instant deadline);

}  // namespace blixard::qemu
