#pragma once

// What lies beside the files of a template and says what they are: manifest.json.
//
// It may be damaged, of another program, or put there by somebody else: it is bounded, checked, and
// believed for nothing but the names, sizes and digests that the files are compared with.

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "node/vm/driver.h"

namespace blixard::templates {

struct Manifest {
  std::string key;
  std::string image;  // its name in the cluster, for people
  std::uint32_t vcpus = 0;
  Bytes memory;
  vm::Accelerator accelerator = vm::Accelerator::kTcg;
  std::uint64_t tsc_khz = 0;  // of the host that saved it; 0: not known
  WallTime made;
  std::vector<vm::TemplateFile> files;

  [[nodiscard]] std::string_view accelerator_text() const;  // "kvm"
  [[nodiscard]] std::string encode() const;                 // JSON
  // Errors: kDataLoss "manifest_invalid", kFailedPrecondition "manifest_newer".
  static Result<Manifest> decode(std::string_view bytes);
};

// Whether a guest that was saved at one frequency of the time stamp counter goes on well at the
// other: they differ by less than what measuring it twice may differ by.
bool tsc_agrees(std::uint64_t saved_khz, std::uint64_t here_khz);

}  // namespace blixard::templates
