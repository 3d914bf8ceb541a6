// Who gets into a cluster and who does not, what the leader makes of the members, how they leave,
// and what time does to their certificates; with whole nodes in virtual time.

#include "test/conformance/node/cluster.h"

namespace blixard {
namespace {

using env::Task;
using http::Method;
using rest::Reply;

void expect_problem(const Reply& reply, int status, std::string_view code) {
  EXPECT_EQ(reply.status, status) << text_of(reply);
  EXPECT_EQ(reply.text("code"), code) << text_of(reply);
}

// Entering.

// `join` does not let the machine in, and says this.
Task<void> expect_refused(Cluster& c, Site& site, std::string join, std::string reason) {
  site.join = std::move(join);
  c.start(site);
  EXPECT_EQ(co_await c.end_of(site), reason) << site.ended_message;
  EXPECT_EQ(site.file("node.json"), "");
  Cluster::crash(site);
}

Task<void> bad_tokens(Cluster& c) {
  co_await c.begin();
  const std::string at = "@" + c.site(1).peer_address();
  Site& stranger = c.site(3);

  const std::string used = co_await c.token(c.site(1));
  c.site(2).join = used + at;
  c.start(c.site(2));
  co_await c.ready(c.site(2));
  co_await expect_refused(c, stranger, used + at, "token_used");

  const Reply brief =
      co_await c.ask(c.site(1), Method::kPost, "/v1/tokens", R"({"expires_seconds":1})");
  co_await c.pause(1500ms);
  co_await expect_refused(c, stranger, brief.text("token") + at, "token_expired");

  const Reply revoked = co_await c.ask(c.site(1), Method::kPost, "/v1/tokens", "{}");
  const Reply gone = co_await c.ask(c.site(1), Method::kDelete, "/v1/tokens/" + revoked.text("id"));
  EXPECT_EQ(gone.status, 200) << text_of(gone);
  EXPECT_EQ(gone.text("id"), revoked.text("id"));
  co_await expect_refused(c, stranger, revoked.text("token") + at, "token_refused");

  std::string mistyped = co_await c.token(c.site(1));
  char& digit = mistyped.at(30);
  digit = digit == '0' ? '1' : '0';
  co_await expect_refused(c, stranger, mistyped + at, "token_refused");

  // The secret is not even said to another cluster.
  Site& other = c.site(4);
  other.bootstrap = true;
  c.start(other);
  co_await c.ready(other);
  const std::string foreign = co_await c.token(other);
  co_await expect_refused(c, stranger, foreign + at, "certificate_refused");

  const std::string wrong_name = co_await c.token(c.site(1));
  stranger.name = "n2";
  co_await expect_refused(c, stranger, wrong_name + at, "node_exists");

  // None of them cost an id.
  stranger.name = "n3";
  stranger.join = wrong_name + at;
  c.start(stranger);
  co_await c.ready(stranger);
  co_await c.until_members(stranger, "n1:voter n2:voter n3:voter");
  EXPECT_TRUE(stranger.file("node.json").contains("\"node_id\":3")) << stranger.file("node.json");
}

TEST(Entering, ATokenThatIsNotGoodLetsNobodyIn) {
  Cluster cluster(1, 4);
  cluster.run(bad_tokens);
}

// Killed, or without power, `at` after its start; then started again with the same words.
Task<void> cut_short(Cluster& c, Site& site, Duration at, bool power) {
  c.start(site);
  co_await c.pause(at);
  if (power) {
    Cluster::lose_power(site);
  } else {
    Cluster::crash(site);
  }
  c.start(site);
  co_await c.ready(site);
}

TEST(Entering, ABeginningOrAJoinCutShortEndsRight) {
  int step = 0;
  for (Duration at = 1ms; at < 130ms; at += 4ms) {
    Cluster cluster(static_cast<std::uint64_t>(at / 1ms), 2);
    const bool power = ++step % 2 == 0;
    SCOPED_TRACE(at / 1ms);
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
    cluster.run([at, power](Cluster& c) -> Task<void> {
      c.site(1).bootstrap = true;
      co_await cut_short(c, c.site(1), at, power);
      c.site(2).join = co_await c.join_of(c.site(1));
      co_await cut_short(c, c.site(2), at, power);
      co_await c.until_members(c.site(2), "n1:voter n2:voter");
      EXPECT_TRUE(c.site(1).file("node.json").contains("\"node_id\":1"));
      EXPECT_TRUE(c.site(2).file("node.json").contains("\"node_id\":2"));
      EXPECT_EQ(c.site(2).file("pending.json"), "");
    });
    if (testing::Test::HasFailure()) return;
  }
}

// The member took it and its answer did not come through: asked again, it is the same node.
TEST(Entering, ALostAnswerIsGivenAgain) {
  int taken_first = 0;
  for (Duration at = 1ms; at < 60ms; at += 1ms) {
    Cluster cluster(static_cast<std::uint64_t>(at / 1ms), 2);
    SCOPED_TRACE(at / 1ms);
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
    cluster.run([at, &taken_first](Cluster& c) -> Task<void> {
      co_await c.begin();
      c.site(2).join = co_await c.join_of(c.site(1));
      c.start(c.site(2));
      co_await c.pause(at);
      c.world().partition_one_way(*c.site(1).machine, *c.site(2).machine);
      co_await c.pause(20s);  // longer than one try
      const std::string before = co_await c.members(c.site(1));
      if (before != "n1:voter" && c.site(2).file("node.json").empty()) ++taken_first;
      c.world().heal_all();
      co_await c.ready(c.site(2));
      co_await c.until_members(c.site(2), "n1:voter n2:voter");
      EXPECT_TRUE(c.site(2).file("node.json").contains("\"node_id\":2"));
    });
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(taken_first, 0) << "no answer was lost";
}

// What the leader makes of them.

Task<void> grow(Cluster& c) {
  co_await c.begin();
  for (std::size_t i = 2; i <= 9; ++i) {
    const bool worker = i == 2;
    c.site(i).join =
        co_await c.join_of(c.site(1), worker ? R"({"role":"worker"})" : R"({"role":"server"})");
    c.start(c.site(i));
  }
  for (std::size_t i = 2; i <= 9; ++i)
    co_await c.ready(c.site(i));
  EXPECT_EQ(co_await c.voters(c.site(1), 7), 7);
  // Ids are given out in the order in which they came, so who is left over is not known.
  co_await c.pause(20s);
  const std::string members = co_await c.members(c.site(1));
  EXPECT_TRUE(members.contains("n2:learner")) << members;
  std::string learner;
  std::string voter;
  for (std::size_t i = 3; i <= 9; ++i) {
    const std::string name = fmt::format("n{}", i);
    if (members.contains(name + ":learner")) learner = name;
    if (members.contains(name + ":voter")) voter = name;
  }
  CO_ASSERT(!learner.empty(), << members);
  expect_problem(co_await c.ask(c.site(1), Method::kPost, "/v1/nodes/" + learner + "/promote"), 409,
                 "too_many_voters");
  expect_problem(co_await c.ask(c.site(1), Method::kPost, "/v1/nodes/n2/promote"), 409,
                 "not_a_server");
  expect_problem(
      co_await c.ask(c.site(1), Method::kPost, "/v1/cluster/transfer-leader", R"({"node":"n2"})"),
      409, "not_a_voter");
  // Room again. A worker's users are told whom to ask.
  const Reply at_worker = co_await c.ask(c.site(2), Method::kDelete, "/v1/nodes/" + voter);
  expect_problem(at_worker, 403, "servers_only");
  EXPECT_TRUE(at_worker.text("detail").contains("node n2 is a worker")) << text_of(at_worker);
  expect_problem(co_await c.ask(c.site(2), Method::kPost, "/v1/nodes/" + learner + "/promote"), 409,
                 "too_many_voters");
  expect_problem(co_await c.ask(c.site(2), Method::kPost, "/v1/cluster/transfer-leader", "{}"), 403,
                 "servers_only");
  const Reply removed = co_await c.ask(c.site(1), Method::kDelete, "/v1/nodes/" + voter);
  EXPECT_EQ(removed.status, 200) << text_of(removed);
  EXPECT_EQ(co_await c.end_of(c.named(voter)), "removed");
  EXPECT_EQ(co_await c.voters(c.site(1), 7), 7);
  const std::string after = co_await c.members(c.site(2));
  EXPECT_TRUE(after.contains(learner + ":voter")) << after;
  EXPECT_TRUE(after.contains("n2:learner")) << after;
}

TEST(Steward, MakesSevenVotersAndNoWorker) {
  Cluster cluster(3, 9);
  cluster.run(grow);
}

Task<void> far_behind(Cluster& c) {
  co_await c.form(3);
  // It enrols through one that it hears, and then hears nobody.
  Site& late = c.site(4);
  late.join = co_await c.join_of(c.site(1));
  c.start(late);
  EXPECT_TRUE(co_await c.until([&] { return !late.file("node.json").empty(); }));
  c.isolate(late);
  co_await c.until_members(c.site(1), "n1:voter n2:voter n3:voter n4:learner");
  co_await c.pause(30s);
  co_await c.until_members(c.site(1), "n1:voter n2:voter n3:voter n4:learner");
  expect_problem(co_await c.ask(c.site(1), Method::kPost, "/v1/nodes/n4/promote"), 409,
                 "not_caught_up");
  c.heal(late);
  co_await c.until_members(c.site(1), "n1:voter n2:voter n3:voter n4:voter");
}

TEST(Steward, WhoIsBehindIsNoVoter) {
  Cluster cluster(4, 4);
  cluster.run(far_behind);
}

Task<void> leave(Cluster& c) {
  co_await c.form(4);
  Site* leader = co_await c.leader(c.site(1));
  CO_ASSERT(leader != nullptr, << "nobody leads");
  Site& asked = c.site(leader == &c.site(2) ? 3 : 2);
  expect_problem(co_await c.ask(asked, Method::kDelete, "/v1/nodes/n9"), 404, "node_not_found");

  // A follower that does not hear of it, and comes with a higher term afterwards.
  Site& deaf = c.site(4);
  c.isolate(deaf);
  const Reply follower = co_await c.ask(asked, Method::kDelete, "/v1/nodes/n4");
  EXPECT_EQ(follower.status, 200) << text_of(follower);
  co_await c.until_members(asked, "n1:voter n2:voter n3:voter");
  co_await c.pause(30s);
  const Reply before = co_await c.ask(asked, Method::kGet, "/v1/cluster");
  c.heal(deaf);
  EXPECT_EQ(co_await c.end_of(deaf), "removed");
  EXPECT_TRUE(deaf.ended_message.contains("join it anew")) << deaf.ended_message;
  const Reply after = co_await c.ask(asked, Method::kGet, "/v1/cluster");
  EXPECT_EQ(after.number("term"), before.number("term"));
  EXPECT_EQ(after.text("leader"), before.text("leader"));
  // Nor is it taken in again when it is started again.
  Cluster::crash(deaf);
  c.start(deaf);
  EXPECT_EQ(co_await c.end_of(deaf), "removed");

  // The leader, asked at another.
  const Reply lead = co_await c.ask(asked, Method::kDelete, "/v1/nodes/" + leader->name);
  EXPECT_EQ(lead.status, 200) << text_of(lead);
  EXPECT_EQ(co_await c.end_of(*leader), "removed");
  Site* next = co_await c.leader(asked);
  EXPECT_NE(next, leader);
  const std::string left = co_await c.members(asked);
  EXPECT_FALSE(left.contains(leader->name)) << left;

  // The last but one may go, asked at itself; the last one may not.
  Site& last = c.site(next == &c.site(2) ? 2 : next == &c.site(3) ? 3 : 1);
  for (std::size_t i = 1; i <= 3; ++i) {
    Site& site = c.site(i);
    if (&site == leader || &site == &last) continue;
    const Reply own = co_await c.ask(site, Method::kDelete, "/v1/nodes/" + site.name);
    EXPECT_EQ(own.status, 200) << text_of(own);
    EXPECT_EQ(co_await c.end_of(site), "removed");
  }
  co_await c.until_members(last, last.name + ":voter");
  expect_problem(co_await c.ask(last, Method::kDelete, "/v1/nodes/" + last.name), 409,
                 "last_voter");
}

TEST(Steward, NodesLeave) {
  for (std::uint64_t seed = 1; seed <= 3 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Cluster cluster(seed, 4);
    cluster.run(leave);
  }
}

// A machine that burnt, with a VM on it.
Task<void> leave_by_force(Cluster& c) {
  co_await c.form(4);
  co_await c.import_images();
  const Reply made = co_await c.ask(c.site(2), Method::kPost, "/v1/vms?wait=running&timeout=60s",
                                    R"({"name":"web","image":"tiny"})");
  EXPECT_EQ(made.text("state"), "running") << text_of(made);
  const std::string owner = made.text("node");
  CO_ASSERT(!owner.empty(), << text_of(made));
  Site& dead = c.named(owner);
  Cluster::lose_power(dead);
  Site& asked = c.site(owner == "n1" ? 2 : 1);
  const std::string target = "/v1/nodes/" + owner;
  expect_problem(co_await c.ask(asked, Method::kDelete, target), 409, "node_has_vms");
  const Reply still = co_await c.ask(asked, Method::kGet, "/v1/vms/web");
  EXPECT_EQ(still.text("node"), owner);
  const Reply removed = co_await c.ask(asked, Method::kDelete, target + "?force=true");
  EXPECT_EQ(removed.status, 200) << text_of(removed);
  const Reply moved = co_await c.ask(asked, Method::kGet, "/v1/vms/web?wait=running&timeout=60s");
  EXPECT_EQ(moved.text("state"), "running") << text_of(moved);
  EXPECT_EQ(moved.text("uuid"), made.text("uuid"));
  EXPECT_NE(moved.text("node"), owner);
  EXPECT_GT(moved.number("generation"), made.number("generation"));
  // It comes back with what it remembers: that is of no generation any more.
  c.start(dead);
  EXPECT_EQ(co_await c.end_of(dead), "removed");
  const Reply after = co_await c.ask(asked, Method::kGet, "/v1/vms/web");
  EXPECT_EQ(after.text("state"), "running");
  EXPECT_EQ(after.number("pid"), moved.number("pid"));
}

TEST(Steward, VmsOfANodeRemovedByForceRunElsewhere) {
  Cluster cluster(6, 4);
  cluster.run(leave_by_force);
}

// Tokens as users see them.

Task<void> tokens(Cluster& c) {
  co_await c.begin();
  const std::string key = c.env().random.uuid().text();
  const Reply made =
      co_await c.call(c.site(1), Method::kPost, "/v1/tokens", R"({"role":"worker"})", key);
  EXPECT_EQ(made.status, 201) << text_of(made);
  EXPECT_EQ(made.text("role"), "worker");
  const Reply again =
      co_await c.call(c.site(1), Method::kPost, "/v1/tokens", R"({"role":"worker"})", key);
  EXPECT_EQ(again.text("token"), made.text("token"));
  EXPECT_EQ(again.text("expires"), made.text("expires"));
  for (const char* body : {R"({"role":"king"})", R"({"expires_seconds":0})",
                           R"({"expires_seconds":2592001})", R"({"name":"a"})"}) {
    expect_problem(co_await c.ask(c.site(1), Method::kPost, "/v1/tokens", body), 400,
                   "body_invalid");
  }
  c.site(2).join = made.text("token") + "@" + c.site(1).peer_address();
  c.start(c.site(2));
  co_await c.ready(c.site(2));
  co_await c.until_members(c.site(1), "n1:voter n2:learner");
  const Reply list = co_await c.ask(c.site(2), Method::kGet, "/v1/tokens");
  const auto& all = list.body.at("tokens").as_array();
  EXPECT_EQ(all.size(), 1u) << text_of(list);
  CO_ASSERT(!all.empty(), << text_of(list));
  EXPECT_EQ(all.at(0).at("used_by").as_int64(), 2);
  EXPECT_EQ(all.at(0).at("id").as_string().c_str(), made.text("id"));
  EXPECT_FALSE(all.at(0).at("expired").as_bool());
  const std::string secret = made.text("token").substr(22, 32);
  EXPECT_FALSE(text_of(list).contains(secret));
  for (const char* id : {"zz", "0", "00000000000000ab", "-1"}) {
    expect_problem(co_await c.ask(c.site(1), Method::kDelete, std::string("/v1/tokens/") + id), 404,
                   "token_not_found");
  }
  // Tokens are the servers' business, also for users of a worker; its own leaving is not.
  const std::string its_token = "/v1/tokens/" + made.text("id");
  expect_problem(co_await c.ask(c.site(2), Method::kDelete, its_token), 403, "servers_only");
  for (const char* body : {"{}", R"({"role":"worker"})"}) {
    expect_problem(co_await c.ask(c.site(2), Method::kPost, "/v1/tokens", body), 403,
                   "servers_only");
  }
  const Reply revoked = co_await c.ask(c.site(1), Method::kDelete, its_token);
  EXPECT_EQ(revoked.status, 200) << text_of(revoked);
  co_await c.until_members(c.site(1), "n1:voter n2:learner");  // the node it made stays
  const Reply left = co_await c.ask(c.site(2), Method::kDelete, "/v1/nodes/n2");
  EXPECT_EQ(left.status, 200) << text_of(left);
  EXPECT_EQ(co_await c.end_of(c.site(2)), "removed");
  co_await c.until_members(c.site(1), "n1:voter");
}

TEST(Tokens, AreMadeListedAndRevoked) {
  Cluster cluster(8, 2);
  cluster.run(tokens);
}

// Certificates.

WallTime end_of_certificate(Cluster& c, const Site& site) {
  const auto facts = c.env().security.inspect(site.file("node.crt"));
  EXPECT_TRUE(facts) << site.name;
  return facts ? facts->not_after : WallTime{};
}

Task<void> two_servers_and_a_worker(Cluster& c) {
  co_await c.form(2);
  Site& worker = c.site(3);
  worker.join = co_await c.join_of(c.site(1), R"({"role":"worker"})");
  c.start(worker);
  co_await c.ready(worker);
  co_await c.until_members(c.site(1), "n1:voter n2:voter n3:learner");
}

Task<void> grow_old(Cluster& c) {
  co_await two_servers_and_a_worker(c);
  Site& worker = c.site(3);
  const std::array<std::uint64_t, 3> lives{c.site(1).lives, c.site(2).lives, worker.lives};
  std::array<WallTime, 3> first{};
  for (std::size_t i = 0; i < 3; ++i)
    first.at(i) = end_of_certificate(c, c.site(i + 1));

  // More than a third is left: nothing happens.
  c.set_wall_offset(59 * 24h);
  co_await c.pause(15min);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(end_of_certificate(c, c.site(i + 1)).unix_ms, first.at(i).unix_ms);

  // Each has a new one, the worker's from a server; nobody was started again or lost a peer.
  c.set_wall_offset(61 * 24h);
  co_await c.pause(15min);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_GT(end_of_certificate(c, c.site(i + 1)).unix_ms,
              first.at(i).unix_ms + Duration(60 * 24h) / 1ms);
    EXPECT_EQ(c.site(i + 1).lives, lives.at(i));
    EXPECT_TRUE(c.site(i + 1).ready);
  }
  // What is on the disk is in use: the old ones are over.
  c.set_wall_offset(92 * 24h);
  c.world().reset_connections(*c.site(1).machine, *c.site(2).machine);
  c.world().reset_connections(*c.site(1).machine, *worker.machine);
  c.world().reset_connections(*c.site(2).machine, *worker.machine);
  co_await c.pause(30s);
  for (std::size_t i = 1; i <= 3; ++i)
    co_await c.until_members(c.site(i), "n1:voter n2:voter n3:learner");
  // And by hand.
  const Reply rotated = co_await c.ask(worker, Method::kPost, "/v1/certificate/rotate");
  EXPECT_EQ(rotated.status, 200) << text_of(rotated);
  EXPECT_EQ(rotated.number("node_id"), 3);
}

TEST(Certificates, AreRenewedWithAThirdLeft) {
  Cluster cluster(9, 3);
  cluster.run(grow_old, 90min);
}

// A worker that slept past its certificate's end cannot ask for a new one. A server can, of itself.
Task<void> sleep_too_long(Cluster& c) {
  co_await two_servers_and_a_worker(c);
  for (std::size_t i = 1; i <= 3; ++i)
    Cluster::crash(c.site(i));
  c.set_wall_offset(91 * 24h);
  for (std::size_t i = 1; i <= 3; ++i)
    c.start(c.site(i));
  co_await c.until_members(c.site(1), "n1:voter n2:voter n3:learner", 5min);
  EXPECT_TRUE(co_await c.until(
      [&] {
        return std::ranges::any_of(c.world().log_lines(), [](const std::string& line) {
          return line.contains("n3") && line.contains("certificate has expired") &&
                 line.contains("blixard node remove");
        });
      },
      5min));
  const Reply removed = co_await c.ask(c.site(1), Method::kDelete, "/v1/nodes/n3");
  EXPECT_EQ(removed.status, 200) << text_of(removed);
  co_await c.until_members(c.site(2), "n1:voter n2:voter");
}

TEST(Certificates, WhoSleptTooLongSaysWhatToDo) {
  Cluster cluster(10, 3);
  cluster.run(sleep_too_long, 90min);
}

}  // namespace
}  // namespace blixard
