// The routes about placement: what each answers, and what each refuses without changing anything.

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node/api/test_bench.h"

namespace blixard::api {
namespace {

using env::Task;
using http::Method;
using testing::HasSubstr;

// What operators and users set, in one line; a refusal leaves it as it is.
std::string fingerprint(const cluster::State& state) {
  std::string text;
  for (const auto& [id, node] : state.nodes())
    text += fmt::format("node {} revision {}\n", node.name, node.revision);
  for (const auto& [name, group] : state.groups())
    text += fmt::format("group {} {}\n", name, group.rules.size());
  for (const auto& [name, tenant] : state.tenants())
    text += fmt::format("tenant {} {}\n", name, tenant.quota.vms);
  for (const auto& [name, reservation] : state.reservations())
    text += fmt::format("reservation {} {}\n", name, reservation.amounts.memory_mib);
  return text + fmt::format("{} VMs, revision {}", state.vms().size(), state.revision());
}

struct Refusal {
  std::string body;
  int status;
  const char* code;
  const char* detail;  // part of it
};

Task<void> expect_refused(Bench& bench, Method method, std::string target,
                          std::vector<Refusal> refusals) {
  for (const Refusal& refusal : refusals) {
    const std::string before = fingerprint(bench.replica->state());
    const Reply reply = co_await bench.call(method, target, refusal.body);
    EXPECT_EQ(reply.status, refusal.status) << target << " " << refusal.body << reply.body;
    EXPECT_EQ(reply.text("code"), refusal.code) << target << " " << refusal.body << reply.body;
    EXPECT_THAT(reply.text("detail"), HasSubstr(refusal.detail)) << target << refusal.body;
    EXPECT_NE(reply.text("action"), "") << refusal.body;
    EXPECT_EQ(fingerprint(bench.replica->state()), before) << target << " " << refusal.body;
  }
}

// The answer of a success.
Task<Reply> ok(Bench& bench, Method method, std::string target, std::string body = "",
               int status = 200) {
  Reply reply = co_await bench.call(method, target, body);
  EXPECT_EQ(reply.status, status) << target << " " << body << reply.body;
  co_return reply;
}

const std::string kLong(64, 'a');  // one more than names have
std::string quoted(const std::string& text) { return "\"" + text + "\""; }
std::string many(const std::string& item, int count) {
  std::string list = item;
  for (int i = 1; i < count; ++i)
    list += "," + item;
  return list;
}

TEST(PlacementApi, ANodeIsShownAndChanged) {
  run([](Bench& bench) -> Task<void> {
    const Reply shown = co_await ok(bench, Method::kGet, "/v1/nodes/n1");
    EXPECT_EQ(shown.text("name"), "n1");
    EXPECT_EQ(shown.text("free_memory_mib"), "4096");
    EXPECT_EQ(shown.text("cordoned"), "false");
    co_await expect_refused(bench, Method::kGet, "/v1/nodes/n9",
                            {{"", 404, "node_not_found", "n9"}});

    const std::string update = "/v1/nodes/n1/update";
    const Reply set = co_await ok(
        bench, Method::kPost, update,
        R"({"set_labels":[{"key":"disk","value":"ssd"},{"key":"a/b.c","value":""}],)"
        R"("set_taints":[{"key":"gpu","value":"a","effect":"refuse"}],"cordoned":true})");
    EXPECT_THAT(set.text("labels"), HasSubstr(R"({"key":"disk","value":"ssd"})"));
    EXPECT_THAT(set.text("taints"), HasSubstr(R"("key":"gpu","value":"a","effect":"refuse")"));
    EXPECT_EQ(set.text("cordoned"), "true");
    const Reply changed =
        co_await ok(bench, Method::kPost, update,
                    R"({"set_labels":[{"key":"disk","value":"hdd"}],"remove_labels":["a/b.c"],)"
                    R"("remove_taints":["gpu"]})");
    EXPECT_EQ(changed.text("labels"), R"([{"key":"disk","value":"hdd"}])");
    EXPECT_EQ(changed.text("taints"), "[]");
    EXPECT_EQ(changed.text("cordoned"), "true") << "what is absent stays";
    const Reply tainted =
        co_await ok(bench, Method::kPost, update, R"({"set_taints":[{"key":"k"}]})");
    EXPECT_EQ(tainted.text("taints"), R"([{"key":"k","value":"","effect":"refuse"}])");
    EXPECT_EQ((co_await ok(bench, Method::kPost, update, R"({"cordoned":false})")).text("cordoned"),
              "false");
    co_await ok(bench, Method::kPost, update, "{}");
  });
}

TEST(PlacementApi, RefusesBadChangesOfANode) {
  run([](Bench& bench) -> Task<void> {
    const std::string label = R"({"key":"k","value":"v"})";
    co_await expect_refused(
        bench, Method::kPost, "/v1/nodes/n1/update",
        {{"", 400, "body_missing", ""},
         {R"({"labels":[]})", 400, "body_invalid", "labels is unknown"},
         {R"({"cordoned":"yes"})", 400, "body_invalid", "cordoned"},
         {R"({"set_labels":[{"value":"v"}]})", 400, "body_invalid", "key is required"},
         {R"({"set_labels":[{"key":"","value":"v"}]})", 400, "node_invalid", "its key"},
         {R"({"set_labels":[{"key":"a b","value":"v"}]})", 400, "node_invalid", "a-z"},
         {R"({"set_labels":[{"key":"k","value":"a\nb"}]})", 400, "node_invalid", "one line"},
         {R"({"set_labels":[{"key":)" + quoted(kLong) + R"(,"value":"v"}]})", 400, "body_invalid",
          "key"},
         {R"({"set_labels":[)" + many(label, 65) + "]}", 400, "body_invalid", "set_labels"},
         {R"({"set_labels":[)" + many(label, 2) + "]}", 400, "node_invalid", "k twice"},
         {R"({"set_labels":[)" + label + R"(],"remove_labels":["k"]})", 400, "node_invalid",
          "k is named twice"},
         {R"({"set_taints":[{"key":"k","effect":"kill"}]})", 400, "body_invalid",
          "avoid, refuse"}});
    co_await expect_refused(bench, Method::kPost, "/v1/nodes/n9/update",
                            {{R"({"cordoned":true})", 404, "node_not_found", "n9"}});
  });
}

TEST(PlacementApi, ADrainBeginsIsPutOffAndIsCancelled) {
  run([](Bench& bench) -> Task<void> {
    const Reply begun = co_await ok(bench, Method::kPost, "/v1/nodes/n1/drain", "{}");
    EXPECT_THAT(begun.text("drain"), HasSubstr(R"("parallel":2)"));
    EXPECT_THAT(begun.text("drain"), HasSubstr(R"("ended":"")"));
    const cluster::Drain first = bench.replica->state().find_node("n1")->drain;
    EXPECT_EQ(first.deadline.unix_ms - first.since.unix_ms, 600'000);
    EXPECT_TRUE(co_await bench.env.clock.sleep(10s));
    co_await ok(bench, Method::kPost, "/v1/nodes/n1/drain",
                R"({"deadline_seconds":30,"parallel":7})");
    const cluster::Drain again = bench.replica->state().find_node("n1")->drain;
    EXPECT_EQ(again.since, first.since);
    EXPECT_GE(again.deadline.unix_ms - again.since.unix_ms, 40'000);
    EXPECT_LT(again.deadline.unix_ms - again.since.unix_ms, 41'000);
    EXPECT_EQ(again.parallel, 7u);
    const Reply ended = co_await ok(bench, Method::kPost, "/v1/nodes/n1/undrain");
    EXPECT_EQ(ended.text("drain"), "<none>");
    EXPECT_FALSE(bench.replica->state().find_node("n1")->drain.is_set());
    co_await ok(bench, Method::kPost, "/v1/nodes/n1/undrain");

    const std::vector<Refusal> bad = {
        {"", 400, "body_missing", ""},
        {R"({"deadline_seconds":0})", 400, "body_invalid", "deadline_seconds"},
        {R"({"deadline_seconds":-1})", 400, "body_invalid", "deadline_seconds"},
        {R"({"deadline_seconds":604801})", 400, "body_invalid", "604800"},
        {R"({"deadline_seconds":99999999999999999999})", 400, "body_invalid", ""},
        {R"({"parallel":0})", 400, "body_invalid", "parallel"},
        {R"({"parallel":257})", 400, "body_invalid", "256"},
    };
    co_await expect_refused(bench, Method::kPost, "/v1/nodes/n1/drain", bad);
    co_await expect_refused(bench, Method::kPost, "/v1/nodes/n9/drain",
                            {{"{}", 404, "node_not_found", "n9"}});
    co_await expect_refused(bench, Method::kPost, "/v1/nodes/n9/undrain",
                            {{"", 404, "node_not_found", "n9"}});
    co_await expect_refused(bench, Method::kPost, "/v1/nodes/n1/undrain",
                            {{"{}", 400, "body_unexpected", ""}});
  });
}

TEST(PlacementApi, ThePolicyIsShownAndReplaced) {
  run([](Bench& bench) -> Task<void> {
    const std::string policy = "/v1/placement/policy";
    const Reply before = co_await ok(bench, Method::kGet, policy);
    EXPECT_EQ(before.text("strategy"), "fragmentation-aware");
    EXPECT_EQ(before.text("preemption"), "lower-priority-only");
    EXPECT_EQ(before.text("preemption_grace_seconds"), "30");
    // What was shown can be set.
    co_await ok(bench, Method::kPut, policy, before.body);
    EXPECT_EQ((co_await ok(bench, Method::kGet, policy)).body, before.body);
    const Reply set = co_await ok(
        bench, Method::kPut, policy,
        R"({"strategy":"most-available","preemption":"never","preemption_grace_seconds":5,)"
        R"("latencies":[{"a":"west","b":"east","ms":70}],)"
        R"("overcommit":{"cpu_percent":200,"memory_percent":100,"disk_percent":100}})");
    EXPECT_EQ(set.text("strategy"), "most-available");
    EXPECT_EQ(set.text("preemption"), "never");
    EXPECT_THAT(set.text("latencies"), HasSubstr(R"("a":"east","b":"west","ms":70)"));
    EXPECT_THAT(set.text("overcommit"), HasSubstr(R"("cpu_percent":200)"));
    EXPECT_EQ((co_await ok(bench, Method::kGet, policy)).body, set.body);

    const auto overcommit = [](const std::string& what) {
      return R"({"overcommit":{"cpu_percent":)" + what + "}}";
    };
    co_await expect_refused(
        bench, Method::kPut, policy,
        {{"", 400, "body_missing", ""},
         {R"({"strategy":"fastest"})", 400, "body_invalid", "most-available"},
         {R"({"strategy":"manual"})", 400, "policy_invalid", "single VMs"},
         {R"({"preemption":"always"})", 400, "body_invalid", "cost-aware"},
         {R"({"preemption_grace_seconds":601})", 400, "body_invalid", "600"},
         {R"({"preemption_grace_seconds":-1})", 400, "body_invalid", "preemption_grace_seconds"},
         {overcommit(R"(99,"memory_percent":100,"disk_percent":100)"), 400, "body_invalid",
          "cpu_percent"},
         {overcommit(R"(100,"memory_percent":1001,"disk_percent":100)"), 400, "body_invalid",
          "memory_percent"},
         {overcommit(R"(100,"memory_percent":100,"disk_percent":100,"reserve_percent":91)"), 400,
          "body_invalid", "reserve_percent"},
         {overcommit("100"), 400, "policy_invalid", "overcommit"},
         {R"({"latencies":[{"a":"x","b":"y","ms":1},{"a":"y","b":"x","ms":2}]})", 400,
          "policy_invalid", "twice"},
         {R"({"latencies":[{"a":"x","b":"x","ms":1}]})", 400, "policy_invalid", "x"},
         {R"({"latencies":[{"a":"x","b":"y","ms":100001}]})", 400, "body_invalid", "ms"},
         {R"({"rebalance":{"enabled":true,"threshold_percent":0,"moves_per_hour":1}})", 400,
          "body_invalid", "threshold_percent"},
         {R"({"spread_domains_min":5000000000})", 400, "body_invalid", "spread_domains_min"}});
  });
}

TEST(PlacementApi, GroupsAreMadeListedAndDeleted) {
  run([](Bench& bench) -> Task<void> {
    EXPECT_EQ((co_await ok(bench, Method::kGet, "/v1/groups")).text("groups"), "[]");
    co_await ok(bench, Method::kPut, "/v1/groups/db", "{}");
    const Reply set = co_await ok(
        bench, Method::kPut, "/v1/groups/web",
        R"({"name":"web","rules":[{"kind":"spread","level":"zone","max":2,"hard":true},)"
        R"({"kind":"near","level":"rack","other":"db","weight":80}],"gang":3})");
    EXPECT_EQ(set.text("gang"), "3");
    const Reply list = co_await ok(bench, Method::kGet, "/v1/groups");
    EXPECT_THAT(list.text("groups"), HasSubstr(R"("other":"db","hard":false,"weight":80)"));
    co_await expect_refused(bench, Method::kDelete, "/v1/groups/db",
                            {{"", 409, "group_in_use", "rule of group web"}});
    co_await ok(bench, Method::kPut, "/v1/groups/web", R"({"rules":[]})");
    co_await ok(bench, Method::kPost, "/v1/vms",
                R"({"name":"a","image":"tiny","placement":{"groups":["db"]}})", 201);
    co_await expect_refused(bench, Method::kDelete, "/v1/groups/db",
                            {{"", 409, "group_in_use", "1 VMs"}});
    co_await ok(bench, Method::kDelete, "/v1/vms/a");
    EXPECT_EQ((co_await ok(bench, Method::kDelete, "/v1/groups/db")).text("name"), "db");
    co_await expect_refused(bench, Method::kDelete, "/v1/groups/db",
                            {{"", 404, "group_not_found", "db"}});
  });
}

TEST(PlacementApi, RefusesBadGroups) {
  run([](Bench& bench) -> Task<void> {
    const auto rules = [](const std::string& text) { return R"({"rules":[)" + text + "]}"; };
    const std::string spread = R"({"kind":"spread","level":"node","max":1,"hard":true})";
    for (const char* group : {"a", "b", "c"})
      co_await ok(bench, Method::kPut, std::string("/v1/groups/") + group, "{}");
    co_await expect_refused(
        bench, Method::kPut, "/v1/groups/a",
        {{"", 400, "body_missing", ""},
         {R"({"name":"b"})", 400, "body_invalid", "the path says a"},
         {R"({"gang":257})", 400, "body_invalid", "gang"},
         {R"({"gang":-1})", 400, "body_invalid", "gang"},
         {rules(R"({"level":"node"})"), 400, "group_invalid", "kind"},
         {rules(R"({"kind":"apart"})"), 400, "body_invalid", "spread"},
         {rules(R"({"kind":"spread","level":"planet","max":1})"), 400, "body_invalid",
          "datacenter"},
         {rules(R"({"kind":"spread","level":"node"})"), 400, "group_invalid", "max"},
         {rules(R"({"kind":"spread","max":100001})"), 400, "body_invalid", "max"},
         {rules(R"({"kind":"together","max":2})"), 400, "group_invalid", "only of spread"},
         {rules(R"({"kind":"together","other":"b"})"), 400, "group_invalid", "other"},
         {rules(R"({"kind":"near"})"), 400, "group_invalid", "other"},
         {rules(R"({"kind":"near","other":"a","hard":true})"), 400, "group_invalid", "itself"},
         {rules(R"({"kind":"near","other":"z","hard":true})"), 404, "group_not_found", "z"},
         {rules(R"({"kind":"near","other":"B"})"), 400, "group_invalid", "other"},
         {rules(R"({"kind":"near","other":"b","weight":101})"), 400, "body_invalid", "weight"},
         {rules(R"({"kind":"near","other":"b","hard":true,"weight":80})"), 400, "group_invalid",
          "a hard rule has none"},
         {rules(spread + "," + spread), 400, "group_invalid", "twice"},
         {rules(many(spread, 9)), 400, "body_invalid", "rules"},
         {rules(R"({"kind":"near","level":"node","other":"b","hard":true},)"
                R"({"kind":"away","level":"zone","other":"b","hard":true})"),
          400, "group_invalid", "leave one of both out"}});
    // Each waits for the next.
    const auto near = [&](const std::string& other) {
      return rules(R"({"kind":"near","level":"zone","other":)" + quoted(other) +
                   R"(,"hard":true})");
    };
    co_await ok(bench, Method::kPut, "/v1/groups/a", near("b"));
    co_await ok(bench, Method::kPut, "/v1/groups/b", near("c"));
    co_await expect_refused(bench, Method::kPut, "/v1/groups/c",
                            {{near("a"), 409, "group_cycle", "c -> a -> b -> c"}});
    co_await ok(bench, Method::kPut, "/v1/groups/c",
                rules(R"({"kind":"near","level":"zone","other":"a"})"));
    co_await expect_refused(bench, Method::kPut, "/v1/groups/" + kLong,
                            {{"{}", 400, "group_invalid", "at most 63"}});
    co_await expect_refused(bench, Method::kPut, "/v1/groups/A",
                            {{"{}", 400, "group_invalid", "a-z"}});
    co_await expect_refused(bench, Method::kDelete, "/v1/groups/A",
                            {{"", 400, "name_invalid", ""}});
  });
}

TEST(PlacementApi, TenantsAreLimited) {
  run([](Bench& bench) -> Task<void> {
    const Reply set = co_await ok(
        bench, Method::kPut, "/v1/tenants/blue",
        R"({"quota":{"vms":2,"memory_mib":300},"creates":{"per_hour":5,"burst":3},"weight":200})");
    EXPECT_EQ(set.text("vms"), "0");
    EXPECT_THAT(set.text("tenant"), HasSubstr(R"("weight":200)"));
    const auto create = [&](const char* name, const char* more) {
      return R"({"name":")" + std::string(name) + R"(","image":"tiny")" + more +
             R"(,"placement":{"tenant":"blue"}})";
    };
    co_await ok(bench, Method::kPost, "/v1/vms", create("a", ""), 201);
    co_await expect_refused(bench, Method::kPost, "/v1/vms",
                            {{create("b", R"(,"memory_mib":200)"), 403, "quota_exceeded",
                              "128 of 300 MiB of memory, VM b needs 200"}});
    co_await ok(bench, Method::kPost, "/v1/vms", create("b", ""), 201);
    co_await expect_refused(bench, Method::kPost, "/v1/vms",
                            {{create("c", ""), 403, "quota_exceeded", "2 of 2 VMs"}});
    const Reply list = co_await ok(bench, Method::kGet, "/v1/tenants");
    EXPECT_THAT(list.text("tenants"), HasSubstr(R"("vms":2,"vcpus":2,"memory_mib":256)"));
    EXPECT_THAT(list.text("tenants"), HasSubstr(R"("name":"default")"));
    // Three at once, then one each twelve minutes.
    co_await ok(bench, Method::kPut, "/v1/tenants/blue", R"({"creates":{"per_hour":5,"burst":3}})");
    co_await ok(bench, Method::kPost, "/v1/vms", create("c", ""), 201);
    co_await expect_refused(bench, Method::kPost, "/v1/vms",
                            {{create("d", ""), 429, "rate_exceeded", "the next in 7"}});
    co_await ok(bench, Method::kDelete, "/v1/tenants/blue");
    co_await ok(bench, Method::kPost, "/v1/vms", create("d", ""), 201);
    co_await expect_refused(bench, Method::kDelete, "/v1/tenants/blue",
                            {{"", 404, "tenant_not_found", "blue"}});
  });
}

TEST(PlacementApi, RefusesBadTenants) {
  run([](Bench& bench) -> Task<void> {
    co_await expect_refused(
        bench, Method::kPut, "/v1/tenants/blue",
        {{"", 400, "body_missing", ""},
         {R"({"name":"red"})", 400, "body_invalid", "the path says blue"},
         {R"({"quota":{"vms":-1}})", 400, "body_invalid", "vms"},
         {R"({"quota":{"vms":4294967296}})", 400, "body_invalid", "vms"},
         {R"({"quota":{"memory_mib":-1}})", 400, "body_invalid", "memory_mib"},
         {R"({"quota":{"memory_mib":9223372036854775807}})", 400, "body_invalid", "memory_mib"},
         {R"({"quota":{"memory_mib":9223372036854775808}})", 400, "body_invalid", "memory_mib"},
         {R"({"creates":{"per_hour":3600001}})", 400, "body_invalid", "per_hour"},
         {R"({"creates":{"burst":5}})", 400, "tenant_invalid", "without a rate"},
         {R"({"preemptions_per_hour":1000001})", 400, "body_invalid", "preemptions_per_hour"},
         {R"({"weight":1001})", 400, "body_invalid", "weight"}});
    co_await expect_refused(bench, Method::kPut, "/v1/tenants/Blue",
                            {{"{}", 400, "tenant_invalid", "a-z"}});
    co_await expect_refused(bench, Method::kPut, "/v1/tenants/" + kLong,
                            {{"{}", 400, "tenant_invalid", "at most 63"}});
    co_await expect_refused(bench, Method::kDelete, "/v1/tenants/none",
                            {{"", 404, "tenant_not_found", "none"}});
  });
}

TEST(PlacementApi, ReservationsKeepRoom) {
  run([](Bench& bench) -> Task<void> {
    const std::string peak = "/v1/reservations/peak";
    const std::string body = R"({"tenant":"blue","node":"n1","memory_mib":4000})";
    const Reply set = co_await ok(bench, Method::kPut, peak, body);
    EXPECT_EQ(set.text("node"), "n1");
    EXPECT_EQ(set.text("priority"), "1000");
    EXPECT_EQ(set.text("expires"), "");
    co_await ok(bench, Method::kPut, peak, body);
    EXPECT_THAT((co_await ok(bench, Method::kGet, "/v1/reservations")).text("reservations"),
                HasSubstr(R"("name":"peak","tenant":"blue")"));
    // It may be renewed, and else stays as it is.
    EXPECT_NE((co_await ok(bench, Method::kPut, peak,
                           R"({"tenant":"blue","node":"n1","memory_mib":4000,)"
                           R"("lifetime_seconds":60})"))
                  .text("expires"),
              "");
    co_await expect_refused(
        bench, Method::kPut, peak,
        {{R"({"tenant":"red","node":"n1","memory_mib":4000})", 409, "reservation_exists", "peak"},
         {R"({"tenant":"blue","node":"n1","memory_mib":4001})", 409, "reservation_exists", ""}});
    co_await expect_refused(bench, Method::kPut, "/v1/reservations/more",
                            {{R"({"tenant":"red","node":"n1","memory_mib":200})", 507, "node_full",
                              "96 MiB of memory is left"}});
    co_await ok(bench, Method::kDelete, peak);
    co_await expect_refused(bench, Method::kDelete, peak,
                            {{"", 404, "reservation_not_found", "peak"}});
  });
}

TEST(PlacementApi, RefusesBadReservations) {
  run([](Bench& bench) -> Task<void> {
    const auto of = [](const std::string& more) {
      return R"({"tenant":"blue","node":"n1")" + more + "}";
    };
    co_await expect_refused(
        bench, Method::kPut, "/v1/reservations/peak",
        {{"", 400, "body_missing", ""},
         {R"({"node":"n1","memory_mib":1})", 400, "body_invalid", "tenant is required"},
         {R"({"tenant":"blue","memory_mib":1})", 400, "body_invalid", "node is required"},
         {R"({"tenant":"blue","node":"n9","memory_mib":1})", 404, "node_not_found", "n9"},
         {R"({"tenant":"Blue","node":"n1","memory_mib":1})", 400, "reservation_invalid", "tenant"},
         {R"({"tenant":)" + quoted(kLong) + R"(,"node":"n1","memory_mib":1})", 400, "body_invalid",
          "tenant"},
         {of(""), 400, "reservation_invalid", "nothing"},
         {of(R"(,"memory_mib":-1)"), 400, "body_invalid", "memory_mib"},
         {of(R"(,"memory_mib":67108865)"), 400, "body_invalid", "memory_mib"},
         {of(R"(,"cpu_milli":4294967296)"), 400, "body_invalid", "cpu_milli"},
         {of(R"(,"memory_mib":1,"priority":1001)"), 400, "body_invalid", "priority"},
         {of(R"(,"memory_mib":1,"lifetime_seconds":31536001)"), 400, "body_invalid",
          "lifetime_seconds"},
         {of(R"(,"memory_mib":1,"lifetime_seconds":-1)"), 400, "body_invalid",
          "lifetime_seconds"}});
    co_await expect_refused(bench, Method::kPut, "/v1/reservations/" + kLong,
                            {{of(R"(,"memory_mib":1)"), 400, "reservation_invalid", "at most 63"}});
    co_await expect_refused(bench, Method::kDelete, "/v1/reservations/Peak",
                            {{"", 400, "name_invalid", ""}});
  });
}

TEST(PlacementApi, AVmShowsWhatItAskedFor) {
  run([](Bench& bench) -> Task<void> {
    co_await ok(bench, Method::kPut, "/v1/groups/db", "{}");
    const Reply made = co_await ok(
        bench, Method::kPost, "/v1/vms",
        R"({"name":"a","image":"tiny","placement":{"cpu_milli":250,"disk_mib":100,"priority":900,)"
        R"("preemptible":true,"on_evict":"stop","tenant":"blue","groups":["db"],)"
        R"("constraints":[{"attribute":"label.disk","op":"in","values":["ssd","nvme"]}],)"
        R"("preferences":[{"constraint":{"attribute":"zone","op":"exists"},"weight":-5}],)"
        R"("tolerations":[{"key":"gpu"}],"locality":{"datacenter":"west","max_latency_ms":20},)"
        R"("devices":[{"kind":"gpu","count":1,"milli":500,"models":["t4","a100"]}],)"
        R"("counters":[{"name":"licence","amount":1}],"strategy":"most-available"}})",
        201);
    const std::string placement = made.text("placement");
    for (const char* part :
         {R"("priority":900)", R"("on_evict":"stop")", R"("models":["a100","t4"])",
          R"("op":"in","values":["ssd","nvme"])", R"("weight":-5)", R"("max_latency_ms":20)",
          R"("strategy":"most-available")", R"("groups":["db"])"})
      EXPECT_THAT(placement, HasSubstr(part));
    EXPECT_EQ((co_await ok(bench, Method::kGet, "/v1/vms/a")).text("placement"), placement);
    co_await ok(bench, Method::kPost, "/v1/vms", R"({"name":"plain","image":"tiny"})", 201);
    EXPECT_EQ((co_await ok(bench, Method::kGet, "/v1/vms/plain")).text("placement"), "<none>");
  });
}

TEST(PlacementApi, RefusesWishesThatCannotBe) {
  run([](Bench& bench) -> Task<void> {
    const auto of = [](const std::string& wishes) {
      return R"({"name":"a","image":"tiny","placement":{)" + wishes + "}}";
    };
    const auto asks = [&](const std::string& constraints) {
      return of(R"("constraints":[)" + constraints + "]");
    };
    const auto one = [](const std::string& attribute, const std::string& op,
                        const std::string& values) {
      return R"({"attribute":")" + attribute + R"(","op":")" + op + R"(","values":[)" + values +
             "]}";
    };
    co_await expect_refused(
        bench, Method::kPost, "/v1/vms",
        {{of(R"("priority":1001)"), 400, "body_invalid", "priority"},
         {of(R"("priority":-1)"), 400, "body_invalid", "priority"},
         {of(R"("cpu_milli":64001)"), 400, "body_invalid", "cpu_milli"},
         {of(R"("disk_mib":-1)"), 400, "body_invalid", "disk_mib"},
         {of(R"("disk_mib":9223372036854775808)"), 400, "body_invalid", "disk_mib"},
         {of(R"("cpu_milli":500,"dedicated_cpus":true)"), 400, "placement_invalid",
          "leave one of both out"},
         {of(R"("on_evict":"run")"), 400, "body_invalid", "move, stop"},
         {of(R"("tenant":"Blue")"), 400, "placement_invalid", "tenant"},
         {of(R"("tenant":)" + quoted(kLong)), 400, "body_invalid", "tenant"},
         {of(R"("groups":["none"])"), 404, "group_not_found", "none"},
         {of(R"("groups":["a","a"])"), 400, "placement_invalid", "a twice"},
         {of(R"("groups":[)" + quoted(kLong) + "]"), 400, "body_invalid", "groups"},
         {of(R"("devices":[{"kind":"gpu","count":2,"milli":500}])"), 400, "placement_invalid",
          "devices"},
         {of(R"("devices":[{"kind":"gpu","count":65}])"), 400, "body_invalid", "count"},
         {of(R"("devices":[{"kind":"gpu","milli":1001}])"), 400, "body_invalid", "milli"},
         {of(R"("counters":[{"name":"l","amount":-1}])"), 400, "body_invalid", "counters"},
         {of(R"("counters":[{"name":"l","amount":1},{"name":"l","amount":1}])"), 400,
          "placement_invalid", "twice"},
         {of(R"("strategy":"manual")"), 400, "placement_invalid", "needs a node"},
         {of(R"("strategy":"manual","node":"n9")"), 404, "node_not_found", "n9"},
         {of(R"("node":"n1")"), 400, "placement_invalid", "strategy manual"},
         {of(R"("locality":{"strict":true})"), 400, "placement_invalid", "strict"},
         {of(R"("locality":{"max_latency_ms":5})"), 400, "placement_invalid", "max_latency_ms"},
         {of(R"("locality":{"datacenter":"a","excluded_datacenters":["a"]})"), 400,
          "placement_invalid", "preferred and excluded"},
         {of(R"("tolerations":[{"key":"a b"}])"), 400, "placement_invalid", "label a b"},
         {of(R"("preferences":[{"constraint":{"attribute":"zone","op":"exists"},"weight":101}])"),
          400, "placement_invalid", "weight 101"},
         {asks(one("colour", "equal", R"("red")")), 400, "constraint_invalid", "colour"},
         {asks(one("label.", "exists", "")), 400, "constraint_invalid", "label."},
         {asks(one("zone", "near", R"("a")")), 400, "body_invalid", "version-at-least"},
         {asks(one("zone", "equal", "")), 400, "placement_invalid", "compared with 0 values"},
         {asks(one("zone", "exists", R"("a")")), 400, "placement_invalid",
          "compared with 1 values"},
         {asks(one("vcpus", "less", R"("many")")), 400, "placement_invalid", "no number"},
         {asks(one("name", "matches", R"("a(")")), 400, "constraint_invalid", "a("},
         {asks(one("zone", "equal", R"("a")") + "," + one("zone", "equal", R"("b")")), 400,
          "placement_invalid", "no value of zone"},
         {asks(one("vcpus", "less", R"("4")") + "," + one("vcpus", "greater", R"("8")")), 400,
          "placement_invalid", "no value of vcpus"},
         {asks(one("rack", "not-exists", "") + "," + one("rack", "equal", R"("r")")), 400,
          "placement_invalid", "no value of rack"},
         {asks(many(one("zone", "exists", ""), 17)), 400, "body_invalid", "constraints"}});
  });
}

}  // namespace
}  // namespace blixard::api
