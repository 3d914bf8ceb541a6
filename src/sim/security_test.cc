// Secure streams between machines: what links and clocks do to handshakes.

#include <array>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "env/scope.h"
#include "sim/world.h"

namespace blixard::sim {
namespace {

using env::Endpoint;
using env::Env;
using env::Task;
using testing::HasSubstr;

const Endpoint kEverywhere = Endpoint::tcp("0.0.0.0", 7100);

Result<env::Credentials> enrol(Env env, const env::Authority& authority, NodeId node,
                               Duration lifetime) {
  BLX_TRY(env::KeyRequest request, env.security.make_request());
  BLX_TRY(std::string certificate,
          env.security.issue(authority, request.request, {"c", node}, env.clock.wall(), lifetime));
  return env::Credentials{std::move(certificate), std::move(request.key), authority.certificate};
}

// Machine a is node 1 and listens, machine b is node 2 and dials.
class SecurityTest : public testing::Test {
 protected:
  explicit SecurityTest(std::uint64_t seed = 1)
      : world(seed), a(world.add_machine("a")), b(world.add_machine("b")) {
    authority = *a.env().security.make_authority("c", a.env().clock.wall(), 240h);
    one = *a.env().security.open(*enrol(a.env(), authority, NodeId(1), 1h));
    two = *b.env().security.open(*enrol(a.env(), authority, NodeId(2), 1h));
    at = Endpoint::tcp(a.address(), 7100);
  }

  Task<void> listen() {
    auto made = co_await one->listen(kEverywhere);
    EXPECT_TRUE(made);
    if (made) listener = std::move(*made);
  }
  Task<void> dial(Duration patience = 20s) {
    const Env env = b.env();
    const Instant begin = env.clock.monotonic();
    auto dialled = co_await two->dial(at, NodeId(1), begin + patience);
    took = env.clock.monotonic() - begin;
    if (!dialled) {
      refusal = dialled.error().message();
    } else {
      stream = std::move(*dialled);
    }
  }
  Task<void> accept() {
    auto taken = co_await listener->accept();
    EXPECT_TRUE(taken);
    if (taken) accepted = std::move(*taken);
  }

