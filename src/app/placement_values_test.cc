// What people write about placement: every form, and what is refused.

#include "app/placement_values.h"

#include <gtest/gtest.h>

namespace blixard::app {
namespace {

using cluster::ConstraintOp;

TEST(PlacementValues, Constraints) {
  struct Case {
    const char* text;
    const char* attribute;
    ConstraintOp op;
    std::vector<std::string> values;
  };
  const Case cases[] = {
      {"architecture=x86_64", "architecture", ConstraintOp::kEqual, {"x86_64"}},
      {" label.disk != hdd ", "label.disk", ConstraintOp::kNotEqual, {"hdd"}},
      {"zone in a, b,c", "zone", ConstraintOp::kIn, {"a", "b", "c"}},
      {"zone not-in a", "zone", ConstraintOp::kNotIn, {"a"}},
      {"vcpus>=8", "vcpus", ConstraintOp::kGreaterOrEqual, {"8"}},
      {"vcpus <= 8", "vcpus", ConstraintOp::kLessOrEqual, {"8"}},
      {"vcpus<8", "vcpus", ConstraintOp::kLess, {"8"}},
      {"vcpus>8", "vcpus", ConstraintOp::kGreater, {"8"}},
      {"kernel version>=6.1", "kernel", ConstraintOp::kVersionAtLeast, {"6.1"}},
      {"kernel version<7", "kernel", ConstraintOp::kVersionLess, {"7"}},
      {"name~web-[0-9]+=?", "name", ConstraintOp::kMatches, {"web-[0-9]+=?"}},
      {"label.a=b~c", "label.a", ConstraintOp::kEqual, {"b~c"}},
      {"label.gpu", "label.gpu", ConstraintOp::kExists, {}},
      {"!label.gpu", "label.gpu", ConstraintOp::kNotExists, {}},
  };
  for (const Case& one : cases) {
    const auto constraint = parse_constraint(one.text);
    ASSERT_TRUE(constraint) << one.text;
    EXPECT_EQ(constraint->attribute, one.attribute) << one.text;
    EXPECT_EQ(constraint->op, one.op) << one.text;
    EXPECT_EQ(constraint->values, one.values) << one.text;
    EXPECT_EQ(parse_constraint(constraint_text(*constraint)), *constraint) << one.text;
  }
  for (const char* text : {"", "=", "=x", "zone=", "zone in ", "zone in a,,b", "a b=c", "!", ","}) {
    const auto refused = parse_constraint(text);
    ASSERT_FALSE(refused) << text;
    EXPECT_TRUE(refused.error().detail().contains("write it as")) << text;
  }
}

TEST(PlacementValues, Preferences) {
  const auto preference = parse_preference("zone=a:-50");
  ASSERT_TRUE(preference);
  EXPECT_EQ(preference->weight, -50);
  EXPECT_EQ(preference->constraint.values.at(0), "a");
  for (const char* text : {"zone=a", "zone=a:0", "zone=a:101", "zone=a:", ":5", "zone=a:x"})
    EXPECT_FALSE(parse_preference(text)) << text;
}

TEST(PlacementValues, Devices) {
  const auto groups = parse_device_groups("gpu:a100:4, fpga::1");
  ASSERT_TRUE(groups);
  ASSERT_EQ(groups->size(), 2u);
  EXPECT_EQ(groups->at(0).model, "a100");
  EXPECT_EQ(groups->at(1).model, "");
  EXPECT_EQ(groups->at(1).count, 1u);
  EXPECT_TRUE(parse_device_groups("")->empty());
  for (const char* text :
       {"gpu", "gpu:4", "gpu:a100:0", "gpu:a100:x", ":a:1", "gpu:A!:1", "a:b:1,"})
    EXPECT_FALSE(parse_device_groups(text)) << text;

  EXPECT_EQ(parse_device_need("gpu:2")->count, 2u);
  EXPECT_EQ(parse_device_need("gpu:2")->milli, 1000);
  EXPECT_EQ(parse_device_need("gpu:0.25")->milli, 250);
  EXPECT_EQ(parse_device_need("gpu:0.25")->count, 1u);
  EXPECT_EQ(parse_device_need("gpu:1:t4|a100")->models, (std::vector{Name("a100"), Name("t4")}));
  for (const char* text : {"gpu", "gpu:0", "gpu:-1", "gpu:1.5", "gpu:0.0001", "gpu:x", "gpu:1:A"})
    EXPECT_FALSE(parse_device_need(text)) << text;
}

TEST(PlacementValues, LabelsCountersAndTaints) {
  EXPECT_EQ(*parse_labels("b=2,a=1"), (std::vector<cluster::Label>{{"a", "1"}, {"b", "2"}}));
  EXPECT_TRUE(parse_labels("")->empty());
  for (const char* text : {"a", "=1", "a=1,a=2", "a=1,"})
    EXPECT_FALSE(parse_labels(text)) << text;
  EXPECT_EQ(parse_counters("slot:3,licence:10")->at(0).name, "licence");
  for (const char* text : {"slot", "slot:0", "slot:-1", "slot:x", "s:1,s:2"})
    EXPECT_FALSE(parse_counters(text)) << text;

  EXPECT_EQ(*parse_taint("spot"), (cluster::Taint{"spot", "", cluster::TaintEffect::kRefuse}));
  EXPECT_EQ(*parse_taint("spot=yes:avoid"),
            (cluster::Taint{"spot", "yes", cluster::TaintEffect::kAvoid}));
  for (const char* text : {"", "=x", "spot:sometimes", ":avoid"})
    EXPECT_FALSE(parse_taint(text)) << text;
  EXPECT_EQ(parse_toleration("spot=yes")->value, "yes");
  EXPECT_FALSE(parse_toleration("=yes"));
}

TEST(PlacementValues, Rules) {
  using Kind = cluster::GroupRuleKind;
  using Level = cluster::TopologyLevel;
  const auto spread = parse_rule("spread:node:1");
  ASSERT_TRUE(spread);
  EXPECT_EQ(spread->kind, Kind::kSpread);
  EXPECT_EQ(spread->level, Level::kNode);
  EXPECT_EQ(spread->max, 1u);
  EXPECT_TRUE(spread->hard);
  EXPECT_EQ(parse_rule("together:zone:soft=30")->weight, 30u);
  EXPECT_FALSE(parse_rule("together:zone:soft=30")->hard);
  EXPECT_EQ(parse_rule("near:db:rack")->other, "db");
  EXPECT_EQ(parse_rule("away:db:datacenter")->level, Level::kDatacenter);
  for (const char* text :
       {"", "spread", "spread:node", "spread:node:0", "spread:town:1", "together:node:1",
        "near:zone", "near:DB:zone", "away:db", "apart:node:1", "together:node:soft=0",
        "together:node:soft=101", "spread:node:1:2"})
    EXPECT_FALSE(parse_rule(text)) << text;
}

TEST(PlacementValues, RatesAndPolicies) {
  EXPECT_EQ(*parse_rate("5/h"), (cluster::Rate{5, 5}));
  EXPECT_EQ(*parse_rate("10/m:3"), (cluster::Rate{600, 3}));
  EXPECT_EQ(*parse_rate("50/s"), (cluster::Rate{180'000, 50}));
  for (const char* text : {"", "5", "0/h", "5/d", "5/h:0", "5/h:x", "5/h:1:1", "4000000000/s"})
    EXPECT_FALSE(parse_rate(text)) << text;

  EXPECT_EQ(*parse_overcommit("moderate"), resources::kModerate);
  EXPECT_EQ(*parse_overcommit("200/120/110/15"), resources::kModerate);
  for (const char* text : {"", "generous", "200/120/110", "99/100/100/0", "100/100/100/91"})
    EXPECT_FALSE(parse_overcommit(text)) << text;

  EXPECT_FALSE(parse_rebalance("off")->enabled);
  EXPECT_EQ(parse_rebalance("20:10")->moves_per_hour, 10u);
  for (const char* text : {"", "on", "20", "0:1", "101:1", "20:0"})
    EXPECT_FALSE(parse_rebalance(text)) << text;

  EXPECT_EQ(parse_latency("fra:ams:9")->a, "ams");
  for (const char* text : {"", "fra:ams", "fra:fra:1", "fra:ams:x", "fra:ams:100001"})
    EXPECT_FALSE(parse_latency(text)) << text;
}

TEST(PlacementValues, Amounts) {
  EXPECT_EQ(*parse_cost_micro("0.35"), 350'000);
  EXPECT_EQ(*parse_cost_micro("12"), 12'000'000);
  for (const char* text : {"", "-1", "1.", ".5", "1.1234567", "x"})
    EXPECT_FALSE(parse_cost_micro(text)) << text;
  EXPECT_EQ(*parse_disk_mib("200GiB"), 204'800);
  EXPECT_EQ(*parse_disk_mib("2TiB"), 2'097'152);
  for (const char* text : {"", "200", "-1GiB", "GiB", "9999999999999TiB"})
    EXPECT_FALSE(parse_disk_mib(text)) << text;
  EXPECT_EQ(*parse_cpu_milli("0.5"), 500u);
  EXPECT_EQ(*parse_cpu_milli("2"), 2000u);
  for (const char* text : {"", "0", "65", "0.0005"})
    EXPECT_FALSE(parse_cpu_milli(text)) << text;
}

}  // namespace
}  // namespace blixard::app
