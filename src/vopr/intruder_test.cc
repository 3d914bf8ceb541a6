#include "vopr/intruder.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node/http/client.h"
#include "vopr/clients.h"
#include "vopr/operator.h"

namespace blixard::vopr {
namespace {

using env::Task;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::uint64_t kVariants = 2 * kFutures;  // of the action that has most

// A cluster of three on which nothing else is wrong, and one node that was removed.
class IntruderTest : public ::testing::Test {
 protected:
  IntruderTest()
      : world_(std::make_unique<sim::World>(7)),
        recorder_([this] { return world_->elapsed(); },
                  [this](std::uint32_t site) { return cluster_->standing(site); }),
        judge_([this](std::string_view checker, const std::string& text) {
          recorder_.fail(std::string(checker), text);
        }) {
    world_->set_log_level(observe::Level::kError);
    plan_.seed = 7;
    cluster_ = std::make_unique<Cluster>(plan_, *world_, recorder_, judge_);
    clients_ = std::make_unique<Clients>(*cluster_);
    operator_ = std::make_unique<Operator>(*cluster_, *clients_);
    intruder_ = std::make_unique<Intruder>(*cluster_);
  }

  // What the daemons refer to outlives them.
  ~IntruderTest() override {
    recorder_.close();
    world_.reset();
  }

  template <class Scene>
  void play(Scene scene) {
    ASSERT_TRUE(world_->run(scene(), 24h));
    EXPECT_FALSE(recorder_.failed()) << recorder_.report().violation->text;
  }

  Task<void> prepare() {
    EXPECT_TRUE(co_await operator_->form());
    co_await operator_->act({.action = Action::kJoin});
    co_await intruder_->act({.action = Action::kStranger, .node = 1});
    co_await operator_->act({.action = Action::kRemove, .node = 4});
    co_await cluster_->pause(5s);
  }

  // What node 1 has counted of those whose names begin with this.
  Task<double> counted(std::string_view name) {
    Site& site = *cluster_->sites().front();
    http::Client client(cluster_->env(), site.api());
    http::ClientRequest request{.target = "/metrics"};
    request.headers.push_back({"Authorization", "Bearer " + site.api_token()});
    const auto answer = co_await client.send(std::move(request), cluster_->now() + 5s);
    EXPECT_TRUE(answer.has_value());
    double sum = 0;
    std::string_view rest = answer ? std::string_view(answer->body) : "";
    while (!rest.empty()) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      if (!line.starts_with(name)) continue;
      sum += std::strtod(std::string(line.substr(line.rfind(' '))).c_str(), nullptr);
    }
    co_return sum;
  }
  Task<double> peers_counted() {
    const double refused = co_await counted("blixard_peer_refused_connections_total");
    co_return refused + co_await counted("blixard_peer_violations_total");
  }

  // Does it, and tells what was refused.
  Task<std::vector<std::string>> refusals(Action action, std::uint64_t amount) {
    const std::size_t before = recorder_.report().events.size();
    co_await intruder_->act({.action = action, .node = 1, .amount = amount});
    std::vector<std::string> texts;
    const auto& events = recorder_.report().events;
    for (std::size_t i = before; i < events.size(); ++i)
      if (events[i].event == Event::kFrameRefused) texts.push_back(events[i].text);
    co_return texts;
  }

  // Everything it can do, against node 1: refused, and counted unless it is of `uncounted`.
  Task<std::vector<std::string>> all_of(Action action, std::vector<std::string> uncounted) {
    std::vector<std::string> all;
    for (std::uint64_t amount = 0; amount < kVariants; ++amount) {
      const double before = co_await peers_counted();
      const auto texts = co_await refusals(action, amount);
      EXPECT_THAT(texts, Not(IsEmpty())) << facts_of(action).name << " " << amount;
      if (texts.empty()) continue;
      const bool is_counted = std::ranges::none_of(
          uncounted, [&](const std::string& what) { return texts.front().contains(what); });
      if (is_counted) EXPECT_GT(co_await peers_counted(), before) << texts.front();
      all.insert(all.end(), texts.begin(), texts.end());
    }
    co_return all;
  }

  // The cluster is as it was.
  void expect_unharmed(Term term) {
    const Site* leader = cluster_->leader();
    ASSERT_NE(leader, nullptr);
    EXPECT_EQ(leader->replica()->status().term, term);
    EXPECT_EQ(leader->replica()->state().nodes().size(), 3u);
  }
  [[nodiscard]] Term term() { return cluster_->leader()->replica()->status().term; }

  Plan plan_;
  std::unique_ptr<sim::World> world_;
  Recorder recorder_;
  Judge judge_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<Clients> clients_;
  std::unique_ptr<Operator> operator_;
  std::unique_ptr<Intruder> intruder_;
};

TEST_F(IntruderTest, StrangersAreRefusedAndCounted) {
  play([&]() -> Task<void> {
    co_await prepare();
    const Term before = term();
    // The API counts its own.
    const auto all = co_await all_of(
        Action::kStranger, {"token: 4", "HTTP", ": 4", ": 5", "API", "header", "half a request"});
    EXPECT_THAT(all, Contains("half a handshake: hung up on"));
    EXPECT_THAT(all, Contains("GET /v1/vms with no token: 401"));
    EXPECT_THAT(all, Contains("GET /v1/vms with another token: 401"));
    EXPECT_THAT(all, Contains("a token that was used: token_used"));
    EXPECT_THAT(all, Contains("a token with another secret: token_refused"));
    expect_unharmed(before);
  });
}

TEST_F(IntruderTest, ForgedSendersAreRefusedAndCounted) {
  play([&]() -> Task<void> {
    co_await prepare();
    const Term before = term();
    const auto all = co_await all_of(Action::kForgedSender, {"in a member's place"});
    EXPECT_THAT(all, Contains("a greeting of another cluster: peer_cluster_wrong"));
    EXPECT_THAT(all, Contains("a removed node's greeting: node_removed"));
    EXPECT_THAT(all, Contains("an altered certificate: certificate_refused"));
    EXPECT_THAT(all, Contains(HasSubstr("consensus for another node")));
    // Nor has a member whose place was taken lost its say.
    expect_unharmed(before);
  });
}

TEST_F(IntruderTest, ReplaysAreRefusedAndCounted) {
  play([&]() -> Task<void> {
    co_await prepare();
    const Term before = term();
    const auto all = co_await all_of(Action::kReplayedFrames, {"at the API"});
    EXPECT_THAT(all, Contains("a replay of a removed node: node_removed"));
    EXPECT_THAT(all, Contains("a replay under another authority: certificate_refused"));
    EXPECT_THAT(all, Contains("a replay without a certificate: hung up on"));
    expect_unharmed(before);
  });
}

TEST_F(IntruderTest, FramesOfTheFutureAreRefusedAndCounted) {
  play([&]() -> Task<void> {
    co_await prepare();
    const Term before = term();
    const auto all = co_await all_of(Action::kFutureFrames,
                                     {"request_kind_unknown", "without its tail", "half a header"});
    EXPECT_THAT(all, Contains("a frame of version 2: hung up on"));
    EXPECT_THAT(all, Contains("a frame of version 2, of a removed node: node_removed"));
    EXPECT_THAT(all, Contains("a greeting of version 0: peer_version_unsupported"));
    EXPECT_THAT(all, Contains("a request of the next kind: request_kind_unknown"));
    expect_unharmed(before);
  });
}

}  // namespace
}  // namespace blixard::vopr
