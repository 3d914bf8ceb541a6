// What concerns all requests: bodies, keys, routes, who asks, and how they are counted.

#include "node/api/api.h"

#include <cstdint>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "env/scope.h"
#include "node/api/test_bench.h"

namespace blixard::api {
namespace {

using env::Task;
using http::Method;
using testing::HasSubstr;

constexpr const char* kKey = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";

struct BadBody {
  const char* body;
  int status;
  const char* code;
  const char* detail;  // part of it
};

TEST(Api, RefusesBadBodiesAndChangesNothing) {
  const std::string deep = std::string(40, '[') + std::string(40, ']');
  const std::vector<BadBody> all = {
      {"", 400, "body_missing", ""},
      {"{", 400, "body_invalid", "not JSON"},
      {"[]", 400, "body_invalid", "must be a JSON object"},
      {deep.c_str(), 400, "body_invalid", "not JSON"},
      {R"({'name':'web'})", 400, "body_invalid", "not JSON"},
      {R"({"name":"web","image":"tiny"} x)", 400, "body_invalid", "not JSON"},
      {R"({"name":"web"})", 400, "body_invalid", "image is required"},
      {R"({"name":"web","image":"tiny","cpus":1})", 400, "body_invalid", "cpus is unknown"},
      {R"({"name":1,"image":"tiny"})", 400, "body_invalid", "name must be a string"},
      {R"({"name":null,"image":"tiny"})", 400, "body_invalid", "name must be a string"},
      {R"({"name":"web","image":"tiny","vcpus":"1"})", 400, "body_invalid", "vcpus must be"},
      {R"({"name":"web","image":"tiny","vcpus":0})", 400, "body_invalid", "from 1 to 64"},
      {R"({"name":"web","image":"tiny","vcpus":1.5})", 400, "body_invalid", "whole number"},
      {R"({"name":"web","image":"tiny","vcpus":-1})", 400, "body_invalid", "whole number"},
      {R"({"name":"web","image":"tiny","memory_mib":99999999999})", 400, "body_invalid", "memory"},
      {R"({"name":"web","image":"tiny","restart":"sometimes"})", 400, "body_invalid",
       "never, on-failure, always"},
      {R"({"name":"web","image":"tiny","publish":[{"host_port":1}]})", 400, "body_invalid",
       "publish[0].guest_port is required"},
      {R"({"name":"web","image":"tiny","publish":[{"guest_port":80,"x":1}]})", 400, "body_invalid",
       "publish[0].x is unknown"},
      {R"({"name":"web","image":"tiny","publish":{}})", 400, "body_invalid", "must be a list"},
      {R"({"name":"Web","image":"tiny"})", 400, "name_invalid", ""},
      {R"({"name":"","image":"tiny"})", 400, "name_invalid", ""},
      {R"({"name":"web","image":"none"})", 404, "image_not_found", "none"},
  };
  run([&](Bench& bench) -> Task<void> {
    for (const BadBody& bad : all) {
      const Reply reply = co_await bench.call(Method::kPost, "/v1/vms", bad.body);
      EXPECT_EQ(reply.status, bad.status) << bad.body;
      EXPECT_EQ(reply.text("code"), bad.code) << bad.body;
      EXPECT_THAT(reply.text("detail"), HasSubstr(bad.detail)) << bad.body;
      EXPECT_NE(reply.text("action"), "") << bad.body;
      EXPECT_EQ(reply.text("type"), std::string("urn:blixard:problem:") + bad.code);
    }
    EXPECT_TRUE(bench.replica->state().vms().empty());
    const Reply form =
        co_await bench.call(Method::kPost, "/v1/vms", "name=web", {{"Content-Type", "text/plain"}});
    EXPECT_EQ(form.status, 415);
    const Reply surprise = co_await bench.call(Method::kGet, "/v1/vms", "{}");
    EXPECT_EQ(surprise.text("code"), "body_unexpected");
  });
}

TEST(Api, ARepeatedRequestActsOnce) {
  run([](Bench& bench) -> Task<void> {
    const http::Headers key{{"Idempotency-Key", kKey}};
    const std::string body = R"({"name":"web","image":"tiny"})";
    const Reply first = co_await bench.call(Method::kPost, "/v1/vms", body, key);
    const Reply again = co_await bench.call(Method::kPost, "/v1/vms", body, key);
    EXPECT_EQ(first.status, 201) << first.body;
    EXPECT_EQ(again.status, 201) << again.body;
    EXPECT_EQ(first.text("id"), again.text("id"));
    EXPECT_EQ(again.header("Idempotency-Key"), kKey);
    EXPECT_EQ(bench.replica->state().vms().size(), 1u);
    const Reply other =
        co_await bench.call(Method::kPost, "/v1/vms", R"({"name":"db","image":"tiny"})", key);
    EXPECT_EQ(other.status, 409);
    EXPECT_EQ(other.text("code"), "request_id_reused");
    const Reply without = co_await bench.call(Method::kPost, "/v1/vms", body);
    EXPECT_EQ(without.text("code"), "vm_exists");
    EXPECT_NE(without.header("Idempotency-Key"), "<none>");
    for (const char* bad : {"x", "00000000-0000-0000-0000-000000000000"}) {
      const Reply reply =
          co_await bench.call(Method::kPost, "/v1/vms", body, {{"Idempotency-Key", bad}});
      EXPECT_EQ(reply.text("code"), "idempotency_key_invalid") << bad;
    }
  });
}

TEST(Api, RoutesExactly) {
  run([](Bench& bench) -> Task<void> {
    for (const char* path :
         {"/", "/v1", "/v1/vms/", "/v1/vms/a/b", "/v1/vms/web/start/now", "/v1//vms", "/V1/vms"}) {
      EXPECT_EQ((co_await bench.call(Method::kGet, path)).text("code"), "path_not_found") << path;
    }
    const Reply reply = co_await bench.call(Method::kDelete, "/v1/vms");
    EXPECT_EQ(reply.status, 405);
    EXPECT_EQ(reply.header("Allow"), "POST, GET, HEAD");
    EXPECT_EQ((co_await bench.call(Method::kOther, "/v1/vms")).status, 405);
    for (const char* target :
         {"/v1/vms?foo=1", "/v1/vms?wait=running", "/healthz?a=b", "/v1/nodes?since=1"}) {
      EXPECT_EQ((co_await bench.call(Method::kGet, target)).text("code"), "parameter_unknown");
    }
    for (const char* query :
         {"wait=flying", "wait=", "timeout=5s", "wait=running&timeout=11m",
          "wait=running&timeout=5", "wait=running&timeout=999999999999s", "consistency=maybe"}) {
      const Reply bad = co_await bench.call(Method::kGet, std::string("/v1/vms/web?") + query);
      EXPECT_EQ(bad.text("code"), "parameter_invalid") << query;
    }
  });
}

TEST(Api, KnowsWhoAsks) {
  run([](Bench& bench) -> Task<void> {
    const auto ask = [&](http::Transport transport, std::int64_t uid, std::string path,
                         std::string authorization) -> Task<http::Response> {
      http::Request request{.path = path};
      request.transport = transport;
      request.peer.uid = uid;
      if (!authorization.empty()) request.headers.push_back({"authorization", authorization});
      co_return co_await bench.api->handle(request);
    };
    const auto kTcp = http::Transport::kTcp;
    const auto kUnix = http::Transport::kUnix;
    EXPECT_EQ((co_await ask(kUnix, 0, "/v1/vms", "")).status, 200);
    EXPECT_EQ((co_await ask(kUnix, 1000, "/v1/vms", "")).status, 200);
    EXPECT_EQ((co_await ask(kUnix, 1001, "/v1/vms", "")).status, 403);
    EXPECT_EQ((co_await ask(kTcp, -1, "/v1/vms", "Bearer secret-token")).status, 200);
    for (const char* bad : {"", "Bearer ", "Bearer secret-toke", "Bearer secret-tokeN",
                            "Bearer secret-token2", "Basic secret-token", "secret-token"}) {
      for (const char* path : {"/v1/vms", "/metrics", "/v1/openapi.json", "/nowhere"}) {
        const auto response = co_await ask(kTcp, 0, path, bad);
        EXPECT_EQ(response.status, 401) << bad << path;
        EXPECT_NE(http::find_header(response.headers, "WWW-Authenticate"), nullptr);
      }
    }
    EXPECT_EQ((co_await ask(kTcp, -1, "/healthz", "")).status, 200);
    EXPECT_EQ((co_await ask(kTcp, -1, "/readyz", "")).status, 200);
  });
}

TEST(Api, CountsWhatItAnswers) {
  run([](Bench& bench) -> Task<void> {
    EXPECT_EQ((co_await bench.call(Method::kGet, "/v1/vms")).status, 200);
    EXPECT_EQ((co_await bench.call(Method::kGet, "/v1/vms/no")).status, 404);
    EXPECT_EQ((co_await bench.call(Method::kGet, "/nowhere")).status, 404);
    bench.api->refused(431);
    const Reply reply = co_await bench.call(Method::kGet, "/metrics");
    EXPECT_THAT(reply.body,
                HasSubstr("blixard_http_requests_total{route=\"list_vms\",status=\"2xx\"} 1\n"));
    EXPECT_THAT(reply.body,
                HasSubstr("blixard_http_requests_total{route=\"get_vm\",status=\"4xx\"} 1\n"));
    EXPECT_THAT(reply.body,
                HasSubstr("blixard_http_requests_total{route=\"none\",status=\"4xx\"} 2\n"));
    EXPECT_THAT(reply.body, HasSubstr("blixard_vms{state=\"pending\"} 0\n"));
    EXPECT_THAT(reply.body, HasSubstr("blixard_build_info{version=\"1.2.3\"} 1\n"));
    EXPECT_FALSE(reply.body.ends_with("# EOF\n"));
    const Reply open = co_await bench.call(Method::kGet, "/metrics", "",
                                           {{"Accept", "application/openmetrics-text"}});
    EXPECT_TRUE(open.body.ends_with("# EOF\n"));
  });
}

TEST(Api, AClientThatWentAwayIsNoFailureOfTheNode) {
  run([](Bench& bench) -> Task<void> {
    const std::string body = R"({"name":"web","image":"tiny"})";
    EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/vms", body)).status, 201);
    env::Scope scope(bench.env.executor, co_await env::this_cancellation());
    Reply reply;
    scope.spawn([](Bench& b, Reply& into) -> Task<void> {
      into = co_await b.call(Method::kGet, "/v1/vms/web?wait=running");
    }(bench, reply));
    EXPECT_TRUE(co_await bench.env.clock.sleep(1s));
    scope.cancel();
    co_await scope.join();
    const Reply metrics = co_await bench.call(Method::kGet, "/metrics");
    EXPECT_THAT(metrics.body,
                HasSubstr("blixard_http_requests_total{route=\"get_vm\",status=\"4xx\"} 1\n"));
  });
}

}  // namespace
}  // namespace blixard::api
