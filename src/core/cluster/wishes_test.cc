// What VMs may ask for, and what contradicts itself.

#include "core/cluster/wishes.h"

#include <string>

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "core/cluster/wishes_codec.h"

namespace blixard::cluster {
namespace {

v1::PlacementSpec spec_of(const std::string& text) {
  v1::PlacementSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec)) << text;
  return spec;
}

struct Row {
  std::string text;
  std::string_view part;  // of the detail; "": it is fine
};

void check(const Row& row) {
  const auto wishes = read_wishes(spec_of(row.text));
  if (row.part.empty()) {
    EXPECT_TRUE(wishes) << row.text << ": " << wishes.error().message();
    return;
  }
  ASSERT_FALSE(wishes) << row.text;
  EXPECT_EQ(wishes.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(wishes.error().reason(), "placement_invalid");
  EXPECT_NE(wishes.error().detail().find(row.part), std::string_view::npos)
      << row.text << ": " << wishes.error().detail();
}

std::string many(const std::string& text, std::size_t count) {
  std::string all;
  for (std::size_t at = 0; at < count; ++at) {
    std::string one = text;
    for (auto hash = one.find('#'); hash != std::string::npos; hash = one.find('#'))
      one.replace(hash, 1, std::to_string(at));
    all += one + " ";
  }
  return all;
}

TEST(Wishes, AmountsAreBounded) {
  const Row rows[] = {
      {"", ""},
      {"cpu_milli: 64000", ""},
      {"cpu_milli: 64001", "cpu_milli: 64001 is not between 0 and 64000"},
      {"cpu_milli: 500 dedicated_cpus: true", "cpu_milli: dedicated_cpus"},
      {"dedicated_cpus: true", ""},
      {"disk_mib: -1", "disk_mib: -1"},
      {"disk_mib: 1099511627776", ""},
      {"disk_mib: 1099511627777", "disk_mib"},
      {"network_mbit: -5", "network_mbit"},
      {"network_mbit: 10000001", "network_mbit"},
      {"priority: 1001", "priority: 1001 is not between 0 and 1000"},
      {"priority: 0", ""},
      {"counters { name: 'licence' amount: 2 }", ""},
      {"counters { name: 'licence' amount: 0 }", "counters: 0"},
      {"counters { name: 'licence' amount: -9223372036854775808 }", "counters"},
      {"counters { name: 'licence' amount: 1099511627777 }", "counters"},
      {"counters { name: 'A' amount: 1 }", "counters: A"},
      {"counters { name: 'a' amount: 1 } counters { name: 'a' amount: 1 }", "counters: a twice"},
      {many("counters { name: 'c#' amount: 1 }", limits::kCounters), ""},
      {many("counters { name: 'c#' amount: 1 }", limits::kCounters + 1), "counters: 17"},
  };
  for (const Row& row : rows)
    check(row);
}

TEST(Wishes, DevicesAreWholeOrPartsOfOne) {
  const Row rows[] = {
      {"devices { kind: 'gpu' }", ""},
      {"devices { kind: 'gpu' count: 8 }", ""},
      {"devices { kind: 'gpu' count: 1 milli: 500 models: ['t4', 'a100'] }", ""},
      {"devices { kind: 'gpu' count: 2 milli: 500 }", "a fraction is of one"},
      {"devices { kind: 'gpu' milli: 1001 }", "milli: 1001"},
      {"devices { kind: 'gpu' milli: 4294967295 }", "milli"},
      {"devices { kind: 'gpu' count: 65 }", "count: 65"},
      {"devices { count: 1 }", "devices: the name is empty"},
      {"devices { kind: 'gpu' models: 'x y' }", "models"},
      {"devices { kind: 'gpu' models: ['t4', 't4'] }", "model t4 twice"},
      {"devices { kind: 'gpu' " + many("models: 'm#'", 17) + " }", "models: 17"},
      {"devices { kind: 'gpu' } devices { kind: 'gpu' }", "kind gpu twice"},
      {"devices { kind: 'a' count: 40 } devices { kind: 'b' count: 40 }", "devices: 80"},
      {many("devices { kind: 'k#' }", 9), "devices: 9 of them, at most 8"},
  };
  for (const Row& row : rows)
    check(row);
}

std::string constraint(const std::string& attribute, const std::string& op,
                       const std::string& values = "") {
  return "constraints { attribute: '" + attribute + "' op: CONSTRAINT_OP_" + op +
         (values.empty() ? "" : " values: [" + values + "]") + " } ";
}

TEST(Wishes, ConstraintsHaveTheirForm) {
  const Row rows[] = {
      {constraint("zone", "EQUAL", "'a'"), ""},
      {constraint("zone", "EQUAL"), "compared with 0 values, 1 to 1"},
      {constraint("zone", "EQUAL", "'a', 'b'"), "compared with 2 values"},
      {constraint("zone", "IN", "'a', 'b'"), ""},
      {constraint("zone", "IN"), "compared with 0 values"},
      {constraint("zone", "EXISTS", "'a'"), "compared with 1 values, 0 to 0"},
      {"constraints { attribute: 'zone' values: 'a' }", "without an operator"},
      {"constraints { attribute: 'zone' op: 99 values: 'a' }", "without an operator"},
      {constraint("a b", "EXISTS"), "'a b' is no attribute"},
      {constraint("", "EXISTS"), "is no attribute"},
      {constraint(std::string(129, 'a'), "EXISTS"), "is no attribute"},
      {constraint("zone", "EQUAL", "'" + std::string(129, 'a') + "'"), "128 bytes"},
      {constraint("zone", "EQUAL", "'a\\nb'"), "one line"},
      {constraint("vcpus", "LESS", "'8'"), ""},
      {constraint("vcpus", "LESS", "'-1.5'"), ""},
      {constraint("vcpus", "LESS", "'many'"), "'many', which is no number"},
      {constraint("vcpus", "GREATER", "'1e3'"), "no number"},
      {constraint("kernel", "VERSION_AT_LEAST", "'6.1'"), ""},
      {many(constraint("label.l#", "EXISTS"), 16), ""},
      {many(constraint("label.l#", "EXISTS"), 17), "constraints: 17"},
      {constraint("zone", "IN", many("'v#',", 16) + "'x'"), "17 values"},
      {"preferences { constraint { attribute: 'zone' op: CONSTRAINT_OP_EXISTS } weight: -100 }",
       ""},
      {"preferences { constraint { attribute: 'zone' op: CONSTRAINT_OP_EXISTS } weight: 101 }",
       "weight 101"},
      {"preferences { weight: 1 }", "without an operator"},
      {many("preferences { constraint { attribute: 'z#' op: CONSTRAINT_OP_EXISTS } }", 17),
       "preferences: 17"},
  };
  for (const Row& row : rows)
    check(row);
}

TEST(Wishes, ConstraintsMayNotContradict) {
  constexpr std::string_view kNone = "no value of x meets all";
  const auto x = [](const std::string& op, const std::string& values = "") {
    return constraint("x", op, values);
  };
  const Row rows[] = {
      {x("EQUAL", "'a'") + x("EQUAL", "'a'"), ""},
      {x("EQUAL", "'a'") + x("EQUAL", "'b'"), kNone},
      {x("EQUAL", "'a'") + constraint("y", "EQUAL", "'b'"), ""},
      {x("EQUAL", "'a'") + x("NOT_EQUAL", "'a'"), kNone},
      {x("NOT_EQUAL", "'a'") + x("EQUAL", "'a'"), kNone},
      {x("EQUAL", "'a'") + x("NOT_EQUAL", "'b'"), ""},
      {x("EQUAL", "'a'") + x("IN", "'b', 'c'"), kNone},
      {x("EQUAL", "'a'") + x("IN", "'b', 'a'"), ""},
      {x("IN", "'a', 'b'") + x("IN", "'b', 'c'") + x("NOT_IN", "'b'"), kNone},
      {x("EQUAL", "'a'") + x("NOT_EXISTS"), kNone},
      {x("EXISTS") + x("NOT_EXISTS"), kNone},
      {x("NOT_EQUAL", "'a'") + x("NOT_EXISTS"), ""},
      {x("LESS", "'5'") + x("GREATER", "'5'"), kNone},
      {x("LESS_OR_EQUAL", "'5'") + x("GREATER_OR_EQUAL", "'5'"), ""},
      {x("LESS", "'5'") + x("GREATER_OR_EQUAL", "'5'"), kNone},
      {x("LESS", "'5'") + x("GREATER", "'4'"), ""},
      {x("LESS", "'10'") + x("GREATER", "'9'"), ""},
      {x("EQUAL", "'7'") + x("LESS", "'5'"), kNone},
      {x("EQUAL", "'7'") + x("LESS", "'7.000001'"), ""},
      {x("EQUAL", "'a'") + x("LESS", "'5'"), kNone},
  };
  for (const Row& row : rows)
    check(row);
}

TEST(Wishes, TheRestIsCheckedToo) {
  const Row rows[] = {
      {"groups: ['b', 'a']", ""},
      {"groups: ['a', 'a']", "groups: a twice"},
      {"groups: 'A'", "groups: A"},
      {many("groups: 'g#'", 9), "groups: 9"},
      {"tenant: 'blue'", ""},
      {"tenant: 'Blue'", "tenant: Blue"},
      {"tolerations { key: 'gpu' }", ""},
      {"tolerations { key: 'gpu' } tolerations { key: 'gpu' value: 'x' }", ""},
      {"tolerations { key: 'gpu' } tolerations { key: 'gpu' }", "gpu is tolerated twice"},
      {"tolerations { key: '' }", "0 characters"},
      {"tolerations { key: 'a b' }", "label a b"},
      {many("tolerations { key: 'k#' }", 17), "tolerations: 17"},
      {"locality { datacenter: 'dc1' zone: 'a' strict: true }", ""},
      {"locality { strict: true }", "strict: needs"},
      {"locality { datacenter: 'dc1' excluded_datacenters: 'dc1' }", "preferred and excluded"},
      {"locality { excluded_datacenters: ['a', 'a'] }", "a twice"},
      {"locality { max_latency_ms: 5 }", "needs a preferred datacenter"},
      {"locality { datacenter: 'dc1' max_latency_ms: 100001 }", "max_latency_ms"},
      {"strategy: STRATEGY_MANUAL node: 'n1'", ""},
      {"strategy: STRATEGY_MANUAL", "manual needs a node"},
      {"node: 'n1'", "only with the strategy manual"},
      {"strategy: STRATEGY_ROUND_ROBIN node: 'n1'", "only with the strategy manual"},
      {"strategy: 77", "strategy: unknown"},
      {"on_evict: 77", "on_evict"},
  };
  for (const Row& row : rows)
    check(row);
}

TEST(Wishes, GoBothWays) {
  const std::string all = R"(cpu_milli: 500 disk_mib: 7 network_mbit: 8
      counters { name: 'b' amount: 2 } counters { name: 'a' amount: 1 }
      devices { kind: 'gpu' milli: 250 models: ['t4', 'a100'] } devices { kind: 'fpga' count: 2 }
      tenant: 'blue' priority: 0 preemptible: true on_evict: ON_EVICT_STOP groups: ['z', 'y']
      constraints { attribute: 'zone' op: CONSTRAINT_OP_IN values: ['b', 'a'] }
      preferences { constraint { attribute: 'rack' op: CONSTRAINT_OP_EXISTS } weight: -3 }
      tolerations { key: 'k' value: 'v' }
      locality { datacenter: 'd' zone: 'z' strict: true excluded_datacenters: 'e'
                 max_latency_ms: 9 }
      strategy: STRATEGY_MANUAL node: 'n1')";
  const auto wishes = read_wishes(spec_of(all));
  ASSERT_TRUE(wishes) << wishes.error().message();
  EXPECT_EQ(wishes->counters[0].name, "a");
  EXPECT_EQ(wishes->devices[0].kind, "fpga");
  EXPECT_EQ(wishes->devices[1].models[0], "a100");
  EXPECT_EQ(wishes->groups[0], "y");
  EXPECT_EQ(wishes->priority, 0u);
  v1::PlacementSpec written;
  write_wishes(*wishes, &written);
  EXPECT_EQ(*read_wishes(written), *wishes);
  // Every field of the schema is used.
  const auto* type = v1::PlacementSpec::descriptor();
  for (int at = 0; at < type->field_count(); ++at) {
    const auto* field = type->field(at);
    if (field->name() == "dedicated_cpus") continue;  // not with cpu_milli
    const auto& access = *written.GetReflection();
    EXPECT_TRUE(field->is_repeated() ? access.FieldSize(written, field) > 0
                                     : access.HasField(written, field))
        << field->name();
  }
}

