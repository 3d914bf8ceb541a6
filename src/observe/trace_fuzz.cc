// A traceparent header, whatever it holds: what is accepted reads back as itself.

#include "observe/trace.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace blixard::observe;
  const auto context = parse_traceparent({reinterpret_cast<const char*>(data), size});
  if (!context) return 0;
  BLX_ASSERT(context->is_valid());
  BLX_ASSERT(parse_traceparent(format_traceparent(*context).view()) == context);
  return 0;
}
