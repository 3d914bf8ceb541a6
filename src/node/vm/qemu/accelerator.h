#pragma once

// Which accelerator guests run with, and the one line that says why. Pure.
//
// A device that opens and answers is not enough (env::KvmReport tells why), and a forced
// accelerator that cannot be had is an error, never a silent fallback.

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "env/machine.h"
#include "node/vm/driver.h"

namespace blixard::qemu {

// What `qemu -accel help` lists.
struct BuiltIn {
  bool tcg = false;
  bool kvm = false;
};
BuiltIn parse_accelerators(std::string_view accel_help);

struct Choice {
  vm::Accelerator accelerator = vm::Accelerator::kTcg;
  std::string reason;
};

// Errors: kFailedPrecondition "accelerator_unusable".
Result<Choice> choose_accelerator(const env::KvmReport& kvm, const BuiltIn& built_in,
                                  std::optional<vm::Accelerator> forced);

// When KVM was chosen, but its trial guest did not boot: software emulation takes over, unless KVM
// was forced or there is nothing else. `finding` is what the trial saw ("did not boot a guest
// within 5 s"). Errors: kFailedPrecondition "accelerator_unusable", with what to do.
Result<Choice> choose_after_trial(const std::string& module, const std::string& finding,
                                  const BuiltIn& built_in, std::optional<vm::Accelerator> forced);

// What comes from other programs as one line of printable ASCII.
std::string one_line(std::string_view text);

// "7.2.22" of "QEMU emulator version 7.2.22 (Debian ...)"; empty when it is none.
std::string parse_version(std::string_view version_output);

}  // namespace blixard::qemu
