#include "app/cli.h"

#include <gtest/gtest.h>

namespace blixard::app {
namespace {

TEST(Cli, MemorySizes) {
  EXPECT_EQ(parse_memory_mib("128MiB"), 128U);
  EXPECT_EQ(parse_memory_mib("2GiB"), 2048U);
  EXPECT_EQ(parse_memory_mib("512"), 512U);
  EXPECT_EQ(parse_memory_mib("1G"), 1024U);
  EXPECT_EQ(parse_memory_mib("1024GiB"), 1U << 20);
  for (const char* wrong :
       {"", "MiB", "-1MiB", "1.5GiB", "12kB", "1025GiB", "99999999999", "1 GiB"}) {
    EXPECT_FALSE(parse_memory_mib(wrong)) << wrong;
  }
}

TEST(Cli, Times) {
  EXPECT_EQ(parse_seconds("90s"), 90U);
  EXPECT_EQ(parse_seconds("30m"), 1800U);
  EXPECT_EQ(parse_seconds("1h"), 3600U);
  EXPECT_EQ(parse_seconds("30d"), 2'592'000U);
  for (const char* wrong : {"", "h", "0s", "-1h", "31d", "1.5h", "60", "99999999999s", "1 h"}) {
    EXPECT_FALSE(parse_seconds(wrong)) << wrong;
  }
}

TEST(Cli, PublishedPorts) {
  const auto both = parse_publish("8080:80");
  ASSERT_TRUE(both);
  EXPECT_EQ(both->host_port, 8080);
  EXPECT_EQ(both->guest_port, 80);
  const auto chosen = parse_publish("80");
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->host_port, 0);
  EXPECT_EQ(chosen->guest_port, 80);
  for (const char* wrong : {"", ":", "80:", ":80", "0", "8080:0", "65536:80", "a:b", "1:2:3"}) {
    EXPECT_FALSE(parse_publish(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace blixard::app
