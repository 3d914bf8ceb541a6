#include "node/vm/qemu/agent_protocol.h"

#include <limits>

#include "base/limits.h"

namespace blixard::qemu {
namespace {

TEST(AgentProtocol, ReadsLines) {
  const auto ready = parse_agent_line("ready 1 hello");
  ASSERT_TRUE(ready);
  EXPECT_EQ(std::get<AgentReady>(*ready).version, 1u);
  EXPECT_EQ(std::get<AgentReady>(*ready).host_name, "hello");

  const auto ok = parse_agent_line("ok 0a1b name=web uptime_ms=12");
  ASSERT_TRUE(ok);
  EXPECT_EQ(std::get<AgentOk>(*ok).nonce, "0a1b");
  const std::vector<std::pair<std::string, std::string>> values{{"name", "web"},
                                                                {"uptime_ms", "12"}};
  EXPECT_EQ(std::get<AgentOk>(*ok).values, values);

  const auto error = parse_agent_line("error - not a line of text");
  ASSERT_TRUE(error);
  EXPECT_EQ(std::get<AgentError>(*error).nonce, "-");
  EXPECT_EQ(std::get<AgentError>(*error).text, "not a line of text");
}

TEST(AgentProtocol, RefusesWhatIsNoLine) {
  for (const char* line : {"", " ", "ok", "ok ", "ok XYZ", "ok 12345678901234567890123456789012f",
                           "ok aa word", "ok aa =value", "ready", "ready x host", "ready -1 host",
                           "error", "error nonce", "hello", "ok aa\tb=c", "ok aa b=\x80"}) {
    EXPECT_FALSE(parse_agent_line(line)) << line;
  }
}

TEST(AgentProtocol, SkipsWhatMakesNoSenseAndGoesOn) {
  const std::string too_long(3 * limits::kAgentLineBytes, 'x');
  const std::string bytes = "ok aa\n" + too_long + "\nnonsense\nok bb\nok cc";
  for (std::size_t cut = 1; cut <= bytes.size(); ++cut) {
    AgentDecoder decoder;
    std::vector<AgentLine> lines;
    for (std::size_t at = 0; at < bytes.size(); at += cut)
      decoder.feed(std::string_view(bytes).substr(at, cut), lines);
    ASSERT_EQ(lines.size(), 2u) << "cut " << cut;
    EXPECT_EQ(std::get<AgentOk>(lines[1]).nonce, "bb");
    EXPECT_EQ(decoder.skipped(), 2u);
  }
}

TEST(AgentProtocol, TakesTheLongestLine) {
  AgentDecoder decoder;
  std::vector<AgentLine> lines;
  const std::string start = "error aa ";
  decoder.feed(start + std::string(limits::kAgentLineBytes - 1 - start.size(), 'x') + "\n", lines);
  EXPECT_EQ(lines.size(), 1u);
  decoder.feed(start + std::string(limits::kAgentLineBytes - start.size(), 'x') + "\n", lines);
  EXPECT_EQ(lines.size(), 1u);
  EXPECT_EQ(decoder.skipped(), 1u);
}

TEST(AgentProtocol, WritesRequests) {
  EXPECT_EQ(encode_agent_request("ping", "0f"), "ping 0f\n");
  const Identity identity{.was = "tpl-1",
                          .name = "web",
                          .mac = "02:00:00:00:00:07",
                          .machine = std::string(32, '7'),
                          .time = WallTime{1'700'000'000'123},
                          .seed = std::string(64, 'e')};
  const std::string line = encode_agent_request("identity", "0f", identity.words());
  EXPECT_EQ(line,
            "identity 0f was=tpl-1 name=web mac=02:00:00:00:00:07 machine=" + std::string(32, '7') +
                " time_ms=1700000000123 seed=" + std::string(64, 'e') + "\n");
  EXPECT_EQ(Identity{.time = identity.time}.words(), "time_ms=1700000000123");
}

TEST(AgentProtocol, TheLongestIdentityFitsIntoALine) {
  const Identity identity{.was = std::string(limits::kNameLength, 'w'),
                          .name = std::string(limits::kNameLength, 'n'),
                          .mac = "02:00:00:00:00:07",
                          .machine = std::string(32, '7'),
                          .time = WallTime{std::numeric_limits<std::int64_t>::max()},
                          .seed = std::string(64, 'e')};
  EXPECT_LT(encode_agent_request("identity", std::string(32, 'f'), identity.words()).size(),
            limits::kAgentLineBytes);
}

}  // namespace
}  // namespace blixard::qemu
