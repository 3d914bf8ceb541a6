// The verdict's file lies on a disk: whatever it holds, it is a verdict that round-trips or none.

#include "node/vm/qemu/kvm_verdict.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using blixard::qemu::KvmVerdict;
  const auto verdict = KvmVerdict::decode({reinterpret_cast<const char*>(data), size});
  if (!verdict) return 0;
  const auto again = KvmVerdict::decode(verdict->encode());
  BLX_ASSERT(again.has_value());
  BLX_ASSERT(again->key == verdict->key && again->finding == verdict->finding);
  return 0;
}
