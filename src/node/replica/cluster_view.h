#pragma once

// The members of the cluster for every thread: the replica publishes them, readers look.
//
//   replica::ClusterReader cluster(replica.cluster_view());
//   cluster.with_cluster_members([&](const cluster::Members& members) { ... });
//   cluster.cluster_member_count();
//   cluster.get_peers(peers);  // a buffer that is kept: no allocation once it is large enough
//
// Published at most once for a batch of applied commands, and only when it changed something of the
// members; a reader sees all changes of a batch or none. Looking takes no lock and never waits, nor
// makes apply wait (observe/view.h).

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "core/cluster/members.h"
#include "core/cluster/state.h"
#include "observe/view.h"

namespace blixard::replica {

class ClusterView {
 public:
  // The owner's thread. False: nothing of the members changed, and nothing was published.
  bool follow(const cluster::State& state) {
    cluster::Members next(state, members());
    if (next == members()) return false;
    view_.publish(std::move(next));
    return true;
  }
  [[nodiscard]] const cluster::Members& members() const { return view_.latest(); }
  // How often it was published; the first, before anything was applied, has no member.
  [[nodiscard]] std::uint64_t number() const { return view_.number(); }

 private:
  friend class ClusterReader;
  observe::View<cluster::Members> view_;
};

// Of one thread at a time; ends before the view.
class ClusterReader {
 public:
  explicit ClusterReader(ClusterView& view) : reader_(view.view_) {}

  // What the visitor is given is valid until this reader looks again.
  template <class Visitor>
  decltype(auto) with_cluster_members(Visitor&& visitor) {
    return std::invoke(std::forward<Visitor>(visitor), reader_.read());
  }
  [[nodiscard]] std::size_t cluster_member_count() { return reader_.read().size(); }
  // Replaces what is in `peers` by all members' records, by id.
  void get_peers(std::vector<cluster::PeerRecord>& peers) {
    const cluster::Members& members = reader_.read();
    peers.resize(members.size());
    std::size_t next = 0;
    for (const cluster::Member& member : members)
      peers[next++] = member.peer;
  }

 private:
  observe::View<cluster::Members>::Reader reader_;
};

}  // namespace blixard::replica
