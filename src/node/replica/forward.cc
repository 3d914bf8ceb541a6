#include "node/replica/forward.h"

#include "base/limits.h"
#include "core/wire/little_endian.h"

namespace blixard::replica {
namespace {

constexpr char kTransfer = 16;  // beside the values of MembershipChange::Kind

std::unexpected<Error> invalid() { return fail(Code::kInvalidArgument, "request_invalid"); }

void put(std::string& out, std::uint64_t value) {
  char bytes[sizeof(value)];
  wire::store64(bytes, value);
  out.append(bytes, sizeof(bytes));
}

}  // namespace

std::string encode(const MembershipRequest& request) {
  std::string out(1, request.transfers ? kTransfer : static_cast<char>(request.change.kind));
  put(out, request.change.node.value);
  return out + request.change.command;
}

Result<MembershipRequest> decode_membership_request(std::string_view bytes) {
  constexpr std::size_t kFixed = 1 + sizeof(std::uint64_t);
  if (bytes.size() < kFixed || bytes.size() - kFixed > limits::kConfChangeContextBytes) {
    return invalid();
  }
  MembershipRequest request;
  const char kind = bytes.front();
  if (kind == kTransfer) {
    request.transfers = true;
  } else if (kind >= static_cast<char>(MembershipChange::Kind::kAddLearner) &&
             kind <= static_cast<char>(MembershipChange::Kind::kRemove)) {
    request.change.kind = static_cast<MembershipChange::Kind>(kind);
  } else {
    return invalid();
  }
  request.change.node = NodeId(wire::load64(bytes.data() + 1));
  request.change.command = bytes.substr(kFixed);
  return request;
}

std::string encode(Position position) {
  std::string out;
  put(out, position.term.value);
  put(out, position.index.value);
  return out;
}

Result<Position> decode_position(std::string_view bytes) {
  if (bytes.size() != 2 * sizeof(std::uint64_t)) return invalid();
  const Position position{Term(wire::load64(bytes.data())),
                          LogIndex(wire::load64(bytes.data() + sizeof(std::uint64_t)))};
  if (!position.term || !position.index) return invalid();
  return position;
}

std::string encode(NodeId node) {
  std::string out;
  put(out, node.value);
  return out;
}

Result<NodeId> decode_node(std::string_view bytes) {
  if (bytes.size() != sizeof(std::uint64_t)) return invalid();
  return NodeId(wire::load64(bytes.data()));
}

}  // namespace blixard::replica
