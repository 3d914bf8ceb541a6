// Whatever a peer sends as body and tail, decoding answers with an error or with a message that is
// bounded by the bytes and says the same after another trip over the wire.

#include "core/wire/message.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "base/limits.h"

using namespace blixard;  // NOLINT(google-build-using-namespace): a fuzzer is one function

namespace {

Result<wire::Message> decode(const wire::FrameHeader& header, std::string_view content) {
  const Payload tail(std::string(content.substr(header.body_bytes)));
  BLX_TRY(wire::Message message,
          wire::decode_message(header, content.substr(0, header.body_bytes), tail));
  if (const auto* raft = std::get_if<raft::Message>(&message.content)) {
    BLX_ASSERT(raft->entries.size() <= tail.size() / raft::kEntryOverheadBytes);
    for (const raft::Entry& entry : raft->entries)
      BLX_ASSERT(entry.payload.size() <= tail.size());
  }
  return message;
}

}  // namespace

// Three bytes say what the rest is: kind, and where the tail begins.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const std::string_view content(reinterpret_cast<const char*>(data) + 3, size - 3);
  const std::size_t split = std::min<std::size_t>(data[1] | data[2] << 8, content.size());
  if (split > limits::kFrameBodyBytes || content.size() - split > limits::kFrameTailBytes) return 0;
  const wire::FrameHeader header{
      .kind = static_cast<wire::FrameKind>(1 + data[0] % static_cast<int>(wire::kFrameKindLast)),
      .body_bytes = static_cast<std::uint32_t>(split),
      .tail_bytes = static_cast<std::uint32_t>(content.size() - split),
      .id = 5};
  const auto message = decode(header, content);
  if (!message) return 0;

  wire::FrameWriter writer;
  BLX_ASSERT(wire::encode_message(*message, writer));
  std::string frame;
  for (const std::string_view part : writer.parts())
    frame += part;
  const std::string_view bytes(frame);
  const auto head = wire::decode_frame_header(bytes.substr(0, wire::kFrameHeaderBytes));
  BLX_ASSERT(head.has_value());
  const auto again = decode(*head, bytes.substr(wire::kFrameHeaderBytes));
  BLX_ASSERT(again.has_value() && *again == *message);
  return 0;
}
