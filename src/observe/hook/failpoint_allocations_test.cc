// What failpoints ask of the allocator: nothing, whether they are armed or not, fire or not.

#ifndef BLX_FAILPOINTS
#define BLX_FAILPOINTS
#endif

#include <gtest/gtest.h>

#include "env/failpoint.h"
#include "observe/allocations.h"
#include "sim/world.h"

namespace blixard::observe {
namespace {

Result<int> read_value() {
  BLX_FAILPOINT("test::read", kUnavailable, "io_error");
  return 7;
}
bool forges() { return BLX_FAILPOINT_FIRES("test::forge"); }
std::optional<Error> full() {
  return BLX_FAILPOINT_ERROR("test::full", kResourceExhausted, "full");
}
env::Task<Result<int>> wait_and_read(env::Env env) {
  BLX_CO_FAILPOINT(env, "test::waits", kUnavailable, "io_error");
  co_return 7;
}

constexpr int kTimes = 1000;

// The frames of coroutines come from a list that the first pass fills.
env::Task<std::uint64_t> allocations_of_passing(env::Env env, bool fails) {
  const auto pass = [&]() -> env::Task<void> {
    for (int i = 0; i < kTimes; ++i) {
      EXPECT_EQ(read_value().has_value(), !fails);
      EXPECT_EQ(forges(), fails);
      EXPECT_EQ(full().has_value(), fails);
      const auto value = co_await wait_and_read(env);
      EXPECT_EQ(value.has_value(), !fails);
    }
  };
  co_await pass();
  const AllocationMeter meter;
  co_await pass();
  co_return meter.spent().allocations;
}

TEST(FailpointAllocations, ThereAreNone) {
  if (!is_hooked()) GTEST_SKIP() << "a sanitizer's allocator is in use";
  if (!failpoints_built()) GTEST_SKIP() << "built without failpoints";
  sim::World world(1);
  const env::Env env = world.add_machine("a").env();
  const auto story = [&]() -> env::Task<void> {
    EXPECT_EQ(co_await allocations_of_passing(env, false), 0u);
    EXPECT_TRUE(arm_failpoints(
        "test::read=error;test::forge=trigger;test::full=error(internal,odd);test::waits=error"));
    EXPECT_EQ(co_await allocations_of_passing(env, true), 0u);
    disarm_failpoints();
  };
  EXPECT_TRUE(world.run(story()));
}

}  // namespace
}  // namespace blixard::observe
