#include "core/raft/types.h"

namespace blixard::raft {

bool is_local(MessageType type) {
  switch (type) {
    case MessageType::kCampaign:
    case MessageType::kBeat:
    case MessageType::kCheckQuorum:
    case MessageType::kUnreachable:
    case MessageType::kSnapshotStatus:
      return true;
    default:
      return false;
  }
}

bool is_response(MessageType type) {
  switch (type) {
    case MessageType::kAppendResponse:
    case MessageType::kVoteResponse:
    case MessageType::kPreVoteResponse:
    case MessageType::kHeartbeatResponse:
    case MessageType::kReadIndexResponse:
    case MessageType::kUnreachable:
      return true;
    default:
      return false;
  }
}

}  // namespace blixard::raft
