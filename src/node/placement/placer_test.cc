#include "node/placement/placer.h"

#include <memory>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "blixard/v1/cluster.pb.h"
#include "env/scope.h"
#include "env/test_coroutine.h"
#include "node/replica/test_alone.h"
#include "sim/test_rare.h"
#include "sim/world.h"

namespace blixard::placement {
namespace {

using cluster::VmState;

// Refuses placements for a while, as a log on a full disk does.
class FullReplica final : public replica::Replica {
 public:
  explicit FullReplica(std::unique_ptr<replica::Replica> inner) : inner_(std::move(inner)) {}

  env::Task<Result<cluster::Outcome>> propose(v1::Command command) override {
    if (command.has_place_vm()) {
      ++place_tries;
      if (is_full) co_return fail(Code::kResourceExhausted, "disk_full");
    }
    co_return co_await inner_->propose(std::move(command));
  }
  env::Task<Result<void>> read_barrier() override { return inner_->read_barrier(); }
  env::Task<Result<cluster::Outcome>> change_membership(replica::MembershipChange change) override {
    return inner_->change_membership(std::move(change));
  }
  env::Task<Result<void>> transfer_leader(NodeId to) override {
    return inner_->transfer_leader(to);
  }
  [[nodiscard]] std::vector<replica::MemberProgress> members() const override {
    return inner_->members();
  }
  [[nodiscard]] const cluster::State& state() const override { return inner_->state(); }
  [[nodiscard]] replica::ClusterView& cluster_view() override { return inner_->cluster_view(); }
  [[nodiscard]] replica::Status status() const override { return inner_->status(); }
  [[nodiscard]] bool is_leader() const override { return inner_->is_leader(); }
  [[nodiscard]] env::Signal& applied() override { return inner_->applied(); }
  [[nodiscard]] Result<std::vector<cluster::Change>> changes(std::uint64_t since) const override {
    return inner_->changes(since);
  }
  env::Task<Result<void>> failed() override { return inner_->failed(); }
  env::Task<void> stop() override { return inner_->stop(); }

  bool is_full = false;
  std::uint64_t place_tries = 0;

 private:
  std::unique_ptr<replica::Replica> inner_;
};

class PlacerTest : public testing::Test {
 public:
  using Body = env::Task<void> (*)(PlacerTest& test, FullReplica& replica);

  void run(Body body) {
    const bool ended = world.run(whole(body), 1h);
    EXPECT_TRUE(ended) << world.log_lines().back();
  }

  env::Task<void> whole(Body body) {
    replica::NoPeers peers;
    auto inner = co_await replica::open_alone(machine.env(), "/log", NodeId(1), {}, peers);
    CO_ASSERT(inner);
    FullReplica replica(*std::move(inner));
    Placer placer(machine.env(), replica);
    env::Scope scope(machine.env().executor, nullptr);
    scope.spawn(placer.run());
    co_await body(*this, replica);
    scope.cancel();
    co_await scope.join();
    co_await replica.stop();
  }

  env::Task<bool> until(std::function<bool()> condition) {
    const Instant deadline = machine.env().clock.monotonic() + 1min;
    while (!condition() && machine.env().clock.monotonic() < deadline)
      ignore(co_await machine.env().clock.sleep(10ms), "nobody cancels it");
    co_return condition();
  }
  env::Task<void> propose(FullReplica& replica, v1::Command command) {
    const auto outcome = co_await replica.propose(std::move(command));
    EXPECT_TRUE(outcome) << outcome.error().message();
  }
  env::Task<void> set_up(FullReplica& replica, std::uint32_t memory_mib) {
    v1::Command image;
    image.mutable_add_image()->set_name("tiny");
    auto& file = *image.mutable_add_image()->add_files();
    file.set_name("vmlinux");
    file.set_bytes(1);
    file.set_digest(std::string(32, 'd'));
    co_await propose(replica, std::move(image));
    v1::Command node;
    node.mutable_register_node()->set_node_id(1);
    node.mutable_register_node()->set_name("a");
    node.mutable_register_node()->mutable_capacity()->set_vcpus(8);
    node.mutable_register_node()->mutable_capacity()->set_memory_mib(memory_mib);
    node.mutable_register_node()->set_accelerator("tcg");
    node.mutable_register_node()->set_version("1");
    co_await propose(replica, std::move(node));
  }
  env::Task<void> create(FullReplica& replica, std::string name) {
    v1::Command command;
    auto& vm = *command.mutable_create_vm();
    vm.set_name(name);
    vm.set_uuid((name + std::string(16, '.')).substr(0, 16));
    vm.set_desired(v1::VM_DESIRED_RUNNING);
    vm.mutable_spec()->set_image("tiny");
    vm.mutable_spec()->set_vcpus(1);
    vm.mutable_spec()->set_memory_mib(256);
    vm.mutable_spec()->set_restart(v1::RESTART_POLICY_NEVER);
    co_await propose(replica, std::move(command));
  }
  // Wanted deleted, and its node has let go of it.
  env::Task<void> remove(FullReplica& replica, std::string name) {
    const cluster::Vm vm = *replica.state().find_vm(name);
    v1::Command desire;
    desire.mutable_set_desired()->set_name(name);
    desire.mutable_set_desired()->set_desired(v1::VM_DESIRED_DELETED);
    co_await propose(replica, std::move(desire));
    v1::Command command;
    command.mutable_report_vms()->set_node_id(1);
    auto& report = *command.mutable_report_vms()->add_reports();
    report.set_vm_id(vm.id.value);
    report.set_generation(vm.generation.value);
    report.set_state(v1::VM_STATE_STOPPED);
    report.set_released(true);
    co_await propose(replica, std::move(command));
  }

