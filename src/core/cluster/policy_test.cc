// What operators may decide, and the buckets of rates.

#include "core/cluster/policy.h"

#include <rapidcheck.h>

#include <map>
#include <string>

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "core/cluster/groups.h"
#include "core/cluster/policy_codec.h"

namespace blixard::cluster {
namespace {

constexpr std::int64_t kHour = 3'600'000;

template <class Message>
Message parsed(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

struct Row {
  std::string text;
  std::string_view part;  // of the detail; "": it is fine
};

template <class T>
void check(const Row& row, const Result<T>& read, std::string_view reason) {
  if (row.part.empty()) {
    EXPECT_TRUE(read) << row.text << ": " << read.error().message();
    return;
  }
  ASSERT_FALSE(read) << row.text;
  EXPECT_EQ(read.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(read.error().reason(), reason);
  EXPECT_NE(read.error().detail().find(row.part), std::string_view::npos)
      << row.text << ": " << read.error().detail();
}

WallTime at(std::int64_t unix_ms) { return {.unix_ms = unix_ms}; }

int taken_until(Bucket& bucket, const Rate& rate, std::int64_t from, std::int64_t until,
                std::int64_t step) {
  int taken = 0;
  for (std::int64_t now = from; now < until; now += step)
    taken += bucket.take(rate, at(now)) ? 1 : 0;
  return taken;
}

TEST(Bucket, GivesAsManyAnHourAsItSays) {
  const Rate rate{.per_hour = 5, .burst = 1};
  Bucket bucket = Bucket::full(rate, at(1));
  EXPECT_EQ(taken_until(bucket, rate, 1, 1 + kHour, 1000), 5);
  EXPECT_EQ(taken_until(bucket, rate, 1 + kHour, 1 + 11 * kHour, 1000), 50);
}

TEST(Bucket, GivesABurstAtOnceAndNoMore) {
  const Rate rate{.per_hour = 5, .burst = 3};
  Bucket bucket = Bucket::full(rate, at(1));
  for (const bool expected : {true, true, true, false})
    EXPECT_EQ(bucket.take(rate, at(1)), expected);
  EXPECT_EQ(bucket.wait_ms(rate, at(1)), kHour / 5);
  EXPECT_FALSE(bucket.take(rate, at(kHour / 5)));
  EXPECT_EQ(bucket.wait_ms(rate, at(kHour / 5)), 1);
  EXPECT_TRUE(bucket.take(rate, at(1 + kHour / 5)));
  EXPECT_EQ(bucket.wait_ms(rate, at(100 * kHour)), 0);
  for (const bool expected : {true, true, true, false})
    EXPECT_EQ(bucket.take(rate, at(1000 * kHour)), expected) << "no more than the burst is kept";
}

TEST(Bucket, OfNoRateIsNeverEmpty) {
  Bucket bucket;
  for (int again = 0; again < 10; ++again)
    EXPECT_TRUE(bucket.take({}, at(1)));
  EXPECT_EQ(bucket, Bucket());
}

TEST(Bucket, TimeThatGoesBackBringsNothing) {
  const Rate rate{.per_hour = 1, .burst = 1};
  Bucket bucket = Bucket::full(rate, at(5 * kHour));
  EXPECT_TRUE(bucket.take(rate, at(5 * kHour)));
  const Bucket empty = bucket;
  EXPECT_FALSE(bucket.take(rate, at(1)));
  EXPECT_EQ(bucket.wait_ms(rate, at(4 * kHour)), 2 * kHour);
  EXPECT_EQ(bucket, empty) << "what is refused changes nothing";
  EXPECT_FALSE(bucket.take(rate, at(6 * kHour - 1)));
  EXPECT_TRUE(bucket.take(rate, at(6 * kHour)));
}

TEST(Bucket, FollowsAChangeOfItsRate) {
  const Rate none;
  const Rate slow{.per_hour = 1, .burst = 2};
  const Rate fast{.per_hour = 100, .burst = 50};
  EXPECT_EQ(Bucket().under(none, slow, at(9)), Bucket::full(slow, at(9)));
  EXPECT_EQ(Bucket::full(fast, at(9)).under(fast, none, at(9)), Bucket());
  Bucket bucket = Bucket::full(fast, at(9)).under(fast, slow, at(9));
  EXPECT_EQ(bucket, Bucket::full(slow, at(9)));
  EXPECT_TRUE(bucket.take(slow, at(9)));
  // What was used up is not given again by raising the rate.
  EXPECT_EQ(bucket.under(slow, fast, at(9)).units(), Bucket::kToken);
}

TEST(Bucket, NoTimeOverflowsIt) {
  const Rate most{.per_hour = 3'600'000, .burst = 1'000'000};
  Bucket bucket = Bucket::full(most, at(1));
  EXPECT_TRUE(bucket.take(most, at(253'402'300'799'999)));
  EXPECT_EQ(bucket.units(), Bucket::kToken * 999'999);
  EXPECT_FALSE(Bucket::restored(-1, at(0)));
  EXPECT_FALSE(Bucket::restored(Bucket::kToken * 1'000'001, at(0)));
  EXPECT_FALSE(Bucket::restored(0, at(-1)));
}

// In any window, at most the burst and what the window brings.
RC_GTEST_PROP(BucketProperty, NeverGivesMoreThanItsRate, ()) {
  const Rate rate{.per_hour = *rc::gen::inRange<std::uint32_t>(1, 10'000),
                  .burst = *rc::gen::inRange<std::uint32_t>(1, 20)};
  const auto steps = *rc::gen::container<std::vector<std::int64_t>>(
      rc::gen::inRange<std::int64_t>(-1000, 100'000));
  Bucket bucket = Bucket::full(rate, at(1'000'000));
  std::int64_t now = 1'000'000;
  std::int64_t latest = now;
  std::int64_t taken = 0;
  for (const std::int64_t step : steps) {
    now = std::max<std::int64_t>(now + step, 0);
    latest = std::max(latest, now);
    const bool gives = bucket.wait_ms(rate, at(now)) == 0;
    RC_ASSERT(bucket.take(rate, at(now)) == gives);
    taken += gives ? 1 : 0;
    RC_ASSERT(taken * kHour <= rate.burst * kHour + (latest - 1'000'000) * rate.per_hour);
  }
}

TEST(Policy, IsChecked) {
  const Row rows[] = {
      {"", ""},
      {"strategy: STRATEGY_MANUAL", "manual is for single VMs"},
      {"strategy: 77", "strategy: unknown"},
      {"overcommit { cpu_percent: 100 memory_percent: 100 disk_percent: 100 }", ""},
      {"overcommit { cpu_percent: 99 memory_percent: 100 disk_percent: 100 }", "overcommit"},
      {"overcommit { }", "overcommit"},
      {"preemption: 77", "preemption"},
      {"preemption_grace_seconds: 601", "preemption_grace_seconds: 601"},
      {"rebalance { enabled: true }", "rebalance.threshold_percent: 0"},
      {"rebalance { threshold_percent: 101 moves_per_hour: 1 }", "threshold_percent"},
      {"rebalance { threshold_percent: 1 moves_per_hour: 10001 }", "moves_per_hour"},
      {"latencies { a: 'x' b: 'y' ms: 5 } latencies { a: 'z' b: 'x' ms: 1 }", ""},
      {"latencies { a: 'x' b: 'y' } latencies { a: 'y' b: 'x' }", "x and y twice"},
      {"latencies { a: 'x' b: 'x' }", "to itself"},
      {"latencies { a: 'x' b: 'y' ms: 100001 }", "ms"},
      {"latencies { a: 'x' }", "latencies"},
      {"cost_increase_percent: 10001", "cost_increase_percent"},
      {"spread_level: 77", "spread_level"},
      {"spread_domains_min: 1025", "spread_domains_min"},
  };
  for (const Row& row : rows)
    check(row, read_policy(parsed<v1::PlacementPolicy>(row.text)), "policy_invalid");
}

TEST(Policy, GoesBothWays) {
  const auto policy = read_policy(parsed<v1::PlacementPolicy>(R"(strategy: STRATEGY_ROUND_ROBIN
      overcommit { cpu_percent: 200 memory_percent: 120 disk_percent: 110 reserve_percent: 15 }
      preemption: PREEMPTION_POLICY_NEVER preemption_grace_seconds: 4
      rebalance { enabled: true threshold_percent: 5 moves_per_hour: 6 }
      latencies { a: 'z' b: 'y' ms: 5 } cost_increase_percent: 7
      spread_level: TOPOLOGY_LEVEL_RACK spread_domains_min: 3)"));
  ASSERT_TRUE(policy) << policy.error().message();
  EXPECT_EQ(policy->latencies[0].a, "y");
  EXPECT_EQ(policy->overcommit, resources::kModerate);
  v1::PlacementPolicy written;
  write_policy(*policy, &written);
  EXPECT_EQ(*read_policy(written), *policy);
}

TEST(Group, IsChecked) {
  const std::string near = "kind: GROUP_RULE_KIND_NEAR";
  const std::string away = "kind: GROUP_RULE_KIND_AWAY";
  const auto rule = [](const std::string& text) { return "name: 'g' rules { " + text + " } "; };
  const Row rows[] = {
      {"name: 'g'", ""},
      {"name: 'G'", "name: G"},
      {"name: 'g' gang: 257", "gang: 257"},
      {rule("kind: GROUP_RULE_KIND_SPREAD max: 1 hard: true"), ""},
      {rule("kind: GROUP_RULE_KIND_SPREAD"), "max: 0"},
      {rule("kind: GROUP_RULE_KIND_TOGETHER max: 2"), "only of spread"},
      {rule("max: 2"), "no known kind"},
      {rule("kind: 77"), "no known kind"},
      {rule("kind: GROUP_RULE_KIND_TOGETHER level: 77"), "level"},
      {rule("kind: GROUP_RULE_KIND_TOGETHER other: 'h'"), "other: together has none"},
      {rule(near), "other"},
      {rule(near + " other: 'h'"), ""},
      {rule(near + " other: 'g'"), "near itself: together"},
      {rule(away + " other: 'g'"), "away itself: spread"},
      {rule(near + " other: 'h' weight: 100"), ""},
      {rule(near + " other: 'h' weight: 101"), "weight: 101"},
      {rule(near + " other: 'h' weight: 10 hard: true"), "a hard rule has none"},
      {rule(near + " other: 'h' hard: true level: TOPOLOGY_LEVEL_ZONE") + "rules { " + away +
           " other: 'h' hard: true level: TOPOLOGY_LEVEL_NODE }",
       ""},
      {rule(near + " other: 'h' hard: true level: TOPOLOGY_LEVEL_NODE") + "rules { " + away +
           " other: 'h' hard: true level: TOPOLOGY_LEVEL_ZONE }",
       "leave one of both out"},
      {rule(near + " other: 'h'") + "rules { " + near + " other: 'h' hard: true }", "twice"},
  };
  for (const Row& row : rows)
    check(row, read_group(parsed<v1::PlacementGroup>(row.text)), "group_invalid");
  std::string many = "name: 'g' ";
  for (int at = 0; at < 9; ++at)
    many += "rules { " + near + " other: 'h" + std::to_string(at) + "' } ";
  check({many, "rules: 9"}, read_group(parsed<v1::PlacementGroup>(many)), "group_invalid");
}

TEST(Group, GoesBothWays) {
  const auto group = read_group(parsed<v1::PlacementGroup>(R"(name: 'g' gang: 3
      rules { kind: GROUP_RULE_KIND_SPREAD level: TOPOLOGY_LEVEL_RACK max: 2 hard: true }
      rules { kind: GROUP_RULE_KIND_AWAY level: TOPOLOGY_LEVEL_ZONE other: 'h' weight: 7 })"));
  ASSERT_TRUE(group) << group.error().message();
  v1::PlacementGroup written;
  write_group(*group, &written);
  EXPECT_EQ(*read_group(written), *group);
  EXPECT_EQ(rule_text(group->rules[0]), "at most 2 in one rack");
  EXPECT_EQ(rule_text(group->rules[1]), "in a zone with none of group h");
}

std::map<Name, PlacementGroup> groups_of(
    const std::vector<std::tuple<std::string, std::string, bool>>& near) {
  std::map<Name, PlacementGroup> groups;
  for (const auto& [name, other, hard] : near) {
    for (const std::string& each : {name, other})
      groups.try_emplace(Name(each), PlacementGroup{.name = Name(each)});
    groups[Name(name)].rules.push_back(
        {.kind = GroupRuleKind::kNear, .other = Name(other), .hard = hard});
  }
  return groups;
}

TEST(Group, CyclesOfHardNearRulesAreFound) {
  const auto chain = groups_of({{"a", "b", true}, {"b", "c", true}, {"a", "c", true}});
  EXPECT_FALSE(has_cycle(chain));
  EXPECT_EQ(cycle_through(chain.at(Name("a")), chain), "");
  const auto ring = groups_of({{"a", "b", true}, {"b", "c", true}, {"c", "a", true}});
  EXPECT_TRUE(has_cycle(ring));
  EXPECT_EQ(cycle_through(ring.at(Name("a")), ring), "a -> b -> c -> a");
  const auto soft = groups_of({{"a", "b", true}, {"b", "c", false}, {"c", "a", true}});
  EXPECT_FALSE(has_cycle(soft));
  EXPECT_EQ(cycle_through(soft.at(Name("a")), soft), "");
  // The one that is set takes the place of the one of its name.
  PlacementGroup changed = chain.at(Name("c"));
  changed.rules = {{.kind = GroupRuleKind::kNear, .other = Name("a"), .hard = true}};
  EXPECT_EQ(cycle_through(changed, chain), "c -> a -> b -> c");
  EXPECT_TRUE(has_cycle(groups_of({{"z", "a", true}, {"a", "b", true}, {"b", "a", true}})));
}

TEST(Group, DomainsAreNamedByAllAboveThem) {
  const Node one{.id = NodeId(1), .topology = {Name("d1"), Name("z"), Name("r")}};
  const Node two{.id = NodeId(2), .topology = {Name("d2"), Name("z"), Name("r")}};
  const Node three{.id = NodeId(3), .topology = {Name("d1"), Name("z"), Name("s")}};
  using enum TopologyLevel;
  EXPECT_FALSE(same_domain(one, two, kZone));
  EXPECT_FALSE(same_domain(one, two, kRack));
  EXPECT_TRUE(same_domain(one, three, kZone));
  EXPECT_TRUE(same_domain(one, three, kDatacenter));
  EXPECT_FALSE(same_domain(one, three, kRack));
  EXPECT_FALSE(same_domain(one, three, kNode));
  EXPECT_TRUE(same_domain(Node{.id = NodeId(8)}, Node{.id = NodeId(9)}, kRack)) << "none told";
  EXPECT_EQ(domain_text(one, kZone), "zone z");
  EXPECT_EQ(domain_text(Node{}, kZone), "no zone");
}

TEST(Tenant, IsChecked) {
  const Row rows[] = {
      {"name: 'blue'", ""},
      {"name: 'default' quota { vms: 4294967295 }", ""},
      {"name: ''", "name"},
      {"name: 'blue' quota { memory_mib: -1 }", "quota.memory_mib"},
      {"name: 'blue' quota { disk_mib: 9223372036854775807 }", "quota.disk_mib"},
      {"name: 'blue' creates { per_hour: 5 }", ""},
      {"name: 'blue' creates { burst: 5 }", "creates: a burst of 5 without a rate"},
      {"name: 'blue' starts { per_hour: 3600001 }", "starts"},
      {"name: 'blue' deletes { per_hour: 1 burst: 1000001 }", "deletes"},
      {"name: 'blue' preemptions_per_hour: 1000001", "preemptions_per_hour"},
      {"name: 'blue' weight: 1001", "weight"},
  };
  for (const Row& row : rows)
    check(row, read_tenant(parsed<v1::Tenant>(row.text)), "tenant_invalid");
}

TEST(Reservation, IsChecked) {
  const std::string whole = "name: 'peak' tenant: 'blue' node_id: 1 ";
  const Row rows[] = {
      {whole + "cpu_milli: 500 memory_mib: 5 disk_mib: 6 priority: 1000", ""},
      {"name: 'peak' node_id: 1 cpu_milli: 5", ""},
      {whole, "reserves nothing"},
      {"name: '' tenant: 'blue' node_id: 1 cpu_milli: 5", "name"},
      {"name: 'peak' tenant: 'B' node_id: 1 cpu_milli: 5", "tenant"},
      {"name: 'peak' tenant: 'blue' cpu_milli: 5", "node_id"},
      {whole + "cpu_milli: 4294967295", "cpu_milli"},
      {whole + "memory_mib: -1", "memory_mib"},
      {whole + "disk_mib: 1099511627777", "disk_mib"},
      {whole + "cpu_milli: 5 priority: 1001", "priority"},
  };
  for (const Row& row : rows)
    check(row, read_reservation(parsed<v1::Reservation>(row.text)), "reservation_invalid");
}

}  // namespace
}  // namespace blixard::cluster
