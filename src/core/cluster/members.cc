#include "core/cluster/members.h"

#include <algorithm>
#include <utility>

#include "core/cluster/state.h"

namespace blixard::cluster {
namespace {

bool describes(const Peer& peer, const Node& node) {
  return peer.id == node.id && peer.name == node.name && peer.address == node.peer_address &&
         peer.role == node.role;
}

}  // namespace

Members::Members(const State& state, const Members& before) {
  members_.reserve(state.nodes().size());
  auto known = before.begin();
  for (const auto& [id, node] : state.nodes()) {
    while (known != before.end() && known->peer->id < id)
      ++known;
    const bool same = known != before.end() && describes(*known->peer, node);
    members_.push_back(
        {.peer = same ? known->peer
                      : std::make_shared<const Peer>(Peer{.id = id,
                                                          .name = node.name.text(),
                                                          .address = node.peer_address,
                                                          .role = node.role}),
         .leaving = node.leaving});
  }
  // Voters last: who is both while a joint configuration is left counts as one.
  const auto set = [&](const std::vector<NodeId>& ids, Membership membership) {
    for (const NodeId id : ids) {
      if (const Member* member = find(id); member != nullptr) {
        members_[static_cast<std::size_t>(member - members_.data())].membership = membership;
      }
    }
  };
  set(state.configuration().learners, Membership::kLearner);
  set(state.configuration().voters_outgoing, Membership::kVoter);
  set(state.configuration().voters, Membership::kVoter);
}

// Ids are given out one after the other, so a member stands at its id less one, or before that when
// members in front of it are gone.
const Member* Members::find(NodeId id) const {
  const auto id_of = [](const Member& member) { return member.peer->id; };
  if (!id || members_.empty()) return nullptr;
  const auto last = members_.begin() +
                    static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(id.value, members_.size()));
  if (id_of(*(last - 1)) == id) return &*(last - 1);
  const auto found = std::ranges::lower_bound(members_.begin(), last, id, {}, id_of);
  return found != last && id_of(*found) == id ? &*found : nullptr;
}

std::string_view Members::name_of(NodeId id) const {
  const Member* member = find(id);
  return member == nullptr ? std::string_view() : member->peer->name;
}

}  // namespace blixard::cluster
