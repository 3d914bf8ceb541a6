#pragma once

// What a saved guest's file says of itself, before its packed state (docs/formats/saved-guest.md).
// The file's name is the digest of all of it, so a header that is read from a file of the right
// digest is the one that was written.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "node/vm/driver.h"

namespace blixard::saved {

struct Header {
  std::string cluster;  // whose VM it is
  VmId vm;
  Uuid uuid;
  std::string name;  // for people
  std::string key;   // vm::Driver::saved_key()
  Bytes memory;
  vm::Accelerator accelerator = vm::Accelerator::kTcg;
  std::string hypervisor_version;
  std::uint64_t tsc_khz = 0;  // 0: not known
  WallTime saved;
  friend bool operator==(const Header&, const Header&) = default;
};

// With all that stands before the packed state: mark, length, JSON.
std::string encode(const Header& header);

struct Decoded {
  Header header;
  std::size_t bytes = 0;  // where the packed state begins
};
// From the beginning of a file. Errors: kDataLoss "saved_guest_damaged", kFailedPrecondition
// "saved_guest_newer".
Result<Decoded> decode(std::string_view beginning);

// No header is longer, mark and length included.
inline constexpr std::size_t kHeaderBytesMax = 8192;

}  // namespace blixard::saved