  sim::World world{3};
  sim::Machine& machine = world.add_machine("a");
};

const cluster::Vm& vm(const FullReplica& replica, std::string_view name) {
  return *replica.state().find_vm(name);
}

TEST_F(PlacerTest, PlacesWhenCapacityAppears) {
  run([](PlacerTest& t, FullReplica& replica) -> env::Task<void> {
    co_await t.set_up(replica, 600);
    for (const char* name : {"one", "two", "three"})
      co_await t.create(replica, name);
    EXPECT_TRUE(co_await t.until([&] { return vm(replica, "two").node == NodeId(1); }));
    EXPECT_EQ(vm(replica, "one").state, VmState::kPlaced);
    EXPECT_TRUE(co_await t.until(
        [&] { return vm(replica, "three").reason.contains("without 256 MiB of memory free"); }));
    co_await t.remove(replica, "one");
    EXPECT_TRUE(co_await t.until([&] { return vm(replica, "three").node == NodeId(1); }));
    EXPECT_EQ(vm(replica, "three").reason, "");
  });
}

TEST_F(PlacerTest, SaysWhyOnceAndIsQuietThen) {
  run([](PlacerTest& t, FullReplica& replica) -> env::Task<void> {
    co_await t.set_up(replica, 200);
    for (int i = 0; i < 20; ++i)
      co_await t.create(replica, "vm-" + std::to_string(i));
    EXPECT_TRUE(co_await t.until([&] { return vm(replica, "vm-19").reason.contains("MiB"); }));
    const LogIndex last = replica.status().last;
    // How a cluster begins, an image and a node, 20 VMs, a sentence each.
    EXPECT_LE(last.value, 2u + 2u + 20u + 20u);
    EXPECT_TRUE(co_await t.machine.env().clock.sleep(10min));
    EXPECT_EQ(replica.status().last, last);
    // What changes nothing for them is no reason to speak again.
    co_await t.propose(replica, [] {
      v1::Command image;
      image.mutable_add_image()->set_name("other");
      auto& file = *image.mutable_add_image()->add_files();
      file.set_name("vmlinux");
      file.set_bytes(1);
      file.set_digest(std::string(32, 'e'));
      return image;
    }());
    EXPECT_TRUE(co_await t.machine.env().clock.sleep(10min));
    EXPECT_EQ(replica.status().last, last.next());
  });
}

TEST_F(PlacerTest, TriesAgainWhatTheLogDidNotTake) {
  run([](PlacerTest& t, FullReplica& replica) -> env::Task<void> {
    co_await t.set_up(replica, 1024);
    replica.is_full = true;
    co_await t.create(replica, "web");
    EXPECT_TRUE(co_await t.machine.env().clock.sleep(1min));
    EXPECT_GE(replica.place_tries, 10u);
    EXPECT_LE(replica.place_tries, 70u);
    replica.is_full = false;
    EXPECT_TRUE(co_await t.until([&] { return vm(replica, "web").node == NodeId(1); }));
  });
}

TEST_F(PlacerTest, APlanMayBeLate) {
  run([](PlacerTest& t, FullReplica& replica) -> env::Task<void> {
    co_await t.set_up(replica, 1024);
    const sim::OnlyRare rare(t.world, env::RareSite::kPlacementLate);
    for (const char* name : {"one", "two"})
      co_await t.create(replica, name);
    EXPECT_TRUE(co_await t.until([&] { return vm(replica, "two").node == NodeId(1); }));
    EXPECT_EQ(rare.taken(), 2u) << "the first plan was made when there was one";
  });
}

}  // namespace
}  // namespace blixard::placement
