// The two clients against a scripted other end, in virtual time.

#include <functional>
#include <optional>

#include <boost/json.hpp>

#include "env/scope.h"
#include "node/vm/qemu/agent_client.h"
#include "node/vm/qemu/qmp_client.h"
#include "sim/world.h"

namespace blixard::qemu {
namespace {

using env::Env;
using env::Task;

const env::Endpoint kSocket = env::Endpoint::unix_socket("/run/s");
constexpr std::string_view kHello =
    R"({"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 1}}}})"
    "\n";

// Answers each line it gets, and that is not empty, with the next of its answers; "%" stands for
// the line's second word, "&" for all behind it.
Task<void> serve(Env env, std::string hello, std::vector<std::string> answers) {
  auto listener = co_await env.network.listen(kSocket);
  if (!listener) co_return;
  auto stream = co_await (*listener)->accept();
  if (!stream || !co_await (*stream)->write_all(hello)) co_return;
  std::array<char, 256> buffer{};
  std::string text;
  for (std::string answer : answers) {
    while (text.find_first_not_of('\n') == std::string::npos ||
           text.find('\n', text.find_first_not_of('\n')) == std::string::npos) {
      const auto count = co_await (*stream)->read_some(buffer);
      if (!count || *count == 0) co_return;
      text.append(buffer.data(), *count);
    }
    text.erase(0, text.find_first_not_of('\n'));
    const std::string line = text.substr(0, text.find('\n'));
    text.erase(0, line.size() + 1);
    if (const std::size_t at = answer.find('%'); at != std::string::npos) {
      const std::size_t begin = line.find(' ') + 1;
      answer.replace(at, 1, line.substr(begin, line.find(' ', begin) - begin));
    }
    if (const std::size_t at = answer.find('&'); at != std::string::npos) {
      answer.replace(at, 1, line.substr(line.find(' ', line.find(' ') + 1) + 1));
    }
    if (!answer.empty() && !co_await (*stream)->write_all(answer)) co_return;
  }
  ignore(co_await env.clock.sleep(1min), "the other end goes first");
}

Task<void> talk_qmp(Env env, std::vector<std::string>& events) {
  const Instant deadline = env.clock.monotonic() + 5s;
  auto stream = co_await env.network.dial(kSocket, deadline);
  if (!stream) {
    ADD_FAILURE() << stream.error().message();
    co_return;
  }
  QmpClient client(env.executor, env.clock, *std::move(stream),
                   [&events](const Event& event) { events.push_back(event.name); });
  env::Scope scope(env.executor, nullptr);
  scope.spawn(client.run());
  const auto version = co_await client.handshake(deadline);
  EXPECT_EQ(version.value_or("?"), "7.2.1");
  const auto status = co_await client.execute("query-status", {}, deadline);
  EXPECT_TRUE(status && status->at("status") == "running");
  const auto refused = co_await client.execute("nonsense", {}, deadline);
  EXPECT_TRUE(!refused && refused.error().reason() == "qmp_refused");
  const auto late = co_await client.execute("hangs", {}, env.clock.monotonic() + 1s);
  EXPECT_TRUE(!late && late.error().code() == Code::kDeadlineExceeded);
  // The answer to "hangs" comes first now, and is not taken for this one's.
  const auto after = co_await client.execute("query-name", {}, env.clock.monotonic() + 1s);
  EXPECT_TRUE(after && after->is_string());
  client.close();
  const auto closed = co_await client.execute("query-name", {}, deadline);
  EXPECT_TRUE(!closed && closed.error().reason() == "qmp_closed");
  co_await scope.join();
}

TEST(QmpClient, MatchesAnswersAndHandsEventsOn) {
  sim::World world(1);
  sim::Machine& machine = world.add_machine("a");
  machine.start(serve(machine.env(), std::string(kHello),
                      {R"({"return": {}, "id": 1})"
                       "\n",
                       R"({"event": "RESUME"})"
                       "\n"
                       R"({"return": {"status": "running"}, "id": 2})"
                       "\n",
                       R"({"error": {"class": "CommandNotFound", "desc": "no"}, "id": 3})"
                       "\n",
                       "",
                       R"({"return": {}, "id": 4})"
                       "\n"
                       R"({"return": "x", "id": 6})"
                       "\n"}));
  std::vector<std::string> events;
  EXPECT_TRUE(world.run(talk_qmp(machine.env(), events)));
  EXPECT_EQ(events, std::vector<std::string>{"RESUME"});
}

