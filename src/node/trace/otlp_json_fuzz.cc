// A trace as another node or a file tells it, whatever it holds: what is accepted reads back as
// itself.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "node/trace/otlp.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace blixard::trace;
  const auto traces = read_otlp_json({reinterpret_cast<const char*>(data), size});
  if (!traces) return 0;
  const auto again = read_otlp_json(otlp_json(*traces));
  BLX_ASSERT(again && *again == *traces);
  return 0;
}
