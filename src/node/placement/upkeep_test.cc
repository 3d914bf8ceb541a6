#include "node/placement/upkeep.h"

#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "core/cluster/scenario.h"
#include "env/scope.h"
#include "env/test_coroutine.h"
#include "node/placement/placer.h"
#include "node/replica/test_alone.h"
#include "sim/world.h"

namespace blixard::placement {
namespace {

// The leader of one node in virtual time, with the loops that place and look after what is placed.
class UpkeepTest : public testing::Test {
 public:
  using Body = env::Task<void> (*)(UpkeepTest& test, replica::Replica& replica);

  void run(Body body) {
    const bool ended = world.run(whole(body), 10h);
    EXPECT_TRUE(ended) << world.log_lines().back();
  }

  env::Task<void> whole(Body body) {
    replica::NoPeers peers;
    auto replica = co_await replica::open_alone(machine.env(), "/log", NodeId(1), {}, peers);
    CO_ASSERT(replica);
    Placer placer(machine.env(), **replica);
    Upkeep upkeep(machine.env(), **replica);
    env::Scope scope(machine.env().executor, nullptr);
    scope.spawn(placer.run());
    scope.spawn(upkeep.run());
    for (const std::uint64_t id : {1, 2}) {
      auto node = cluster::Scenario::command(
          "register_node { model_version: 4 capacity { vcpus: 8 memory_mib: 1024 } }");
      node.mutable_register_node()->set_node_id(id);
      node.mutable_register_node()->set_name("n" + std::to_string(id));
      co_await propose(**replica, node);
    }
    co_await propose(**replica, cluster::Scenario::command(
                                    "add_image { name: 'alpine' files { name: 'vmlinux' bytes: 1 "
                                    "digest: 'dddddddddddddddddddddddddddddddd' } }"));
    co_await body(*this, **replica);
    scope.cancel();
    co_await scope.join();
    co_await (*replica)->stop();
  }

  env::Task<void> propose(replica::Replica& replica, v1::Command command) {
    command.clear_version();
    const auto outcome = co_await replica.propose(command);
    EXPECT_TRUE(outcome) << outcome.error().message() << command.ShortDebugString();
  }
  env::Task<void> propose(replica::Replica& replica, const std::string& text) {
    return propose(replica, cluster::Scenario::command(text));
  }
  env::Task<bool> until(std::function<bool()> condition) {
    const Instant deadline = machine.env().clock.monotonic() + 1min;
    while (!condition() && machine.env().clock.monotonic() < deadline)
      ignore(co_await machine.env().clock.sleep(100ms), "nobody cancels it");
    co_return condition();
  }
  env::Task<void> report(replica::Replica& replica, const std::string& name, v1::VmState state,
                         bool released = false) {
    const cluster::Vm& vm = *replica.state().find_vm(name);
    v1::Command command;
    command.mutable_report_vms()->set_node_id(vm.node.value);
    auto& report = *command.mutable_report_vms()->add_reports();
    report.set_vm_id(vm.id.value);
    report.set_generation(vm.generation.value);
    report.set_state(state);
    report.set_released(released);
    co_await propose(replica, std::move(command));
  }

  sim::World world{3};
  sim::Machine& machine = world.add_machine("a");
};

TEST_F(UpkeepTest, AReservationEndsByItself) {
  run([](UpkeepTest& t, replica::Replica& replica) -> env::Task<void> {
    co_await t.propose(replica, "set_tenant { tenant { name: 'blue' } }");
    co_await t.propose(replica,
                       "set_reservation { reservation { name: 'peak' tenant: 'blue' node_id: 1 "
                       "memory_mib: 512 lifetime_ms: 60000 } }");
    co_await t.propose(replica,
                       "set_reservation { reservation { name: 'ever' tenant: 'blue' node_id: 1 "
                       "memory_mib: 256 } }");
    EXPECT_TRUE(co_await t.machine.env().clock.sleep(50s));
    EXPECT_NE(replica.state().find_reservation("peak"), nullptr);
    EXPECT_TRUE(co_await t.machine.env().clock.sleep(30s));
    EXPECT_EQ(replica.state().find_reservation("peak"), nullptr);
    EXPECT_NE(replica.state().find_reservation("ever"), nullptr);
  });
}

TEST_F(UpkeepTest, AVmIsMovedToWhereItIsBetterOff) {
  run([](UpkeepTest& t, replica::Replica& replica) -> env::Task<void> {
    co_await t.propose(replica, "update_node { node_id: 2 cordoned: true }");
    for (const std::string name : {"a", "b"}) {
      co_await t.propose(replica, cluster::Scenario::create_command(name, 1, 500));
      EXPECT_TRUE(co_await t.until([&] { return replica.state().pending().empty(); }));
      co_await t.report(replica, name, v1::VM_STATE_STARTING);
      co_await t.report(replica, name, v1::VM_STATE_RUNNING);
    }
    co_await t.propose(replica, "update_node { node_id: 2 cordoned: false }");
    EXPECT_TRUE(co_await t.machine.env().clock.sleep(1h));
    EXPECT_FALSE(replica.state().find_vm("a")->evicting) << "it is off by default";
    co_await t.propose(replica,
                       "set_policy { policy { strategy: STRATEGY_MOST_AVAILABLE rebalance { "
                       "enabled: true threshold_percent: 10 moves_per_hour: 5 } } }");
    EXPECT_TRUE(co_await t.until([&] { return replica.state().find_vm("a")->evicting; }));
    EXPECT_FALSE(replica.state().find_vm("b")->evicting);
    EXPECT_TRUE(replica.state().find_vm("a")->eviction->explanation.starts_with("rebalancing"));
    co_await t.report(replica, "a", v1::VM_STATE_STOPPING);
    co_await t.report(replica, "a", v1::VM_STATE_STOPPED);
    co_await t.report(replica, "a", v1::VM_STATE_PENDING, true);
    EXPECT_TRUE(co_await t.until([&] { return replica.state().find_vm("a")->node == NodeId(2); }));
    co_await t.report(replica, "a", v1::VM_STATE_STARTING);
    co_await t.report(replica, "a", v1::VM_STATE_RUNNING);
    EXPECT_TRUE(co_await t.machine.env().clock.sleep(5min));
    EXPECT_FALSE(replica.state().find_vm("a")->evicting || replica.state().find_vm("b")->evicting);
  });
}

}  // namespace
}  // namespace blixard::placement
