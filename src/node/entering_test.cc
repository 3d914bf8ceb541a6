// How a directory comes to belong to a cluster, and what is left when that is cut short.

#include "node/entering.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "sim/world.h"

namespace blixard::node {
namespace {

using env::Task;
using membership::Enrolment;
using membership::JoinTarget;
using membership::JoinToken;

constexpr const char* kData = "/data";
constexpr const char* kLog = "/data/log/snapshot-1";

Uuid uuid_of(std::uint8_t fill) {
  Uuid id;
  id.bytes.fill(fill);
  return id;
}

// The other side of a join: one cluster with one token, which gives out ids.
class Cluster {
 public:
  explicit Cluster(env::Env env, std::uint8_t fill = 7) : id_(uuid_of(fill)) {
    authority_ = *env.security.make_authority(id_.text(), env.clock.wall(), 24h);
    const auto facts = env.security.inspect(authority_.certificate);
    token_ = JoinToken::make("key", uuid_of(1), facts->fingerprint);
  }
  [[nodiscard]] std::string join() const { return token_.text() + "@10.0.0.9:7481"; }

  Task<Result<Enrolment>> enrol(env::Env env, JoinTarget target, membership::Applicant applicant) {
    EXPECT_EQ(target.token, token_);
    // On the way there and back, anything may happen.
    BLX_CO_TRY(co_await env.clock.sleep(500us));
    if (std::ranges::find(requests_, applicant.key.request) == requests_.end()) {
      requests_.push_back(applicant.key.request);
    }
    BLX_CO_TRY(co_await env.clock.sleep(500us));
    const NodeId id(1 + requests_.size());
    Enrolment enrolment{.cluster = id_,
                        .id = id,
                        .name = applicant.name,
                        .role = role_,
                        .certificate = {},
                        .authority_certificate = authority_.certificate,
                        .authority_key = {},
                        .members = {{NodeId(1), env::Endpoint::tcp("10.0.0.9", 7481)}}};
    if (role_ == cluster::NodeRole::kServer) enrolment.authority_key = authority_.key;
    BLX_CO_TRY(
        enrolment.certificate,
        env.security.issue(
            authority_, applicant.key.request,
            {.cluster = id_.text(), .node = id, .server = role_ == cluster::NodeRole::kServer},
            env.clock.wall(), 24h));
    co_return enrolment;
  }

  std::vector<std::string> requests_;
  cluster::NodeRole role_ = cluster::NodeRole::kServer;

 private:
  Uuid id_;
  env::Authority authority_;
  JoinToken token_;
};

// One machine, and what the entries on it made.
class EnteringTest : public testing::Test {
 protected:
  Result<Identity> enter(Entry entry) {
    Result<Identity> identity = fail(Code::kInternal, "did_not_run");
    EXPECT_TRUE(world_.run(enter_into(machine_.env(), std::move(entry), identity)));
    return identity;
  }
  Result<Keys> keys(Identity identity) {
    Result<Keys> keys = fail(Code::kInternal, "did_not_run");
    EXPECT_TRUE(world_.run(keys_into(machine_.env(), std::move(identity), keys)));
    return keys;
  }

  Task<void> enter_into(env::Env env, Entry entry, Result<Identity>& identity) {
    if (entry.peer_address.empty()) entry.peer_address = "10.0.0.1:7481";
    identity = co_await enter_cluster(env, kData, std::move(entry), parts(env));
  }
  Task<void> keys_into(env::Env env, Identity identity, Result<Keys>& keys) {
    keys = co_await load_keys(env, kData, std::move(identity));
  }

  EntryParts parts(env::Env env) {
    // They outlive the run.
    // NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)
    return {.begin_log = [this, env](const cluster::State& state) -> Task<Result<void>> {
              const std::string content = state.encode();
              EXPECT_FALSE(machine_.content(kLog)) << "the log is begun twice";
              BLX_CO_TRY(co_await env.disk.make_directory("/data/log"));
              co_return co_await env.disk.replace_file(kLog, content);
            },
            .enrol = [this, env](JoinTarget target,
                                 membership::Applicant applicant) -> Task<Result<Enrolment>> {
              co_return co_await cluster_->enrol(env, std::move(target), std::move(applicant));
            }};
    // NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)
  }

