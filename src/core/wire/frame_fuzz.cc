// Whatever bytes come over a connection, frames are found or refused without reading beyond them,
// and a header that is accepted is within its limits.

#include "core/wire/frame.h"

#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "base/limits.h"

using namespace blixard;  // NOLINT(google-build-using-namespace): a fuzzer is one function

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (bytes.size() < wire::kFrameHeaderBytes) {
    BLX_ASSERT(!wire::decode_frame_header(bytes));
    return 0;
  }
  const std::string_view head = std::string_view(bytes).substr(0, wire::kFrameHeaderBytes);
  ignore(wire::decode_frame_header(head), "any answer will do");

  // The fields as if magic and checksum were right, or none would ever be looked at.
  bytes.replace(0, 4, "BLXP");
  const std::uint64_t sum = wire::checksum(head.substr(0, 32), 0x6672616d65686401);
  for (std::size_t i = 0; i < 8; ++i)
    bytes[32 + i] = static_cast<char>(sum >> (8 * i));
  const auto header = wire::decode_frame_header(head);
  if (!header) return 0;
  BLX_ASSERT(header->body_bytes <= limits::kFrameBodyBytes);
  BLX_ASSERT(header->tail_bytes <= limits::kFrameTailBytes);
  std::string again(wire::kFrameHeaderBytes, '\0');
  wire::encode_frame_header(*header,
                            std::span<char, wire::kFrameHeaderBytes>(again.data(), again.size()));
  BLX_ASSERT(again == head);
  const std::string_view rest = std::string_view(bytes).substr(wire::kFrameHeaderBytes);
  if (rest.size() < std::size_t{header->body_bytes} + header->tail_bytes) return 0;
  ignore(wire::check_frame_content(*header, rest.substr(0, header->body_bytes),
                                   rest.substr(header->body_bytes, header->tail_bytes)),
         "any answer will do");
  return 0;
}
