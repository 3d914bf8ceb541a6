#include "node/vm/qemu/qmp.h"

#include <boost/json.hpp>

#include "base/limits.h"

namespace blixard::qemu {
namespace {

constexpr std::string_view kGreeting =
    R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"},)"
    R"( "capabilities": ["oob"]}})"
    "\r\n";
constexpr std::string_view kShutdown =
    R"({"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN",)"
    R"( "data": {"guest": true, "reason": "guest-shutdown"}})"
    "\r\n";

std::vector<Message> decode_all(QmpDecoder& decoder) {
  std::vector<Message> messages;
  for (;;) {
    auto message = decoder.next();
    EXPECT_TRUE(message) << message.error().message();
    if (!message || !*message) return messages;
    messages.push_back(std::move(**message));
  }
}

TEST(Qmp, ReadsEveryKindOfMessageWhateverTheCuts) {
  const std::string bytes = std::string(kGreeting) +
                            R"({"return": {"status": "running"}, "id": 7})" + "\r\n" +
                            std::string(kShutdown) +
                            R"({"id": 8, "error": {"class": "GenericError", "desc": "no"}})" + "\n";
  for (std::size_t cut = 1; cut <= bytes.size(); ++cut) {
    QmpDecoder decoder;
    std::vector<Message> messages;
    for (std::size_t at = 0; at < bytes.size(); at += cut) {
      ASSERT_TRUE(decoder.feed(std::string_view(bytes).substr(at, cut)));
      for (Message& message : decode_all(decoder))
        messages.push_back(std::move(message));
    }
    ASSERT_EQ(messages.size(), 4u) << "cut " << cut;
    EXPECT_EQ(std::get<Greeting>(messages[0]).version, "7.2.22");
    EXPECT_EQ(std::get<Return>(messages[1]).id, 7u);
    EXPECT_EQ(std::get<Return>(messages[1]).value.at("status"), "running");
    EXPECT_EQ(std::get<Event>(messages[2]).name, "SHUTDOWN");
    EXPECT_EQ(std::get<Event>(messages[2]).data.at("reason"), "guest-shutdown");
    EXPECT_EQ(std::get<CommandError>(messages[3]).id, 8u);
    EXPECT_EQ(std::get<CommandError>(messages[3]).text, "no");
  }
}

TEST(Qmp, RefusesWhatIsNoMessage) {
  for (const char* line :
       {"", "x", "[]", "7", "{}", R"({"return": {}})", R"({"return": {}, "id": -1})",
        R"({"QMP": 1})", R"({"QMP": {"version": {"qemu": {"major": "7"}}}})", R"({"event": 7})",
        R"({"error": "text"})", R"({"return": {}, "id": 1)"}) {
    EXPECT_FALSE(parse_qmp_line(line)) << line;
  }
}

TEST(Qmp, BoundsTheDepth) {
  const auto nested = [](std::size_t depth) {
    return R"({"id": 1, "return": )" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  EXPECT_TRUE(parse_qmp_line(nested(limits::kQmpDepth - 1)));
  EXPECT_FALSE(parse_qmp_line(nested(limits::kQmpDepth + 1)));
  EXPECT_FALSE(parse_qmp_line(nested(100'000)));
}

TEST(Qmp, BoundsTheLine) {
  QmpDecoder decoder;
  ASSERT_TRUE(decoder.feed(std::string(limits::kQmpLineBytes, ' ')));
  const auto too_long = decoder.feed(" ");
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().reason(), "qmp_line_too_long");
  EXPECT_FALSE(decoder.feed("\n"));
  EXPECT_FALSE(decoder.next());
}

TEST(Qmp, GivesNothingAfterAnError) {
  QmpDecoder decoder;
  ASSERT_TRUE(decoder.feed("nonsense\n" + std::string(kGreeting)));
  EXPECT_FALSE(decoder.next());
  EXPECT_FALSE(decoder.next());
}

TEST(Qmp, WritesCommands) {
  EXPECT_EQ(encode_command("stop", {}, 3), "{\"execute\":\"stop\",\"id\":3}\n");
  EXPECT_EQ(encode_command("ringbuf-read", {{"device", "a\"b\n"}}, 4),
            "{\"execute\":\"ringbuf-read\",\"arguments\":{\"device\":\"a\\\"b\\n\"},\"id\":4}\n");
}

}  // namespace
}  // namespace blixard::qemu
