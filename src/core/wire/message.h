#pragma once

// What nodes say to each other, as values, and its encoding in frames (frame.h,
// proto/blixard/v1/peer.proto).
//
// decode_message() is total: whatever the bytes are, it answers with an error or with a value that
// is bounded by them and keeps what the types promise (entries that follow each other, sorted
// configurations, no message that only the node itself may make). Who sent it is not in it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/payload.h"
#include "base/result.h"
#include "core/raft/types.h"
#include "core/wire/frame.h"

namespace blixard::wire {

// Of what Hello speaks of: the meaning of frames, not their layout.
inline constexpr std::uint32_t kProtocolVersion = 1;
inline constexpr std::uint32_t kProtocolVersionOldest = 1;

// An Error that came over the wire: its reason is not a literal of ours yet.
struct Failure {
  Code code = Code::kInternal;
  std::string reason;
  std::string detail;
  friend bool operator==(const Failure&, const Failure&) = default;
};
// The detail is cut to limits::kPeerErrorBytes.
[[nodiscard]] Failure failure_of(const Error& error);

struct Hello {
  std::uint32_t version = kProtocolVersion;
  std::uint32_t version_oldest = kProtocolVersionOldest;
  std::string cluster;
  std::string
      address;  // of the dialler, as it says; at most limits::kAddressBytes; empty: not told
  friend bool operator==(const Hello&, const Hello&) = default;
};

struct Refused {
  Failure why;
  bool not_member = false;
  friend bool operator==(const Refused&, const Refused&) = default;
};

struct Ping {
  friend bool operator==(const Ping&, const Ping&) = default;
};

struct Pong {
  friend bool operator==(const Pong&, const Pong&) = default;
};

struct Request {
  std::uint32_t kind = 0;
  std::uint64_t timeout_ms = 0;
  Payload body;
  friend bool operator==(const Request&, const Request&) = default;
};

struct Reply {
  Payload body;
  std::optional<Failure> failure;
  friend bool operator==(const Reply&, const Reply&) = default;
};

struct SnapshotBegin {
  raft::Message message;
  std::uint64_t bytes = 0;
  friend bool operator==(const SnapshotBegin&, const SnapshotBegin&) = default;
};

struct SnapshotChunk {
  std::uint64_t offset = 0;
  Payload bytes;
  friend bool operator==(const SnapshotChunk&, const SnapshotChunk&) = default;
};

struct SnapshotTaken {
  std::uint64_t offset = 0;
  friend bool operator==(const SnapshotTaken&, const SnapshotTaken&) = default;
};

struct SnapshotEnd {
  std::uint64_t checksum = 0;
  friend bool operator==(const SnapshotEnd&, const SnapshotEnd&) = default;
};

struct SnapshotAbort {
  friend bool operator==(const SnapshotAbort&, const SnapshotAbort&) = default;
};

struct SnapshotResult {
  std::optional<Failure> failure;
  friend bool operator==(const SnapshotResult&, const SnapshotResult&) = default;
};

// In the order of FrameKind.
using Content =
    std::variant<Hello, Refused, Ping, Pong, raft::Message, Request, Reply, SnapshotBegin,
                 SnapshotChunk, SnapshotTaken, SnapshotEnd, SnapshotAbort, SnapshotResult>;

// A frame as a value. `id` pairs a ping with its pong, a request with its reply and the frames of
// one snapshot; 0 where nothing is paired.
struct Message {
  std::uint64_t id = 0;
  Content content;
  friend bool operator==(const Message&, const Message&) = default;
};

[[nodiscard]] FrameKind kind_of(const Content& content);

// About what it takes on the wire; for bounds of queues.
[[nodiscard]] std::size_t wire_bytes(const Content& content);

// Appends one frame. Its payloads must live until the writer is cleared. False: larger than a frame
// may be, and left out.
[[nodiscard]] bool encode_message(const Message& message, FrameWriter& writer);

// Lengths are the header's; payloads are parts of `tail`. Errors: kInvalidArgument
// "message_invalid".
Result<Message> decode_message(const FrameHeader& header, std::string_view body,
                               const Payload& tail);

}  // namespace blixard::wire
