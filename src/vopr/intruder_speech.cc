#include "vopr/intruder_speech.h"

#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "core/wire/checksum.h"
#include "core/wire/little_endian.h"
#include "node/peer/peers.h"

namespace blixard::vopr {
namespace {

using wire::FrameKind;

// As docs/formats/peer.md has them.
constexpr std::size_t kVersionAt = 4;
constexpr std::size_t kKindAt = 5;
constexpr std::size_t kFlagsAt = 6;
constexpr std::size_t kBodyBytesAt = 8;
constexpr std::size_t kTailBytesAt = 12;
constexpr std::size_t kContentChecksumAt = 24;
constexpr std::size_t kChecksumAt = 32;
constexpr std::uint64_t kHeaderSeed = 0x6672616d65686401;

std::string hello(std::string cluster, std::uint32_t version = wire::kProtocolVersion,
                  std::uint32_t oldest = wire::kProtocolVersionOldest) {
  return encoded(
      {.content = wire::Hello{
           .version = version, .version_oldest = oldest, .cluster = std::move(cluster)}});
}

std::string ping() { return encoded({.id = 7, .content = wire::Ping{}}); }

std::string request(std::uint32_t kind, std::string body) {
  return encoded({.id = 8,
                  .content = wire::Request{
                      .kind = kind, .timeout_ms = 1000, .body = Payload(std::move(body))}});
}

// Any kind, any content, and checksums that are right.
std::string frame(FrameKind kind, std::string_view body, std::string_view tail) {
  wire::FrameHeader header{.kind = kind,
                           .body_bytes = static_cast<std::uint32_t>(body.size()),
                           .tail_bytes = static_cast<std::uint32_t>(tail.size()),
                           .id = 9,
                           .content_checksum = wire::content_checksum(body, tail)};
  std::array<char, wire::kFrameHeaderBytes> bytes{};
  wire::encode_frame_header(header, bytes);
  std::string whole;
  whole.reserve(bytes.size() + body.size() + tail.size());
  whole.append(bytes.data(), bytes.size()).append(body).append(tail);
  return whole;
}

std::string with_byte(std::string frame, std::size_t at, std::uint8_t value) {
  frame[at] = static_cast<char>(value);
  seal(frame);
  return frame;
}

std::string with_length(std::string frame, std::size_t at, std::uint32_t value) {
  wire::store32(frame.data() + at, value);
  seal(frame);
  return frame;
}

std::string flipped(std::string frame, std::size_t at) {
  frame[at] = static_cast<char>(frame[at] ^ 0x10);
  return frame;
}

raft::Message append(const Audience& to, NodeId node) {
  raft::Message message{.type = raft::MessageType::kAppend,
                        .to = node,
                        .term = to.term,
                        .log_term = to.term,
                        .index = to.last,
                        .commit = to.last};
  message.entries.push_back({.term = to.term,
                             .index = LogIndex(to.last.value + 1),
                             .payload = Payload(std::string("replayed"))});
  return message;
}

raft::Message snapshot(const Audience& to, NodeId node) {
  return {.type = raft::MessageType::kSnapshot,
          .to = node,
          .term = to.term,
          .snapshot = raft::SnapshotMeta{.index = LogIndex(to.last.value + 100),
                                         .term = to.term,
                                         .configuration = {.voters = {to.other}}}};
}

std::string begin(const Audience& to, NodeId node) {
  return encoded({.id = 5, .content = wire::SnapshotBegin{snapshot(to, node), 1}});
}

std::string of_an_acceptor(std::uint64_t number) {
  switch (number % 5) {
    case 0:
      return encoded({.id = 1, .content = wire::Pong{}});
    case 1:
      return encoded({.id = 1, .content = wire::Reply{.body = Payload(std::string("done"))}});
    case 2:
      return encoded({.id = 1, .content = wire::SnapshotTaken{.offset = 1}});
    case 3:
      return encoded({.id = 1, .content = wire::SnapshotResult{}});
    default:
      return encoded({.content = wire::Refused{
                          .why = {.code = Code::kPermissionDenied, .reason = "node_removed"},
                          .not_member = true}});
  }
}

Speech greeted_and_left(std::string what, const Audience& to, std::string_view bytes) {
  constexpr std::size_t kGreetingBytes = 1024;  // with the ping behind it
  Speech speech{.what = std::move(what), .greeted = true};
  speech.bytes.reserve(bytes.size() + kGreetingBytes);
  speech.bytes += hello(to.cluster);
  speech.bytes += bytes;
  return speech;
}

// Whoever takes what is wrong answers the ping behind it.
Speech greeted(std::string what, const Audience& to, std::string_view bytes) {
  Speech speech = greeted_and_left(std::move(what), to, bytes);
  speech.bytes += ping();
  return speech;
}

}  // namespace

std::string encoded(const wire::Message& message) {
  wire::FrameWriter writer;
  std::string bytes;
  if (!wire::encode_message(message, writer)) return bytes;
  for (const std::string_view part : writer.parts())
    bytes += part;
  return bytes;
}

void seal(std::string& frame) {
  const std::string_view head(frame.data(), kChecksumAt);
  wire::store64(frame.data() + kChecksumAt, wire::checksum(head, kHeaderSeed));
}

std::string garbage(env::Random& random, std::size_t bytes) {
  std::string text(bytes, '\0');
  for (char& byte : text)
    byte = static_cast<char>(random.next());
  return text;
}

Speech forgery(const Audience& to, std::uint64_t number, env::Random& random) {
  switch (number % kForgeries) {
    case 0:
      return {.what = "a greeting of another cluster", .bytes = hello(random.uuid().text())};
    case 1:
      return {.what = "a greeting of no cluster", .bytes = hello("")};
    case 2:
      return {.what = "no greeting", .bytes = ping() + hello(to.cluster)};
    case 3:
      return greeted("two greetings", to, hello(to.cluster));
    case 4:
      return greeted("consensus for another node", to, encoded({.content = append(to, to.other)}));
    case 5:
      return greeted("consensus for nobody", to, encoded({.content = append(to, NodeId())}));
    case 6:
      return greeted("a snapshot for another node", to, begin(to, to.other));
    case 7:
      return greeted("a snapshot as a message", to, encoded({.content = snapshot(to, to.node)}));
    default:
      return greeted("an answer that nobody asked for", to, of_an_acceptor(random.next()));
  }
}

Speech future(const Audience& to, std::uint64_t number, env::Random& random) {
  const auto wild = static_cast<std::uint32_t>(random.next());
  const auto last_kind = static_cast<std::uint8_t>(wire::kFrameKindLast);
  switch (number % kFutures) {
    case 0:
      return greeted("a frame of version 2", to, with_byte(ping(), kVersionAt, 2));
    case 1:
      return greeted("a frame of the next kind", to,
                     with_byte(ping(), kKindAt, static_cast<std::uint8_t>(last_kind + 1)));
    case 2:
      return greeted("a frame of no kind", to, with_byte(ping(), kKindAt, 0));
    case 3:
      return greeted("a flag", to, with_byte(ping(), kFlagsAt, 1));
    case 4:
      return greeted("a body that is too large", to,
                     with_length(ping(), kBodyBytesAt, limits::kFrameBodyBytes + 1));
    case 5:
      return greeted("a tail that is too large", to,
                     with_length(ping(), kTailBytesAt, limits::kFrameTailBytes + 1));
    case 6:
      return greeted("lengths without end", to,
                     with_length(with_length(ping(), kBodyBytesAt, ~0u), kTailBytesAt, ~0u));
    case 7:
      return greeted("the largest body, of garbage", to,
                     frame(FrameKind::kRequest, garbage(random, limits::kFrameBodyBytes), ""));
    case 8:
      return greeted("the largest tail, of a ping", to,
                     frame(FrameKind::kPing, "", std::string(limits::kFrameTailBytes, '\0')));
    case 9:
      return greeted("a damaged header", to, flipped(ping(), wild % wire::kFrameHeaderBytes));
    case 10:
      return greeted("damaged content", to,
                     flipped(request(1, "command"), wire::kFrameHeaderBytes + wild % 4));
    case 11: {
      std::string damaged = ping();
      damaged[kContentChecksumAt] = static_cast<char>(damaged[kContentChecksumAt] ^ 1);
      seal(damaged);
      return greeted("another content's checksum", to, damaged);
    }
    case 12:
      return greeted_and_left("a frame without its tail", to,
                              with_length(request(1, "x"), kTailBytesAt, 1000));
    case 13:
      return greeted_and_left("half a header", to, ping().substr(0, wire::kFrameHeaderBytes / 2));
    case 14:
      return {.what = "a greeting of later versions only",
              .bytes = hello(to.cluster, wire::kProtocolVersion + 2, wire::kProtocolVersion + 1)};
    case 15:
      return {.what = "a greeting of version 0", .bytes = hello(to.cluster, 0, 0)};
    default: {
      Speech speech = greeted_and_left(
          "a request of the next kind", to,
          request(static_cast<std::uint32_t>(peer::kLastRequestKind) + 1 + wild % 100, "future"));
      speech.told = "request_kind_unknown";
      speech.ends = false;
      return speech;
    }
  }
}

std::string record(const Audience& to) {
  using raft::MessageType;
  std::string bytes = hello(to.cluster) + ping();
  bytes += encoded({.content = append(to, to.node)});
  for (const auto type : {MessageType::kHeartbeat, MessageType::kVote, MessageType::kTimeoutNow}) {
    bytes += encoded({.content = raft::Message{.type = type,
                                               .to = to.node,
                                               .term = to.term,
                                               .log_term = to.term,
                                               .index = to.last,
                                               .transfer = type == MessageType::kVote}});
  }
  for (const auto kind :
       {peer::RequestKind::kPropose, peer::RequestKind::kMembership, peer::RequestKind::kEnrol,
        peer::RequestKind::kRenew, peer::RequestKind::kSaved}) {
    bytes += request(static_cast<std::uint32_t>(kind), "");
  }
  bytes += begin(to, to.node);
  bytes += encoded({.id = 5, .content = wire::SnapshotChunk{0, Payload(std::string("x"))}});
  bytes += encoded({.id = 5, .content = wire::SnapshotEnd{wire::checksum("x", 0)}});
  return bytes;
}

Speech http_junk(std::uint64_t number, env::Random& random) {
  const std::string get = "GET /v1/vms HTTP/1.1\r\nHost: n\r\n";
  const std::string post = "POST /v1/vms HTTP/1.1\r\nHost: n\r\n";
  switch (number % kHttpJunks) {
    case 0:
      return {.what = "garbage at the API", .bytes = garbage(random, 1 + random.below(4096))};
    case 1:
      return {.what = "a header that is too long",
              .bytes = get + "X: " + std::string(2 * limits::kHttpHeaderBytes, 'x') + "\r\n\r\n"};
    case 2: {
      std::string bytes = get;
      for (std::size_t i = 0; i <= limits::kHttpHeaders; ++i)
        bytes += fmt::format("X-{}: 1\r\n", i);
      return {.what = "too many headers", .bytes = bytes + "\r\n"};
    }
    case 3:
      return {.what = "a length without end",
              .bytes = post + "Content-Length: 18446744073709551615\r\n\r\n{}"};
    case 4:
      return {.what = "a body that is too large",
              .bytes =
                  post + fmt::format("Content-Length: {}\r\n\r\n{{}}", limits::kHttpBodyBytes + 1)};
    case 5:
      return {.what = "two lengths",
              .bytes = post + "Content-Length: 2\r\nContent-Length: 30\r\n\r\n{}" + get + "\r\n"};
    case 6:
      return {.what = "a length and chunks",
              .bytes = post + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" +
                       get + "\r\n"};
    case 7:
      return {.what = "a chunk without end",
              .bytes = post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx"};
    case 8:
      return {.what = "a target that is too long",
              .bytes = "GET /v1/" + std::string(limits::kHttpTargetBytes, 'a') +
                       " HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n"};
    case 9:
      return {
          .what = "requests one behind the other, then garbage",
          .bytes = get + "\r\n" + get + "\r\n" + get + "\r\n" + garbage(random, 512) + "\r\n\r\n"};
    case 10:
      return {.what = "another protocol", .bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"};
    default:
      return {.what = "half a request", .bytes = post + "Content-Length: 100\r\n\r\n{"};
  }
}

Speech http_request(std::uint64_t number, std::string_view token) {
  using Line = std::pair<std::string_view, std::string_view>;
  static constexpr std::array<Line, kHttpRequests> kLines{{
      {"GET /v1/vms", ""},
      {"GET /v1/cluster", ""},
      {"POST /v1/vms", R"({"name":"intruder","image":"x","vcpus":1,"memory_mib":128})"},
      {"POST /v1/tokens", R"({"role":"server"})"},
      {"DELETE /v1/nodes/n1?force=true", ""},
      {"POST /v1/cluster/transfer-leader", R"({"node":"n1"})"},
      {"GET /metrics", ""},
  }};
  const auto& [line, body] = kLines.at(number % kHttpRequests);
  std::string bytes = fmt::format("{} HTTP/1.1\r\nHost: n\r\nConnection: close\r\n", line);
  if (!token.empty()) bytes += fmt::format("Authorization: Bearer {}\r\n", token);
  if (!body.empty()) {
    bytes += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
  }
  return {.what = fmt::format("{} with {}", line, token.empty() ? "no token" : "another token"),
          .bytes = bytes + "\r\n" + std::string(body)};
}

}  // namespace blixard::vopr
