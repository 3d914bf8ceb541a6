#include <array>

#include "env/scope.h"
#include "env/sync.h"
#include "sim/fabric.h"
#include "sim/world.h"

namespace blixard::sim {
namespace {

using env::Endpoint;
using env::Env;
using env::Task;

Task<void> keep(Result<void>& into, Task<Result<void>> task) { into = co_await std::move(task); }

class NetworkTest : public testing::Test {
 protected:
  NetworkTest() : world(1), a(world.add_machine("a")), b(world.add_machine("b")) {}

  void run(Task<Result<void>> task) {
    Result<void> result;
    EXPECT_TRUE(world.run(keep(result, std::move(task)), 10h)) << world.log_lines().back();
    EXPECT_TRUE(result) << result.error().message();
  }

  // A listener on b and a stream from a to it.
  struct Pair {
    std::unique_ptr<env::Listener> listener;
    std::unique_ptr<env::Stream> at_a;
    std::unique_ptr<env::Stream> at_b;
  };
  Task<Result<Pair>> connect() {
    Pair pair;
    BLX_CO_TRY(pair.listener, co_await b.env().network.listen(Endpoint::tcp("0.0.0.0", 0)));
    const Endpoint there = Endpoint::tcp(b.address(), pair.listener->local().port);
    BLX_CO_TRY(pair.at_a, co_await a.env().network.dial(there, in(a, 5s)));
    BLX_CO_TRY(pair.at_b, co_await pair.listener->accept());
    co_return std::move(pair);
  }

  static Instant in(Machine& machine, Duration duration) {
    return machine.env().clock.monotonic() + duration;
  }

  static Task<Result<std::string>> read(env::Stream& stream, std::size_t count) {
    std::string bytes;
    while (bytes.size() < count) {
      std::array<char, 4096> buffer{};
      const std::size_t most = std::min(buffer.size(), count - bytes.size());
      BLX_CO_TRY(const std::size_t got, co_await stream.read_some(std::span(buffer).first(most)));
      if (got == 0) co_return fail(Code::kUnavailable, "ended");
      bytes.append(buffer.data(), got);
    }
    co_return bytes;
  }

  static Task<Result<std::string>> read_within(Env env, env::Stream& stream, std::size_t count,
                                               Duration duration) {
    co_return co_await env::with_deadline(env.executor, env.clock, env.clock.monotonic() + duration,
                                          read(stream, count));
  }

