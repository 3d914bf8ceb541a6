// What operators decide: the policy, groups, tenants, reservations, and what users run into.

#include <gtest/gtest.h>

#include "base/limits.h"
#include "core/cluster/test_apply.h"

namespace blixard::cluster {
namespace {

constexpr auto kBad = Code::kInvalidArgument;
constexpr auto kExhausted = Code::kResourceExhausted;

using ApplyPolicy = Apply;

v1::Command at(v1::Command command, std::int64_t time_unix_ms) {
  command.set_time_unix_ms(time_unix_ms);
  return command;
}

TEST_F(ApplyPolicy, ThePolicyIsReplacedWhole) {
  EXPECT_EQ(cluster_.state.policy(), PlacementPolicy{});
  EXPECT_EQ(room(1).cpu_milli, 16'000);
  must(
      "set_policy { policy { strategy: STRATEGY_ROUND_ROBIN overcommit { cpu_percent: 100 "
      "memory_percent: 100 disk_percent: 100 reserve_percent: 10 } } }");
  EXPECT_EQ(cluster_.state.policy().strategy, Strategy::kRoundRobin);
  EXPECT_EQ(room(1), (resources::Amounts{3600, 921, 0, 0}));
  const PlacementPolicy defaults;
  EXPECT_EQ(cluster_.state.policy().preemption_grace_seconds, defaults.preemption_grace_seconds);
  EXPECT_EQ(cluster_.state.policy().cost_increase_percent, defaults.cost_increase_percent);
  EXPECT_EQ(cluster_.changes.back().kind, Change::Kind::kPolicyChanged);
  const std::size_t changes = cluster_.changes.size();
  must(
      "set_policy { policy { strategy: STRATEGY_ROUND_ROBIN overcommit { cpu_percent: 100 "
      "memory_percent: 100 disk_percent: 100 reserve_percent: 10 } } }");
  EXPECT_EQ(cluster_.changes.size(), changes);
  expect_refused("set_policy { policy { strategy: STRATEGY_MANUAL } }", kBad, "policy_invalid");
  must("set_policy { policy { preemption_grace_seconds: 0 cost_increase_percent: 0 } }");
  EXPECT_EQ(cluster_.state.policy().preemption_grace_seconds, 0u);
  EXPECT_EQ(cluster_.state.policy().cost_increase_percent, 0u);
}

TEST_F(ApplyPolicy, GroupsAreSetAndRemoved) {
  must("set_group { group { name: 'db' gang: 2 } }");
  EXPECT_EQ(cluster_.state.find_group("db")->gang, 2u);
  EXPECT_EQ(cluster_.changes.back().kind, Change::Kind::kGroupChanged);
  EXPECT_EQ(cluster_.changes.back().name, "db");
  const std::size_t changes = cluster_.changes.size();
  must("set_group { group { name: 'db' gang: 2 } }");
  EXPECT_EQ(cluster_.changes.size(), changes);
  must(
      "set_group { group { name: 'web' rules { kind: GROUP_RULE_KIND_NEAR other: 'db' "
      "hard: true } } }");
  EXPECT_EQ(cluster_.state.groups_naming(Name("db")), std::set<Name>{Name("web")});
  expect_refused(
      "set_group { group { name: 'x' rules { kind: GROUP_RULE_KIND_AWAY "
      "other: 'none' } } }",
      Code::kNotFound, "group_not_found");
  expect_refused("set_group { group { name: 'X' } }", kBad, "group_invalid");
  const char* cycle =
      "set_group { group { name: 'db' rules { kind: GROUP_RULE_KIND_NEAR other: 'web' hard: true } "
      "} }";
  expect_refused(cycle, kBad, "group_cycle");
  expect_detail(Scenario::command(cycle), "db -> web -> db");
  expect_refused("remove_group { name: 'none' }", Code::kNotFound, "group_not_found");
  expect_refused("remove_group { name: '../x' }", kBad, "name_invalid");
  expect_refused("remove_group { name: 'db' }", Code::kFailedPrecondition, "group_in_use");
  must_create("vm", "groups: 'web'");
  expect_refused("remove_group { name: 'web' }", Code::kFailedPrecondition, "group_in_use");
  ASSERT_TRUE(cluster_.desire("vm", v1::VM_DESIRED_DELETED));
  must("remove_group { name: 'web' }");
  EXPECT_EQ(cluster_.changes.back().kind, Change::Kind::kGroupRemoved);
  EXPECT_TRUE(cluster_.state.groups_naming(Name("db")).empty());
  must("remove_group { name: 'db' }");
}

TEST_F(ApplyPolicy, GroupsAreLimited) {
  for (std::size_t at = 0; at < limits::kPlacementGroups; ++at)
    must("set_group { group { name: 'g" + std::to_string(at) + "' } }");
  expect_refused("set_group { group { name: 'more' } }", kExhausted, "too_many_groups");
  must("set_group { group { name: 'g7' gang: 2 } }");
}

TEST_F(ApplyPolicy, WhatAVmNamesMustExist) {
  expect_refused(Scenario::create_command("a", "groups: 'none'", 1, 128), Code::kNotFound,
                 "group_not_found");
  expect_refused(Scenario::create_command("a", "strategy: STRATEGY_MANUAL node: 'n9'", 1, 128),
                 Code::kNotFound, "node_not_found");
  expect_refused(Scenario::create_command("a", "priority: 1001", 1, 128), kBad,
                 "placement_invalid");
  must_create("b", "strategy: STRATEGY_MANUAL node: 'n2'");
}

// Tenants.

TEST_F(ApplyPolicy, QuotasAreKept) {
  must(
      "set_tenant { tenant { name: 'blue' quota { vms: 3 vcpus: 6 memory_mib: 1000 disk_mib: 50 } "
      "} }");
  const auto blue = [](const std::string& name, const std::string& more, std::uint32_t vcpus,
                       std::uint32_t memory_mib) {
    return Scenario::create_command(name, "tenant: 'blue' " + more, vcpus, memory_mib);
  };
  ASSERT_TRUE(cluster_.apply(blue("a", "disk_mib: 30", 4, 400)));
  EXPECT_EQ(cluster_.state.use_of(Name("blue")),
            (TenantUse{.vms = 1, .vcpus = 4, .memory_mib = 400, .disk_mib = 30}));
  expect_refused(blue("b", "", 3, 100), kExhausted, "quota_exceeded");
  expect_detail(blue("b", "", 3, 100), "tenant blue has 4 of 6 vCPUs, VM b needs 3: raise its");
  expect_refused(blue("b", "", 1, 601), kExhausted, "quota_exceeded");
  expect_detail(blue("b", "", 1, 601), "400 of 1000 MiB of memory, VM b needs 601");
  expect_refused(blue("b", "disk_mib: 21", 1, 100), kExhausted, "quota_exceeded");
  ASSERT_TRUE(cluster_.apply(blue("b", "disk_mib: 20", 1, 100)));
  ASSERT_TRUE(cluster_.apply(blue("c", "", 1, 100)));
  expect_refused(blue("d", "", 1, 100), kExhausted, "quota_exceeded");
  expect_detail(blue("d", "", 1, 100), "tenant blue has 3 of 3 VMs: raise its quota or delete one");
  EXPECT_TRUE(cluster_.create("d")) << "of nobody's quota";
  ASSERT_TRUE(cluster_.desire("a", v1::VM_DESIRED_DELETED));
  EXPECT_TRUE(cluster_.apply(blue("e", "", 4, 100)));
}

TEST_F(ApplyPolicy, TheDefaultTenantMayHaveAQuota) {
  must("set_tenant { tenant { name: 'default' quota { vms: 1 } } }");
  ASSERT_TRUE(cluster_.create("a"));
  expect_refused(Scenario::create_command("b", 1, 128), kExhausted, "quota_exceeded");
  must_create("c", "tenant: 'blue'");
}

TEST_F(ApplyPolicy, RatesAreKept) {
  constexpr std::int64_t kFirst = 1'000'000;
  constexpr std::int64_t kStep = 720'000;  // five an hour
  ASSERT_TRUE(cluster_.apply(at(Scenario::command("set_tenant { tenant { name: 'default' "
                                                  "creates { per_hour: 5 burst: 2 } "
                                                  "starts { per_hour: 5 } "
                                                  "deletes { per_hour: 5 burst: 1 } } }"),
                                kFirst)));
  const auto create = [](const std::string& name, std::int64_t time) {
    return at(Scenario::create_command(name, 1, 128), time);
  };
  const auto desire = [](const std::string& name, const std::string& desired, std::int64_t time) {
    return at(Scenario::command("set_desired { name: '" + name + "' desired: VM_DESIRED_" +
                                desired + " }"),
              time);
  };
  ASSERT_TRUE(cluster_.apply(create("a", kFirst)));
  ASSERT_TRUE(cluster_.apply(create("b", kFirst)));
  expect_refused(create("c", kFirst), kExhausted, "rate_exceeded");
  expect_detail(create("c", kFirst),
                "tenant default may create VMs 5 an hour, 2 at once: the next "
                "in 720 s");
  expect_refused(create("c", kFirst + kStep - 1), kExhausted, "rate_exceeded");
  ASSERT_TRUE(cluster_.apply(create("c", kFirst + kStep)));
  // What is refused for another reason costs nothing.
  expect_refused(create("a", kFirst + 2 * kStep), Code::kAlreadyExists, "vm_exists");
  ASSERT_TRUE(cluster_.apply(create("d", kFirst + 2 * kStep)));

  ASSERT_TRUE(cluster_.apply(desire("a", "STOPPED", kFirst)));
  ASSERT_TRUE(cluster_.apply(desire("b", "STOPPED", kFirst)));
  ASSERT_TRUE(cluster_.apply(desire("a", "RUNNING", kFirst)));
  ASSERT_TRUE(cluster_.apply(desire("a", "RUNNING", kFirst))) << "no start, no cost";
  expect_refused(desire("b", "RUNNING", kFirst), kExhausted, "rate_exceeded");
  ASSERT_TRUE(cluster_.apply(desire("b", "RUNNING", kFirst + kStep)));

  ASSERT_TRUE(cluster_.apply(desire("a", "DELETED", kFirst)));
  expect_refused(desire("b", "DELETED", kFirst), kExhausted, "rate_exceeded");
  ASSERT_TRUE(cluster_.apply(desire("b", "DELETED", kFirst + kStep)));
}

TEST_F(ApplyPolicy, TenantsAreSetAndRemoved) {
  must("set_tenant { tenant { name: 'blue' creates { per_hour: 1 } } }");
  EXPECT_EQ(cluster_.changes.back().kind, Change::Kind::kTenantChanged);
  EXPECT_EQ(cluster_.state.find_tenant("blue")->weight, 100u);
  EXPECT_EQ(cluster_.state.find_tenant("blue")->creates_left.units(), Bucket::kToken);
  must_create("a", "tenant: 'blue'");
  EXPECT_EQ(cluster_.state.find_tenant("blue")->creates_left.units(), 0);
  const std::size_t changes = cluster_.changes.size();
  must("set_tenant { tenant { name: 'blue' creates { per_hour: 1 } } }");
  EXPECT_EQ(cluster_.changes.size(), changes) << "and the bucket is as it was";
  must("set_tenant { tenant { name: 'blue' quota { vms: 5 } creates { per_hour: 1 } } }");
  EXPECT_EQ(cluster_.state.find_tenant("blue")->creates_left.units(), 0);
  expect_refused("set_tenant { tenant { name: '' } }", kBad, "tenant_invalid");
  expect_refused("remove_tenant { name: 'none' }", Code::kNotFound, "tenant_not_found");
  must("remove_tenant { name: 'blue' }");
  EXPECT_EQ(cluster_.changes.back().kind, Change::Kind::kTenantRemoved);
  must_create("b", "tenant: 'blue'");
  EXPECT_EQ(cluster_.state.use_of(Name("blue")).vms, 2u);
}

TEST_F(ApplyPolicy, TenantsAreLimited) {
  for (std::size_t at = 0; at < limits::kTenants; ++at)
    must("set_tenant { tenant { name: 't" + std::to_string(at) + "' } }");
  expect_refused("set_tenant { tenant { name: 'more' } }", kExhausted, "too_many_tenants");
}

TEST_F(ApplyPolicy, TheQueueIsLimited) {
  for (std::size_t at = 0; at < limits::kPendingVms; ++at)
    ASSERT_TRUE(cluster_.create("vm-" + std::to_string(at)));
  const auto refused = cluster_.create("more");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason(), "queue_full");
  ASSERT_TRUE(cluster_.place("vm-0", 1));
  EXPECT_TRUE(cluster_.create("more"));
}

// A program of before would have taken it.
TEST(ApplyPolicyBefore, TheQueueIsNotLimitedUntilAllKnowIt) {
  Scenario cluster;
  cluster.version = 3;
  ASSERT_TRUE(cluster.add_image("alpine"));
  for (std::size_t at = 0; at <= limits::kPendingVms; ++at)
    ASSERT_TRUE(cluster.create("vm-" + std::to_string(at)));
}

// Reservations.

TEST_F(ApplyPolicy, ReservationsAreSetRenewedAndRemoved) {
  const std::string peak =
      "set_reservation { reservation { name: 'peak' tenant: 'blue' node_id: 1 memory_mib: 600 ";
  ASSERT_TRUE(cluster_.apply(at(Scenario::command(peak + "lifetime_ms: 1000 } }"), 5000)));
  EXPECT_EQ(cluster_.state.find_reservation("peak")->expires.unix_ms, 6000);
  EXPECT_EQ(cluster_.changes.back().kind, Change::Kind::kReservationChanged);
  EXPECT_EQ(cluster_.state.reservations_on(NodeId(1)).size(), 1u);
  ASSERT_TRUE(cluster_.apply(at(Scenario::command(peak + "lifetime_ms: 1000 } }"), 5500)));
  EXPECT_EQ(cluster_.state.find_reservation("peak")->expires.unix_ms, 6500);
  expect_refused(peak + "priority: 5 } }", Code::kAlreadyExists, "reservation_exists");
  expect_refused(at(Scenario::command("remove_reservation { name: 'peak' expired: true }"), 6499),
                 Code::kFailedPrecondition, "reservation_not_expired");
  ASSERT_TRUE(cluster_.apply(
      at(Scenario::command("remove_reservation { name: 'peak' expired: true }"), 6500)));
  EXPECT_EQ(cluster_.changes.back().kind, Change::Kind::kReservationRemoved);
  EXPECT_TRUE(cluster_.state.reservations_on(NodeId(1)).empty());
  expect_refused("remove_reservation { name: 'peak' }", Code::kNotFound, "reservation_not_found");
  must(peak + "} }");
  expect_refused("remove_reservation { name: 'peak' expired: true }", Code::kFailedPrecondition,
                 "reservation_not_expired");
  must("remove_reservation { name: 'peak' }");
}

TEST_F(ApplyPolicy, ReservationsAreRefused) {
  const auto set = [](const std::string& text) {
    return "set_reservation { reservation { name: 'r' tenant: 'blue' " + text + " } }";
  };
  expect_refused(set("node_id: 1"), kBad, "reservation_invalid");
  expect_refused(set("node_id: 1 memory_mib: 5 lifetime_ms: -1"), kBad, "reservation_invalid");
  expect_refused(set("node_id: 1 memory_mib: 5 lifetime_ms: 31536000001"), kBad,
                 "reservation_invalid");
  expect_refused(set("node_id: 9 memory_mib: 5"), Code::kNotFound, "node_not_found");
  expect_refused(set("node_id: 1 memory_mib: 1025"), kExhausted, "node_full");
  expect_refused(set("node_id: 1 disk_mib: 1"), kExhausted, "node_full");
  must_create("own", "tenant: 'blue'", 1, 500);
  ASSERT_TRUE(cluster_.place("own", 1));
  ASSERT_TRUE(cluster_.create("other", 1, 100));
  ASSERT_TRUE(cluster_.place("other", 1));
  // 424 are left, and 500 of what is reserved are used already.
  expect_refused(set("node_id: 1 memory_mib: 925"), kExhausted, "node_full");
  must(set("node_id: 1 memory_mib: 824"));
  // Another tenant's finds 100 left; a second of the same tenant too.
  for (const char* tenant : {"blue", "red"}) {
    const std::string more = std::string("set_reservation { reservation { name: 'more' tenant: '") +
                             tenant + "' node_id: 1 memory_mib: ";
    expect_refused(more + "101 } }", kExhausted, "node_full");
    must(more + "100 } }");
    must("remove_reservation { name: 'more' }");
  }
}

TEST_F(ApplyPolicy, ReservationsAreLimited) {
  ASSERT_TRUE(cluster_.add_node(3, 4096, 1024));
  for (std::size_t at = 0; at < limits::kReservations; ++at) {
    must("set_reservation { reservation { name: 'r" + std::to_string(at) +
         "' node_id: 3 cpu_milli: 1 } }");
  }
  expect_refused("set_reservation { reservation { name: 'more' node_id: 3 cpu_milli: 1 } }",
                 kExhausted, "too_many_reservations");
}

TEST_F(ApplyPolicy, ReservationsGoWithTheirNode) {
  must("set_reservation { reservation { name: 'a' node_id: 1 memory_mib: 5 } }");
  must("set_reservation { reservation { name: 'b' node_id: 2 memory_mib: 5 } }");
  must("remove_node { node_id: 1 }");
  expect_refused("set_reservation { reservation { name: 'c' node_id: 1 memory_mib: 5 } }",
                 Code::kFailedPrecondition, "node_leaving");
  cluster_.changes.clear();
  must("drop_node { node_id: 1 }");
  EXPECT_EQ(cluster_.state.find_reservation("a"), nullptr);
  EXPECT_NE(cluster_.state.find_reservation("b"), nullptr);
  ASSERT_EQ(cluster_.changes.size(), 2u);
  EXPECT_EQ(cluster_.changes[0].kind, Change::Kind::kReservationRemoved);
  EXPECT_TRUE(State::decode(cluster_.state.encode()));
}

}  // namespace
}  // namespace blixard::cluster
