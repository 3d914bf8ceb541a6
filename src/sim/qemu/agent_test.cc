// The agent's words, and what it makes of a guest.

#include "sim/qemu/agent.h"

#include "sim/qemu/test_guest.h"

namespace blixard::sim {
namespace {

using env::Task;

// run() keeps each body until it has ended.
// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)

using AgentTest = TestGuests;

const std::string kSeed(64, 'a');
const std::string kMachine(32, 'c');

TEST_F(AgentTest, AGuestBecomesWhatItIsToldToBe) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const auto guest, co_await start({.name = "a"}));
    BLX_CO_TRY(const std::string before, co_await guest->ask("identity"));
    EXPECT_TRUE(before.starts_with("ok protocol=1 name=a boot=")) << before;
    const GuestView born = *view(*guest);
    EXPECT_TRUE(before.ends_with("mac=" + TestGuest::mac("a") + " machine=" + born.machine_id));
    EXPECT_EQ(born.machine_id.size(), 32u);
    EXPECT_FALSE(born.identified);
    BLX_CO_TRY(const std::string after,
               co_await guest->ask("identity", "was=a name=web-1 mac=02:00:00:00:00:99 machine=" +
                                                   kMachine + " time_ms=1700000000000 seed=" +
                                                   kSeed + " ip=10.0.2.15/24 gw=10.0.2.2"));
    EXPECT_TRUE(after.starts_with("ok protocol=1 name=web-1 boot="));
    EXPECT_TRUE(after.ends_with("mac=02:00:00:00:00:99 machine=" + kMachine)) << after;
    EXPECT_EQ(after.substr(after.find("boot="), 37), before.substr(before.find("boot="), 37));
    const GuestView now = *view(*guest);
    EXPECT_EQ(now.host_name, "web-1");
    EXPECT_EQ(now.mac, "02:00:00:00:00:99");
    EXPECT_EQ(now.machine_id, kMachine);
    EXPECT_NE(now.random_seed, born.random_seed);
    EXPECT_TRUE(now.identified);
    BLX_CO_TRY(const std::string random, co_await guest->ask("random"));
    EXPECT_TRUE(random.contains(" time_ms=17000000000")) << random;
    // Once more, as when the first answer was lost.
    BLX_CO_TRY(const std::string again, co_await guest->ask("identity", "was=a name=web-1"));
    EXPECT_TRUE(again.starts_with("ok protocol=1 name=web-1"));
    BLX_CO_TRY(const std::string refused, co_await guest->ask("identity", "was=a name=web-2"));
    EXPECT_EQ(refused, "error another guest");
    EXPECT_EQ(view(*guest)->host_name, "web-1");
    co_return Result<void>();
  });
}

