// A record from disk, whatever it holds: what is accepted reads back as itself.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "node/vm/driver.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using blixard::vm::Record;
  const auto record = Record::decode({reinterpret_cast<const char*>(data), size});
  if (!record) return 0;
  const auto again = Record::decode(record->encode());
  BLX_ASSERT(again && again->encode() == record->encode());
  return 0;
}
