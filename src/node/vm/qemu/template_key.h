#pragma once

// What a saved guest and the QEMU that loads it have to agree in, as one digest. QEMU itself checks
// almost nothing of it: a state of another machine often loads, and breaks the guest later.
//
// The digest is over the very command line, so that an option that changes changes the key. Left
// out is what each VM has of its own (name, uuid, MAC, ports) and the frequency of the time stamp
// counter, which comes out slightly different each time it is measured: who keeps templates
// compares it.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "node/vm/driver.h"

namespace blixard::qemu {

struct TemplateHost {
  vm::Accelerator accelerator = vm::Accelerator::kTcg;
  std::string_view version;  // all that QEMU says of its own: distributions change devices too
  std::string_view boot_id;  // counts with KVM, whose CPU may be another one after a boot
};

// 64 hex digits. Errors: kFailedPrecondition "templates_unsupported" without digests of the image.
Result<std::string> template_key(vm::GuestSpec spec, const TemplateHost& host);

// Names a guest that is to be saved for this key: by it the agent of a clone proves what it is.
std::string template_name(std::string_view key);

}  // namespace blixard::qemu
