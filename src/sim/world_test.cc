#include "sim/world.h"

#include "env/scope.h"
#include "env/sync.h"

namespace blixard::sim {
namespace {

using env::Env;
using env::Task;

// A client and a server on two machines that talk, write and sleep: enough to draw from every
// source of chance.
Task<void> serve(Env env) {
  auto listener = co_await env.network.listen(env::Endpoint::tcp("0.0.0.0", 7100));
  if (!listener) co_return;
  while (true) {
    auto stream = co_await (*listener)->accept();
    if (!stream) co_return;
    std::array<char, 512> buffer{};
    while (true) {
      const auto count = co_await (*stream)->read_some(buffer);
      if (!count || *count == 0) break;
      BLX_LOG(env.log, kInfo, "{} bytes", *count);
      if (!co_await (*stream)->write_all({buffer.data(), *count})) break;
    }
  }
}

Task<Result<void>> talk(Env env, std::string to, int rounds) {
  const auto deadline = env.clock.monotonic() + 10s;
  BLX_CO_TRY(auto stream, co_await env.network.dial(env::Endpoint::tcp(to, 7100), deadline));
  for (int i = 0; i < rounds; ++i) {
    const std::string sent = env.random.hex(1 + env.random.below(200));
    BLX_CO_TRY(co_await stream->write_all(sent));
    std::string received;
    while (received.size() < sent.size()) {
      std::array<char, 100> buffer{};
      BLX_CO_TRY(const std::size_t count, co_await stream->read_some(buffer));
      if (count == 0) co_return fail(Code::kUnavailable, "ended");
      received.append(buffer.data(), count);
    }
    if (received != sent) co_return fail(Code::kDataLoss, "other_bytes");
    BLX_CO_TRY(co_await env.disk.replace_file("/var/lib/last", received));
    BLX_CO_TRY(co_await env.clock.sleep(1s));
  }
  co_return Result<void>();
}

struct Outcome {
  std::uint64_t hash = 0;
  Duration elapsed{};
  std::vector<std::string> lines;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome conversation(std::uint64_t seed) {
  World world(seed);
  Machine& server = world.add_machine("server");
  Machine& client = world.add_machine("client");
  server.start(serve(server.env()));
  Result<void> result;
  const auto main = [&]() -> Task<void> {
    result = co_await talk(client.env(), server.address(), 20);
  };
  EXPECT_TRUE(world.run(main()));
  EXPECT_TRUE(result) << result.error().message();
  return {world.trace_hash(), world.elapsed(), world.log_lines()};
}

TEST(World, SameSeedSameRun) {
  const Outcome first = conversation(7);
  EXPECT_EQ(first, conversation(7));
  const Outcome other = conversation(8);
  EXPECT_NE(first.hash, other.hash);
  EXPECT_NE(first.elapsed, other.elapsed);
  EXPECT_FALSE(first.lines.empty());
}

TEST(World, TenHoursOfTimersTakeNoTime) {
  World world(1);
  Machine& machine = world.add_machine("a");
  int ticks = 0;
  const auto tick = [&](Env env) -> Task<void> {
    while (co_await env.clock.sleep(100ms))
      ++ticks;
  };
  machine.start(tick(machine.env()));
  const auto main = [&](Env env) -> Task<void> {
    const Instant begin = env.clock.monotonic();
    const auto slept = co_await env.clock.sleep(10h);
    EXPECT_TRUE(slept);
    EXPECT_EQ(env.clock.monotonic() - begin, 10h);
  };
  EXPECT_TRUE(world.run(main(machine.env()), 11h));
  EXPECT_EQ(world.elapsed(), 10h);
  EXPECT_GE(ticks, 359'999);
}

TEST(World, DeadlockAndLimitAreTold) {
  World world(1);
  Machine& machine = world.add_machine("a");
  env::Signal never(machine.env().executor);
  Code seen{};
  const auto wait = [&]() -> Task<void> {
    const auto result = co_await never.wait();
    if (!result) seen = result.error().code();
  };
  EXPECT_FALSE(world.run(wait()));
  EXPECT_EQ(seen, Code::kCancelled);
  EXPECT_THAT(world.log_lines().back(), testing::HasSubstr("deadlock"));

  const auto sleep = [](Env env) -> Task<void> {
    const auto result = co_await env.clock.sleep(2h);
    EXPECT_FALSE(result);
  };
  EXPECT_FALSE(world.run(sleep(machine.env()), 1h));
  EXPECT_EQ(world.elapsed(), 1h);
  EXPECT_THAT(world.log_lines().back(), testing::HasSubstr("limit"));
}

TEST(World, UnfinishedWorkOfMachinesUnwindsAtTheEnd) {
  int unwound = 0;
  {
    World world(1);
    Machine& machine = world.add_machine("a");
    struct OnEnd {
      int& count;
      ~OnEnd() { ++count; }
    };
    const auto forever = [&](Env env) -> Task<void> {
      const OnEnd on_end{unwound};
      while (co_await env.clock.sleep(1s)) {
      }
    };
    machine.start(forever(machine.env()));
    const auto main = [](Env env) -> Task<void> { EXPECT_TRUE(co_await env.clock.sleep(5s)); };
    EXPECT_TRUE(world.run(main(machine.env())));
    EXPECT_EQ(unwound, 0);
  }
  EXPECT_EQ(unwound, 1);
}

}  // namespace
}  // namespace blixard::sim
