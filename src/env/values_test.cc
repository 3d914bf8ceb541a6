// The plain parts of the seam: addresses, paths, exit texts and what Random derives.

#include <set>

#include <gtest/gtest.h>

#include "env/disk.h"
#include "env/network.h"
#include "env/process.h"
#include "env/random.h"

namespace blixard::env {
namespace {

TEST(EndpointTest, ReadsWhatItWrites) {
  for (const Endpoint& endpoint :
       {Endpoint::tcp("127.0.0.1", 7100), Endpoint::tcp("::1", 1), Endpoint::tcp("fe80::1", 65535),
        Endpoint::unix_socket("/run/blixard/api.sock")}) {
    const auto parsed = Endpoint::parse(endpoint.text());
    ASSERT_TRUE(parsed.has_value()) << endpoint.text();
    EXPECT_EQ(*parsed, endpoint);
  }
  EXPECT_EQ(Endpoint::parse("tcp:[::1]:0").value(), Endpoint::tcp("::1", 0));
}

TEST(EndpointTest, RefusesWhatIsNoAddress) {
  for (const char* text : {"", ":", "host", "host:", ":80", "host:65536", "host:-1", "host:8x",
                           "host: 80", "unix:", "tcp:"}) {
    const auto parsed = Endpoint::parse(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().reason(), "address_invalid");
  }
}

TEST(PathTest, JoinsAndTakesApart) {
  EXPECT_EQ(join_path("/a/b", "c"), "/a/b/c");
  EXPECT_EQ(join_path("/", "c"), "/c");
  EXPECT_EQ(parent_path("/a/b/c"), "/a/b");
  EXPECT_EQ(parent_path("/a"), "/");
  EXPECT_EQ(parent_path("a"), ".");
  EXPECT_EQ(last_part("/a/b/c"), "c");
  EXPECT_EQ(last_part("c"), "c");
}

TEST(ExitStatusTest, SaysHowItEnded) {
  EXPECT_EQ(ExitStatus{.exit_code = 3}.text(), "exit code 3");
  EXPECT_EQ(ExitStatus{.signal = 9}.text(), "signal 9");
  EXPECT_EQ(ExitStatus{}.text(), "ended");
}

class Counting final : public Random {
 public:
  explicit Counting(std::uint64_t first) : next_(first) {}
  std::uint64_t next() override { return next_++; }
  std::unique_ptr<Random> fork(std::string_view /*name*/) override {
    return std::make_unique<Counting>(0);
  }

 private:
  std::uint64_t next_;
};

TEST(RandomTest, BelowStaysBelowAndSkipsTheBiasedEnd) {
  Counting random(~std::uint64_t{0});  // the last value belongs to no whole multiple of 10
  EXPECT_EQ(random.below(10), 0u);
  EXPECT_EQ(random.below(10), 1u);
  EXPECT_EQ(random.below(1), 0u);
}

TEST(RandomTest, HexHasTwoDigitsAByte) {
  Counting random(0xabc);
  EXPECT_EQ(random.hex(2), "cba0");
  EXPECT_EQ(random.hex(0), "");
  EXPECT_EQ(random.hex(9).size(), 18u);
}

TEST(RandomTest, UuidsAreVersionFourAndDiffer) {
  Counting random(1);
  const Uuid first = random.uuid();
  EXPECT_EQ(first.text()[14], '4');
  EXPECT_NE(first, random.uuid());
}

}  // namespace
}  // namespace blixard::env
