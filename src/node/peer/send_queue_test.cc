#include "node/peer/send_queue.h"

#include "base/limits.h"

namespace blixard::peer {
namespace {

Instant at(std::int64_t second) { return {std::chrono::seconds(second)}; }

wire::Message heartbeat(std::uint64_t id) {
  return {.id = id, .content = raft::Message{.type = raft::MessageType::kHeartbeat}};
}
wire::Message append(std::uint64_t id, std::size_t bytes = 10) {
  raft::Message message{.type = raft::MessageType::kAppend, .term = Term(1)};
  message.entries.push_back(
      {.term = Term(1), .index = LogIndex(1), .payload = Payload(std::string(bytes, 'x'))});
  return {.id = id, .content = std::move(message)};
}
wire::Message chunk(std::uint64_t id) {
  return {.id = id, .content = wire::SnapshotChunk{0, Payload(std::string(1000, 'x'))}};
}

class SendQueueTest : public testing::Test {
 protected:
  // The ids of what one write takes.
  std::vector<std::uint64_t> take() {
    writer.clear();
    held.clear();
    queue.take(writer, held, too_large);
    std::vector<std::uint64_t> ids;
    for (const wire::Message& message : held)
      ids.push_back(message.id);
    return ids;
  }

  SendQueue queue;
  wire::FrameWriter writer;
  std::vector<wire::Message> held;
  std::array<std::uint64_t, kUrgencies> too_large{};
};

TEST_F(SendQueueTest, TheUrgentGoFirstAndEachClassInItsOrder) {
  for (const std::uint64_t id : {1u, 2u})
    EXPECT_TRUE(queue.push(chunk(id), at(1)));
  for (const std::uint64_t id : {3u, 4u})
    EXPECT_TRUE(queue.push(append(id), at(2)));
  for (const std::uint64_t id : {5u, 6u})
    EXPECT_TRUE(queue.push(heartbeat(id), at(3)));
  EXPECT_EQ(queue.oldest(), at(2)) << "a snapshot may wait";
  EXPECT_EQ(queue.frames(), 6u);
  EXPECT_EQ(take(), (std::vector<std::uint64_t>{5, 6, 3, 4, 1}));
  EXPECT_EQ(take(), (std::vector<std::uint64_t>{2}));
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.bytes(), 0u);
  EXPECT_EQ(queue.oldest(), std::nullopt);
}

TEST_F(SendQueueTest, EverythingUrgentIsUrgent) {
  for (const auto type :
       {raft::MessageType::kVote, raft::MessageType::kVoteResponse, raft::MessageType::kPreVote,
        raft::MessageType::kPreVoteResponse, raft::MessageType::kHeartbeat,
        raft::MessageType::kHeartbeatResponse, raft::MessageType::kTimeoutNow,
        raft::MessageType::kReadIndex, raft::MessageType::kReadIndexResponse})
    EXPECT_EQ(urgency_of(raft::Message{.type = type}), Urgency::kUrgent);
  for (const auto type : {raft::MessageType::kAppend, raft::MessageType::kAppendResponse,
                          raft::MessageType::kPropose})
    EXPECT_EQ(urgency_of(raft::Message{.type = type}), Urgency::kNormal);
  // The frames of a snapshot stay in order.
  for (const wire::Content& content :
       {wire::Content(wire::SnapshotBegin{}), wire::Content(wire::SnapshotChunk{}),
        wire::Content(wire::SnapshotEnd{}), wire::Content(wire::SnapshotAbort{})})
    EXPECT_EQ(urgency_of(content), Urgency::kBulk);
}

TEST_F(SendQueueTest, AWriteHasALimitAndWhatIsUrgentThenGoesNext) {
  for (std::uint64_t id = 1; id <= 10; ++id)
    EXPECT_TRUE(queue.push(append(id, 100'000), at(1)));
  EXPECT_EQ(take(), (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_TRUE(queue.push(heartbeat(11), at(2)));
  EXPECT_EQ(take(), (std::vector<std::uint64_t>{11, 4, 5, 6}));
  for (std::uint64_t id = 0; id < 1000; ++id)
    EXPECT_TRUE(queue.push(heartbeat(id), at(2)));
  EXPECT_EQ(take().size(), limits::kPeerWriteFrames);
}

TEST_F(SendQueueTest, SnapshotsDoNotWaitForEver) {
  EXPECT_TRUE(queue.push(chunk(1), at(1)));
  std::uint32_t writes = 0;
  bool sent = false;
  while (!sent && writes < 100) {
    for (int i = 0; i < 4; ++i)
      EXPECT_TRUE(queue.push(append(2, 100'000), at(1)));
    ++writes;
    for (const std::uint64_t id : take())
      sent = sent || id == 1;
  }
  EXPECT_EQ(writes, SendQueue::kBulkTurn);
}

TEST_F(SendQueueTest, EachClassIsBoundedByItself) {
  std::size_t appends = 0;
  while (queue.push(append(1, std::size_t{1} << 20), at(1)))
    ++appends;
  EXPECT_EQ(appends, limits::kPeerQueueBytes / ((std::size_t{1} << 20) + 124));
  std::size_t heartbeats = 0;
  while (queue.push(heartbeat(2), at(1)))
    ++heartbeats;
  EXPECT_EQ(heartbeats, limits::kPeerUrgentFrames);
  EXPECT_TRUE(queue.push(chunk(3), at(1)));
  while (!queue.empty())
    take();
  std::size_t frames = 0;
  while (queue.push(append(1), at(1)))
    ++frames;
  EXPECT_EQ(frames, limits::kPeerFrames);
}

TEST_F(SendQueueTest, WhatIsTooLargeForAFrameIsDroppedAlone) {
  EXPECT_TRUE(queue.push(append(1), at(1)));
  EXPECT_TRUE(queue.push(append(2, limits::kFrameTailBytes), at(1)));
  EXPECT_TRUE(queue.push(append(3), at(1)));
  EXPECT_EQ(take(), (std::vector<std::uint64_t>{1, 3}));
  EXPECT_EQ(too_large, (std::array<std::uint64_t, kUrgencies>{0, 1, 0}));
}

}  // namespace
}  // namespace blixard::peer
