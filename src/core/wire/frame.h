#pragma once

// Frames: what travels on a connection between nodes. The layout for people is in
// docs/formats/peer.md.
//
//   header (40 bytes) | body: a small protobuf message | tail: raw bytes
//
// What is large is in the tail and is never copied into a message: sending gathers the views of
// the payloads (FrameWriter), receiving reads the tail into one shared buffer that the decoded
// payloads are parts of. So an entry's payload keeps alive the tail it came in; a tail holds one
// message, whose entries are neighbours in the log and are dropped from it together.
// Payload::held_bytes() tells what is held.
//
// The header has its own checksum, so that a wrong length is never believed; the content's is in
// it. TLS keeps attackers out; the checksums find our own faults, and make every flipped bit of a
// connection without TLS (simulation) an error.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/payload.h"
#include "base/result.h"
#include "core/wire/checksum.h"

namespace blixard::wire {

inline constexpr std::size_t kFrameHeaderBytes = 40;

// Numbers of the format.
enum class FrameKind : std::uint8_t {
  kHello = 1,
  kRefused,
  kPing,
  kPong,
  kRaft,
  kRequest,
  kReply,
  kSnapshotBegin,
  kSnapshotChunk,
  kSnapshotTaken,
  kSnapshotEnd,
  kSnapshotAbort,
  kSnapshotResult,
};
inline constexpr auto kFrameKindLast = FrameKind::kSnapshotResult;

struct FrameHeader {
  FrameKind kind = FrameKind::kPing;
  std::uint32_t body_bytes = 0;
  std::uint32_t tail_bytes = 0;
  std::uint64_t id = 0;  // pairs questions and answers on one connection
  std::uint64_t content_checksum = 0;
  friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

// XXH3-64 of body and tail as one piece.
[[nodiscard]] std::uint64_t content_checksum(std::string_view body, std::string_view tail);

void encode_frame_header(const FrameHeader& header, std::span<char, kFrameHeaderBytes> into);

// `bytes` are the header's. Lengths are within limits::kFrameBodyBytes and kFrameTailBytes. Errors:
// kDataLoss "frame_damaged" (no frame of ours, or a bit is wrong), kUnimplemented
// "frame_version_unknown", kInvalidArgument "frame_invalid", kResourceExhausted "frame_too_large".
Result<FrameHeader> decode_frame_header(std::string_view bytes);

// Errors: kDataLoss "frame_damaged". Precondition: lengths as the header says.
Result<void> check_frame_content(const FrameHeader& header, std::string_view body,
                                 std::string_view tail);

// Frames for one gathering write. Headers, bodies and tables are encoded into one buffer that is
// used again; payloads are only referred to and must live until clear().
class FrameWriter {
 public:
  void clear();

  // One frame: begin(), the body's bytes and parts of the tail, end(). A frame that is larger than
  // the limits, or whose encoding failed, is taken back by drop().
  void begin(FrameKind kind, std::uint64_t id);
  char* grow(std::size_t bytes);  // room in the buffer; valid until the next call
  void body_ends();
  void refer(std::string_view payload);
  [[nodiscard]] bool end();  // false: too large, dropped
  void drop();

  // All frames, in order. Valid until the next call that is not const.
  std::span<const std::string_view> parts();
  [[nodiscard]] std::size_t frames() const { return frames_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  // A range of the buffer (data null, so that the buffer may grow), or bytes elsewhere.
  struct Part {
    const char* data = nullptr;
    std::size_t offset = 0;
    std::size_t size = 0;
  };

  void close_own_part();
  [[nodiscard]] std::string_view view(const Part& part) const;

  std::string buffer_;
  std::vector<Part> ranges_;
  std::vector<std::string_view> views_;
  std::size_t own_begin_ = 0;  // of the buffer: not yet in ranges_
  std::size_t frames_ = 0;
  std::size_t bytes_ = 0;

  // The frame that is open.
  FrameHeader header_;
  std::size_t header_at_ = 0;  // in the buffer
  std::size_t tail_at_ = 0;    // in the buffer
  std::size_t first_range_ = 0;
  std::size_t own_before_ = 0;  // own_begin_ when it began
  std::size_t referred_ = 0;
  RunningChecksum checksum_;
};

}  // namespace blixard::wire
