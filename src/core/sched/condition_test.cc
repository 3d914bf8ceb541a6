#include "core/sched/condition.h"

#include <gtest/gtest.h>

namespace blixard::sched {
namespace {

using enum cluster::ConstraintOp;

TEST(Condition, LooksAtAllValuesOfItsAttribute) {
  const std::vector<cluster::Label> attributes = {
      {"hypervisor", "firecracker"}, {"hypervisor", "qemu"}, {"zone", "a"}};
  const auto holds = [&](const char* name, cluster::ConstraintOp op,
                         std::vector<std::string> values) {
    return Condition({.attribute = name, .op = op, .values = std::move(values)}).holds(attributes);
  };
  EXPECT_TRUE(holds("hypervisor", kEqual, {"qemu"}));
  EXPECT_FALSE(holds("hypervisor", kNotEqual, {"qemu"}));
  EXPECT_TRUE(holds("hypervisor", kNotIn, {"other"}));
  EXPECT_TRUE(holds("hypervisor", kMatches, {"fire.*"}));
  EXPECT_TRUE(holds("rack", kNotEqual, {"r"}));
  EXPECT_FALSE(holds("rack", kEqual, {"r"}));
  EXPECT_TRUE(holds("rack", kNotExists, {}));
  EXPECT_FALSE(holds("zone", kNotExists, {}));
}

TEST(Condition, ReadsAsASentence) {
  EXPECT_EQ(condition_text({.attribute = "vcpus", .op = kGreaterOrEqual, .values = {"8"}}),
            "vcpus >= 8");
  EXPECT_EQ(condition_text({.attribute = "zone", .op = kIn, .values = {"a", "b"}}), "zone in a, b");
  EXPECT_EQ(condition_text({.attribute = "rack", .op = kExists, .values = {}}), "rack exists");
}

// Each is above the one before it.
TEST(Versions, AreOrderedByTheirParts) {
  const char* const versions[] = {"1",   "1.2",      "1.9",      "1.10",
                                  "6.1", "6.1.0-18", "6.1.0-19", "6.2-rc1"};
  for (std::size_t at = 0; at + 1 < std::size(versions); ++at) {
    EXPECT_LT(compare_versions(versions[at], versions[at + 1]), 0) << versions[at];
    EXPECT_GT(compare_versions(versions[at + 1], versions[at]), 0) << versions[at];
    EXPECT_EQ(compare_versions(versions[at], versions[at]), 0);
  }
}

// A pattern that would take other engines for ever is refused or answered at once.
TEST(Condition, PatternsCostLittle) {
  const std::vector<cluster::Label> long_value = {{"x", std::string(100'000, 'a')}};
  const Condition greedy({.attribute = "x", .op = kMatches, .values = {"(a*)*(a|aa)*b"}});
  EXPECT_FALSE(greedy.holds(long_value));
  const Condition huge({.attribute = "x", .op = kMatches, .values = {"((a{1000}){1000}){1000}"}});
  EXPECT_FALSE(huge.is_valid());
  EXPECT_FALSE(huge.holds(long_value));
}

}  // namespace
}  // namespace blixard::sched
