#include "node/replica/cluster_view.h"

#include "env/scope.h"
#include "env/test_coroutine.h"
#include "node/replica/test_alone.h"
#include "sim/world.h"

namespace blixard::replica {
namespace {

class ClusterViewTest : public testing::Test {
 protected:
  sim::World world{3};
  sim::Machine& machine = world.add_machine("a");
  NoPeers peers;

  env::Task<Result<std::unique_ptr<Replica>>> open() {
    return open_alone(machine.env(), "/var/lib/blixard/log", NodeId(5), {}, peers);
  }
  void run(env::Task<void> task) { ASSERT_TRUE(world.run(std::move(task))); }

  static v1::Command add_node(std::uint64_t id) {
    v1::Command command;
    auto& node = *command.mutable_register_node();
    node.set_node_id(id);
    node.set_name("n" + std::to_string(id));
    node.mutable_capacity()->set_vcpus(8);
    node.mutable_capacity()->set_memory_mib(4096);
    return command;
  }
  static env::Task<void> propose(Replica& replica, v1::Command command) {
    const auto answer = co_await replica.propose(std::move(command));
    EXPECT_TRUE(answer) << answer.error().message();
  }
  // All at once, so that they are one batch.
  env::Task<void> propose_all(Replica& replica, std::vector<v1::Command> commands) {
    env::Scope scope(machine.env().executor, co_await env::this_cancellation());
    for (v1::Command& command : commands)
      scope.spawn(propose(replica, std::move(command)));
    co_await scope.join();
  }
};

TEST_F(ClusterViewTest, IsPublishedOnceForAllThatIsAppliedTogether) {
  run([&]() -> env::Task<void> {
    auto replica = co_await open();
    CO_ASSERT(replica);
    ClusterView& view = (*replica)->cluster_view();
    const std::uint64_t before = view.number();
    std::vector<v1::Command> commands;
    for (std::uint64_t id = 1; id <= 40; ++id)
      commands.push_back(add_node(id));
    co_await propose_all(**replica, std::move(commands));
    EXPECT_EQ(view.members().size(), 40U);
    EXPECT_EQ(view.number(), before + 1);
    co_await (*replica)->stop();
  }());
}

TEST_F(ClusterViewTest, IsNotPublishedForWhatIsNotTheMembers) {
  run([&]() -> env::Task<void> {
    auto replica = co_await open();
    CO_ASSERT(replica);
    co_await propose(**replica, add_node(1));
    ClusterView& view = (*replica)->cluster_view();
    const std::uint64_t before = view.number();
    co_await propose(**replica, add_image("one"));
    v1::Command stronger = add_node(1);
    stronger.mutable_register_node()->mutable_capacity()->set_vcpus(64);
    co_await propose(**replica, std::move(stronger));
    EXPECT_EQ((*replica)->state().find_node(NodeId(1))->vcpus, 64U);
    EXPECT_EQ(view.number(), before);
    co_await (*replica)->stop();
  }());
}

TEST_F(ClusterViewTest, ShowsWhatWasAnsweredAndAfterARestartWhatTheLogHas) {
  run([&]() -> env::Task<void> {
    auto replica = co_await open();
    CO_ASSERT(replica);
    {
      ClusterReader reader((*replica)->cluster_view());
      EXPECT_EQ(reader.cluster_member_count(), 0U);
      for (std::uint64_t id = 1; id <= 3; ++id) {
        co_await propose(**replica, add_node(id));
        EXPECT_EQ(reader.cluster_member_count(), id);
      }
    }
    co_await (*replica)->stop();
  }());
  machine.lose_power();
  machine.restart();
  run([&]() -> env::Task<void> {
    auto replica = co_await open();
    CO_ASSERT(replica);
    EXPECT_EQ((*replica)->cluster_view().members().size(), 3U);
    co_await (*replica)->stop();
  }());
}

TEST_F(ClusterViewTest, PeersGoIntoABufferThatIsKept) {
  run([&]() -> env::Task<void> {
    auto replica = co_await open();
    CO_ASSERT(replica);
    for (std::uint64_t id = 1; id <= 4; ++id)
      co_await propose(**replica, add_node(id));
    {
      ClusterReader reader((*replica)->cluster_view());
      std::vector<cluster::PeerRecord> records;
      reader.get_peers(records);
      CO_ASSERT(records.size() == 4);
      const auto* place = records.data();
      const cluster::Peer* third = records[2].get();
      EXPECT_EQ(third->name, "n3");
      reader.get_peers(records);
      EXPECT_EQ(records.data(), place);
      // A record, not a copy of one: the members' own.
      EXPECT_EQ(records[2].get(), third);
      EXPECT_EQ(reader.with_cluster_members([](const cluster::Members& members) {
        return members.find(NodeId(3))->peer.get();
      }),
                third);
    }
    co_await (*replica)->stop();
  }());
}

}  // namespace
}  // namespace blixard::replica
