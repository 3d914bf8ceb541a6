// Two voters, one of which is removed: the hardest place for a change of members, since each is a
// quorum of what comes after and none of what was before.

#include "env/test_coroutine.h"
#include "node/replica/test_cluster.h"

namespace blixard::replica {
namespace {

class TwoVotersTest : public testing::Test {
 protected:
  static TestCluster::Config config() {
    return {.nodes = 2, .replica = {.log = {.segment_bytes = 2u << 20}}};
  }

  static env::Task<void> remove(TestNode& asked, NodeId gone, bool& acknowledged) {
    if (asked.replica == nullptr) co_return;
    v1::Command drop;
    drop.mutable_drop_node()->set_node_id(gone.value);
    const auto removed =
        co_await asked.replica->change_membership({.kind = MembershipChange::Kind::kRemove,
                                                   .node = gone,
                                                   .command = drop.SerializeAsString()});
    acknowledged = removed.has_value();
  }

  static v1::Command begin_removal(NodeId gone) {
    v1::Command begin;
    begin.mutable_remove_node()->set_node_id(gone.value);
    return begin;
  }

  // The one that stays loses its power `after` the removal began. `removed`: and the other one was
  // gone before it came back.
  static env::Task<void> lose_power_while_removing(TestCluster& c, bool leader_goes, Duration after,
                                                   bool& removed) {
    bool acknowledged = false;
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    TestNode* follower = c.follower();
    CO_ASSERT(follower != nullptr);
    TestNode& gone = leader_goes ? *leader : *follower;
    TestNode& left = leader_goes ? *follower : *leader;
    CO_ASSERT(co_await c.propose(*leader, begin_removal(gone.id)));
    env::Scope scope(c.env().executor, co_await env::this_cancellation());
    scope.spawn(remove(*leader, gone.id, acknowledged));
    co_await c.pause(after);
    c.lose_power(left);
    co_await c.pause(2 * c.election_timeout());
    // What is certain to be removed is switched off.
    if (acknowledged && gone.replica != nullptr) c.crash(gone);
    removed = gone.replica == nullptr;
    c.start(left);
    EXPECT_TRUE(co_await c.until([&] { return c.leader() != nullptr; }))
        << "the removed node: " << (gone.failure.empty() ? "runs" : gone.failure);
    if (removed) EXPECT_TRUE(left.leads());
    for (auto& node : c.nodes())
      if (node->replica != nullptr) c.crash(*node);
    co_await scope.join();
  }

  void sweep(bool leader_goes, Duration step) {
    int removals = 0;
    constexpr int kSteps = 60;
    for (int i = 0; i < kSteps && !HasFailure(); ++i) {
      SCOPED_TRACE(i);
      sim::World world(static_cast<std::uint64_t>(i) + 100);
      TestCluster cluster(world, config());
      bool removed = false;
      EXPECT_TRUE(cluster.run([&](TestCluster& c) -> env::Task<void> {
        co_await lose_power_while_removing(c, leader_goes, step * i, removed);
      }));
      removals += removed ? 1 : 0;
    }
    EXPECT_GT(removals, 5);
    EXPECT_LT(removals, kSteps - 5);
  }
};

TEST_F(TwoVotersTest, WhoIsLeftLeadsWheneverItsPowerWentWhileItRemovedTheOther) {
  sweep(false, 250us);
}

TEST_F(TwoVotersTest, WhoIsLeftLeadsWheneverItsPowerWentWhileTheLeaderRemovedItself) {
  sweep(true, 400us);
}

// The removal got as far as the other's log; then that one led, and so removed itself.
TEST_F(TwoVotersTest, ALeaderThatRemovedItselfStaysUntilTheOtherKnows) {
  int led = 0;
  for (int i = 0; i < 60 && !HasFailure(); ++i) {
    SCOPED_TRACE(i);
    sim::World world(static_cast<std::uint64_t>(i) + 500);
    TestCluster cluster(world, config());
    EXPECT_TRUE(cluster.run([&](TestCluster& c) -> env::Task<void> {
      co_await c.start_all();
      TestNode* left = co_await c.wait_for_leader();
      CO_ASSERT(left != nullptr);
      TestNode* gone = c.follower();
      CO_ASSERT(gone != nullptr);
      CO_ASSERT(co_await c.propose(*left, begin_removal(gone->id)));
      c.world().partition_one_way(*gone->machine, *left->machine);
      env::Scope scope(c.env().executor, co_await env::this_cancellation());
      bool acknowledged = false;
      scope.spawn(remove(*left, gone->id, acknowledged));
      co_await c.pause(20ms);
      c.crash(*left);
      co_await scope.join();
      EXPECT_FALSE(acknowledged);
      c.heal(*left);
      c.start(*left);
      EXPECT_TRUE(co_await c.until([&] { return c.leader() != nullptr; }));
      if (c.leader() == gone) {
        ++led;
        co_await c.pause(100us * i);
        c.lose_power(*left);
        co_await c.pause(3 * c.election_timeout());
        c.start(*left);
        EXPECT_TRUE(co_await c.until([&] { return left->leads() && gone->failure == "removed"; }))
            << "the removed node: " << (gone->failure.empty() ? "runs" : gone->failure);
      }
      for (auto& node : c.nodes())
        if (node->replica != nullptr) c.crash(*node);
    }));
  }
  EXPECT_GT(led, 10);
}

}  // namespace
}  // namespace blixard::replica
