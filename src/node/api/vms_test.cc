// A VM's way through the API: it is created, waited for, listed, stopped, started and deleted.

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "env/scope.h"
#include "node/api/test_bench.h"

namespace blixard::api {
namespace {

using env::Task;
using http::Method;
using testing::HasSubstr;

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

}  // namespace
}  // namespace blixard::api
