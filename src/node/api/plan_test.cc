// Where VMs would go, without acting: explanations and plans.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "env/scope.h"
#include "node/api/test_bench.h"

namespace blixard::api {
namespace {

namespace json = boost::json;
using env::Task;
using http::Method;
using testing::HasSubstr;

TEST(Api, ExplainsWhereAVmIsOrWouldGo) {
  run([](Bench& bench) -> Task<void> {
    for (const char* body : {R"({"name":"web","image":"tiny"})",
                             R"({"name":"large","image":"tiny","memory_mib":8192})"}) {
      EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/vms", body)).status, 201);
    }
    const Reply waits = co_await bench.call(Method::kGet, "/v1/vms/web/explain");
    EXPECT_EQ(waits.status, 200) << waits.body;
    EXPECT_EQ(waits.text("verdict"), "VM web would go to node n1");
    EXPECT_EQ(waits.text("node"), "");
    EXPECT_EQ(waits.text("reason"), "waiting for placement");
    EXPECT_EQ(waits.text("strategy"), "fragmentation-aware");
    EXPECT_EQ(waits.text("nodes"), "1");
    EXPECT_EQ(waits.text("nodes_that_fit"), "1");
    EXPECT_EQ(waits.text("ahead"), "1");
    const json::value chosen = waits.document().at("chosen");
    std::int64_t sum = 0;
    for (const auto& part : chosen.at("parts").as_array())
      sum += part.at("score_micro").as_int64();
    EXPECT_EQ(chosen.at("node").as_string(), "n1");
    EXPECT_EQ(chosen.at("score_micro").as_int64(), sum);
    EXPECT_GT(sum, 0);
    EXPECT_TRUE(co_await bench.place("web"));
    const Reply placed = co_await bench.call(Method::kGet, "/v1/vms/web/explain?consistency=stale");
    EXPECT_EQ(placed.text("verdict"), "VM web is on node n1");
    EXPECT_EQ(placed.text("node"), "n1");
    const Reply nowhere = co_await bench.call(Method::kGet, "/v1/vms/large/explain");
    EXPECT_EQ(nowhere.text("chosen"), "<none>");
    EXPECT_THAT(nowhere.text("causes"), HasSubstr("without 8192 MiB of memory free"));
    EXPECT_THAT(nowhere.text("refused"), HasSubstr(R"("node":"n1")"));
    // A node keeps a part for itself, and 128 MiB are the other's.
    EXPECT_THAT(nowhere.text("misses"), HasSubstr("node n1 lacks "));
    EXPECT_EQ((co_await bench.call(Method::kGet, "/v1/vms/no/explain")).text("code"),
              "vm_not_found");
    EXPECT_EQ((co_await bench.call(Method::kGet, "/v1/vms/web/explain?wait=running")).text("code"),
              "parameter_unknown");
  });
}

TEST(Api, PlansWithoutActing) {
  run([](Bench& bench) -> Task<void> {
    EXPECT_EQ(
        (co_await bench.call(Method::kPost, "/v1/vms", R"({"name":"web","image":"tiny"})")).status,
        201);
    EXPECT_TRUE(co_await bench.place("web"));
    const std::string before = bench.replica->state().hash();
    const Reply reply = co_await bench.call(
        Method::kPost, "/v1/plan",
        R"({"vms":[{"name":"a","image":"tiny"},{"name":"large","image":"tiny","memory_mib":8192},)"
        R"({"name":"web","image":"tiny"},{"name":"b","image":"none"},{"name":"a","image":"tiny"},)"
        R"({"name":"c","image":"tiny","placement":{"constraints":[{"attribute":"colour",)"
        R"("op":"equal","values":["red"]}]}}]})");
    EXPECT_EQ(reply.status, 200) << reply.body;
    EXPECT_EQ(bench.replica->state().hash(), before);
    struct Expected {
      const char* outcome;
      const char* node;
      const char* code;
    };
    const std::vector<Expected> expected = {
        {"placed", "n1", ""},         {"waiting", "", ""},
        {"refused", "", "vm_exists"}, {"refused", "", "image_not_found"},
        {"refused", "", "vm_exists"}, {"refused", "", "constraint_invalid"}};
    const json::array vms = reply.document().at("vms").as_array();
    EXPECT_EQ(vms.size(), expected.size());
    for (std::size_t at = 0; at < std::min(vms.size(), expected.size()); ++at) {
      EXPECT_EQ(vms[at].at("outcome").as_string(), expected[at].outcome) << at;
      EXPECT_EQ(vms[at].at("node").as_string(), expected[at].node) << at;
      EXPECT_EQ(vms[at].at("code").as_string(), expected[at].code) << at;
      EXPECT_EQ(vms[at].at("reason").as_string().empty(), at == 0) << at;
    }
    EXPECT_GT(vms.at(0).at("score_micro").as_int64(), 0);
    EXPECT_EQ(reply.text("placed"), "1");
    EXPECT_EQ(reply.text("waiting"), "1");
    EXPECT_EQ(reply.text("refused"), "4");
    EXPECT_EQ(reply.text("revision"), std::to_string(bench.replica->state().revision()));
    EXPECT_EQ(reply.header("Idempotency-Key"), "<none>");
  });
}

TEST(Api, RefusesPlansThatItCannotRead) {
  std::string many = R"({"vms":[)";
  for (int at = 0; at <= 1000; ++at)
    many += at == 0 ? "{}" : ",{}";
  many += "]}";
  run([&](Bench& bench) -> Task<void> {
    struct Bad {
      std::string body;
      const char* code;
      const char* detail;
    };
    const std::vector<Bad> all = {
        {"", "body_missing", ""},
        {"{}", "body_invalid", "vms is required"},
        {R"({"vms":{}})", "body_invalid", "vms must be a list"},
        {R"({"vms":[{"name":"a"}]})", "body_invalid", "vms[0].image is required"},
        {R"({"vms":[{"name":"a","image":"tiny","vcpus":0}]})", "body_invalid", "vms[0].vcpus"},
        {R"({"vms":[{"name":"a","image":"tiny","x":0}]})", "body_invalid", "vms[0].x is unknown"},
        {many, "body_invalid", "vms may have 1000 items at most"}};
    for (const Bad& bad : all) {
      const Reply reply = co_await bench.call(Method::kPost, "/v1/plan", bad.body);
      EXPECT_EQ(reply.status, 400) << bad.detail;
      EXPECT_EQ(reply.text("code"), bad.code) << bad.detail;
      EXPECT_THAT(reply.text("detail"), HasSubstr(bad.detail));
    }
  });
}

Task<void> ask_into(Bench& bench, std::string body, std::vector<std::string>& codes) {
  const Reply reply = co_await bench.call(Method::kPost, "/v1/plan", std::move(body));
  codes.push_back(reply.status == 200 ? "planned" : reply.text("code"));
}

TEST(Api, PlansForSoManyAtOnce) {
  run([](Bench& bench) -> Task<void> {
    std::string body = R"({"vms":[)";
    for (int at = 0; at < 600; ++at)
      body += fmt::format(R"({}{{"name":"vm-{}","image":"tiny"}})", at == 0 ? "" : ",", at);
    body += "]}";
    std::vector<std::string> codes;
    env::Scope scope(bench.env.executor, co_await env::this_cancellation());
    for (int asker = 0; asker < 12; ++asker)
      scope.spawn(ask_into(bench, body, codes));
    co_await scope.join();
    EXPECT_EQ(std::ranges::count(codes, "planned") + std::ranges::count(codes, "too_many_copies"),
              12);
    EXPECT_GE(std::ranges::count(codes, "planned"), 4);
    EXPECT_GE(std::ranges::count(codes, "too_many_copies"), 1);
    // And then again.
    co_await ask_into(bench, body, codes);
    EXPECT_EQ(codes.back(), "planned");
  });
}

}  // namespace
}  // namespace blixard::api