  // Everything belongs together: identity, keys, log.
  void expect_whole(const Identity& identity) {
    const auto own = keys(identity);
    ASSERT_TRUE(own) << own.error().message();
    EXPECT_TRUE(machine_.env().security.open(own->credentials));
    const bool is_server = identity.role == cluster::NodeRole::kServer;
    EXPECT_EQ(own->authority.has_value(), is_server);
    EXPECT_EQ(machine_.mode("/data/node.key"), 0600u);
    if (is_server) EXPECT_EQ(machine_.mode("/data/authority.key"), 0600u);
    EXPECT_FALSE(machine_.content("/data/pending.json"));
    const auto log = machine_.content(kLog);
    EXPECT_EQ(log.has_value(), identity.id == NodeId(1));
    if (!log) return;
    const auto state = cluster::State::decode(*log);
    ASSERT_TRUE(state);
    EXPECT_EQ(state->cluster(), identity.cluster);
    EXPECT_EQ(state->find_node(NodeId(1))->name, identity.name);
  }

  sim::World world_{1};
  sim::Machine& machine_ = world_.add_machine("Host-7.example.org");
  std::optional<Cluster> cluster_;
};

TEST_F(EnteringTest, BootstrapMakesTheFirstNode) {
  const auto identity = enter({.bootstrap = true, .name = "a"});
  ASSERT_TRUE(identity) << identity.error().message();
  EXPECT_EQ(identity->id, NodeId(1));
  EXPECT_EQ(identity->name, "a");
  EXPECT_EQ(identity->role, cluster::NodeRole::kServer);
  expect_whole(*identity);
}

TEST_F(EnteringTest, NameComesFromTheHostAndABadOneIsRefused) {
  const auto bad = enter({.bootstrap = true, .name = "Web 1"});
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().reason(), "name_invalid");
  EXPECT_FALSE(machine_.content("/data/pending.json"));
  const auto identity = enter({.bootstrap = true});
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->name, "host-7");
}

TEST_F(EnteringTest, NeitherBootstrapNorJoinSaysBothWays) {
  const auto refused = enter({});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason(), "no_cluster");
  EXPECT_TRUE(refused.error().detail().contains("--bootstrap"));
  EXPECT_TRUE(refused.error().detail().contains("--join TOKEN@HOST:PORT"));
  cluster_.emplace(machine_.env());
  const auto both = enter({.bootstrap = true, .join = cluster_->join()});
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().reason(), "choose_one");
}

TEST_F(EnteringTest, AMemberIgnoresBothButAnotherClustersToken) {
  cluster_.emplace(machine_.env());
  const auto joined = enter({.join = cluster_->join(), .name = "b"});
  ASSERT_TRUE(joined) << joined.error().message();
  EXPECT_EQ(joined->id, NodeId(2));
  ASSERT_EQ(joined->members.size(), 1u);
  expect_whole(*joined);
  for (const Entry& again : {Entry{}, Entry{.bootstrap = true}, Entry{.join = cluster_->join()}}) {
    const auto same = enter(again);
    ASSERT_TRUE(same) << same.error().message();
    EXPECT_TRUE(*same == *joined);
  }
  EXPECT_EQ(cluster_->requests_.size(), 1u);
  const Cluster other(machine_.env(), 8);
  const auto wrong = enter({.join = other.join()});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().reason(), "other_cluster");
}

TEST_F(EnteringTest, AWorkerGetsNoAuthority) {
  cluster_.emplace(machine_.env());
  cluster_->role_ = cluster::NodeRole::kWorker;
  const auto identity = enter({.join = cluster_->join()});
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->role, cluster::NodeRole::kWorker);
  expect_whole(*identity);
  EXPECT_FALSE(machine_.content("/data/authority.key"));
}

Task<void> write(env::Env env, std::string path, std::string content) {
  EXPECT_TRUE(co_await env.disk.make_directory(std::string(env::parent_path(path))));
  EXPECT_TRUE(co_await env.disk.replace_file(path, content));
}

TEST_F(EnteringTest, ALogWithoutANodeIsNotThrownAway) {
  ASSERT_TRUE(world_.run(write(machine_.env(), kLog, "what somebody needs")));
  const auto refused = enter({.bootstrap = true});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason(), "directory_unclear");
  EXPECT_EQ(machine_.content(kLog), "what somebody needs");
}

