#pragma once

// Can KVM run guest kernel code at speed? A device that opens and answers everything may still
// interpret that code thousands of times too slowly (kvm_pvm with a guest kernel not built for
// it), so a loop of it is timed. The timing runs in a child (`internal-kvm-loop`) that can be
// killed if the guest code never comes back.

#include <string_view>

#include "base/result.h"
#include "env/machine.h"
#include "env/process.h"

namespace blixard::linux_side {

// A longer loop means that KVM is of no use. Natively it takes about 0.025 ms.
inline constexpr Duration kKvmLoopMax = 5ms;

// Runs the loop and prints "ok <nanoseconds>" or "failed <what> <errno>". Gives the exit code.
int run_kvm_loop();

// The report that a line printed by run_kvm_loop() stands for. `line` is empty when the child
// was killed at its deadline.
env::KvmReport judge_kvm(std::string_view line, std::string module);

std::string kvm_module();  // "kvm_intel", ..., or ""

}  // namespace blixard::linux_side