  Task<Result<void>> pieces() {
    BLX_CO_TRY(Pair pair, co_await connect());
    EXPECT_TRUE(pair.at_b->peer().address.starts_with("10.0.0.1:"));
    EXPECT_EQ(pair.at_a->peer().address, "0.0.0.0:32768");
    int reads = 0;
    for (int i = 0; i < 10; ++i) {
      const std::string sent = a.env().random.hex(50'000);
      BLX_CO_TRY(co_await pair.at_a->write_all(sent));
      std::string received;
      while (received.size() < sent.size()) {
        std::array<char, 8192> buffer{};
        BLX_CO_TRY(const std::size_t count, co_await pair.at_b->read_some(buffer));
        received.append(buffer.data(), count);
        ++reads;
      }
      EXPECT_EQ(received, sent);
    }
    EXPECT_GT(reads, 135);  // some of them partial; 13 each would do
    co_return Result<void>();
  }

  static Task<void> fill(env::Stream& stream, std::size_t& written, Result<void>& result) {
    const std::string block(10'000, 'x');
    while (true) {
      result = co_await stream.write_all(block);
      if (!result) co_return;
      written += block.size();
    }
  }

  Task<Result<void>> backpressure() {
    BLX_CO_TRY(Pair pair, co_await connect());
    env::Scope scope(a.env().executor, co_await env::this_cancellation());
    std::size_t written = 0;
    Result<void> result;
    scope.spawn(fill(*pair.at_a, written, result));
    BLX_CO_TRY(co_await a.env().clock.sleep(1min));
    EXPECT_LE(written, 256u << 10);
    EXPECT_GT(written, 200u << 10);
    const std::size_t before = written;
    BLX_CO_TRY(co_await read(*pair.at_b, 100'000));
    BLX_CO_TRY(co_await a.env().clock.sleep(1s));
    EXPECT_GT(written, before + 80'000);
    pair.at_a->close();
    co_await scope.join();
    EXPECT_EQ(result.error().reason(), "closed");
    co_return Result<void>();
  }

  Task<Result<void>> partition() {
    BLX_CO_TRY(Pair pair, co_await connect());
    world.partition_one_way(a, b);
    BLX_CO_TRY(co_await pair.at_a->write_all("held"));
    BLX_CO_TRY(co_await pair.at_b->write_all("through"));
    BLX_CO_TRY(const std::string through, co_await read_within(a.env(), *pair.at_a, 7, 1s));
    EXPECT_EQ(through, "through");
    const auto held = co_await read_within(b.env(), *pair.at_b, 4, 1h);
    EXPECT_EQ(held.error().code(), Code::kDeadlineExceeded);
    const Instant begin = a.env().clock.monotonic();
    const Endpoint there = Endpoint::tcp(b.address(), pair.listener->local().port);
    const auto dialled = co_await a.env().network.dial(there, begin + 7s);
    EXPECT_EQ(dialled.error().code(), Code::kDeadlineExceeded);
    EXPECT_EQ(a.env().clock.monotonic() - begin, 7s);
    world.heal(a, b);
    BLX_CO_TRY(const std::string healed, co_await read_within(b.env(), *pair.at_b, 4, 1s));
    EXPECT_EQ(healed, "held");
    co_return Result<void>();
  }

  Task<void> heal_after(Duration duration) {
    EXPECT_TRUE(co_await a.env().clock.sleep(duration));
    world.heal_all();
  }

  Task<Result<void>> dial_until_healed() {
    BLX_CO_TRY(auto listener, co_await b.env().network.listen(Endpoint::tcp("0.0.0.0", 9)));
    world.partition(a, b);
    env::Scope scope(a.env().executor, co_await env::this_cancellation());
    scope.spawn(heal_after(20s));
    const auto stream = co_await a.env().network.dial(Endpoint::tcp(b.address(), 9), in(a, 1min));
    EXPECT_TRUE(stream);
    EXPECT_GT(world.elapsed(), 20s);
    co_await scope.join();
    co_return Result<void>();
  }

  // A peer without power says nothing; its streams end when it is back and hears of them.
  Task<Result<void>> half_open() {
    BLX_CO_TRY(Pair pair, co_await connect());
    b.lose_power();
    const auto nothing = co_await read_within(a.env(), *pair.at_a, 1, 1h);
    EXPECT_EQ(nothing.error().code(), Code::kDeadlineExceeded);
    BLX_CO_TRY(co_await pair.at_a->write_all("anyone?"));
    const auto still_nothing = co_await read_within(a.env(), *pair.at_a, 1, 1h);
    EXPECT_EQ(still_nothing.error().code(), Code::kDeadlineExceeded);
    b.restart();
    const auto reset = co_await read_within(a.env(), *pair.at_a, 1, 1s);
    EXPECT_EQ(reset.error().reason(), "connection_lost");
    EXPECT_FALSE(co_await pair.at_a->write_all("more"));
    co_return Result<void>();
  }

  Task<Result<void>> reset_connections() {
    BLX_CO_TRY(Pair pair, co_await connect());
    const std::array<std::string_view, 1> parts{"lost"};
    BLX_CO_TRY(co_await pair.at_a->write(parts));
    world.reset_connections(b, a);
    for (env::Stream* end : {pair.at_a.get(), pair.at_b.get()}) {
      const auto got = co_await read_within(a.env(), *end, 1, 1s);
      EXPECT_FALSE(got);
      EXPECT_EQ(got.error().reason(), "connection_lost");
      const auto written = co_await end->write(parts);
      EXPECT_FALSE(written);
      EXPECT_EQ(written.error().reason(), "connection_lost");
    }
    const Endpoint there = Endpoint::tcp(b.address(), pair.listener->local().port);
    BLX_CO_TRY(const auto anew, co_await a.env().network.dial(there, in(a, 5s)));
    BLX_CO_TRY(const auto at_b, co_await pair.listener->accept());
    BLX_CO_TRY(co_await anew->write(parts));
    BLX_CO_TRY(const std::string got, co_await read(*at_b, 4));
    EXPECT_EQ(got, "lost");
    co_return Result<void>();
  }

  Task<Result<void>> killed_peer() {
    BLX_CO_TRY(Pair pair, co_await connect());
    BLX_CO_TRY(co_await pair.at_b->write_all("last words"));
    BLX_CO_TRY(co_await b.env().clock.sleep(10ms));
    b.crash_daemon();
    BLX_CO_TRY(co_await read(*pair.at_a, 10));
    const auto reset = co_await read_within(a.env(), *pair.at_a, 1, 1s);
    EXPECT_EQ(reset.error().reason(), "connection_lost");
    const Endpoint there = Endpoint::tcp(b.address(), pair.listener->local().port);
    const auto refused = co_await a.env().network.dial(there, in(a, 1s));
    EXPECT_EQ(refused.error().reason(), "connection_refused");
    b.restart();
    // The port is free again, though the old listener object is still there.
    BLX_CO_TRY(auto listener, co_await b.env().network.listen(
                                  Endpoint::tcp("10.0.0.2", pair.listener->local().port)));
    EXPECT_TRUE(co_await a.env().network.dial(there, in(a, 1s)));
    co_return Result<void>();
  }

  // Bytes left unread when a program closes turn its goodbye into a reset, as in the kernel.
  Task<Result<void>> close_with_unread_bytes() {
    BLX_CO_TRY(Pair pair, co_await connect());
    BLX_CO_TRY(co_await pair.at_a->write_all("not read"));
    BLX_CO_TRY(co_await b.env().clock.sleep(10ms));
    pair.at_b->close();
    const auto reset = co_await read_within(a.env(), *pair.at_a, 1, 1s);
    EXPECT_EQ(reset.error().reason(), "connection_lost");
    co_return Result<void>();
  }

  Task<Result<void>> addresses() {
    env::Network& network = a.env().network;
    EXPECT_EQ((co_await network.listen(Endpoint::tcp("10.0.0.2", 1))).error().reason(),
              "address_not_local");
    BLX_CO_TRY(auto loopback, co_await network.listen(Endpoint::tcp("127.0.0.1", 5)));
    BLX_CO_TRY(auto own, co_await network.listen(Endpoint::tcp("10.0.0.1", 5)));
    EXPECT_EQ((co_await network.listen(Endpoint::tcp("0.0.0.0", 5))).error().reason(),
              "address_in_use");
    own->close();
    // From another machine a loopback listener cannot be reached.
    const auto refused = co_await b.env().network.dial(Endpoint::tcp(a.address(), 5), in(b, 1s));
    EXPECT_EQ(refused.error().reason(), "connection_refused");
    EXPECT_TRUE(co_await network.dial(Endpoint::tcp("127.0.0.1", 5), in(a, 1s)));
    // Nobody is there: like a host that is off.
    const auto nobody = co_await network.dial(Endpoint::tcp("10.0.0.77", 5), in(a, 1s));
    EXPECT_EQ(nobody.error().code(), Code::kDeadlineExceeded);
    co_return Result<void>();
  }

  Task<Result<void>> handed_stream() {
    env::Network& network = a.env().network;
    BLX_CO_TRY(auto listener, co_await network.listen(Endpoint::unix_socket("/run/s")));
    BLX_CO_TRY(auto stream, co_await network.dial(Endpoint::unix_socket("/run/s"), in(a, 1s)));
    BLX_CO_TRY(auto peer, co_await listener->accept());
    BLX_CO_TRY(env::StreamPair pair, co_await network.pair());
    EXPECT_EQ(take_handed(*peer), nullptr);
    BLX_CO_TRY(co_await stream->write_with("take it", std::move(pair.theirs)));
    BLX_CO_TRY(const std::string said, co_await read(*peer, 7));
    EXPECT_EQ(said, "take it");
    auto taken = take_handed(*peer);
    EXPECT_NE(taken, nullptr);
    EXPECT_EQ(take_handed(*peer), nullptr);
    BLX_CO_TRY(co_await taken->write_all("theirs"));
    BLX_CO_TRY(const std::string theirs, co_await read(*pair.ours, 6));
    EXPECT_EQ(theirs, "theirs");
    taken.reset();
    const auto ended = co_await read(*pair.ours, 1);
    EXPECT_EQ(ended.error().reason(), "ended");

    // What nobody took goes with its way.
    BLX_CO_TRY(env::StreamPair lost, co_await network.pair());
    BLX_CO_TRY(co_await stream->write_with("and it", std::move(lost.theirs)));
    peer.reset();
    stream.reset();
    const auto gone = co_await read_within(a.env(), *lost.ours, 1, 1s);
    EXPECT_EQ(gone.error().code(), Code::kUnavailable);
    co_return Result<void>();
  }

  Task<Result<void>> slow_link() {
    world.set_latency(a, b, 50ms, 50ms);
    world.set_latency(b, a, 70ms, 70ms);
    const Duration begin = world.elapsed();
    BLX_CO_TRY(Pair pair, co_await connect());
    EXPECT_EQ(world.elapsed() - begin, 120ms);
    co_return Result<void>();
  }

  World world;
  Machine& a;
  Machine& b;
};

TEST_F(NetworkTest, BytesArriveInOrderInPieces) { run(pieces()); }
TEST_F(NetworkTest, WriterWaitsForReader) { run(backpressure()); }
TEST_F(NetworkTest, OneWayPartitionHoldsBytesAndDials) { run(partition()); }
TEST_F(NetworkTest, DialGoesOnWhenTheLinkHeals) { run(dial_until_healed()); }
TEST_F(NetworkTest, PowerLossLeavesPeersHalfOpen) { run(half_open()); }
TEST_F(NetworkTest, KilledDaemonResetsItsPeers) { run(killed_peer()); }
TEST_F(NetworkTest, CloseWithUnreadBytesResets) { run(close_with_unread_bytes()); }
TEST_F(NetworkTest, ALinkMayForgetItsConnections) { run(reset_connections()); }
TEST_F(NetworkTest, AddressesAreOfTheirMachine) { run(addresses()); }
TEST_F(NetworkTest, AStreamIsHandedOver) { run(handed_stream()); }
TEST_F(NetworkTest, LatencyIsPerDirection) { run(slow_link()); }

}  // namespace
}  // namespace blixard::sim
