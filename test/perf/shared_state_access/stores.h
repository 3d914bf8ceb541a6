#pragma once

// The members of a cluster in four ways, each changed by one thread and read by others: the
// product's view, and what is usual.

#include <algorithm>
#include <array>
#include <cstdint>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <tbb/concurrent_hash_map.h>

#include "base/assert.h"
#include "core/cluster/scenario.h"
#include "node/replica/cluster_view.h"

namespace blixard::perf {

inline constexpr const char* kCopy = "copy of the map";
inline constexpr const char* kVisit = "visit under a lock";
inline constexpr const char* kTbb = "oneTBB map";

// A member with strings of its own, as it is where nothing is shared.
struct OwnMember {
  std::uint64_t id = 0;
  std::string name;
  std::string address;
  cluster::NodeRole role = cluster::NodeRole::kServer;
  cluster::Membership membership = cluster::Membership::kNone;
  bool leaving = false;
};
using MemberMap = std::unordered_map<std::uint64_t, OwnMember>;

// Addresses that fit in no short string.
inline std::string address_of(std::size_t id, int variant) {
  return "node-" + std::to_string(10'000 + id) +
         ".cluster.internal:" + std::to_string(7481 + variant);
}

inline MemberMap member_map(std::size_t count) {
  MemberMap map;
  for (std::size_t id = 1; id <= count; ++id)
    map.emplace(
        id,
        OwnMember{.id = id, .name = "node-" + std::to_string(id), .address = address_of(id, 0)});
  return map;
}

// The product's: the replica's view of two states that differ in one address.
class ViewStore {
 public:
  explicit ViewStore(std::size_t members) {
    cluster::Scenario cluster;
    for (std::size_t id = 1; id <= members; ++id) {
      BLX_ASSERT(cluster.add_node(id, 8, 4096).has_value());
      BLX_ASSERT(cluster.apply(move_command(id, 0)).has_value());
    }
    BLX_ASSERT(cluster.configure({NodeId(1), NodeId(2), NodeId(3)}).has_value());
    states_[0] = cluster.state;
    BLX_ASSERT(cluster.apply(move_command(1, 1)).has_value());
    states_[1] = cluster.state;
    view_.follow(states_[0]);
  }

  void change() { view_.follow(states_[++changes_ % 2]); }
  replica::ClusterView& view() { return view_; }

 private:
  static v1::Command move_command(std::size_t id, int variant) {
    v1::Command command;
    command.set_version(cluster::kModelVersion);
    command.mutable_update_node_address()->set_node_id(id);
    command.mutable_update_node_address()->set_peer_address(address_of(id, variant));
    return command;
  }

  std::array<cluster::State, 2> states_;
  std::size_t changes_ = 0;
  replica::ClusterView view_;
};

// A map under a shared lock.
class LockedStore {
 public:
  explicit LockedStore(std::size_t members) : members_(member_map(members)) {}

  void change() {
    const std::unique_lock lock(mutex_);
    members_.at(1).address = address_of(1, static_cast<int>(++changes_ % 2));
  }
  [[nodiscard]] MemberMap clone() const {
    const std::shared_lock lock(mutex_);
    return members_;
  }
  template <class Visitor>
  auto visit(Visitor visitor) const {
    const std::shared_lock lock(mutex_);
    return visitor(members_);
  }
  // Nothing where the lock is taken at this moment.
  template <class Visitor>
  bool try_visit(Visitor visitor) const {
    const std::shared_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return false;
    visitor(members_);
    return true;
  }
  std::shared_mutex& mutex() const { return mutex_; }
  [[nodiscard]] const MemberMap& unlocked() const { return members_; }

 private:
  mutable std::shared_mutex mutex_;
  MemberMap members_;
  std::size_t changes_ = 0;
};

class TbbStore {
 public:
  explicit TbbStore(std::size_t members) {
    for (auto& [id, member] : member_map(members))
      members_.emplace(id, member);
  }

  void change() {
    Map::accessor place;
    members_.find(place, 1);
    place->second.address = address_of(1, static_cast<int>(++changes_ % 2));
  }
  template <class Visitor>
  void visit(std::uint64_t id, Visitor visitor) const {
    Map::const_accessor place;
    if (members_.find(place, id)) visitor(place->second);
  }
  [[nodiscard]] std::size_t size() const { return members_.size(); }

 private:
  using Map = tbb::concurrent_hash_map<std::uint64_t, OwnMember>;
  Map members_;
  std::size_t changes_ = 0;
};

}  // namespace blixard::perf
