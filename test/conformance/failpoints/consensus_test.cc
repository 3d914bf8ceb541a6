// Stories of consensus and of connections.

#include "test/conformance/failpoints/stories.h"

namespace blixard {
namespace {

using env::Task;
using http::Method;
using observe::ScopedFailpoint;
using rest::Reply;

Site& follower_of(Cluster& c, const Site& leader) {
  return &c.site(1) == &leader ? c.site(2) : c.site(1);
}

Task<void> propose(Cluster& c) {
  co_await c.begin();
  {
    const ScopedFailpoint site("raft::propose", "error");
    const Reply refused = co_await make_token(c, c.site(1));
    EXPECT_EQ(refused.status, 503) << text_of(refused);
    EXPECT_EQ(refused.text("code"), "no_leader");
  }
  co_await expect_at_work(c, c.site(1));
}

Task<void> read_barrier(Cluster& c) {
  co_await c.begin();
  {
    const ScopedFailpoint site("raft::read_barrier", "error");
    const Reply refused = co_await c.call(c.site(1), Method::kGet, "/v1/vms");
    EXPECT_EQ(refused.status, 503) << text_of(refused);
    const Reply stale = co_await c.call(c.site(1), Method::kGet, "/v1/vms?consistency=stale");
    EXPECT_EQ(stale.status, 200) << text_of(stale);
  }
  const Reply read = co_await c.call(c.site(1), Method::kGet, "/v1/vms");
  EXPECT_EQ(read.status, 200) << text_of(read);
}

// The entry is not passed over: the node ends, and applies it when it begins anew.
Task<void> apply_entry(Cluster& c) {
  co_await c.begin();
  {
    const ScopedFailpoint site("raft::apply_entry", "1*error->off");
    const Reply lost = co_await make_token(c, c.site(1));
    EXPECT_NE(lost.status, 201) << text_of(lost);
    EXPECT_EQ(co_await c.end_of(c.site(1)), "command_invalid");
  }
  c.start(c.site(1));
  co_await c.ready(c.site(1));
  const Reply tokens = co_await c.ask(c.site(1), Method::kGet, "/v1/tokens");
  EXPECT_TRUE(text_of(tokens).contains("server")) << text_of(tokens);
}

// Nothing is decided while messages are lost, and all is well afterwards.
Task<void> lost_messages(Cluster& c, std::string_view name) {
  co_await c.form(3);
  Site* leader = co_await c.leader(c.site(1));
  CO_ASSERT(leader != nullptr);
  {
    const ScopedFailpoint site(name, "trigger");
    const Reply lost = co_await make_token(c, *leader);
    EXPECT_NE(lost.status, 201) << text_of(lost);
    co_await until_fired(c, site, 3);
  }
  co_await expect_at_work(c, *leader);
}
Task<void> send_message(Cluster& c) { co_await lost_messages(c, "raft::send_message"); }
Task<void> network_send(Cluster& c) { co_await lost_messages(c, "network::send_message"); }
Task<void> recv_at_leader(Cluster& c) { co_await lost_messages(c, "network::recv_at_leader"); }

// Who hears nothing of its leader asks for votes.
Task<void> heartbeat(Cluster& c) {
  co_await c.form(3);
  co_await c.pause(5s);
  const std::int64_t before = co_await term_of(c, c.site(1));
  {
    const ScopedFailpoint site("raft::heartbeat", "trigger");
    const Instant deadline = c.env().clock.monotonic() + 1min;
    std::int64_t now = before;
    while (now == before && c.env().clock.monotonic() < deadline) {
      co_await c.pause(100ms);
      now = co_await term_of(c, c.site(1));
    }
    EXPECT_GT(now, before);
  }
  co_await expect_at_work(c, c.site(1));
}

// The leader steps down before a term that nobody won, and another one is elected behind it.
Task<void> forge_term(Cluster& c) {
  co_await c.form(3);
  const std::int64_t before = co_await term_of(c, c.site(1));
  const ScopedFailpoint site("raft::forge_term", "1*trigger->off");
  co_await until_fired(c, site);
  co_await c.pause(5s);
  co_await expect_at_work(c, c.site(1));
  EXPECT_GE(co_await term_of(c, c.site(1)), before + 100);
}

// Two of five, each of whose votes comes twice, are still two of five.
Task<void> duplicate_vote(Cluster& c) {
  co_await c.form(5);
  Site* leader = co_await c.leader(c.site(1));
  CO_ASSERT(leader != nullptr);
  const ScopedFailpoint site("raft::duplicate_vote", "trigger");
  std::vector<Site*> left;
  for (std::size_t i = 1; i <= 5; ++i) {
    if (&c.site(i) != leader && left.size() < 2) {
      left.push_back(&c.site(i));
    } else {
      Cluster::crash(c.site(i));
    }
  }
  co_await until_fired(c, site, 3);
  co_await c.pause(10s);
  for (Site* one : left) {
    const Reply status = co_await c.ask(*one, Method::kGet, "/v1/status?consistency=stale");
    EXPECT_EQ(status.text("leader"), "") << text_of(status);
  }
  c.start(*leader);
  co_await expect_at_work(c, *left.front());
}

// A node that takes itself for the leader of the term changes nothing that is decided.
Task<void> fake_leader(Cluster& c) {
  co_await c.form(3);
  const Site* before = co_await c.leader(c.site(1));
  const ScopedFailpoint site("raft::fake_leader", "10*trigger->off");
  co_await until_fired(c, site, 10);
  co_await expect_at_work(c, c.site(1));
  EXPECT_EQ(co_await c.leader(c.site(1)), before);
}

Task<void> transfer_leader(Cluster& c) {
  co_await c.form(3);
  const Site* leader = co_await c.leader(c.site(1));
  CO_ASSERT(leader != nullptr);
  const std::string body = fmt::format(R"({{"node":"{}"}})", follower_of(c, *leader).name);
  {
    const ScopedFailpoint site("raft::transfer_leader", "error");
    const Reply failed =
        co_await c.call(c.site(1), Method::kPost, "/v1/cluster/transfer-leader", body);
    EXPECT_EQ(failed.text("code"), "transfer_failed") << text_of(failed);
    EXPECT_EQ(co_await c.leader(c.site(1)), leader);
  }
  const Reply moved = co_await c.ask(c.site(1), Method::kPost, "/v1/cluster/transfer-leader", body);
  EXPECT_EQ(moved.status, 200) << text_of(moved);
}

// The leader tries again until a server that joined is a voter.
Task<void> change_members(Cluster& c) {
  const ScopedFailpoint site("raft::change_members", "2*error->off");
  co_await c.form(2);
  EXPECT_EQ(site.fired(), 2u);
}

// A node that joins begins with the leader's snapshot.
Task<void> begin_by_snapshot(Cluster& c, std::string_view name, std::string_view logged) {
  const ScopedFailpoint site(name, "1*error->off");
  co_await c.form(2);
  EXPECT_EQ(site.fired(), 1u);
  EXPECT_TRUE(was_logged(c, logged));
  EXPECT_TRUE(was_logged(c, "goes on behind the snapshot at"));
}
Task<void> snapshot_send(Cluster& c) {
  co_await begin_by_snapshot(c, "snapshot::send", "the snapshot did not get to node");
}
Task<void> snapshot_receive(Cluster& c) {
  co_await begin_by_snapshot(c, "snapshot::receive", "the snapshot did not get to node");
}
Task<void> snapshot_install(Cluster& c) {
  co_await begin_by_snapshot(c, "snapshot::install",
                             "the log cannot be written, tried again soon: disk_full");
}

// Connections that are lost do not come back while nobody can dial.
Task<void> connect(Cluster& c) {
  co_await c.form(2);
  {
    const ScopedFailpoint site("network::connect", "error");
    c.world().reset_connections(*c.site(1).machine, *c.site(2).machine);
    co_await until_fired(c, site, 4);
    const Reply lost = co_await make_token(c, c.site(1));
    EXPECT_NE(lost.status, 201) << text_of(lost);
  }
  co_await expect_at_work(c, c.site(1));
}

// What a follower passes on to the leader.
Task<void> request(Cluster& c) {
  co_await c.form(3);
  const Site* leader = co_await c.leader(c.site(1));
  CO_ASSERT(leader != nullptr);
  Site& follower = follower_of(c, *leader);
  {
    const ScopedFailpoint site("network::request", "error");
    const Reply lost = co_await make_token(c, follower);
    EXPECT_EQ(lost.text("code"), "leader_unreachable") << text_of(lost);
  }
  co_await expect_at_work(c, follower);
}

// Each turn of consensus takes a tenth of a second.
Task<void> cpu_throttled(Cluster& c) {
  co_await c.begin();
  const auto took = [&]() -> Task<Duration> {
    const Instant begin = c.env().clock.monotonic();
    co_await expect_at_work(c, c.site(1));
    co_return c.env().clock.monotonic() - begin;
  };
  EXPECT_LT(co_await took(), 100ms);
  const ScopedFailpoint site("system::cpu_throttled", "trigger");
  EXPECT_GE(co_await took(), 100ms);
}

}  // namespace

std::vector<Story> consensus_stories() {
  return {
      {"raft::propose", 1, propose},
      {"raft::read_barrier", 1, read_barrier},
      {"raft::apply_entry", 1, apply_entry},
      {"raft::send_message", 3, send_message},
      {"raft::heartbeat", 3, heartbeat},
      {"raft::forge_term", 3, forge_term},
      {"raft::duplicate_vote", 5, duplicate_vote},
      {"raft::fake_leader", 3, fake_leader},
      {"raft::transfer_leader", 3, transfer_leader},
      {"raft::change_members", 2, change_members},
      {"snapshot::send", 2, snapshot_send},
      {"snapshot::receive", 2, snapshot_receive},
      {"snapshot::install", 2, snapshot_install},
      {"network::connect", 2, connect},
      {"network::send_message", 3, network_send},
      {"network::recv_at_leader", 3, recv_at_leader},
      {"network::request", 3, request},
      {"system::cpu_throttled", 1, cpu_throttled},
  };
}

}  // namespace blixard
