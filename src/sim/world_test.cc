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

Task<void> keep(Result<void>& into, Task<Result<void>> task) { into = co_await std::move(task); }

struct Outcome {
  std::uint64_t hash = 0;
  Duration elapsed{};
  std::vector<std::string> lines;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome conversation(std::uint64_t seed, observe::Level level = observe::Level::kInfo) {
  World world(seed);
  world.set_log_level(level);
  Machine& server = world.add_machine("server");
  Machine& client = world.add_machine("client");
  server.start(serve(server.env()));
  Result<void> result;
  EXPECT_TRUE(world.run(keep(result, talk(client.env(), server.address(), 20))));
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

TEST(World, TheTraceIsTheSameAtEveryLogLevel) {
  const Outcome quiet = conversation(7, observe::Level::kError);
  const Outcome loud = conversation(7, observe::Level::kDebug);
  EXPECT_TRUE(quiet.lines.empty());
  EXPECT_FALSE(loud.lines.empty());
  EXPECT_EQ(quiet.hash, loud.hash);
  EXPECT_EQ(quiet.elapsed, loud.elapsed);
}

Task<void> count_ticks(Env env, Duration every, int& ticks) {
  while (co_await env.clock.sleep(every))
    ++ticks;
}

Task<void> sleep_exactly(Env env, Duration duration) {
  const Instant begin = env.clock.monotonic();
  EXPECT_TRUE(co_await env.clock.sleep(duration));
  EXPECT_EQ(env.clock.monotonic() - begin, duration);
}

TEST(World, TenHoursOfTimersTakeNoTime) {
  int ticks = 0;
  World world(1);
  Machine& machine = world.add_machine("a");
  machine.start(count_ticks(machine.env(), 100ms, ticks));
  EXPECT_TRUE(world.run(sleep_exactly(machine.env(), 10h), 11h));
  EXPECT_EQ(world.elapsed(), 10h);
  EXPECT_GE(ticks, 359'999);
  EXPECT_GT(world.steps(), 2u * 359'999);  // each is an event and a coroutine that goes on
}

TEST(World, DeadlockAndLimitAreTold) {
  World world(1);
  Machine& machine = world.add_machine("a");
  env::Signal never(machine.env().executor);
  Result<void> result;
  EXPECT_FALSE(world.run(keep(result, never.wait())));
  EXPECT_EQ(result.error().code(), Code::kCancelled);
  EXPECT_THAT(world.log_lines().back(), testing::HasSubstr("deadlock"));

  result = {};
  EXPECT_FALSE(world.run(keep(result, machine.env().clock.sleep(2h)), 1h));
  EXPECT_EQ(result.error().code(), Code::kCancelled);
  EXPECT_EQ(world.elapsed(), 1h);
  EXPECT_THAT(world.log_lines().back(), testing::HasSubstr("limit"));
}

struct CountEnd {
  explicit CountEnd(int& ends) : count(ends) {}
  CountEnd(const CountEnd&) = delete;
  CountEnd& operator=(const CountEnd&) = delete;
  ~CountEnd() { ++count; }
  int& count;
};

Task<void> tick_until_cancelled(Env env, int& ends) {
  const CountEnd at_end(ends);
  int ticks = 0;
  co_await count_ticks(env, 1s, ticks);
}

TEST(World, UnfinishedWorkOfMachinesUnwindsAtTheEnd) {
  int ends = 0;
  {
    World world(1);
    Machine& machine = world.add_machine("a");
    machine.start(tick_until_cancelled(machine.env(), ends));
    EXPECT_TRUE(world.run(sleep_exactly(machine.env(), 5s)));
    EXPECT_EQ(ends, 0);
  }
  EXPECT_EQ(ends, 1);
}

TEST(World, ClocksOfMachinesDiffer) {
  World world(1);
  Machine& a = world.add_machine("a");
  Machine& b = world.add_machine("b");
  EXPECT_NE(a.env().clock.monotonic(), b.env().clock.monotonic());
  EXPECT_EQ(a.env().clock.wall(), b.env().clock.wall());
  const WallTime before = b.env().clock.wall();
  b.set_wall_offset(-90s);
  EXPECT_EQ(before.unix_ms - b.env().clock.wall().unix_ms, 90'000);
}

TEST(World, ForksOfRandomStandAlone) {
  SeededRandom first(5);
  SeededRandom second(5);
  (void)second.next();
  EXPECT_EQ(first.fork("a")->next(), second.fork("a")->next());
  EXPECT_NE(first.fork("a")->next(), first.fork("b")->next());
}

}  // namespace
}  // namespace blixard::sim
