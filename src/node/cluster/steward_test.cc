#include "node/cluster/steward.h"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/cluster/scenario.h"
#include "env/scope.h"
#include "env/sync.h"
#include "sim/test_rare.h"
#include "sim/world.h"

namespace blixard::membership {
namespace {

using env::Task;

// Leads a cluster whose second node is a member that is not in the configuration yet.
class LeadingReplica final : public replica::Replica {
 public:
  explicit LeadingReplica(env::Env env) : env_(env), applied_(env.executor) {
    cluster_.state = cluster::Scenario::first_state({"10.0.0.1:7481", "10.0.0.2:7481"}, 1);
  }

  Task<Result<cluster::Outcome>> propose(v1::Command /*command*/) override {
    co_return fail(Code::kUnimplemented, "not_here");
  }
  Task<Result<void>> read_barrier() override { co_return Result<void>(); }
  Task<Result<cluster::Outcome>> change_membership(replica::MembershipChange change) override {
    changes_made.emplace_back(env_.clock.monotonic(), change.node);
    co_return cluster_.configure({NodeId(1)}, {change.node});
  }
  Task<Result<void>> transfer_leader(NodeId /*to*/) override { co_return Result<void>(); }
  const cluster::State& state() const override { return cluster_.state; }
  replica::ClusterView& cluster_view() override {
    view_.follow(cluster_.state);
    return view_;
  }
  replica::Status status() const override { return {.self = NodeId(1)}; }
  bool is_leader() const override { return true; }
  std::vector<replica::MemberProgress> members() const override { return {}; }
  env::Signal& applied() override { return applied_; }
  Result<std::vector<cluster::Change>> changes(std::uint64_t /*since*/) const override {
    return std::vector<cluster::Change>();
  }
  Task<Result<void>> failed() override { co_return Result<void>(); }
  Task<void> stop() override { co_return; }

  std::vector<std::pair<Instant, NodeId>> changes_made;

 private:
  env::Env env_;
  env::Signal applied_;
  cluster::Scenario cluster_;
  replica::ClusterView view_;
};

Task<void> steward_for(env::Env env, LeadingReplica& replica, Duration duration) {
  Steward steward(env, replica);
  env::Scope scope(env.executor, nullptr);
  scope.spawn(steward.run());
  EXPECT_TRUE(co_await env.clock.sleep(duration));
  scope.cancel();
  co_await scope.join();
}

TEST(StewardTest, TakesInWhoIsMissingAtOnceOrLate) {
  for (const std::uint32_t percent : {0U, 100U}) {
    sim::World world(3);
    sim::Machine& machine = world.add_machine("a");
    LeadingReplica replica(machine.env());
    const Instant begun = machine.env().clock.monotonic();
    const sim::OnlyRare rare(world, env::RareSite::kMembershipLate, percent);
    EXPECT_TRUE(world.run(steward_for(machine.env(), replica, 10s)));
    ASSERT_EQ(replica.changes_made.size(), 1u);
    EXPECT_EQ(replica.changes_made.front().second, NodeId(2));
    EXPECT_EQ(replica.changes_made.front().first > begun, percent != 0);
    EXPECT_EQ(rare.taken(), percent / 100);
  }
}

}  // namespace
}  // namespace blixard::membership