TEST_F(AgentTest, WrongWordsChangeNothing) {
  run([this]() -> Task<Result<void>> {
    struct Case {
      const char* verb;
      std::string words;
      const char* answer;
    };
    const Case cases[] = {
        {"ping", "more", "error unknown argument"},
        {"random", "more", "error unknown argument"},
        {"reboot", "", "error unknown verb"},
        {"identity", "was=nobody", "error another guest"},
        {"identity", "was=nobody name=b", "error another guest"},
        {"identity", "name=b was=-", "error bad was"},
        {"identity", "name=b name=c", "error name given twice"},
        {"identity", "name=b colour=red", "error unknown argument"},
        {"identity", "name=b red", "error unknown argument"},
        {"identity", "name=-b", "error bad name"},
        {"identity", "name=" + std::string(64, 'b'), "error bad name"},
        {"identity", "name=b mac=03:00:00:00:00:01", "error bad mac"},
        {"identity", "name=b mac=00:00:00:00:00:00", "error bad mac"},
        {"identity", "name=b mac=02-00-00-00-00-01", "error bad mac"},
        {"identity", "name=b machine=" + kMachine + "c", "error bad machine"},
        {"identity", "name=b seed=" + kMachine, "error bad seed"},
        {"identity", "name=b seed=" + std::string(64, 'A'), "error bad seed"},
        {"identity", "name=b time_ms=0", "error bad time_ms"},
        {"identity", "name=b time_ms=-5", "error bad time_ms"},
        {"identity", "name=b time_ms=9007199254740993", "error bad time_ms"},
        {"identity", "name=b time_ms=9007199254740992",
         "error cannot set the time: Invalid argument"},
        {"identity", "name=b time_ms=1", "error cannot set the time: Invalid argument"},
        {"identity", "name=b ip=10.0.2.15", "error bad ip"},
        {"identity", "name=b ip=10.0.2.256/24", "error bad ip"},
        {"identity", "name=b gw=10.0.2", "error bad gw"},
        {"identity", "name=b gw=10.0.2.-0", "error bad gw"},
        {"identity", "a b c d e f g h i j k", "error too many arguments"},
    };
    BLX_CO_TRY(const auto guest, co_await start({.name = "a"}));
    BLX_CO_TRY(co_await guest->ask("ping"));
    const GuestView before = *view(*guest);
    for (const Case& each : cases) {
      BLX_CO_TRY(const std::string answer, co_await guest->ask(each.verb, each.words));
      EXPECT_EQ(answer, each.answer) << each.verb << " " << each.words;
    }
    const GuestView after = *view(*guest);
    EXPECT_EQ(after.host_name, before.host_name);
    EXPECT_EQ(after.mac, before.mac);
    EXPECT_EQ(after.machine_id, before.machine_id);
    EXPECT_EQ(after.random_seed, before.random_seed);
    EXPECT_LE(std::chrono::abs(after.clock_offset - before.clock_offset), 1ms);
    EXPECT_FALSE(after.identified);
    co_return Result<void>();
  });
}

TEST_F(AgentTest, AnOldAgentKnowsNoClones) {
  run([this]() -> Task<Result<void>> {
    qemu_.faults.refuses_identity = true;
    BLX_CO_TRY(const auto guest, co_await start({.name = "a"}));
    for (const std::string& words :
         {std::string("was=a"), "seed=" + kSeed, std::string("time_ms=1700000000000"),
          std::string("mac=02:00:00:00:00:01"), "machine=" + kMachine}) {
      BLX_CO_TRY(const std::string answer, co_await guest->ask("identity", "name=b " + words));
      EXPECT_EQ(answer, "error unknown argument");
    }
    BLX_CO_TRY(const std::string random, co_await guest->ask("random"));
    EXPECT_EQ(random, "error unknown verb");
    EXPECT_EQ(view(*guest)->host_name, "a");
    BLX_CO_TRY(const std::string named, co_await guest->ask("identity", "name=b"));
    EXPECT_TRUE(named.starts_with("ok protocol=1 name=b "));
    co_return Result<void>();
  });
}

TEST_F(AgentTest, AHalfLineSpoilsTheNextHostsFirstOne) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const auto guest, co_await start({.name = "a"}));
    BLX_CO_TRY(co_await guest->ask("ping"));
    const auto leave = [&](std::string bytes) -> Task<Result<void>> {
      BLX_CO_TRY(auto stream, co_await guest->dial("agent"));
      TestTalk talk(env(), std::move(stream));
      BLX_CO_TRY(co_await talk.hear_until("ready 1 a"));
      BLX_CO_TRY(co_await talk.say(std::move(bytes)));
      co_return co_await env().clock.sleep(100ms);
    };
    BLX_CO_TRY(co_await leave("ping 12"));
    {
      BLX_CO_TRY(auto stream, co_await guest->dial("agent"));
      TestTalk talk(env(), std::move(stream));
      BLX_CO_TRY(co_await talk.say("ping 34\nping 56\n"));
      BLX_CO_TRY(const std::string spoiled, co_await talk.hear_until("error"));
      EXPECT_EQ(spoiled, "error - no nonce");
      BLX_CO_TRY(const std::string next, co_await talk.hear());
      EXPECT_EQ(next, "ok 56");
    }
    BLX_CO_TRY(co_await leave("ping 12"));
    BLX_CO_TRY(const std::string mended, co_await guest->ask("ping"));  // an empty line first
    EXPECT_EQ(mended, "ok");

    BLX_CO_TRY(co_await leave(std::string(2000, 'x')));
    BLX_CO_TRY(auto stream, co_await guest->dial("agent"));
    TestTalk talk(env(), std::move(stream));
    BLX_CO_TRY(co_await talk.say("\n\nping 7\n"));
    BLX_CO_TRY(const std::string endless, co_await talk.hear_until("error"));
    EXPECT_EQ(endless, "error - line too long");
    BLX_CO_TRY(const std::string right, co_await talk.hear());
    EXPECT_EQ(right, "ok 7");
    co_return Result<void>();
  });
}

