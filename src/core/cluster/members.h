#pragma once

// Who belongs to the cluster, as one immutable value: what a State says of its nodes to everybody
// who must know how to reach and to name them, and nothing of what they can carry.
//
// What seldom changes of a member, its record, is shared: by the versions of Members that follow
// each other, and with whoever keeps it. So a copy of a member costs a reference count and never a
// string, and two records at the same address are the same.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "core/cluster/model.h"

namespace blixard::cluster {

class State;

struct Peer {
  NodeId id;
  std::string name;
  std::string address;  // where the other nodes reach it; may be empty in a model under test
  NodeRole role = NodeRole::kServer;
  friend bool operator==(const Peer&, const Peer&) = default;
};
using PeerRecord = std::shared_ptr<const Peer>;  // never null

struct Member {
  PeerRecord peer;
  Membership membership = Membership::kNone;
  bool leaving = false;
  // Of members of versions that follow each other, where an equal record is the same one.
  friend bool operator==(const Member&, const Member&) = default;
};

class Members {
 public:
  Members() = default;
  // Records that are as they were in `before` are shared with it.
  Members(const State& state, const Members& before);

  [[nodiscard]] std::size_t size() const { return members_.size(); }
  [[nodiscard]] bool empty() const { return members_.empty(); }
  // By id.
  [[nodiscard]] auto begin() const { return members_.begin(); }
  [[nodiscard]] auto end() const { return members_.end(); }
  // Null: no such member.
  [[nodiscard]] const Member* find(NodeId id) const;
  // "" of one that is no member.
  [[nodiscard]] std::string_view name_of(NodeId id) const;

  friend bool operator==(const Members&, const Members&) = default;

 private:
  std::vector<Member> members_;  // by id
};

}  // namespace blixard::cluster
