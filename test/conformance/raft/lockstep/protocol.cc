#include "test/conformance/raft/lockstep/protocol.h"

#include <fmt/format.h>

namespace blixard::raft::lockstep {

std::string describe(const Input& input) {
  static constexpr std::array<const char*, kOps> kNames{
      "world",    "campaign",    "propose",         "propose-change", "read-index",
      "transfer", "tick",        "deliver",         "drop",           "restart",
      "compact",  "unreachable", "snapshot-status", "ready",          "snapshot-available"};
  return fmt::format("{} node={} a={} b={:#x}{}{}{}", kNames.at(static_cast<std::size_t>(input.op)),
                     input.node, input.a, input.b, (input.flags & kSettle) != 0 ? " settle" : "",
                     (input.flags & kKeep) != 0 ? " keep" : "",
                     (input.flags & kYes) != 0 ? " yes" : "");
}

std::string describe(const Settings& s) {
  return fmt::format(
      "nodes={} voters={:#b} learners={:#b} pre-vote={} check-quorum={} leases={} "
      "no-forwarding={} message-bytes={} inflight={} uncommitted-bytes={} committed-bytes={} "
      "election-ticks={} heartbeat-ticks={} boot-index={}",
      s.nodes, s.voters, s.learners, s.pre_vote, s.check_quorum, s.leases, s.no_forwarding,
      s.message_bytes, s.inflight, s.uncommitted_bytes, s.committed_bytes, s.election_ticks,
      s.heartbeat_ticks, s.boot_index);
}

}  // namespace blixard::raft::lockstep
