#pragma once

// What this program takes of the machine: /proc/self, getrusage and the allocator's own count.

#include "env/machine.h"

namespace blixard::linux_side {

env::ProgramUsage program_usage();

// Which library answers malloc here: "system", "mimalloc" or "jemalloc". Found out when running,
// so it is right also where another one was preloaded.
std::string_view allocator_name();
// What it has given out and not got back; of mimalloc 2.0, which does not count that, what it
// holds.
Bytes heap_in_use();

}  // namespace blixard::linux_side
