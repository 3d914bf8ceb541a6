// Clients against a cluster whose nodes, disks and links fail by the seed: what was acknowledged is
// there, a read shows it, every wait ends in time, and in the end all are equal.

#include <set>
#include <string>

#include "node/replica/test_cluster.h"

namespace blixard::replica {
namespace {

constexpr std::uint64_t kSeeds = 12;
constexpr int kSteps = 25;
constexpr int kClients = 6;

class Chaos {
 public:
  explicit Chaos(TestCluster& cluster) : cluster_(cluster) {}

  env::Task<void> run() {
    co_await cluster_.start_all();
    env::Scope scope(cluster_.env().executor, nullptr);
    for (int number = 0; number < kClients; ++number)
      scope.spawn(client(number));
    for (int step = 0; step < kSteps; ++step) {
      co_await cluster_.pause(100ms + 1ms * below(1500));
      co_await disturb();
    }
    cluster_.world().heal_all();
    for (const auto& node : cluster_.nodes())
      node->machine->disk_faults().slowdown = 1;
    start_all_that_rest();
    done_ = true;
    co_await scope.join();
    EXPECT_TRUE(co_await cluster_.settled());
    for (const auto& node : cluster_.nodes()) {
      EXPECT_NE(node->replica, nullptr) << node->id.value << ": " << node->open_error;
      for (const std::string& name : acknowledged_)
        EXPECT_TRUE(TestCluster::has(*node, name)) << name << " on " << node->id.value;
    }
    EXPECT_FALSE(acknowledged_.empty());
  }

  [[nodiscard]] std::size_t acknowledged() const { return acknowledged_.size(); }

 private:
  std::uint64_t below(std::uint64_t bound) { return cluster_.env().random.below(bound); }
  TestNode& any() { return *cluster_.nodes()[below(cluster_.size())]; }

  env::Task<void> client(int number) {
    for (int i = 0; !done_; ++i) {
      TestNode& node = any();
      if (node.replica != nullptr && below(4) == 0) {
        co_await read(node);
      } else if (node.replica != nullptr) {
        co_await write(node, std::to_string(number) + "-" + std::to_string(i));
      }
      co_await cluster_.pause(1ms * below(60));
    }
  }
  env::Task<void> read(TestNode& node) {
    const std::set<std::string> before = acknowledged_;
    const Instant begun = cluster_.now();
    const auto barrier = co_await node.replica->read_barrier();
    EXPECT_LE(cluster_.now() - begun, 3s);
    if (!barrier || node.replica == nullptr) co_return;
    for (const std::string& name : before)
      EXPECT_TRUE(TestCluster::has(node, name)) << "an old read: " << name;
  }
  env::Task<void> write(TestNode& node, std::string name) {
    const Instant begun = cluster_.now();
    const auto added = co_await cluster_.propose(node, add_image(name));
    EXPECT_LE(cluster_.now() - begun, 12s);
    if (added) acknowledged_.insert(name);
  }

  env::Task<void> disturb() {
    TestNode& node = any();
    TestNode& other = any();
    const bool runs = node.machine->running();
    switch (below(9)) {
      case 0:
        if (runs) TestCluster::crash(node);
        break;
      case 1:
        if (runs) TestCluster::lose_power(node);
        break;
      case 2:
        if (runs) co_await TestCluster::stop(node);
        break;
      case 3:
        cluster_.isolate(node);
        break;
      case 4:
        cluster_.world().heal_all();
        break;
      case 5:
        if (&node != &other) cluster_.world().partition_one_way(*node.machine, *other.machine);
        break;
      case 6:
        node.machine->disk_faults().slowdown = below(2) == 0 ? 1 : 50;
        break;
      case 7:
        if (node.replica != nullptr) {
          ignore(co_await node.replica->transfer_leader(other.id), "it may not be possible now");
        }
        break;
      default:
        start_all_that_rest();
    }
  }
  void start_all_that_rest() {
    for (const auto& node : cluster_.nodes()) {
      if (node->started) continue;
      if (node->machine->running()) TestCluster::crash(*node);
      cluster_.start(*node);
    }
  }

  TestCluster& cluster_;
  bool done_ = false;
  std::set<std::string> acknowledged_;
};

TEST(ReplicaChaos, WhatIsAcknowledgedStaysAndIsRead) {
  std::size_t acknowledged = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    sim::World world(seed);
    const Options options{.log = {.segment_bytes = std::uint64_t{2} << 20},
                          .snapshot_entries = seed % 3 == 0 ? 10'000u : 30u,
                          .trailing_entries = seed % 5 == 0 ? 1000u : 10u};
    TestCluster cluster(world, {.nodes = seed % 2 == 0 ? 5u : 3u, .replica = options});
    EXPECT_TRUE(cluster.run([&acknowledged](TestCluster& c) -> env::Task<void> {
      Chaos chaos(c);
      co_await chaos.run();
      acknowledged += chaos.acknowledged();
    }));
  }
  // Some seeds leave a majority for moments only.
  EXPECT_GT(acknowledged, 20u * kSeeds);
}

}  // namespace
}  // namespace blixard::replica
