// Every metric that is declared is recorded: a cluster goes through all that there is to tell of,
// and whatever no node has told of is named.

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "node/declared_metrics.h"
#include "node/http/client.h"
#include "node/telemetry/labels.h"
#include "observe/metrics.h"
#include "test/conformance/node/cluster.h"

namespace blixard {
namespace {

using env::Task;
using http::Method;

// Told only where there is a real allocator and a real lock: test/e2e/scrape_test.py.
const std::set<std::string_view> kElsewhere{
    "blixard_allocations_total",
    "blixard_allocated_bytes_total",
    "blixard_frees_total",
    "blixard_lock_contended_total",
    "blixard_lock_hold_max_seconds",
    "blixard_lock_hold_seconds_total",
    "blixard_lock_holds_measured_total",
    "blixard_lock_taken_total",
    "blixard_lock_wait_max_seconds",
    "blixard_lock_wait_seconds_total",
};

// By name without labels: of each series, its value; of histograms by "<name>_count".
using Values = std::map<std::string, std::map<std::string, double>, std::less<>>;

// What all nodes have told of, each life of each.
Values seen;

Task<Values> read_metrics(Cluster& c, Site& site) {
  std::string token = site.file("api.token");
  if (token.ends_with('\n')) token.pop_back();
  http::Client client(c.env(), site.api());
  const auto answer = co_await client.send({.method = Method::kGet,
                                            .target = "/metrics",
                                            .headers = {{"Authorization", "Bearer " + token}}},
                                           c.env().clock.monotonic() + 10s);
  Values values;
  EXPECT_EQ(answer ? answer->status : 0, 200);
  std::string_view rest = answer ? answer->body : std::string_view();
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const std::size_t space = line.rfind(' ');
    if (line.starts_with('#') || space == std::string_view::npos) continue;
    const std::string_view series = line.substr(0, space);
    const std::string name(series.substr(0, series.find('{')));
    const double value = std::stod(std::string(line.substr(space + 1)));
    values[name][std::string(series.substr(name.size()))] = value;
    auto& most = seen[name][std::string(series.substr(name.size()))];
    most = std::max(most, value);
  }
  co_return values;
}

Task<void> read_all(Cluster& c) {
  for (std::size_t i = 1; i <= c.size(); ++i) {
    if (c.site(i).runs) (void)co_await read_metrics(c, c.site(i));
  }
}

Task<void> create(Cluster& c, std::string name, std::string more = "") {
  const auto made = co_await c.ask(c.site(1), Method::kPost, "/v1/vms?wait=running&timeout=60s",
                                   fmt::format(R"({{"name":"{}","image":"tiny"{}}})", name, more));
  EXPECT_EQ(made.status, 201) << text_of(made);
}

Task<rest::Reply> do_with(Cluster& c, Method method, std::string rest) {
  const rest::Reply reply = co_await c.ask(c.site(1), method, "/v1/vms/saved" + rest);
  EXPECT_EQ(reply.status, 200) << rest << ": " << text_of(reply);
  co_return reply;
}

// Paused, suspended, woken on another node, and restored.
Task<void> save_guests(Cluster& c) {
  co_await create(c, "saved");
  (void)co_await do_with(c, Method::kPost, "/pause?wait=paused&timeout=30s");
  (void)co_await do_with(c, Method::kPost, "/resume?wait=running&timeout=30s");
  (void)co_await do_with(c, Method::kPost, "/snapshot?wait=snapshot&timeout=30s");
  (void)co_await do_with(c, Method::kPost, "/restore?wait=running&timeout=30s");
  (void)co_await do_with(c, Method::kDelete, "/snapshot");
  const std::string home = (co_await do_with(c, Method::kGet, "")).text("node");
  (void)co_await do_with(c, Method::kPost, "/suspend?wait=suspended&timeout=30s");
  co_await read_all(c);
  const auto cordon = [&c, &home](const char* is_closed) {
    return c.ask(c.site(1), Method::kPost, "/v1/nodes/" + home + "/update",
                 fmt::format(R"({{"cordoned":{}}})", is_closed));
  };
  EXPECT_EQ((co_await cordon("true")).status, 200);
  const auto woken = co_await do_with(c, Method::kPost, "/resume?wait=running&timeout=30s");
  EXPECT_NE(woken.text("node"), home);
  EXPECT_EQ((co_await cordon("false")).status, 200);
  co_await read_all(c);
  (void)co_await do_with(c, Method::kDelete, "?wait=deleted&timeout=30s");
}

Task<void> live_with_guests(Cluster& c) {
  co_await c.import_images();
  co_await create(c, "web", R"(,"restart":"always")");
  co_await create(c, "db");
  auto reply = co_await c.ask(c.site(2), Method::kPost, "/v1/vms",
                              R"({"name":"huge","image":"tiny","memory_mib":1048576})");
  EXPECT_EQ(reply.status, 201) << text_of(reply);
  for (const char* word : {"stop?wait=stopped", "start?wait=running"}) {
    reply = co_await c.ask(c.site(1), Method::kPost, fmt::format("/v1/vms/db/{}", word));
    EXPECT_EQ(reply.status, 200) << text_of(reply);
  }
  EXPECT_EQ((co_await c.ask(c.site(1), Method::kDelete, "/v1/vms/none")).status, 404);
  reply = co_await c.ask(c.site(1), Method::kDelete, "/v1/vms/db?wait=deleted");
  EXPECT_EQ(reply.status, 200) << text_of(reply);

  co_await save_guests(c);

  // The guest's process dies and is started again, of a template that is no good; then its daemon
  // dies, and adopts it.
  reply = co_await c.ask(c.site(1), Method::kGet, "/v1/vms/web");
  Site& home = c.named(reply.text("node"));
  vm_sim::SimGuest* guest = home.hypervisor.find({.pid = reply.number("pid")});
  EXPECT_NE(guest, nullptr) << text_of(reply);
  if (guest == nullptr) co_return;
  co_await c.pause(10s);
  home.hypervisor.fail_next_loads = true;
  home.machine->kill_process(guest->process);
  co_await c.pause(10s);
  home.hypervisor.fail_next_loads = false;
  reply = co_await c.ask(c.site(1), Method::kGet, "/v1/vms/web?wait=running&timeout=30s");
  EXPECT_EQ(reply.number("restarts"), 1) << text_of(reply);
  co_await read_all(c);
  Cluster::crash(home);
  co_await c.pause(5s);
  c.start(home);
  co_await c.ready(home);
  co_await c.pause(5s);
  co_await read_all(c);
}

// One that was away is sent what it missed, from the disk, and is led by another one after that.
Task<void> lag_behind(Cluster& c) {
  Cluster::crash(c.site(3));
  for (int i = 0; i < 100; ++i) {
    const auto made = co_await c.ask(c.site(1), Method::kPost, "/v1/vms",
                                     fmt::format(R"({{"name":"v{}","image":"tiny"}})", i));
    EXPECT_EQ(made.status, 201) << text_of(made);
  }
  co_await read_all(c);
  c.start(c.site(3));
  co_await c.ready(c.site(3));
  Site* leader = co_await c.leader(c.site(1));
  if (leader == nullptr) co_return;
  c.isolate(*leader);
  co_await c.pause(10s);
  c.heal(*leader);
  co_await c.pause(10s);
  co_await read_all(c);
}

Task<void> tell_of_everything(Cluster& c) {
  for (std::size_t i = 1; i <= c.size(); ++i)
    c.site(i).templates = mib(512);
  co_await c.form(3);
  co_await live_with_guests(c);
  co_await lag_behind(c);
}

bool is_recorded(const observe::FamilyView& family) {
  const bool is_histogram = family.kind == observe::Kind::kHistogram;
  const auto found = seen.find(std::string(family.name) + (is_histogram ? "_count" : ""));
  if (found == seen.end()) return false;
  const bool counts = !family.is_computed && family.kind != observe::Kind::kGauge;
  return !counts ||
         std::ranges::any_of(found->second, [](const auto& series) { return series.second > 0; });
}

TEST(Telemetry, EveryDeclaredMetricIsRecorded) {
  seen.clear();
  Cluster cluster(21, 3);
  cluster.run(tell_of_everything);
  observe::Metrics metrics;
  node::declare_metrics(metrics);
  std::set<std::string, std::less<>> declared;
  metrics.describe([&](const observe::FamilyView& family) {
    declared.insert(std::string(family.name));
    if (kElsewhere.contains(family.name)) {
      EXPECT_FALSE(is_recorded(family)) << family.name << " is told here, too";
    } else {
      EXPECT_TRUE(is_recorded(family)) << "nobody records " << family.name;
    }
  });
  EXPECT_GT(declared.size(), 60);
  for (const std::string_view operation : observe::kLabelValues<telemetry::VmOperation>) {
    const std::string label = fmt::format("operation=\"{}\"", operation);
    EXPECT_TRUE(std::ranges::any_of(
        seen["blixard_vm_operations_total"],
        [&](const auto& series) { return series.first.contains(label) && series.second > 0; }))
        << "nobody does " << operation;
  }
  EXPECT_GT(seen["blixard_saved_guests"][""], 0);
  EXPECT_GT(seen["blixard_saved_guests_bytes"][""], 0);
  for (const char* direction : {"received", "sent"}) {
    EXPECT_GT(seen["blixard_saved_guests_transferred_bytes_total"]
                  [fmt::format("{{direction=\"{}\"}}", direction)],
              0)
        << direction;
  }
  // And nothing is told that documents and dashboards, made of the declarations, do not know.
  for (const auto& [name, series] : seen) {
    std::string_view family = name;
    for (const std::string_view end : {"_bucket", "_sum", "_count"}) {
      if (!declared.contains(family) && family.ends_with(end)) family.remove_suffix(end.size());
    }
    EXPECT_TRUE(declared.contains(family)) << name << " is not declared";
  }
}

// Gauges that were added to drifted away from the truth in the original.
Task<void> follow_resources(Cluster& c) {
  co_await c.form(3);
  co_await c.import_images();
  for (int i = 0; i < 6; ++i) {
    co_await create(c, fmt::format("v{}", i), R"(,"memory_mib":128)");
    for (int again = 0; again < 5; ++again)
      (void)co_await read_metrics(c, c.site(1));
  }
  for (int i = 0; i < 2; ++i) {
    const auto gone =
        co_await c.ask(c.site(1), Method::kDelete, fmt::format("/v1/vms/v{}?wait=deleted", i));
    EXPECT_EQ(gone.status, 200) << text_of(gone);
  }
  Site* leader = co_await c.leader(c.site(1));
  if (leader == nullptr) co_return;
  Values told = co_await read_metrics(c, *leader);
  double used = 0;
  for (const auto& [labels, value] : told["blixard_node_used_memory_bytes"])
    used += value;
  EXPECT_EQ(used, 4 * 128.0 * 1024 * 1024);
  EXPECT_EQ(told["blixard_node_used_memory_bytes"].size(), 3);
  EXPECT_EQ(told["blixard_node_vcpus"].size(), 3);
  EXPECT_EQ(told["blixard_cluster_members"][R"({state="active"})"], 3);
  // Who does not lead tells of itself.
  Site& other = c.site(leader == &c.site(2) ? 3 : 2);
  told = co_await read_metrics(c, other);
  EXPECT_EQ(told["blixard_node_memory_bytes"].size(), 1);
  EXPECT_TRUE(
      told["blixard_node_memory_bytes"].contains(fmt::format("{{node=\"{}\"}}", other.name)));
}

TEST(Telemetry, ResourcesOfNodesAreAsTheyAre) {
  Cluster cluster(22, 3);
  cluster.run(follow_resources);
}

}  // namespace
}  // namespace blixard
