#include "core/wire/message.h"

#include <rapidcheck.h>

#include <memory>

#include "base/limits.h"

namespace blixard::wire {
namespace {

std::string encoded(const Message& message) {
  FrameWriter writer;
  EXPECT_TRUE(encode_message(message, writer));
  std::string all;
  for (const std::string_view part : writer.parts())
    all += part;
  EXPECT_EQ(all.size(), writer.bytes());
  return all;
}

// As a reader does: header, content's checksum, message; payloads are parts of one buffer.
Result<Message> decoded(std::string_view bytes) {
  if (bytes.size() < kFrameHeaderBytes) return fail(Code::kDataLoss, "frame_damaged");
  BLX_TRY(const FrameHeader header, decode_frame_header(bytes.substr(0, kFrameHeaderBytes)));
  bytes.remove_prefix(kFrameHeaderBytes);
  if (bytes.size() != header.body_bytes + header.tail_bytes) {
    return fail(Code::kDataLoss, "frame_damaged");
  }
  const Payload tail(std::string(bytes.substr(header.body_bytes)));
  BLX_TRY(check_frame_content(header, bytes.substr(0, header.body_bytes), tail.view()));
  return decode_message(header, bytes.substr(0, header.body_bytes), tail);
}

// The same frame with another body or tail and right checksums.
Result<Message> with_content(FrameKind kind, std::string_view body, std::string tail) {
  const FrameHeader header{.kind = kind,
                           .body_bytes = static_cast<std::uint32_t>(body.size()),
                           .tail_bytes = static_cast<std::uint32_t>(tail.size())};
  return decode_message(header, body, Payload(std::move(tail)));
}

std::uint64_t number() {
  return *rc::gen::oneOf(rc::gen::inRange<std::uint64_t>(0, 10),
                         rc::gen::arbitrary<std::uint64_t>());
}

std::string some_bytes() { return *rc::gen::string<std::string>(); }

std::vector<NodeId> some_nodes(std::size_t least) {
  std::vector<NodeId> nodes;
  std::uint64_t last = 0;
  const auto count = *rc::gen::inRange<std::size_t>(least, 6);
  for (std::size_t i = 0; i < count; ++i) {
    last += *rc::gen::inRange<std::uint64_t>(1, 1000);
    nodes.push_back(NodeId(last));
  }
  return nodes;
}

raft::Message some_raft_message(raft::MessageType type) {
  raft::Message message{.type = type,
                        .to = NodeId(number()),
                        .term = Term(*rc::gen::inRange<std::uint64_t>(100, 200)),
                        .log_term = Term(number()),
                        .index = LogIndex(number()),
                        .commit = LogIndex(number()),
                        .reject = *rc::gen::arbitrary<bool>(),
                        .reject_hint = LogIndex(number()),
                        .transfer = *rc::gen::arbitrary<bool>(),
                        .read = {number(), number()}};
  if (type == raft::MessageType::kAppend) {
    message.log_term = Term(*rc::gen::inRange<std::uint64_t>(0, 100));
    message.index = LogIndex(*rc::gen::inRange<std::uint64_t>(0, UINT64_MAX - 100));
  }
  if (type == raft::MessageType::kAppend || type == raft::MessageType::kPropose) {
    std::uint64_t index = message.index.value;
    const auto count = *rc::gen::inRange(0, 20);
    for (int i = 0; i < count; ++i) {
      message.entries.push_back(
          {.term = Term(100),
           .index = LogIndex(++index),
           .kind = *rc::gen::element(raft::EntryKind::kNormal, raft::EntryKind::kConfiguration,
                                     raft::EntryKind::kConfigurationV1),
           .payload = Payload(some_bytes())});
    }
  }
  if (type == raft::MessageType::kSnapshot) {
    message.snapshot = raft::SnapshotMeta{.index = LogIndex(1 + number() / 2),
                                          .term = Term(1 + number() / 2),
                                          .configuration = {.voters = some_nodes(1),
                                                            .learners = some_nodes(0),
                                                            .voters_outgoing = some_nodes(0),
                                                            .learners_next = some_nodes(0),
                                                            .auto_leave = number() % 2 == 1}};
  }
  return message;
}

raft::Message some_raft_message() {
  return some_raft_message(static_cast<raft::MessageType>(*rc::gen::inRange(1, 16)));
}

Failure some_failure() {
  return {*rc::gen::element(Code::kCancelled, Code::kInvalidArgument, Code::kDeadlineExceeded,
                            Code::kNotFound, Code::kAlreadyExists, Code::kPermissionDenied,
                            Code::kUnauthenticated, Code::kResourceExhausted,
                            Code::kFailedPrecondition, Code::kAborted, Code::kUnimplemented,
                            Code::kInternal, Code::kUnavailable, Code::kDataLoss),
          some_bytes(), some_bytes()};
}

std::optional<Failure> maybe_failure() {
  return *rc::gen::arbitrary<bool>() ? std::optional(some_failure()) : std::nullopt;
}

Content some_content(FrameKind kind) {
  switch (kind) {
    case FrameKind::kHello: {
      const auto oldest = *rc::gen::inRange<std::uint32_t>(0, 10);
      return Hello{oldest + *rc::gen::inRange<std::uint32_t>(0, 10), oldest, some_bytes()};
    }
    case FrameKind::kRefused:
      return Refused{some_failure(), *rc::gen::arbitrary<bool>()};
    case FrameKind::kPing:
      return Ping{};
    case FrameKind::kPong:
      return Pong{};
    case FrameKind::kRaft:
      return some_raft_message();
    case FrameKind::kRequest:
      return Request{*rc::gen::arbitrary<std::uint32_t>(), number(), Payload(some_bytes())};
    case FrameKind::kReply: {
      auto failure = maybe_failure();
      return Reply{failure ? Payload() : Payload(some_bytes()), std::move(failure)};
    }
    case FrameKind::kSnapshotBegin:
      return SnapshotBegin{some_raft_message(raft::MessageType::kSnapshot),
                           number() % (limits::kSnapshotBytes + 1)};
    case FrameKind::kSnapshotChunk:
      return SnapshotChunk{number(), Payload("x" + some_bytes())};
    case FrameKind::kSnapshotTaken:
      return SnapshotTaken{number()};
    case FrameKind::kSnapshotEnd:
      return SnapshotEnd{number()};
    case FrameKind::kSnapshotAbort:
      return SnapshotAbort{};
    case FrameKind::kSnapshotResult:
      return SnapshotResult{maybe_failure()};
  }
  return Ping{};
}

Message some_message() {
  const auto kind =
      static_cast<FrameKind>(*rc::gen::inRange(1, static_cast<int>(kFrameKindLast) + 1));
  return {number(), some_content(kind)};
}

TEST(WireMessage, EveryMessageComesOutAsItWentIn) {
  EXPECT_TRUE(rc::check([] {
    const Message message = some_message();
    const auto result = decoded(encoded(message));
    RC_ASSERT(result.has_value());
    RC_ASSERT(*result == message);
  }));
}

// Each flip is found by a checksum; with the checksums made right again, what comes out is an
// error or a message that says the same when it is encoded again.
TEST(WireMessage, AFlipIsRefusedOrMeansSomethingBounded) {
  EXPECT_TRUE(rc::check([] {
    const std::string sound = encoded(some_message());
    const auto header = decode_frame_header(std::string_view(sound).substr(0, kFrameHeaderBytes));
    const auto flip = *rc::gen::inRange(1, 256);
    for (std::size_t at = 0; at < sound.size(); ++at) {
      std::string damaged = sound;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      RC_ASSERT(!decoded(damaged).has_value());
      if (at < kFrameHeaderBytes) continue;
      const auto result =
          with_content(header->kind, damaged.substr(kFrameHeaderBytes, header->body_bytes),
                       damaged.substr(kFrameHeaderBytes + header->body_bytes));
      if (!result) continue;
      const auto once_more = decoded(encoded(*result));
      RC_ASSERT(once_more.has_value());
      RC_ASSERT(*once_more == *result);
    }
  }));
}

TEST(WireMessage, PayloadsAreSentFromWhereTheyAreAndArriveInOneBuffer) {
  raft::Message append{.type = raft::MessageType::kAppend, .term = Term(1)};
  for (std::uint64_t i = 1; i <= 3; ++i) {
    append.entries.push_back({.term = Term(1),
                              .index = LogIndex(i),
                              .payload = Payload("payload " + std::to_string(i))});
  }
  FrameWriter writer;
  ASSERT_TRUE(encode_message({.content = append}, writer));
  for (const raft::Entry& entry : append.entries) {
    EXPECT_TRUE(std::ranges::any_of(writer.parts(), [&](std::string_view part) {
      return part.data() == entry.payload.view().data();
    }));
  }
  const auto result = decoded(encoded({.content = append}));
  ASSERT_TRUE(result);
  const auto& entries = std::get<raft::Message>(result->content).entries;
  ASSERT_EQ(entries.size(), 3u);
  // 24 bytes a row and the payloads.
  for (const raft::Entry& entry : entries)
    EXPECT_EQ(entry.payload.held_bytes(), 3 * 24 + 3 * 9u);
  EXPECT_EQ(entries[0].payload.view().data() + 9, entries[1].payload.view().data());
}

TEST(WireMessage, TheSenderIsNotInIt) {
  const raft::Message message{
      .type = raft::MessageType::kHeartbeat, .from = NodeId(77), .to = NodeId(2), .term = Term(1)};
  const auto result = decoded(encoded({.content = message}));
  ASSERT_TRUE(result);
  EXPECT_EQ(std::get<raft::Message>(result->content).from, NodeId());
}

TEST(WireMessage, LongDetailsAreCut) {
  const Failure failure =
      failure_of(Error(Code::kInternal, "long", std::string(limits::kPeerErrorBytes + 1, 'x')));
  EXPECT_EQ(failure.detail.size(), limits::kPeerErrorBytes);
  EXPECT_TRUE(decoded(encoded({.content = SnapshotResult{failure}})));
  Failure longer = failure;
  longer.detail += 'x';
  EXPECT_FALSE(decoded(encoded({.content = SnapshotResult{longer}})));
}

// What only the node itself, or nobody, may say.
TEST(WireMessage, WhatHasNoMeaningIsRefused) {
  const auto refused = [](const Content& content) {
    const auto result = decoded(encoded({.content = content}));
    return !result && result.error().reason() == "message_invalid";
  };
  using raft::MessageType;
  for (const MessageType local :
       {MessageType::kCampaign, MessageType::kBeat, MessageType::kCheckQuorum,
        MessageType::kUnreachable, MessageType::kSnapshotStatus}) {
    EXPECT_TRUE(refused(raft::Message{.type = local}));
  }
  EXPECT_TRUE(refused(raft::Message{.type = MessageType{}}));
  EXPECT_TRUE(refused(raft::Message{.type = MessageType::kSnapshot})) << "without its facts";
  const raft::SnapshotMeta meta{
      .index = LogIndex(1), .term = Term(1), .configuration = {.voters = {NodeId(1)}}};
  EXPECT_TRUE(refused(raft::Message{.type = MessageType::kHeartbeat, .snapshot = meta}));
  EXPECT_TRUE(refused(SnapshotBegin{raft::Message{.type = MessageType::kHeartbeat}, 1}));
  EXPECT_TRUE(refused(SnapshotBegin{raft::Message{.type = MessageType::kSnapshot, .snapshot = meta},
                                    limits::kSnapshotBytes + 1}));
  EXPECT_TRUE(refused(SnapshotChunk{0, Payload()}));
  EXPECT_TRUE(
      refused(SnapshotChunk{0, Payload(std::string(limits::kSnapshotChunkBytes + 1, 'x'))}));
  EXPECT_TRUE(refused(Hello{.version = 1, .version_oldest = 2}));
  EXPECT_FALSE(refused(Hello{.address = std::string(limits::kAddressBytes, 'x')}));
  EXPECT_TRUE(refused(Hello{.address = std::string(limits::kAddressBytes + 1, 'x')}));

  for (const std::vector<NodeId>& voters :
       {std::vector<NodeId>{}, {NodeId(0)}, {NodeId(2), NodeId(1)}, {NodeId(1), NodeId(1)}}) {
    raft::SnapshotMeta wrong = meta;
    wrong.configuration.voters = voters;
    EXPECT_TRUE(refused(raft::Message{.type = MessageType::kSnapshot, .snapshot = wrong}));
  }

  raft::Message append{.type = MessageType::kAppend,
                       .term = Term(5),
                       .log_term = Term(4),
                       .index = LogIndex(7),
                       .entries = {{.term = Term(4), .index = LogIndex(8)},
                                   {.term = Term(5), .index = LogIndex(9)}}};
  EXPECT_FALSE(refused(append));
  const auto changed = [&](auto change) {
    raft::Message message = append;
    change(message);
    return refused(message);
  };
  EXPECT_TRUE(changed([](auto& m) { m.entries[0].index = LogIndex(9); }));
  EXPECT_TRUE(changed([](auto& m) { m.entries[1].index = LogIndex(8); }));
  EXPECT_TRUE(changed([](auto& m) { m.entries[0].term = Term(3); })) << "before log_term";
  EXPECT_TRUE(changed([](auto& m) { m.entries[1].term = Term(6); })) << "after the sender's";
  EXPECT_TRUE(changed([](auto& m) { std::swap(m.entries[0].term, m.entries[1].term); }));
  EXPECT_TRUE(changed([](auto& m) { m.entries[1].kind = raft::EntryKind{}; }));
  EXPECT_TRUE(changed([](auto& m) {
    m.index = LogIndex(UINT64_MAX);
    m.entries.pop_back();
    m.entries[0].index = LogIndex(0);
  }));
}

TEST(WireMessage, TablesAreCheckedBeforeTheyAreBelieved) {
  const raft::Message append{.type = raft::MessageType::kAppend,
                             .term = Term(1),
                             .entries = {{.term = Term(1), .index = LogIndex(1), .payload = {}}}};
  const std::string bytes = encoded({.content = append});
  const auto header = decode_frame_header(bytes.substr(0, kFrameHeaderBytes));
  const std::string body = bytes.substr(kFrameHeaderBytes, header->body_bytes);
  const std::string tail = bytes.substr(kFrameHeaderBytes + header->body_bytes);
  ASSERT_EQ(tail.size(), 24u);
  EXPECT_TRUE(with_content(FrameKind::kRaft, body, tail));
  EXPECT_FALSE(with_content(FrameKind::kRaft, body, tail.substr(1))) << "a row is cut";
  EXPECT_FALSE(with_content(FrameKind::kRaft, body, tail + "x")) << "more than the rows say";
  EXPECT_FALSE(with_content(FrameKind::kRaft, body, "")) << "no rows";
  std::string longer = tail;
  longer[16] = 1;
  EXPECT_FALSE(with_content(FrameKind::kRaft, body, longer)) << "a payload that is not there";
  EXPECT_TRUE(with_content(FrameKind::kRaft, body, longer + "x"));
  // 2^32 - 1 entries in 28 bytes: nothing is reserved for them.
  const std::string many = "\x08\x01\x68\xff\xff\xff\xff\x0f";
  EXPECT_FALSE(with_content(FrameKind::kRaft, many, tail));
  EXPECT_FALSE(with_content(FrameKind::kPing, "", "tail"));
  EXPECT_FALSE(with_content(FrameKind::kRaft, "\xff\xff", ""));
}

}  // namespace
}  // namespace blixard::wire
