#include "core/wire/message.h"

#include <array>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "blixard/v1/peer.pb.h"
#include "core/wire/raft_message.h"

namespace blixard::wire {

namespace {

static_assert(std::variant_size_v<Content> == static_cast<std::size_t>(kFrameKindLast));
template <FrameKind kind>
using ContentOf = std::variant_alternative_t<static_cast<std::size_t>(kind) - 1, Content>;
static_assert(std::is_same_v<ContentOf<FrameKind::kHello>, Hello>);
static_assert(std::is_same_v<ContentOf<FrameKind::kRefused>, Refused>);
static_assert(std::is_same_v<ContentOf<FrameKind::kPing>, Ping>);
static_assert(std::is_same_v<ContentOf<FrameKind::kPong>, Pong>);
static_assert(std::is_same_v<ContentOf<FrameKind::kRaft>, raft::Message>);
static_assert(std::is_same_v<ContentOf<FrameKind::kRequest>, Request>);
static_assert(std::is_same_v<ContentOf<FrameKind::kReply>, Reply>);
static_assert(std::is_same_v<ContentOf<FrameKind::kSnapshotBegin>, SnapshotBegin>);
static_assert(std::is_same_v<ContentOf<FrameKind::kSnapshotChunk>, SnapshotChunk>);
static_assert(std::is_same_v<ContentOf<FrameKind::kSnapshotTaken>, SnapshotTaken>);
static_assert(std::is_same_v<ContentOf<FrameKind::kSnapshotEnd>, SnapshotEnd>);
static_assert(std::is_same_v<ContentOf<FrameKind::kSnapshotAbort>, SnapshotAbort>);
static_assert(std::is_same_v<ContentOf<FrameKind::kSnapshotResult>, SnapshotResult>);

// Code and its canonical number.
constexpr auto kCodes = std::to_array<std::pair<Code, std::uint32_t>>({
    {Code::kCancelled, 1},
    {Code::kInvalidArgument, 3},
    {Code::kDeadlineExceeded, 4},
    {Code::kNotFound, 5},
    {Code::kAlreadyExists, 6},
    {Code::kPermissionDenied, 7},
    {Code::kResourceExhausted, 8},
    {Code::kFailedPrecondition, 9},
    {Code::kAborted, 10},
    {Code::kUnimplemented, 12},
    {Code::kInternal, 13},
    {Code::kUnavailable, 14},
    {Code::kDataLoss, 15},
    {Code::kUnauthenticated, 16},
});

std::unexpected<Error> invalid() { return fail(Code::kInvalidArgument, "message_invalid"); }

void to_proto(const Failure& failure, v1::PeerFailure& into) {
  for (const auto& [code, number] : kCodes)
    if (code == failure.code) into.set_code(number);
  into.set_reason(failure.reason);
  into.set_detail(failure.detail);
}

Result<Failure> from_proto(const v1::PeerFailure& from) {
  if (from.reason().size() > limits::kPeerErrorBytes ||
      from.detail().size() > limits::kPeerErrorBytes) {
    return invalid();
  }
  for (const auto& [code, number] : kCodes)
    if (number == from.code()) return Failure{code, from.reason(), from.detail()};
  return invalid();
}

Result<std::optional<Failure>> optional_failure(bool present, const v1::PeerFailure& from) {
  if (!present) return std::nullopt;
  return from_proto(from);
}

template <class Proto>
void write_body(const Proto& body, FrameWriter& writer) {
  const std::size_t size = body.ByteSizeLong();
  body.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(writer.grow(size)));
  writer.body_ends();
}

// Each writes body and tail.
struct Encoder {
  FrameWriter& writer;

