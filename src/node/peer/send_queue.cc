#include "node/peer/send_queue.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "observe/allocations.h"

namespace blixard::peer {

namespace {

Urgency urgency_of_type(raft::MessageType type) {
  switch (type) {
    case raft::MessageType::kVote:
    case raft::MessageType::kVoteResponse:
    case raft::MessageType::kPreVote:
    case raft::MessageType::kPreVoteResponse:
    case raft::MessageType::kHeartbeat:
    case raft::MessageType::kHeartbeatResponse:
    case raft::MessageType::kTimeoutNow:
    case raft::MessageType::kReadIndex:
    case raft::MessageType::kReadIndexResponse:
      return Urgency::kUrgent;
    default:
      return Urgency::kNormal;
  }
}

}  // namespace

Urgency urgency_of(const wire::Content& content) {
  switch (wire::kind_of(content)) {
    case wire::FrameKind::kRaft:
      return urgency_of_type(std::get<raft::Message>(content).type);
    case wire::FrameKind::kHello:
    case wire::FrameKind::kRefused:
    case wire::FrameKind::kPing:
    case wire::FrameKind::kPong:
    // Small, and without them the other side's window stays closed.
    case wire::FrameKind::kSnapshotTaken:
    case wire::FrameKind::kSnapshotResult:
      return Urgency::kUrgent;
    case wire::FrameKind::kRequest:
    case wire::FrameKind::kReply:
      return Urgency::kNormal;
    // One lane for all of a transfer, so that they stay in order.
    case wire::FrameKind::kSnapshotBegin:
    case wire::FrameKind::kSnapshotChunk:
    case wire::FrameKind::kSnapshotEnd:
    case wire::FrameKind::kSnapshotAbort:
      return Urgency::kBulk;
  }
  return Urgency::kNormal;
}

void SendQueue::Lane::push(Item item) {
  bytes_ += item.bytes;
  items_.push_back(std::move(item));
}

SendQueue::Item SendQueue::Lane::pop() {
  BLX_ASSERT(!items_.empty());
  Item item = std::move(items_.front());
  items_.pop_front();
  bytes_ -= item.bytes;
  return item;
}

bool SendQueue::push(wire::Message message, Instant now) {
  const Urgency urgency = urgency_of(message.content);
  Lane& target = lane(urgency);
  const std::size_t frames_max =
      urgency == Urgency::kUrgent ? limits::kPeerUrgentFrames : limits::kPeerFrames;
  const std::size_t bytes = wire::wire_bytes(message.content);
  if (target.frames() >= frames_max || target.bytes() + bytes > limits::kPeerQueueBytes) {
    return false;
  }
  target.push({.message = std::move(message), .bytes = bytes, .since = now});
  return true;
}

bool SendQueue::take_one(Lane& lane, wire::FrameWriter& writer, std::vector<wire::Message>& held) {
  Item item = lane.pop();
  const bool sent = [&] {
    const observe::AllocationTag tag(observe::Subsystem::kWire);
    return wire::encode_message(item.message, writer);
  }();
  if (sent) held.push_back(std::move(item.message));
  return sent;
}

void SendQueue::take(wire::FrameWriter& writer, std::vector<wire::Message>& held,
                     std::array<std::uint64_t, kUrgencies>& dropped) {
  const auto has_room = [&] {
    return writer.bytes() < limits::kPeerWriteBytes && writer.frames() < limits::kPeerWriteFrames;
  };
  const auto take_from = [&](Urgency urgency) {
    const bool sent = take_one(lane(urgency), writer, held);
    dropped[static_cast<std::size_t>(urgency)] += sent ? 0 : 1;
  };
  for (const Urgency urgency : {Urgency::kUrgent, Urgency::kNormal}) {
    while (!lane(urgency).empty() && has_room())
      take_from(urgency);
  }
  if (lane(Urgency::kBulk).empty()) {
    writes_without_bulk_ = 0;
  } else if (has_room() || ++writes_without_bulk_ >= kBulkTurn) {
    writes_without_bulk_ = 0;
    // One: what becomes urgent while it is written should not wait for more.
    take_from(Urgency::kBulk);
  }
}

bool SendQueue::empty() const {
  return std::ranges::all_of(lanes_, [](const Lane& lane) { return lane.empty(); });
}

std::size_t SendQueue::frames() const {
  std::size_t frames = 0;
  for (const Lane& lane : lanes_)
    frames += lane.frames();
  return frames;
}

std::size_t SendQueue::bytes() const {
  std::size_t bytes = 0;
  for (const Lane& lane : lanes_)
    bytes += lane.bytes();
  return bytes;
}

std::optional<Instant> SendQueue::oldest() const {
  std::optional<Instant> oldest;
  for (const Urgency urgency : {Urgency::kUrgent, Urgency::kNormal}) {
    const Lane& lane = lanes_[static_cast<std::size_t>(urgency)];
    if (!lane.empty() && (!oldest || lane.front().since < *oldest)) oldest = lane.front().since;
  }
  return oldest;
}

}  // namespace blixard::peer
