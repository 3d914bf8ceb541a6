// Three whole nodes in virtual time: a cluster is begun and joined, a VM made through a follower
// runs somewhere, the leader dies, and everything goes on.

#include "test/conformance/node/cluster.h"

namespace blixard {
namespace {

using env::Task;
using http::Method;
using rest::Reply;

Site& other_than(Cluster& cluster, const Site& one, const Site& two) {
  for (std::size_t i = 1; i <= cluster.size(); ++i) {
    Site& site = cluster.site(i);
    if (&site != &one && &site != &two) return site;
  }
  return cluster.site(1);
}

// Somebody leads who does not run the VM, so that the VM outlives the leader.
Task<Site*> lead_elsewhere(Cluster& c, Site& owner) {
  Site* leader = co_await c.leader(owner);
  if (leader != &owner) co_return leader;
  Site& next = other_than(c, owner, owner);
  const Reply moved = co_await c.ask(owner, Method::kPost, "/v1/cluster/transfer-leader",
                                     fmt::format(R"({{"node":"{}"}})", next.name));
  EXPECT_EQ(moved.status, 200) << text_of(moved);
  EXPECT_EQ(moved.text("leader"), next.name);
  co_return &next;
}

Task<void> live_through_the_leaders_death(Cluster& c) {
  co_await c.form(3);
  co_await c.import_images();
  Site* first = co_await c.leader(c.site(1));
  CO_ASSERT(first != nullptr, << "nobody leads");
  Site& follower = other_than(c, *first, *first);
  const Reply made = co_await c.ask(follower, Method::kPost, "/v1/vms?wait=running&timeout=60s",
                                    R"({"name":"web","image":"tiny"})");
  EXPECT_EQ(made.status, 201) << text_of(made);
  EXPECT_EQ(made.text("state"), "running") << text_of(made);
  const std::string owner = made.text("node");
  CO_ASSERT(!owner.empty(), << text_of(made));

  Site* leader = co_await lead_elsewhere(c, c.named(owner));
  CO_ASSERT(leader != nullptr, << "nobody leads");
  Cluster::crash(*leader);
  Site& rest = other_than(c, *leader, c.named(owner));
  const Reply seen = co_await c.ask(rest, Method::kGet, "/v1/vms/web");
  EXPECT_EQ(seen.status, 200) << text_of(seen);
  EXPECT_EQ(seen.text("uuid"), made.text("uuid"));
  EXPECT_EQ(seen.text("state"), "running");
  EXPECT_EQ(seen.number("pid"), made.number("pid"));
  Site* next = co_await c.leader(rest);
  EXPECT_NE(next, leader);
  const Reply stopped = co_await c.ask(rest, Method::kPost, "/v1/vms/web/stop?wait=stopped");
  EXPECT_EQ(stopped.text("state"), "stopped") << text_of(stopped);
  const Reply again =
      co_await c.ask(rest, Method::kPost, "/v1/vms/web/start?wait=running&timeout=60s");
  EXPECT_EQ(again.text("state"), "running") << text_of(again);

  // The dead one comes back, sees it, and can be asked as any other.
  c.start(*leader);
  co_await c.ready(*leader);
  co_await c.until_members(*leader, "n1:voter n2:voter n3:voter");
  const Reply gone =
      co_await c.ask(*leader, Method::kDelete, "/v1/vms/web?wait=deleted&timeout=60s");
  EXPECT_EQ(gone.status, 200) << text_of(gone);
  for (std::size_t i = 1; i <= 3; ++i) {
    const Reply none = co_await c.ask(c.site(i), Method::kGet, "/v1/vms/web");
    EXPECT_EQ(none.status, 404) << text_of(none);
    EXPECT_EQ(c.site(i).machine->processes(), 0u);
  }
}

TEST(Cluster, LivesThroughTheLeadersDeath) {
  for (std::uint64_t seed = 1; seed <= 40 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Cluster cluster(seed, 3);
    cluster.run(live_through_the_leaders_death);
  }
}

TEST(Cluster, SameSeedSameTrace) {
  std::array<std::uint64_t, 2> hashes{};
  for (std::uint64_t& hash : hashes) {
    Cluster cluster(77, 3);
    cluster.run(live_through_the_leaders_death);
    hash = cluster.world().trace_hash();
  }
  EXPECT_EQ(hashes[0], hashes[1]);
}

Task<void> restart_all(Cluster& c) {
  co_await c.form(3);
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 1; i <= 3; ++i) {
      Site& site = c.site(i);
      if (round == 0) {
        Cluster::crash(site);
        c.start(site);
        co_await c.ready(site);
      } else if (round == 1) {
        Cluster::crash(site);
      } else {
        Cluster::lose_power(site);
      }
    }
    for (std::size_t i = 1; i <= 3 && round > 0; ++i)
      c.start(c.site(i));
    for (std::size_t i = 1; i <= 3; ++i)
      co_await c.until_members(c.site(i), "n1:voter n2:voter n3:voter");
  }
}

