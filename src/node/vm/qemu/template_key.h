#pragma once

// What a guest's state and the QEMU that loads it have to agree in, as one digest. QEMU itself
// checks almost nothing of it: a state of another machine often loads, and breaks the guest later.
//
// The digest is over the very command line, so that an option that changes changes the key. Left
// out is what each VM has of its own (name, uuid, MAC, ports) and the frequency of the time stamp
// counter, which comes out slightly different each time it is measured: who keeps a state compares
// it. A template is its host's; a saved guest may go on in another one.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "node/vm/driver.h"

namespace blixard::qemu {

struct StateHost {
  vm::Accelerator accelerator = vm::Accelerator::kTcg;
  std::string_view version;  // all that QEMU says of its own: distributions change devices too
  std::string_view boot_id;  // counts for templates with KVM, whose CPU may change with a boot
};

// 64 hex digits. Errors: kFailedPrecondition "templates_unsupported" without digests of the image.
Result<std::string> template_key(vm::GuestSpec spec, const StateHost& host);

// The same of a saved guest. Errors: kFailedPrecondition "saves_unsupported".
Result<std::string> saved_key(vm::GuestSpec spec, const StateHost& host);

// Names a guest that is to be saved for this key: by it the agent of a clone proves what it is.
std::string template_name(std::string_view key);

}  // namespace blixard::qemu
