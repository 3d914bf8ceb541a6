#include <algorithm>

#include "base/limits.h"
#include "node/replica/test_cluster.h"

// ASSERT_TRUE for coroutines.
#define CO_ASSERT(condition, ...)                     \
  do {                                                \
    if (!(condition)) {                               \
      ADD_FAILURE() << #condition << " " __VA_ARGS__; \
      co_return;                                      \
    }                                                 \
  } while (false)

namespace blixard::replica {
namespace {

class ReplicaClusterTest : public testing::Test {
 protected:
  sim::World world{11};
  TestCluster::Config config{.nodes = 3, .replica = {.log = {.segment_bytes = 2u << 20}}};
  std::unique_ptr<TestCluster> cluster_;

  TestCluster& cluster() {
    if (!cluster_) cluster_ = std::make_unique<TestCluster>(world, config);
    return *cluster_;
  }
  void run(const std::function<env::Task<void>(TestCluster&)>& test) {
    EXPECT_TRUE(cluster().run(test));
    if (!HasFailure()) return;
    const auto& lines = world.log_lines();
    for (std::size_t i = lines.size() > 60 ? lines.size() - 60 : 0; i < lines.size(); ++i)
      fprintf(stderr, "  %s\n", lines[i].c_str());
  }
};

TEST_F(ReplicaClusterTest, ElectsOneAndCommitsEverywhere) {
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    const auto added = co_await c.propose(*leader, add_image("one", 1));
    CO_ASSERT(added, << added.error().message());
    EXPECT_TRUE(c.has(*leader, "one"));
    EXPECT_TRUE(co_await c.settled());
    for (const auto& node : c.nodes()) {
      EXPECT_TRUE(c.has(*node, "one"));
      EXPECT_EQ(node->replica->status().leader, leader->id);
    }
    // Again: answered, not done twice.
    const auto again = co_await c.propose(*leader, add_image("one", 1));
    EXPECT_EQ(again ? again->index : LogIndex(), added->index);
  });
}

}  // namespace
}  // namespace blixard::replica
