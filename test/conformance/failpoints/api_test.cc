// Failpoints over the API: refused unless the node was started for them.

#include "test/conformance/failpoints/stories.h"

namespace blixard {
namespace {

using env::Task;
using http::Method;
using rest::Reply;

constexpr const char* kPropose = "/v1/failpoints/raft::propose";

TEST(FailpointApi, IsRefusedUnlessAllowed) {
  Cluster cluster(7, 1);
  cluster.run([](Cluster& c) -> Task<void> {
    co_await c.begin();
    const std::string body = R"({"actions":"error"})";
    for (const Reply& reply : {co_await c.call(c.site(1), Method::kGet, "/v1/failpoints"),
                               co_await c.call(c.site(1), Method::kPut, kPropose, body),
                               co_await c.call(c.site(1), Method::kDelete, kPropose)}) {
      EXPECT_EQ(reply.status, 403) << text_of(reply);
      EXPECT_EQ(reply.text("code"), "failpoints_not_allowed");
    }
    co_await expect_at_work(c, c.site(1));
  });
}

Task<void> arm_and_disarm(Cluster& c) {
  c.site(1).allow_failpoints = true;
  co_await c.begin();
  const Reply armed = co_await c.call(c.site(1), Method::kPut, kPropose,
                                      R"({"actions":"1*off->2*error->off","seed":5})");
  EXPECT_EQ(armed.status, 200) << text_of(armed);
  EXPECT_EQ(armed.text("actions"), "1*off->2*error->off");
  EXPECT_EQ(armed.number("seed"), 5);
  EXPECT_TRUE(was_logged(c, "failpoint raft::propose is armed: 1*off->2*error->off"));
  const int expected[] = {201, 503, 503, 201};
  for (const int status : expected) {
    const Reply reply = co_await make_token(c, c.site(1));
    EXPECT_EQ(reply.status, status) << text_of(reply);
  }
  const Reply list = co_await c.call(c.site(1), Method::kGet, "/v1/failpoints");
  const auto& sites = list.body.at("failpoints").as_array();
  EXPECT_EQ(sites.size(), observe::failpoints().size());
  for (const auto& site : sites) {
    if (site.at("name") != "raft::propose") continue;
    EXPECT_EQ(site.at("kind"), "waiting");
    EXPECT_EQ(site.at("passed"), 4);
    EXPECT_EQ(site.at("fired"), 2);
  }
  const Reply cleared = co_await c.call(c.site(1), Method::kDelete, kPropose);
  EXPECT_EQ(cleared.status, 200) << text_of(cleared);
  EXPECT_EQ(cleared.text("actions"), "");
}

TEST(FailpointApi, ArmsAndDisarms) {
  Cluster cluster(7, 1);
  cluster.run(arm_and_disarm);
}

TEST(FailpointApi, SaysWhatIsWrong) {
  Cluster cluster(7, 1);
  cluster.run([](Cluster& c) -> Task<void> {
    c.site(1).allow_failpoints = true;
    co_await c.begin();
    const auto set = [&](std::string name, std::string body) -> Task<std::string> {
      const Reply reply =
          co_await c.call(c.site(1), Method::kPut, "/v1/failpoints/" + name, std::move(body));
      co_return fmt::format("{} {}: {}", reply.status, reply.text("code"), reply.text("detail"));
    };
    const std::string error = R"({"actions":"error"})";
    EXPECT_EQ(co_await set("raft::prepose", error),
              "404 failpoint_unknown: there is no failpoint raft::prepose; near it: raft::propose");
    EXPECT_EQ(co_await set("raft::heartbeat", error),
              "400 failpoint_invalid: raft::heartbeat cannot error: it has no error, use trigger");
    const std::string word = co_await set("raft::propose", R"({"actions":"mistake"})");
    EXPECT_TRUE(word.starts_with("400 failpoint_invalid")) << word;
    const std::string missing = co_await set("raft::propose", "{}");
    EXPECT_TRUE(missing.starts_with("400 body_invalid")) << missing;
    co_await expect_at_work(c, c.site(1));
  });
}

}  // namespace
}  // namespace blixard