  void operator()(const Hello& hello) const {
    v1::PeerHello body;
    body.set_version(hello.version);
    body.set_version_oldest(hello.version_oldest);
    body.set_cluster(hello.cluster);
    body.set_address(hello.address);
    write_body(body, writer);
  }
  void operator()(const Refused& refused) const {
    v1::PeerRefused body;
    to_proto(refused.why, *body.mutable_why());
    body.set_not_member(refused.not_member);
    write_body(body, writer);
  }
  void operator()(const Ping&) const { writer.body_ends(); }
  void operator()(const Pong&) const { writer.body_ends(); }
  void operator()(const raft::Message& message) const {
    v1::RaftMessage body;
    wire::to_proto(message, body);
    write_body(body, writer);
    write_entries(message, writer);
  }
  void operator()(const Request& request) const {
    v1::PeerRequest body;
    body.set_kind(request.kind);
    body.set_timeout_ms(request.timeout_ms);
    write_body(body, writer);
    writer.refer(request.body.view());
  }
  void operator()(const Reply& reply) const {
    v1::PeerReply body;
    if (reply.failure) to_proto(*reply.failure, *body.mutable_failure());
    write_body(body, writer);
    if (!reply.failure) writer.refer(reply.body.view());
  }
  void operator()(const SnapshotBegin& begin) const {
    v1::PeerSnapshotBegin body;
    wire::to_proto(begin.message, *body.mutable_message());
    body.set_bytes(begin.bytes);
    write_body(body, writer);
    write_entries(begin.message, writer);
  }
  void operator()(const SnapshotChunk& chunk) const {
    v1::PeerSnapshotChunk body;
    body.set_offset(chunk.offset);
    write_body(body, writer);
    writer.refer(chunk.bytes.view());
  }
  void operator()(const SnapshotTaken& taken) const {
    v1::PeerSnapshotTaken body;
    body.set_offset(taken.offset);
    write_body(body, writer);
  }
  void operator()(const SnapshotEnd& end) const {
    v1::PeerSnapshotEnd body;
    body.set_checksum(end.checksum);
    write_body(body, writer);
  }
  void operator()(const SnapshotAbort&) const { writer.body_ends(); }
  void operator()(const SnapshotResult& result) const {
    v1::PeerSnapshotResult body;
    if (result.failure) to_proto(*result.failure, *body.mutable_failure());
    write_body(body, writer);
  }
};

template <class Proto>
Result<void> parse(std::string_view body, Proto& into) {
  if (!into.ParseFromArray(body.data(), static_cast<int>(body.size()))) return invalid();
  return {};
}

Result<Content> decode_hello(std::string_view bytes) {
  v1::PeerHello body;
  BLX_TRY(parse(bytes, body));
  const bool is_long = body.address().size() > limits::kAddressBytes;
  if (body.version_oldest() > body.version() || is_long) return invalid();
  return Hello{.version = body.version(),
               .version_oldest = body.version_oldest(),
               .cluster = std::move(*body.mutable_cluster()),
               .address = std::move(*body.mutable_address())};
}

Result<Content> decode_refused(std::string_view bytes) {
  v1::PeerRefused body;
  BLX_TRY(parse(bytes, body));
  BLX_TRY(Failure why, from_proto(body.why()));
  return Refused{std::move(why), body.not_member()};
}

Result<Content> decode_raft(std::string_view bytes, const Payload& tail) {
  v1::RaftMessage body;
  BLX_TRY(parse(bytes, body));
  return wire::from_proto(body, tail);
}

Result<Content> decode_request(std::string_view bytes, const Payload& tail) {
  v1::PeerRequest body;
  BLX_TRY(parse(bytes, body));
  return Request{body.kind(), body.timeout_ms(), tail};
}

Result<Content> decode_reply(std::string_view bytes, const Payload& tail) {
  v1::PeerReply body;
  BLX_TRY(parse(bytes, body));
  BLX_TRY(auto failure, optional_failure(body.has_failure(), body.failure()));
  if (failure && !tail.empty()) return invalid();
  return Reply{tail, std::move(failure)};
}

Result<Content> decode_snapshot_begin(std::string_view bytes, const Payload& tail) {
  v1::PeerSnapshotBegin body;
  BLX_TRY(parse(bytes, body));
  BLX_TRY(raft::Message message, wire::from_proto(body.message(), tail));
  if (message.type != raft::MessageType::kSnapshot || body.bytes() > limits::kSnapshotBytes) {
    return invalid();
  }
  return SnapshotBegin{std::move(message), body.bytes()};
}

Result<Content> decode_snapshot_chunk(std::string_view bytes, const Payload& tail) {
  v1::PeerSnapshotChunk body;
  BLX_TRY(parse(bytes, body));
  if (tail.empty() || tail.size() > limits::kSnapshotChunkBytes) return invalid();
  return SnapshotChunk{body.offset(), tail};
}

Result<Content> decode_snapshot_result(std::string_view bytes) {
  v1::PeerSnapshotResult body;
  BLX_TRY(parse(bytes, body));
  BLX_TRY(auto failure, optional_failure(body.has_failure(), body.failure()));
  return SnapshotResult{std::move(failure)};
}

bool has_tail(FrameKind kind) {
  return kind == FrameKind::kRaft || kind == FrameKind::kRequest || kind == FrameKind::kReply ||
         kind == FrameKind::kSnapshotBegin || kind == FrameKind::kSnapshotChunk;
}

Result<Content> decode_content(FrameKind kind, std::string_view body, const Payload& tail) {
  if (!tail.empty() && !has_tail(kind)) return invalid();
  switch (kind) {
    case FrameKind::kHello:
      return decode_hello(body);
    case FrameKind::kRefused:
      return decode_refused(body);
    case FrameKind::kPing:
      return Ping{};
    case FrameKind::kPong:
      return Pong{};
    case FrameKind::kRaft:
      return decode_raft(body, tail);
    case FrameKind::kRequest:
      return decode_request(body, tail);
    case FrameKind::kReply:
      return decode_reply(body, tail);
    case FrameKind::kSnapshotBegin:
      return decode_snapshot_begin(body, tail);
    case FrameKind::kSnapshotChunk:
      return decode_snapshot_chunk(body, tail);
    case FrameKind::kSnapshotTaken: {
      v1::PeerSnapshotTaken taken;
      BLX_TRY(parse(body, taken));
      return SnapshotTaken{taken.offset()};
    }
    case FrameKind::kSnapshotEnd: {
      v1::PeerSnapshotEnd end;
      BLX_TRY(parse(body, end));
      return SnapshotEnd{end.checksum()};
    }
    case FrameKind::kSnapshotAbort:
      return SnapshotAbort{};
    case FrameKind::kSnapshotResult:
      return decode_snapshot_result(body);
  }
  return invalid();
}

std::size_t entry_bytes(const raft::Message& message) {
  std::size_t bytes = 0;
  for (const raft::Entry& entry : message.entries)
    bytes += raft::entry_bytes(entry);
  return bytes;
}

}  // namespace