using Question = std::function<Task<Result<void>>(AgentClient&, Instant)>;

Task<Result<void>> ping(AgentClient& agent, Instant deadline) { return agent.ping(deadline); }

Result<void> ask_agent(std::string hello, std::vector<std::string> answers,
                       Question question = ping) {
  sim::World world(1);
  sim::Machine& machine = world.add_machine("a");
  machine.start(serve(machine.env(), std::move(hello), std::move(answers)));
  Result<void> result;
  const auto main = [&](Env env) -> Task<void> {
    AgentClient agent(env, kSocket.host);
    result = co_await question(agent, env.clock.monotonic() + 5s);
  };
  EXPECT_TRUE(world.run(main(machine.env())));
  return result;
}

TEST(AgentClient, BelievesItsOwnNonceOnly) {
  EXPECT_TRUE(ask_agent("ready 1 web\n", {"ok %\n"}));
  EXPECT_TRUE(ask_agent("ok 0123\nnonsense\n", {"ok 4567\n", "", "ok %\n"}));
  const auto stale = ask_agent("ok 0123\n", {"ok 4567\n", "error 89ab no\n", "ok cdef\n"});
  EXPECT_TRUE(!stale && stale.error().code() == Code::kDeadlineExceeded);
}

TEST(AgentClient, TellsOtherVersionsAndRefusals) {
  const auto version = ask_agent("ready 2 web\n", {});
  EXPECT_TRUE(!version && version.error().reason() == "agent_version");
  const auto refused = ask_agent("ready 1 web\n", {"error % unknown verb\n"});
  EXPECT_TRUE(!refused && refused.error().reason() == "agent_refused");
}

TEST(AgentClient, TellsACloneWhoItIs) {
  const Identity web{.was = "tpl-1",
                     .name = "web",
                     .mac = "02:00:00:00:00:07",
                     .machine = std::string(32, '7'),
                     .time = {},
                     .seed = std::string(64, 'e')};
  const Question identify = [&](AgentClient& agent, Instant deadline) {
    return agent.identify(web, deadline);
  };
  EXPECT_TRUE(ask_agent("ready 1 tpl-1\n", {"ok % name=web\n"}, identify));
  const auto other = ask_agent("ready 1 tpl-2\n", {"error % another guest\n"}, identify);
  EXPECT_TRUE(!other && other.error().reason() == "agent_refused");
  const auto stale = ask_agent("ready 1 tpl-1\n", {"ok 0123 name=web\n"}, identify);
  EXPECT_TRUE(!stale && stale.error().code() == Code::kDeadlineExceeded);
  // The words that went out come back as an error's text.
  const auto words = ask_agent("", {"error % &\n"}, identify);
  EXPECT_EQ(words.error().detail().substr(0, 30), web.words().substr(0, 30));
  EXPECT_NE(words.error().detail().find(" time_ms="), std::string_view::npos);
  EXPECT_EQ(words.error().detail().find(" time_ms=0 "), std::string_view::npos) << "it is now";
}

TEST(AgentClient, KnowsWhetherAGuestCanBecomeAnother) {
  const auto can = [](std::string answer) {
    std::optional<bool> can_identify;
    const Question question = [&](AgentClient& agent, Instant deadline) -> Task<Result<void>> {
      const auto asked = co_await agent.can_identify(deadline);
      if (!asked) co_return std::unexpected(asked.error());
      can_identify = *asked;
      co_return Result<void>();
    };
    EXPECT_TRUE(ask_agent("ready 1 tpl-1\n", {std::move(answer)}, question));
    return can_identify.value_or(false);
  };
  EXPECT_TRUE(can("error % another guest\n"));
  EXPECT_FALSE(can("error % unknown argument\n"));
  EXPECT_FALSE(can("ok % name=tpl-1\n"));
}

}  // namespace
}  // namespace blixard::qemu