  World world;
  Machine& a;
  Machine& b;
  env::Authority authority;
  std::unique_ptr<env::SecureTransport> one;
  std::unique_ptr<env::SecureTransport> two;
  Endpoint at;
  std::unique_ptr<env::Listener> listener;
  std::unique_ptr<env::Stream> stream;
  std::unique_ptr<env::Stream> accepted;
  std::string refusal;
  Duration took{};
};

TEST_F(SecurityTest, AHandshakeTakesRoundTrips) {
  world.set_latency(a, b, 10ms, 10ms);
  world.set_latency(b, a, 10ms, 10ms);
  ASSERT_TRUE(world.run(listen()));
  ASSERT_TRUE(world.run(dial()));
  ASSERT_TRUE(stream) << refusal;
  EXPECT_EQ(took, 60ms);  // TCP's, TLS's, and the acceptor's welcome
  ASSERT_TRUE(world.run(accept()));
  EXPECT_EQ(accepted->peer().node, NodeId(2));
  EXPECT_THAT(accepted->peer().address, HasSubstr(b.address()));
}

TEST_F(SecurityTest, EachEndLooksAtItsOwnClock) {
  ASSERT_TRUE(world.run(listen()));
  b.set_wall_offset(2h);
  ASSERT_TRUE(world.run(dial()));
  EXPECT_THAT(refusal, HasSubstr("certificate_refused"));
  EXPECT_THAT(refusal, HasSubstr("we refused the certificate: expired"));
  b.set_wall_offset(-23h);  // within what certificates are backdated by
  ASSERT_TRUE(world.run(dial()));
  EXPECT_TRUE(stream);
  b.set_wall_offset(0s);
  a.set_wall_offset(-25h);
  ASSERT_TRUE(world.run(dial()));
  EXPECT_THAT(refusal, HasSubstr("the other end refused our certificate: not valid yet"));
  EXPECT_EQ(one->handshakes_failed(), 2u);
}

TEST_F(SecurityTest, ACutLinkEndsTheHandshakeInTime) {
  ASSERT_TRUE(world.run(listen()));
  world.set_latency(a, b, 10ms, 10ms);
  world.set_latency(b, a, 10ms, 10ms);
  b.start(dial(1h));
  const auto wait = [](Env env, Duration duration) -> Task<void> {
    EXPECT_TRUE(co_await env.clock.sleep(duration));
  };
  ASSERT_TRUE(world.run(wait(a.env(), 25ms)));  // connected, and the hello is on its way
  world.partition(a, b);
  ASSERT_TRUE(world.run(wait(a.env(), 6s)));
  EXPECT_THAT(refusal, HasSubstr("handshake_timed_out"));
  EXPECT_GE(took, limits::kHandshakeTimeout);
  EXPECT_EQ(one->handshakes_failed(), 1u);
  world.heal_all();
  refusal.clear();
  ASSERT_TRUE(world.run(dial()));
  EXPECT_TRUE(stream) << refusal;
}

// However many connect and say nothing, the next one is served.
TEST_F(SecurityTest, SilentClientsHoldUpNobody) {
  ASSERT_TRUE(world.run(listen()));
  std::vector<std::unique_ptr<env::Stream>> silent;
  const auto connect = [&](Env env) -> Task<void> {
    for (std::size_t i = 0; i < 2 * limits::kHandshakesMax; ++i) {
      auto plain = co_await env.network.dial(at, env.clock.monotonic() + 1s);
      EXPECT_TRUE(plain);
      if (plain) silent.push_back(std::move(*plain));
    }
  };
  ASSERT_TRUE(world.run(connect(b.env())));
  ASSERT_TRUE(world.run(dial(1s)));
  EXPECT_TRUE(stream) << refusal;
  EXPECT_LE(took, 10ms);
  EXPECT_EQ(one->handshakes_failed(), limits::kHandshakesMax + 1) << "the oldest were dropped";
  // Those whose handshake is over are not: they wait for us, not we for them.
  ASSERT_TRUE(world.run(connect(b.env())));
  ASSERT_TRUE(world.run(accept()));
  EXPECT_EQ(accepted->peer().node, NodeId(2));
}

// Nobody accepts: what has shaken hands is kept, what comes then is dropped.
TEST_F(SecurityTest, WhatIsNotAcceptedIsBounded) {
  ASSERT_TRUE(world.run(listen()));
  std::vector<std::unique_ptr<env::Stream>> welcome;
  for (std::size_t i = 0; i < limits::kHandshakesMax; ++i) {
    ASSERT_TRUE(world.run(dial(1s)));
    ASSERT_TRUE(stream) << i << ": " << refusal;
    welcome.push_back(std::move(stream));
  }
  ASSERT_TRUE(world.run(dial(1s)));
  EXPECT_FALSE(stream);
  EXPECT_EQ(one->handshakes_failed(), 1u);
  ASSERT_TRUE(world.run(accept()));
  ASSERT_TRUE(world.run(dial(1s)));
  EXPECT_TRUE(stream) << refusal;
}

TEST_F(SecurityTest, ACrashTakesTheHandshakesWithIt) {
  ASSERT_TRUE(world.run(listen()));
  world.set_latency(b, a, 1s, 1s);
  b.start(dial());
  const auto wait = [](Env env) -> Task<void> { EXPECT_TRUE(co_await env.clock.sleep(2500ms)); };
  ASSERT_TRUE(world.run(wait(b.env())));
  a.crash_daemon();
  ASSERT_TRUE(world.run(wait(b.env())));
  EXPECT_THAT(refusal, HasSubstr("connection_lost"));
  EXPECT_EQ(one->handshakes_failed(), 0u);
}

TEST_F(SecurityTest, AStoppedDaemonEndsItsListener) {
  ASSERT_TRUE(world.run(listen()));
  ASSERT_TRUE(world.run(a.stop_daemon()));
  ASSERT_TRUE(world.run(dial()));
  EXPECT_THAT(refusal, HasSubstr("connection_refused"));
}

// A changed byte ends a secure stream: for its reader, who notices, and then for the other end.
struct DamagedRun final : SecurityTest {
  explicit DamagedRun(std::uint64_t seed) : SecurityTest(seed) {}
  void TestBody() override {
    EXPECT_TRUE(world.run(listen()));
    EXPECT_TRUE(world.run(dial()));
    EXPECT_TRUE(world.run(accept()));
    world.set_damage(b, a, 10);
    EXPECT_TRUE(world.run(talk()));
  }
  Task<void> talk() {
    std::array<char, 100> buffer{};
    for (int i = 0; i < 1000; ++i) {
      const auto written = co_await stream->write_all(std::string(1, static_cast<char>(i % 100)));
      if (!written) {
        told = std::string(written.error().reason());
        co_return;
      }
      const auto got = co_await accepted->read_some(std::span(buffer).first(1));
      if (!got) {
        noticed = std::string(got.error().reason());
        const auto lost = co_await stream->read_some(buffer);
        if (!lost) told = std::string(lost.error().reason());
        co_return;
      }
      EXPECT_EQ(buffer[0], static_cast<char>(i % 100));
      ++delivered;
    }
  }
  int delivered = 0;
  std::string noticed;
  std::string told;
};

TEST(SecuritySeeds, DamageIsNoticed) {
  int delivered = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    DamagedRun run(seed);
    run.TestBody();
    EXPECT_EQ(run.noticed, "connection_lost") << "seed " << seed;
    EXPECT_EQ(run.told, "connection_lost") << "seed " << seed;
    delivered += run.delivered;
  }
  EXPECT_GT(delivered, 200);
  EXPECT_LT(delivered, 1000);
}

TEST_F(SecurityTest, ADamagedHandshakeFails) {
  ASSERT_TRUE(world.run(listen()));
  world.set_damage(a, b, 1);
  ASSERT_TRUE(world.run(dial()));
  EXPECT_EQ(stream, nullptr);
  EXPECT_THAT(refusal, HasSubstr("connection_lost"));
}

struct SeededRun final : SecurityTest {
  explicit SeededRun(std::uint64_t seed) : SecurityTest(seed) {}
  void TestBody() override {
    EXPECT_TRUE(world.run(listen()));
    EXPECT_TRUE(world.run(dial()));
    EXPECT_TRUE(world.run(accept()));
    certificate = authority.certificate;
    hash = world.trace_hash();
  }
  std::string certificate;
  std::uint64_t hash = 0;
};

TEST(SecurityTrace, OneSeedOneRun) {
  SeededRun first(7);
  SeededRun again(7);
  SeededRun other(8);
  for (SeededRun* run : {&first, &again, &other})
    run->TestBody();
  EXPECT_EQ(first.hash, again.hash);
  EXPECT_EQ(first.certificate, again.certificate);
  EXPECT_NE(first.hash, other.hash);
  EXPECT_NE(first.certificate, other.certificate);
}

}  // namespace
}  // namespace blixard::sim