Failure failure_of(const Error& error) {
  return {error.code(), std::string(error.reason().substr(0, limits::kPeerErrorBytes)),
          std::string(error.detail().substr(0, limits::kPeerErrorBytes))};
}

FrameKind kind_of(const Content& content) { return static_cast<FrameKind>(content.index() + 1); }

std::size_t wire_bytes(const Content& content) {
  constexpr std::size_t kHeadBytes = 100;
  if (const auto* message = std::get_if<raft::Message>(&content)) {
    return kHeadBytes + entry_bytes(*message);
  }
  if (const auto* request = std::get_if<Request>(&content)) {
    return kHeadBytes + request->body.size();
  }
  if (const auto* reply = std::get_if<Reply>(&content)) return kHeadBytes + reply->body.size();
  if (const auto* chunk = std::get_if<SnapshotChunk>(&content)) {
    return kHeadBytes + chunk->bytes.size();
  }
  return kHeadBytes;
}

bool encode_message(const Message& message, FrameWriter& writer) {
  writer.begin(kind_of(message.content), message.id);
  std::visit(Encoder{writer}, message.content);
  return writer.end();
}

Result<Message> decode_message(const FrameHeader& header, std::string_view body,
                               const Payload& tail) {
  BLX_ASSERT(body.size() == header.body_bytes && tail.size() == header.tail_bytes);
  BLX_TRY(Content content, decode_content(header.kind, body, tail));
  return Message{header.id, std::move(content)};
}

}  // namespace blixard::wire
