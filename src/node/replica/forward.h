#pragma once

// What a node asks of its leader, as bytes (peer::RequestKind::kPropose and kMembership). The
// answer to a proposal or a change is the place it got in the log; whoever asked waits until that
// place is applied on his own node, where apply gives him the same answer as everybody.
//
// Decoders take bytes of other nodes: they check everything. Little endian.

#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "node/replica/proposals.h"
#include "node/replica/replica.h"

namespace blixard::replica {

// A change of members, or with `transfers` of the leader, to change.node.
struct MembershipRequest {
  bool transfers = false;
  MembershipChange change;
};

[[nodiscard]] std::string encode(const MembershipRequest& request);
// Errors of all: kInvalidArgument "request_invalid".
Result<MembershipRequest> decode_membership_request(std::string_view bytes);

[[nodiscard]] std::string encode(Position position);
Result<Position> decode_position(std::string_view bytes);

// Who shall lead.
[[nodiscard]] std::string encode(NodeId node);
Result<NodeId> decode_node(std::string_view bytes);

}  // namespace blixard::replica
