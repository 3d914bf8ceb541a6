// Every route but those about placement, in virtual time.

#include "node/api/api.h"

#include <algorithm>
#include <memory>
#include <string>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "node/api/test_bench.h"
#include "node/http/client.h"
#include "node/http/event_stream.h"
#include "node/http/server.h"

namespace blixard::api {
namespace {

namespace json = boost::json;
using env::Env;
using env::Task;
using http::Method;
using testing::HasSubstr;

constexpr const char* kKey = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";

TEST(Api, CreatesAVmWithDefaults) {
  run([](Bench& bench) -> Task<void> {
    const Reply made =
        co_await bench.call(Method::kPost, "/v1/vms", R"({"name":"web","image":"tiny"})");
    EXPECT_EQ(made.status, 201) << made.body;
    EXPECT_EQ(made.header("Location"), "/v1/vms/web");
    EXPECT_TRUE(Uuid::parse(made.header("Idempotency-Key")));
    EXPECT_EQ(made.text("state"), "pending");
    EXPECT_EQ(made.text("desired"), "running");
    EXPECT_EQ(made.text("vcpus"), "1");
    EXPECT_EQ(made.text("memory_mib"), "128");
    EXPECT_EQ(made.text("restart"), "on-failure");
    EXPECT_EQ(made.text("stop_grace_seconds"), "5");
    EXPECT_EQ(made.text("created").size(), 24u);
    const Reply shown = co_await bench.call(Method::kGet, "/v1/vms/web");
    EXPECT_EQ(shown.status, 200);
    EXPECT_EQ(shown.text("uuid"), made.text("uuid"));
    EXPECT_EQ((co_await bench.call(Method::kHead, "/v1/vms/web")).status, 200);
  });
}

TEST(Api, TheDigestIsThatOfTheAppliedState) {
  run([](Bench& bench) -> Task<void> {
    const Reply before = co_await bench.call(Method::kGet, "/v1/cluster/digest");
    EXPECT_EQ(before.status, 200) << before.body;
    EXPECT_EQ(before.text("hash"), bench.replica->state().hash());
    co_await bench.call(Method::kPost, "/v1/vms", R"({"name":"web","image":"tiny"})");
    const Reply after = co_await bench.call(Method::kGet, "/v1/cluster/digest?consistency=stale");
    EXPECT_EQ(after.text("hash"), bench.replica->state().hash());
    EXPECT_NE(after.text("hash"), before.text("hash"));
    EXPECT_EQ(after.text("log_applied"), std::to_string(bench.replica->status().applied.value));
  });
}

TEST(Api, CreatesAVmAsItWasAskedFor) {
  run([](Bench& bench) -> Task<void> {
    const Reply made = co_await bench.call(
        Method::kPost, "/v1/vms",
        R"({"name":"web","image":"tiny","vcpus":2,"memory_mib":256,"restart":"never",)"
        R"("publish":[{"host_port":8080,"guest_port":80}],"start":false,"stop_grace_seconds":0})");
    EXPECT_EQ(made.status, 201) << made.body;
    EXPECT_EQ(made.text("desired"), "stopped");
    EXPECT_EQ(made.text("restart"), "never");
    EXPECT_EQ(made.text("stop_grace_seconds"), "0");
    EXPECT_EQ(made.text("published_ports"), R"([{"host_port":8080,"guest_port":80}])");
  });
}

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

TEST(Api, WaitsUntilTheVmRuns) {
  run([](Bench& bench) -> Task<void> {
    const std::string body = R"({"name":"web","image":"tiny"})";
    EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/vms", body)).status, 201);
    env::Scope scope(bench.env.executor, co_await env::this_cancellation());
    scope.spawn(bench.boot("web", v1::VM_STATE_RUNNING));
    const Reply reply = co_await bench.call(Method::kGet, "/v1/vms/web?wait=running&timeout=60s");
    EXPECT_EQ(reply.status, 200) << reply.body;
    EXPECT_EQ(reply.text("state"), "running");
    EXPECT_EQ(reply.text("node"), "n1");
    co_await scope.join();
  });
}

TEST(Api, AWaitEndsWhenTheVmFails) {
  run([](Bench& bench) -> Task<void> {
    const std::string body = R"({"name":"web","image":"tiny"})";
    EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/vms", body)).status, 201);
    env::Scope scope(bench.env.executor, co_await env::this_cancellation());
    scope.spawn(bench.boot("web", v1::VM_STATE_FAILED, "Kernel panic"));
    const Reply reply = co_await bench.call(Method::kGet, "/v1/vms/web?wait=running");
    EXPECT_EQ(reply.status, 409);
    EXPECT_EQ(reply.text("code"), "vm_failed");
    EXPECT_EQ(reply.text("detail"), "Kernel panic");
    co_await scope.join();
    // The failure of before does not end the wait for a new start.
    const Reply start =
        co_await bench.call(Method::kPost, "/v1/vms/web/start?wait=running&timeout=1s");
    EXPECT_EQ(start.text("code"), "wait_timeout");
    EXPECT_THAT(start.text("detail"), HasSubstr("web is placed"));
  });
}

TEST(Api, AWaitEndsAtItsDeadlineAndSaysWhereTheVmIs) {
  run([](Bench& bench) -> Task<void> {
    const Instant begun = bench.env.clock.monotonic();
    const Reply reply = co_await bench.call(Method::kPost, "/v1/vms?wait=running&timeout=30s",
                                            R"({"name":"web","image":"tiny"})");
    EXPECT_EQ(reply.status, 504);
    EXPECT_EQ(reply.text("code"), "wait_timeout");
    EXPECT_THAT(reply.text("detail"), HasSubstr("web is pending, not running: waiting for"));
    EXPECT_GE(bench.env.clock.monotonic() - begun, 30s);
    EXPECT_LT(bench.env.clock.monotonic() - begun, 31s);
    EXPECT_EQ(bench.replica->state().vms().size(), 1u);
  });
}

TEST(Api, StopsStartsAndDeletes) {
  run([](Bench& bench) -> Task<void> {
    const std::string body = R"({"name":"web","image":"tiny"})";
    EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/vms", body)).status, 201);
    co_await bench.boot("web", v1::VM_STATE_RUNNING);
    const Reply stop = co_await bench.call(Method::kPost, "/v1/vms/web/stop");
    EXPECT_EQ(stop.status, 202) << stop.body;
    EXPECT_EQ(stop.text("desired"), "stopped");
    const Reply no = co_await bench.call(Method::kGet, "/v1/vms/web?wait=running");
    EXPECT_EQ(no.text("code"), "wait_impossible");
    EXPECT_TRUE(co_await bench.report("web", v1::VM_STATE_STOPPING));
    EXPECT_TRUE(co_await bench.report("web", v1::VM_STATE_STOPPED));
    const Reply stopped = co_await bench.call(Method::kPost, "/v1/vms/web/stop?wait=stopped");
    EXPECT_EQ(stopped.status, 200);
    EXPECT_EQ(stopped.text("state"), "stopped");
    const Reply start = co_await bench.call(Method::kPost, "/v1/vms/web/start");
    EXPECT_EQ(start.text("desired"), "running");
    const Reply gone = co_await bench.call(Method::kDelete, "/v1/vms/web");
    EXPECT_EQ(gone.status, 202) << gone.body;
    EXPECT_EQ(gone.text("desired"), "deleted");
    const Reply late = co_await bench.call(Method::kPost, "/v1/vms/web/start");
    EXPECT_EQ(late.text("code"), "vm_being_deleted");
    EXPECT_TRUE(co_await bench.report("web", v1::VM_STATE_STOPPED, "", true));
    EXPECT_EQ((co_await bench.call(Method::kGet, "/v1/vms/web")).status, 404);
    for (const char* path : {"/v1/vms/web/stop", "/v1/vms/web/start"}) {
      EXPECT_EQ((co_await bench.call(Method::kPost, path)).text("code"), "vm_not_found");
    }
    EXPECT_EQ((co_await bench.call(Method::kDelete, "/v1/vms/web")).text("code"), "vm_not_found");
  });
}

TEST(Api, DeletesAVmThatIsOnNoNodeAtOnce) {
  run([](Bench& bench) -> Task<void> {
    const std::string body = R"({"name":"web","image":"tiny","start":false})";
    const Reply made = co_await bench.call(Method::kPost, "/v1/vms?wait=stopped", body);
    EXPECT_EQ(made.status, 201) << made.body;
    const Reply gone = co_await bench.call(Method::kDelete, "/v1/vms/web?wait=deleted");
    EXPECT_EQ(gone.status, 200) << gone.body;
    EXPECT_EQ(gone.text("id"), made.text("id"));
  });
}

TEST(Api, ListsByName) {
  run([](Bench& bench) -> Task<void> {
    for (const char* name : {"b", "a"}) {
      const std::string body = std::string(R"({"image":"tiny","name":")") + name + "\"}";
      EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/vms", body)).status, 201);
    }
    const Reply vms = co_await bench.call(Method::kGet, "/v1/vms?consistency=stale");
    const auto list = vms.document().at("vms").as_array();
    EXPECT_EQ(list.size(), 2u);
    EXPECT_EQ(list.at(0).at("name").as_string(), "a");
    EXPECT_EQ(vms.text("revision"), std::to_string(bench.replica->state().revision()));
    const Reply nodes = co_await bench.call(Method::kGet, "/v1/nodes");
    EXPECT_EQ(nodes.document().at("nodes").at(0).at("name").as_string(), "n1");
    const Reply status = co_await bench.call(Method::kGet, "/v1/status");
    EXPECT_EQ(status.text("vms_by_state"), R"([{"state":"pending","count":2}])");
    EXPECT_EQ(status.text("version"), "1.2.3");
    EXPECT_EQ(status.text("leader_id"), "1");
  });
}

TEST(Api, ListsPages) {
  run([](Bench& bench) -> Task<void> {
    for (const char* name : {"d", "b", "c", "a"}) {
      const std::string body = std::string(R"({"image":"tiny","name":")") + name + "\"}";
      EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/vms", body)).status, 201);
    }
    struct Page {
      const char* query;
      const char* names;
    };
    for (const Page& page :
         {Page{"", "abcd"}, Page{"?limit=3", "abc"}, Page{"?limit=2&after=b", "cd"},
          Page{"?after=bb", "cd"}, Page{"?limit=1&after=d", ""}}) {
      const Reply reply = co_await bench.call(Method::kGet, std::string("/v1/vms") + page.query);
      std::string names;
      for (const auto& vm : reply.document().at("vms").as_array())
        names += vm.at("name").as_string();
      EXPECT_EQ(names, page.names) << page.query;
    }
    for (const char* query : {"?limit=0", "?limit=100001", "?limit=x", "?limit="}) {
      const Reply reply = co_await bench.call(Method::kGet, std::string("/v1/vms") + query);
      EXPECT_EQ(reply.status, 400) << query;
      EXPECT_EQ(reply.text("code"), "parameter_invalid") << query;
    }
    const Reply other = co_await bench.call(Method::kGet, "/v1/nodes?limit=1");
    EXPECT_EQ(other.text("code"), "parameter_unknown");
  });
}

TEST(Api, GivesTheEndOfAConsole) {
  run([](Bench& bench) -> Task<void> {
    const std::string body = R"({"name":"web","image":"tiny"})";
    EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/vms", body)).status, 201);
    EXPECT_EQ((co_await bench.call(Method::kGet, "/v1/vms/web/logs")).body, "boot\nready\n");
    const Reply tail = co_await bench.call(Method::kGet, "/v1/vms/web/logs?tail_bytes=6");
    EXPECT_EQ(tail.body, "ready\n");
    for (const char* bad : {"0", "-1", "x", "1048577", ""}) {
      const Reply reply =
          co_await bench.call(Method::kGet, std::string("/v1/vms/web/logs?tail_bytes=") + bad);
      EXPECT_EQ(reply.text("code"), "parameter_invalid") << bad;
    }
    EXPECT_EQ((co_await bench.call(Method::kGet, "/v1/vms/no/logs")).text("code"), "vm_not_found");
  });
}

// A zstd frame (RFC 8878, section 3.1.1) of one block that repeats the first byte of `content`.
std::string packed(const std::string& content) {
  std::string frame = "\x28\xB5\x2F\xFD\x60";
  const auto put = [&](std::size_t number, int bytes) {
    for (int i = 0; i < bytes; ++i)
      frame += static_cast<char>(number >> (8 * i) & 0xFF);
  };
  put(content.size() - 256, 2);
  put(content.size() << 3 | 1 << 1 | 1, 3);  // repeated, last
  return frame + content.front();
}

Task<void> put_image(Env env, std::string folder, std::string kernel) {
  EXPECT_TRUE(co_await env.disk.make_directory(folder));
  const std::string zst = packed(kernel);
  const json::value about = {
      {"format", 1},
      {"name", "mine"},
      {"architecture", "x86_64"},
      {"kernel_version", "6.1.0"},
      {"cmdline", ""},
      {"files",
       {{"initrd", {{"bytes", 6}}},
        {"vmlinux.zst", {{"bytes", zst.size()}, {"unpacked_bytes", kernel.size()}}}}}};
  EXPECT_TRUE(co_await env.disk.replace_file(folder + "/image.json", json::serialize(about)));
  EXPECT_TRUE(co_await env.disk.replace_file(folder + "/initrd", "initrd"));
  EXPECT_TRUE(co_await env.disk.replace_file(folder + "/vmlinux.zst", zst));
}

TEST(Api, ImportsShowsAndDeletesImages) {
  run([](Bench& bench) -> Task<void> {
    co_await put_image(bench.env, "/src/mine", std::string(5000, 'k'));
    const std::string body = R"({"path":"/src/mine"})";
    const Reply made = co_await bench.call(Method::kPost, "/v1/images", body);
    EXPECT_EQ(made.status, 201) << made.body;
    EXPECT_EQ(made.header("Location"), "/v1/images/mine");
    EXPECT_EQ(made.document().at("files").at(1).at("bytes").as_int64(), 5000);
    // The same again is the same image.
    EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/images", body)).text("id"), made.text("id"));
    EXPECT_EQ((co_await bench.call(Method::kGet, "/v1/images/mine")).text("kernel_version"),
              "6.1.0");
    const Reply list = co_await bench.call(Method::kGet, "/v1/images");
    EXPECT_EQ(list.document().at("images").as_array().size(), 2u);
    // Other content under a taken name leaves the first alone, and no files.
    co_await put_image(bench.env, "/src/other", std::string(4000, 'o'));
    const Reply other =
        co_await bench.call(Method::kPost, "/v1/images", R"({"path":"/src/other","name":"mine"})");
    EXPECT_EQ(other.text("code"), "image_exists");
    EXPECT_EQ((co_await bench.env.disk.list("/data/images"))->size(), 1u);
    const std::string vm = R"({"name":"web","image":"mine"})";
    EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/vms", vm)).status, 201);
    EXPECT_EQ((co_await bench.call(Method::kDelete, "/v1/images/mine")).text("code"),
              "image_in_use");
    EXPECT_EQ((co_await bench.call(Method::kDelete, "/v1/vms/web")).status, 200);
    EXPECT_EQ((co_await bench.call(Method::kDelete, "/v1/images/mine")).status, 200);
    EXPECT_TRUE((co_await bench.env.disk.list("/data/images"))->empty());
    EXPECT_EQ((co_await bench.call(Method::kGet, "/v1/images/mine")).status, 404);
    EXPECT_EQ((co_await bench.call(Method::kDelete, "/v1/images/mine")).text("code"),
              "image_not_found");
    const Reply missing = co_await bench.call(Method::kPost, "/v1/images", R"({"path":"/no"})");
    EXPECT_EQ(missing.text("code"), "image_json_missing");
    const Reply relative = co_await bench.call(Method::kPost, "/v1/images", R"({"path":"no"})");
    EXPECT_EQ(relative.text("code"), "image_path_invalid");
  });
}

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

// Events, over the real server and client.

struct Followed {
  std::vector<http::ServerEvent> events;
  std::string bytes;
  Result<http::Answer> answer = http::Answer{};
};

Task<void> follow(Bench& bench, env::Endpoint endpoint, std::string target, http::Headers headers,
                  std::function<bool(const Followed&)> enough, Followed& into) {
  http::Client client(bench.env, std::move(endpoint));
  headers.push_back({"Authorization", std::string("Bearer ") + kToken});
  http::EventParser parser;
  into.answer = co_await client.stream({.target = std::move(target), .headers = std::move(headers)},
                                       40s, [&](std::string_view piece) {
                                         into.bytes += piece;
                                         parser.put(piece);
                                         while (true) {
                                           auto event = parser.next();
                                           if (!event || !*event) break;
                                           into.events.push_back(**event);
                                         }
                                         return !enough(into);
                                       });
}

Task<void> served(http::Server& server, std::unique_ptr<env::Listener> listener) {
  EXPECT_TRUE(co_await server.serve(std::move(listener)));
}

void run_served(std::function<Task<void>(Bench&, env::Endpoint)> body) {
  run([&](Bench& bench) -> Task<void> {
    auto listener = co_await bench.env.network.listen(env::Endpoint::tcp("127.0.0.1", 0));
    EXPECT_TRUE(listener.has_value());
    const env::Endpoint endpoint = (*listener)->local();
    http::Server server(bench.env, *bench.api);
    env::Scope scope(bench.env.executor, co_await env::this_cancellation());
    scope.spawn(served(server, std::move(*listener)));
    co_await body(bench, endpoint);
    co_await server.stop(bench.env.clock.monotonic() + 5s);
    co_await scope.join();
  });
}

TEST(Events, FollowFromARevision) {
  run_served([](Bench& bench, env::Endpoint endpoint) -> Task<void> {
    const std::uint64_t since = bench.replica->state().revision();
    const std::string body = R"({"name":"web","image":"tiny"})";
    EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/vms", body)).status, 201);
    env::Scope scope(bench.env.executor, co_await env::this_cancellation());
    Followed followed;
    scope.spawn(follow(
        bench, endpoint, "/v1/events?since=" + std::to_string(since), {},
        [](const Followed& f) { return f.events.size() == 4; }, followed));
    co_await bench.boot("web", v1::VM_STATE_RUNNING);
    co_await scope.join();
    EXPECT_TRUE(followed.answer && followed.answer->status == 200);
    EXPECT_EQ(followed.events.size(), 4u);
    for (std::size_t i = 0; i < followed.events.size(); ++i) {
      EXPECT_EQ(followed.events[i].id, std::to_string(since + 1 + i));
      EXPECT_EQ(followed.events[i].type, "vm");
    }
    EXPECT_THAT(followed.events.back().data, HasSubstr(R"("kind":"vm-changed")"));
    EXPECT_THAT(followed.events.back().data, HasSubstr(R"("state":"running")"));
    // A client that was cut off goes on where it was.
    Followed rest;
    co_await follow(
        bench, endpoint, "/v1/events", {{"Last-Event-ID", followed.events[1].id}},
        [](const Followed& f) { return f.events.size() == 2; }, rest);
    EXPECT_EQ(rest.events[0].id, followed.events[2].id);
  });
}

TEST(Events, AForgottenRevisionIsAReset) {
  run_served([](Bench& bench, env::Endpoint endpoint) -> Task<void> {
    Followed followed;
    co_await follow(
        bench, endpoint, "/v1/events?since=999999", {},
        [](const Followed& f) { return f.events.size() == 1; }, followed);
    EXPECT_EQ(followed.events[0].type, "reset");
    EXPECT_EQ(followed.events[0].id, std::to_string(bench.replica->state().revision()));
  });
}

TEST(Events, AQuietStreamHasHeartbeats) {
  run_served([](Bench& bench, env::Endpoint endpoint) -> Task<void> {
    const Instant begun = bench.env.clock.monotonic();
    Followed followed;
    co_await follow(
        bench, endpoint, "/v1/events", {},
        [](const Followed& f) { return f.bytes.contains("heartbeat"); }, followed);
    EXPECT_GE(bench.env.clock.monotonic() - begun, limits::kEventHeartbeat);
    EXPECT_LT(bench.env.clock.monotonic() - begun, limits::kEventHeartbeat + 1s);
    EXPECT_TRUE(followed.events.empty());
  });
}

TEST(Api, GivesACopyOfTheState) {
  run_served([](Bench& bench, env::Endpoint endpoint) -> Task<void> {
    Followed followed;
    co_await follow(
        bench, endpoint, "/v1/cluster/state", {}, [](const Followed&) { return false; }, followed);
    EXPECT_TRUE(followed.answer && followed.answer->status == 200);
    EXPECT_EQ(followed.bytes, bench.replica->state().encode());
    const auto copy = cluster::State::decode(followed.bytes);
    EXPECT_TRUE(copy && *copy == bench.replica->state());
  });
}

TEST(Events, ManyStreamsAreRefused) {
  run_served([](Bench& bench, env::Endpoint endpoint) -> Task<void> {
    env::Scope scope(bench.env.executor, co_await env::this_cancellation());
    std::vector<Followed> all(limits::kEventStreams);
    for (auto& followed : all) {
      scope.spawn(follow(
          bench, endpoint, "/v1/events", {}, [](const Followed&) { return false; }, followed));
    }
    EXPECT_TRUE(co_await bench.env.clock.sleep(5s));
    Followed refused;
    co_await follow(
        bench, endpoint, "/v1/events", {}, [](const Followed&) { return false; }, refused);
    EXPECT_TRUE(refused.answer && refused.answer->status == 503);
    EXPECT_THAT(refused.answer->body, HasSubstr("too_many_streams"));
    scope.cancel();
    co_await scope.join();
  });
}

}  // namespace
}  // namespace blixard::api