// What /metrics says, by name with labels.
Task<std::map<std::string, double>> metrics_of(Cluster& c, Site& site) {
  std::string token = site.file("api.token");
  if (token.ends_with('\n')) token.pop_back();
  http::Client client(c.env(), site.api());
  const auto answer = co_await client.send({.method = Method::kGet,
                                            .target = "/metrics",
                                            .headers = {{"Authorization", "Bearer " + token}}},
                                           c.env().clock.monotonic() + 10s);
  std::map<std::string, double> values;
  EXPECT_EQ(answer ? answer->status : 0, 200);
  if (!answer) co_return values;
  std::string_view rest = answer->body;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const std::size_t space = line.rfind(' ');
    if (line.starts_with('#') || space == std::string_view::npos) continue;
    values[std::string(line.substr(0, space))] = std::stod(std::string(line.substr(space + 1)));
  }
  co_return values;
}

// A server and two workers, which have nothing to say to each other.
Task<void> tell_in_metrics(Cluster& c) {
  co_await c.begin();
  for (std::size_t i = 2; i <= 3; ++i) {
    c.site(i).join = co_await c.join_of(c.site(1), R"({"role":"worker"})");
    c.start(c.site(i));
    co_await c.ready(c.site(i));
  }
  co_await c.until_members(c.site(1), "n1:voter n2:learner n3:learner");
  co_await c.pause(5s);
  auto server = co_await metrics_of(c, c.site(1));
  auto worker = co_await metrics_of(c, c.site(2));
  EXPECT_EQ(server["blixard_raft_role{role=\"leader\"}"], 1);
  EXPECT_EQ(server["blixard_raft_role{role=\"follower\"}"], 0);
  EXPECT_EQ(worker["blixard_raft_role{role=\"follower\"}"], 1);
  EXPECT_GE(server["blixard_raft_term"], 1);
  EXPECT_EQ(worker["blixard_raft_term"], server["blixard_raft_term"]);
  EXPECT_GE(server["blixard_raft_commit_index"], 5);
  EXPECT_EQ(server["blixard_raft_applied_index"], server["blixard_raft_commit_index"]);
  EXPECT_EQ(server["blixard_raft_last_index"], server["blixard_raft_commit_index"]);
  EXPECT_EQ(worker["blixard_raft_applied_index"], server["blixard_raft_applied_index"]);
  EXPECT_EQ(server["blixard_raft_proposals_in_flight"], 0);
  EXPECT_EQ(server["blixard_raft_appends_waiting"], 0);
  for (const char* dialler : {"this", "other"}) {
    const std::string name = fmt::format("blixard_peer_connections{{dialled_by=\"{}\"}}", dialler);
    EXPECT_EQ(server[name], 2) << name;
    EXPECT_EQ(worker[name], 1) << name;
  }
  EXPECT_GE(server["blixard_peer_frames_total{direction=\"sent\"}"], 100) << "heartbeats";
  EXPECT_GE(server["blixard_peer_bytes_total{direction=\"received\"}"], 1000);
  for (const char* name : {"blixard_peer_dropped_frames_total{priority=\"bulk\"}",
                           "blixard_peer_refused_connections_total{reason=\"handshake\"}",
                           "blixard_peer_refused_connections_total{reason=\"full\"}",
                           "blixard_peer_violations_total", "blixard_peer_reconnects_total"})
    EXPECT_TRUE(server.contains(name) && server[name] == 0) << name;

  // What is lost and refused is seen.
  auto stranger = co_await c.env().network.dial(
      env::Endpoint::tcp(c.site(1).machine->address(), Site::kPeerPort),
      c.env().clock.monotonic() + 1s);
  CO_ASSERT(stranger.has_value());
  (*stranger)->close();
  c.isolate(c.site(3));
  co_await c.pause(10s);
  c.heal(c.site(3));
  co_await c.pause(10s);
  server = co_await metrics_of(c, c.site(1));
  EXPECT_EQ(server["blixard_peer_reconnects_total"], 1);
  EXPECT_GE(server["blixard_peer_dropped_frames_total{priority=\"urgent\"}"], 10);
  EXPECT_GE(server["blixard_peer_refused_connections_total{reason=\"handshake\"}"], 1);
}

TEST(Cluster, TellsOfConsensusAndPeersInMetrics) {
  Cluster cluster(9, 3);
  cluster.run(tell_in_metrics);
}

TEST(Cluster, ComesBackOneByOneAndAllAtOnce) {
  Cluster cluster(5, 3);
  cluster.run(restart_all);
}

}  // namespace
}  // namespace blixard
