// Whatever a guest sends: no crash, no line beyond the bound, and the same lines however the bytes
// are cut.

#include "node/vm/qemu/agent_protocol.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "base/limits.h"

namespace {

using namespace blixard::qemu;

std::vector<AgentLine> lines_of(std::string_view bytes, std::size_t cut, std::uint64_t& skipped) {
  AgentDecoder decoder;
  std::vector<AgentLine> lines;
  for (std::size_t at = 0; at < bytes.size(); at += cut)
    decoder.feed(bytes.substr(at, cut), lines);
  skipped = decoder.skipped();
  return lines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::uint64_t skipped_small = 0;
  std::uint64_t skipped_whole = 0;
  const auto small = lines_of(bytes, 5, skipped_small);
  const auto whole = lines_of(bytes, size + 1, skipped_whole);
  BLX_ASSERT(small.size() == whole.size());
  BLX_ASSERT(skipped_small == skipped_whole);
  for (const AgentLine& line : whole) {
    const auto* error = std::get_if<AgentError>(&line);
    BLX_ASSERT(error == nullptr || error->text.size() < blixard::limits::kAgentLineBytes);
  }
  return 0;
}
