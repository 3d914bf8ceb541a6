// Constraints over nodes: every attribute and operator, and what is refused.

#include "core/sched/attributes.h"

#include <gtest/gtest.h>

#include "core/sched/condition.h"

namespace blixard::sched {
namespace {

using cluster::Constraint;
using enum cluster::ConstraintOp;

cluster::Node a_node() {
  cluster::Node node{.id = NodeId(1), .name = Name("web-7"), .vcpus = 8, .memory_mib = 4096};
  node.architecture = "x86_64";
  node.kernel_version = "6.1.0-18-amd64";
  node.accelerator = "kvm";
  node.version = "1.10.2";
  node.hypervisors = {"qemu", "firecracker"};
  node.topology = {.datacenter = Name("fra"), .zone = Name("fra-a"), .rack = {}};
  node.cost_per_hour_micro = 350'000;
  node.told_labels = {{"disk", "hdd"}, {"team", "blue"}};
  node.set_labels = {{"disk", "ssd"}};
  node.devices = {{Name("gpu"), Name("a100"), 2}, {Name("gpu"), Name("t4"), 1}};
  return node;
}

bool is_met(const char* attribute, cluster::ConstraintOp op, std::vector<std::string> values) {
  const Condition condition({.attribute = attribute, .op = op, .values = std::move(values)});
  return condition.holds(attributes_of(a_node()));
}

TEST(Attributes, HaveTheValuesOfTheNode) {
  const struct {
    const char* name;
    std::vector<std::string> values;
  } cases[] = {{"name", {"web-7"}},
               {"role", {"server"}},
               {"architecture", {"x86_64"}},
               {"kernel", {"6.1.0-18-amd64"}},
               {"version", {"1.10.2"}},
               {"accelerator", {"kvm"}},
               {"hypervisor", {"qemu", "firecracker"}},
               {"vcpus", {"8"}},
               {"memory_mib", {"4096"}},
               {"disk_mib", {}},
               {"network_mbit", {}},
               {"cost_per_hour", {"0.350000"}},
               {"datacenter", {"fra"}},
               {"zone", {"fra-a"}},
               {"rack", {}},
               {"label.disk", {"ssd"}},  // the operator's comes first
               {"label.team", {"blue"}},
               {"label.none", {}},
               {"device.gpu", {"3"}},
               {"device.gpu.model", {"a100", "t4"}},
               {"device.fpga", {}},
               {"unheard-of", {}}};
  for (const auto& one : cases)
    EXPECT_EQ(attribute_of(a_node(), one.name), one.values) << one.name;
}

TEST(Meets, EveryOperator) {
  EXPECT_TRUE(is_met("zone", kEqual, {"fra-a"}));
  EXPECT_FALSE(is_met("zone", kEqual, {"fra-b"}));
  EXPECT_TRUE(is_met("zone", kNotEqual, {"fra-b"}));
  EXPECT_FALSE(is_met("zone", kNotEqual, {"fra-a"}));
  EXPECT_TRUE(is_met("zone", kIn, {"fra-b", "fra-a"}));
  EXPECT_FALSE(is_met("zone", kIn, {"fra-b", "fra-c"}));
  EXPECT_FALSE(is_met("zone", kNotIn, {"fra-b", "fra-a"}));
  EXPECT_TRUE(is_met("zone", kNotIn, {"fra-b"}));
  EXPECT_TRUE(is_met("vcpus", kLess, {"10"}));  // 8 < 10 as numbers, not as texts
  EXPECT_FALSE(is_met("vcpus", kLess, {"8"}));
  EXPECT_TRUE(is_met("vcpus", kLessOrEqual, {"8"}));
  EXPECT_FALSE(is_met("vcpus", kGreater, {"8"}));
  EXPECT_TRUE(is_met("vcpus", kGreaterOrEqual, {"8"}));
  EXPECT_TRUE(is_met("cost_per_hour", kLess, {"0.4"}));
  EXPECT_FALSE(is_met("zone", kLess, {"8"})) << "not a number";
  EXPECT_TRUE(is_met("name", kMatches, {"web-[0-9]+"}));
  EXPECT_FALSE(is_met("name", kMatches, {"web"})) << "of the whole value";
  EXPECT_FALSE(is_met("name", kMatches, {"("})) << "no pattern";
  EXPECT_TRUE(is_met("rack", kNotExists, {}));
  EXPECT_FALSE(is_met("rack", kExists, {}));
  EXPECT_TRUE(is_met("zone", kExists, {}));
}

TEST(Meets, WhatHasNoValueMeetsOnlyNegatives) {
  EXPECT_FALSE(is_met("rack", kEqual, {"r1"}));
  EXPECT_TRUE(is_met("rack", kNotEqual, {"r1"}));
  EXPECT_TRUE(is_met("rack", kNotIn, {"r1"}));
  EXPECT_FALSE(is_met("disk_mib", kLess, {"100"}));
  EXPECT_FALSE(is_met("rack", kMatches, {".*"}));
}

TEST(Meets, OneOfSeveralValuesIsEnough) {
  EXPECT_TRUE(is_met("hypervisor", kEqual, {"firecracker"}));
  EXPECT_FALSE(is_met("hypervisor", kNotEqual, {"firecracker"}));
  EXPECT_TRUE(is_met("device.gpu.model", kIn, {"h100", "t4"}));
  EXPECT_TRUE(is_met("device.gpu", kGreaterOrEqual, {"3"}));
}

TEST(Meets, VersionsCompareByTheirParts) {
  EXPECT_TRUE(is_met("version", kVersionAtLeast, {"1.9"}));  // 10 is above 9
  EXPECT_TRUE(is_met("version", kVersionAtLeast, {"1.10.2"}));
  EXPECT_FALSE(is_met("version", kVersionAtLeast, {"1.10.3"}));
  EXPECT_TRUE(is_met("version", kVersionLess, {"2"}));
  EXPECT_TRUE(is_met("kernel", kVersionAtLeast, {"6.1"}));
  EXPECT_TRUE(is_met("kernel", kVersionAtLeast, {"6.01.0"}));
  EXPECT_FALSE(is_met("kernel", kVersionLess, {"6.1"}));
  EXPECT_TRUE(is_met("kernel", kVersionLess, {"99999999999999999999999"}));
}

TEST(CheckAttributes, RefusesWhatIsUnknown) {
  const auto refusal = [](const char* attribute, cluster::ConstraintOp op, const char* value) {
    cluster::Wishes wishes;
    wishes.constraints = {{.attribute = attribute, .op = op, .values = {value}}};
    const auto checked = check_attributes(wishes);
    return checked ? std::string() : std::string(checked.error().detail());
  };
  EXPECT_EQ(refusal("zone", kEqual, "a"), "");
  EXPECT_EQ(refusal("label.x", kEqual, "a"), "");
  EXPECT_EQ(refusal("device.gpu.model", kEqual, "a"), "");
  EXPECT_EQ(refusal("zones", kEqual, "a"),
            "no attribute is named 'zones': did you mean 'zone', or 'label.zones'?");
  EXPECT_NE(refusal("label.", kEqual, "a"), "");
  EXPECT_NE(refusal("name", kMatches, "(").find("cannot be read"), std::string::npos);
  EXPECT_NE(refusal("name", kMatches, "((a{1000}){1000}){1000}"), "") << "too large";

  cluster::Wishes wishes;
  wishes.preferences = {{.constraint = {.attribute = "zonee", .values = {"a"}}, .weight = 1}};
  EXPECT_FALSE(check_attributes(wishes));
}

}  // namespace
}  // namespace blixard::sched