TEST(Wishes, WhatSaysNothingIsTheDefault) {
  EXPECT_EQ(*read_wishes(spec_of("tenant: 'default' priority: 500 on_evict: ON_EVICT_MOVE")),
            Wishes{});
  EXPECT_TRUE(Shared<Wishes>(*read_wishes(spec_of("tenant: 'default'"))).is_default());
  EXPECT_EQ(tenant_of(Wishes{}), "default");
}

TEST(Wishes, NamesOfStrategiesGoBothWays) {
  for (const Strategy strategy : kStrategies)
    EXPECT_EQ(parse_strategy(strategy_name(strategy)), strategy);
  EXPECT_EQ(parse_strategy("best"), std::nullopt);
  EXPECT_EQ(strategy_name(Strategy::kSpreadAcrossFailureDomains), "spread-across-failure-domains");
}

TEST(ConstraintNumber, IsInMillionths) {
  EXPECT_EQ(constraint_number("1"), 1'000'000);
  EXPECT_EQ(constraint_number("-1.5"), -1'500'000);
  EXPECT_EQ(constraint_number("0.000001"), 1);
  EXPECT_EQ(constraint_number("999999999999.999999"), 999'999'999'999'999'999);
  for (const char* text : {"", "-", ".5", "1.", "1e3", "+1", " 1", "0x1", "1.0000001",
                           "1000000000000", "1.2.3", "--1"}) {
    EXPECT_EQ(constraint_number(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace blixard::cluster
