// Text that may be a token: whatever is read is written back as it was.

#include "node/cluster/join_token.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto token = blixard::membership::JoinToken::parse(text);
  BLX_ASSERT(!token || token->text() == text);
  return 0;
}
