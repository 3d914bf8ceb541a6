// Any bytes as a manifest: refused, or written again as the same.

#include "node/template/manifest.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using blixard::templates::Manifest;
  const auto read = Manifest::decode({reinterpret_cast<const char*>(data), size});
  if (!read) return 0;
  const auto again = Manifest::decode(read->encode());
  BLX_ASSERT(again && again->encode() == read->encode());
  return 0;
}
