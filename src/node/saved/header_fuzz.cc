// A saved guest's header, from the disk of this node or of another: any bytes are refused or read,
// and what was read is written and read again the same.

#include "node/saved/header.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace blixard::saved;
  const auto read = decode({reinterpret_cast<const char*>(data), size});
  if (!read) return 0;
  BLX_ASSERT(read->bytes <= size);
  const auto again = decode(encode(read->header));
  BLX_ASSERT(again && again->header == read->header);
  return 0;
}