// kill -9 and loss of power at moments spread over the whole of it, again and again until it gets
// through: the next start with the same words brings it to its end.
class CutShort : public EnteringTest, public testing::WithParamInterface<bool> {
 protected:
  // How long it takes when it is let.
  void enter_with_crashes(Duration step, const Entry& entry) {
    int crashes = 0;
    Result<Identity> identity = fail(Code::kInternal, "did_not_run");
    for (Duration patience = step; !identity; patience += step) {
      identity = fail(Code::kInternal, "crashed");
      machine_.start(enter_into(machine_.env(), entry, identity));
      ASSERT_TRUE(world_.run(wait(patience)));
      // What the life before came to, which unwinds in this one.
      const bool is_of_before = !identity && (identity.error().reason() == "crashed" ||
                                              identity.error().reason() == "cancelled");
      if (!identity && !is_of_before) FAIL() << identity.error().message();
      if (identity) break;
      ++crashes;
      if (GetParam()) {
        machine_.lose_power();
      } else {
        machine_.crash_daemon();
      }
      machine_.restart();
    }
    EXPECT_GT(crashes, 10);
    expect_whole(*identity);
  }
  static Task<void> sleep(env::Clock& clock, Duration patience) {
    ignore(co_await clock.sleep(patience), "not cancelled");
  }
  Task<void> wait(Duration patience) { return sleep(watch_.env().clock, patience); }

  sim::Machine& watch_ = world_.add_machine("watch");
};

TEST_P(CutShort, BootstrapGetsThere) {
  enter_with_crashes(300us, {.bootstrap = true, .name = "a"});
}

TEST_P(CutShort, JoinGetsThereWithOneKeyAndOneId) {
  cluster_.emplace(machine_.env());
  enter_with_crashes(300us, {.join = cluster_->join(), .name = "b"});
  EXPECT_EQ(cluster_->requests_.size(), 1u);
}

// Once, at every moment.
TEST_P(CutShort, OnceAtEveryMoment) {
  for (const bool joins : {false, true}) {
    for (Duration at = 100us; at < 60ms; at += 700us) {
      sim::World world(static_cast<std::uint64_t>(at.count()));
      sim::Machine& machine = world.add_machine("a");
      sim::Machine& watch = world.add_machine("watch");
      Cluster cluster(machine.env());
      Result<Identity> identity = fail(Code::kInternal, "crashed");
      const auto enter = [&](env::Env env) -> Task<void> {
        ignore(co_await env.disk.make_directory(kData), "a crash ends it as well");
        Entry entry{.bootstrap = !joins, .name = "a", .peer_address = "10.0.0.1:7481"};
        if (joins) entry.join = cluster.join();
        const EntryParts parts{
            .begin_log = [env](const cluster::State& state) -> Task<Result<void>> {
              const std::string content = state.encode();
              BLX_CO_TRY(co_await env.disk.make_directory("/data/log"));
              co_return co_await env.disk.replace_file(kLog, content);
            },
            .enrol = [env, &cluster](JoinTarget target,
                                     membership::Applicant applicant) -> Task<Result<Enrolment>> {
              co_return co_await cluster.enrol(env, std::move(target), std::move(applicant));
            }};
        identity = co_await enter_cluster(env, kData, entry, parts);
      };
      machine.start(enter(machine.env()));
      ASSERT_TRUE(world.run(sleep(watch.env().clock, at)));
      const bool was_done = identity.has_value();
      if (GetParam()) {
        machine.lose_power();
      } else {
        machine.crash_daemon();
      }
      machine.restart();
      const auto before = identity;
      ASSERT_TRUE(world.run(enter(machine.env())));
      ASSERT_TRUE(identity) << at.count() << "ns: " << identity.error().message();
      if (was_done) EXPECT_EQ(*identity, *before);
      EXPECT_LE(cluster.requests_.size(), 1u);
      EXPECT_FALSE(machine.content("/data/pending.json"));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(By, CutShort, testing::Bool(),
                         [](const auto& info) { return info.param ? "PowerLoss" : "Kill"; });

}  // namespace
}  // namespace blixard::node
