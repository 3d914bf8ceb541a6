// The members of a cluster, looked at by threads while their owner applies changes: what a reader
// is told at one moment agrees with itself, and never goes back.

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/cluster/scenario.h"
#include "node/replica/cluster_view.h"

namespace blixard::replica {
namespace {

constexpr std::size_t kReaders = 4;
constexpr std::size_t kNodes = 200;

v1::Command move_command(std::uint64_t id, int port) {
  v1::Command command;
  command.set_version(cluster::kModelVersion);
  command.mutable_update_node_address()->set_node_id(id);
  command.mutable_update_node_address()->set_peer_address("10.0.0.1:" + std::to_string(port));
  return command;
}

TEST(ClusterViews, WhatAReaderIsToldAgreesAndNeverGoesBack) {
  ClusterView view;
  std::atomic<std::size_t> begun{0};
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> wrong{0};
  std::vector<std::thread> threads;
  threads.reserve(kReaders);
  for (std::size_t i = 0; i < kReaders; ++i) {
    threads.emplace_back([&] {
      ClusterReader reader(view);
      std::vector<cluster::PeerRecord> peers;
      std::size_t most = 0;
      bool first = true;
      while (!done.load(std::memory_order_relaxed)) {
        // Nodes only come here, so a smaller count would be an older view.
        const std::size_t count = reader.cluster_member_count();
        reader.get_peers(peers);
        if (count < most || peers.size() < count) ++wrong;
        most = peers.size();
        for (std::size_t at = 0; at < peers.size(); ++at) {
          if (peers[at]->id != NodeId(at + 1) || peers[at]->address.empty()) ++wrong;
        }
        reader.with_cluster_members([&](const cluster::Members& members) {
          if (members.size() < most) ++wrong;
          std::size_t walked = 0;
          for (const cluster::Member& member : members) {
            ++walked;
            if (members.find(member.peer->id) != &member) ++wrong;
          }
          if (walked != members.size()) ++wrong;
          most = members.size();
        });
        if (std::exchange(first, false)) begun.fetch_add(1);
      }
    });
  }
  while (begun.load() < kReaders)
    std::this_thread::yield();
  cluster::Scenario cluster;
  for (std::uint64_t id = 1; id <= kNodes; ++id) {
    // A node that has no address yet is no state to be published: both are one batch.
    EXPECT_TRUE(cluster.add_node(id, 8, 4096));
    EXPECT_TRUE(cluster.apply(move_command(id, 1000)));
    EXPECT_TRUE(view.follow(cluster.state));
    EXPECT_TRUE(cluster.apply(move_command(id, 2000)));
    EXPECT_TRUE(view.follow(cluster.state));
    EXPECT_FALSE(view.follow(cluster.state));
  }
  done.store(true);
  for (std::thread& thread : threads)
    thread.join();
  EXPECT_EQ(wrong.load(), 0U);
  EXPECT_EQ(view.number(), 2 * kNodes + 1);
  EXPECT_EQ(view.members().size(), cluster.state.nodes().size());
}

}  // namespace
}  // namespace blixard::replica
