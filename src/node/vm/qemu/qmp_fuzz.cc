// Whatever a monitor sends: no crash, and the same messages however the bytes are cut.

#include "node/vm/qemu/qmp.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "node/vm/qemu/base64.h"

namespace {

using namespace blixard::qemu;

std::vector<std::size_t> kinds_of(std::string_view bytes, std::size_t cut) {
  QmpDecoder decoder;
  std::vector<std::size_t> kinds;
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, cut);
    bytes.remove_prefix(part.size());
    if (!decoder.feed(part)) return kinds;
    for (;;) {
      const auto message = decoder.next();
      if (!message) return kinds;
      if (!*message) break;
      kinds.push_back((*message)->index());
    }
  }
  return kinds;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  BLX_ASSERT(kinds_of(bytes, 3) == kinds_of(bytes, bytes.size() + 1));
  const auto decoded = decode_base64(bytes);
  BLX_ASSERT(!decoded || decoded->size() <= size);
  return 0;
}