TEST_F(AgentTest, AHalfLineIsInTheSaveToo) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const auto origin, co_await start({.name = "a"}));
    BLX_CO_TRY(co_await origin->ask("ping"));
    {
      BLX_CO_TRY(auto stream, co_await origin->dial("agent"));
      BLX_CO_TRY(co_await stream->write_all("ping "));
      BLX_CO_TRY(co_await env().clock.sleep(100ms));
    }
    BLX_CO_TRY(co_await origin->execute("stop"));
    BLX_CO_TRY(const std::string state, co_await origin->save());
    BLX_CO_TRY(const auto guest, co_await start({.name = "b", .is_incoming = true}));
    BLX_CO_TRY(co_await guest->load_and_run(state));
    BLX_CO_TRY(auto stream, co_await guest->dial("agent"));
    TestTalk talk(env(), std::move(stream));
    BLX_CO_TRY(co_await talk.say("12\n"));
    BLX_CO_TRY(const std::string said, co_await talk.hear_until("ok"));
    EXPECT_EQ(said, "ok 12");
    co_return Result<void>();
  });
}

TEST(SoulTest, APageIsReadAsItWasWrittenOrNotAtAll) {
  Soul soul;
  soul.host_name = "hello";
  soul.machine_id = kMachine;
  soul.mac = "02:00:00:00:00:01";
  soul.random = {.seed = 0xfeed, .count = 7};
  soul.clock = GuestClock({1'700'000'000'000}, 5s);
  soul.boot_left = std::nullopt;
  soul.save = 12;
  soul.half_line = "ping 1\x7f\xff";
  const std::string page = encode_soul(soul, {});
  EXPECT_EQ(page.size(), kSoulBytes);
  const auto read = decode_soul(page);
  ASSERT_TRUE(read);
  EXPECT_EQ(encode_soul(*read, {}), page);
  EXPECT_EQ(read->half_line, soul.half_line);
  EXPECT_EQ(read->boot_left, std::nullopt);
  const std::size_t used = page.find('\0');
  for (std::size_t size = 0; size < used; ++size)
    EXPECT_FALSE(decode_soul(page.substr(0, size))) << size;
  int other = 0;
  for (std::size_t bit = 0; bit < 8 * used; ++bit) {
    std::string changed = page;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    const auto soul_of_it = decode_soul(changed);
    if (!soul_of_it) continue;
    ++other;
    EXPECT_TRUE(is_host_name(soul_of_it->host_name) && is_hex(soul_of_it->machine_id, 32));
  }
  EXPECT_GT(other, 0);
}

TEST(SoulTest, TheSameSeedGivesTheSameBytes) {
  GuestRandom a{.seed = 5};
  GuestRandom b = a;
  const std::string first = a.take_hex(32);
  EXPECT_EQ(first, b.take_hex(32));
  EXPECT_NE(first, a.take_hex(32));
  a.mix(kSeed);
  GuestRandom early{.seed = 5};
  early.mix(kSeed);
  EXPECT_NE(a.take_hex(32), early.take_hex(32)) << "what was before the mixing counts";
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

}  // namespace
}  // namespace blixard::sim
