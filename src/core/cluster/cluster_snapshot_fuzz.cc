// Bytes of a snapshot from a damaged disk or a wrong peer: refused, or a state that encodes and
// decodes to itself.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <google/protobuf/stubs/logging.h>

#include "base/assert.h"
#include "core/cluster/state.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using blixard::cluster::State;
  static const google::protobuf::LogSilencer quiet;
  const auto state = State::decode({reinterpret_cast<const char*>(data), size});
  if (!state) return 0;
  const auto again = State::decode(state->encode());
  BLX_ASSERT(again.has_value());
  BLX_ASSERT(*again == *state);
  return 0;
}
