#include <algorithm>

#include "base/limits.h"
#include "env/test_coroutine.h"
#include "node/replica/test_cluster.h"
#include "sim/test_rare.h"

namespace blixard::replica {
namespace {

class ReplicaClusterTest : public testing::Test {
 protected:
  sim::World world{11};
  TestCluster::Config config{.nodes = 3, .replica = {.log = {.segment_bytes = 2u << 20}}};
  std::unique_ptr<TestCluster> cluster_;

  TestCluster& cluster() {
    if (!cluster_) cluster_ = std::make_unique<TestCluster>(world, config);
    return *cluster_;
  }
  void run(const std::function<env::Task<void>(TestCluster&)>& test) {
    EXPECT_TRUE(cluster().run(test));
    if (!HasFailure()) return;
    const auto& lines = world.log_lines();
    for (std::size_t i = lines.size() > 60 ? lines.size() - 60 : 0; i < lines.size(); ++i)
      fprintf(stderr, "  %s\n", lines[i].c_str());
  }
};

TEST_F(ReplicaClusterTest, ElectsOneAndCommitsEverywhere) {
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    const auto added = co_await c.propose(*leader, add_image("one", 1));
    CO_ASSERT(added, << added.error().message());
    EXPECT_TRUE(c.has(*leader, "one"));
    EXPECT_TRUE(co_await c.settled());
    for (const auto& node : c.nodes()) {
      EXPECT_TRUE(c.has(*node, "one"));
      EXPECT_EQ(node->replica->status().leader, leader->id);
    }
    // Again: answered, not done twice.
    const auto again = co_await c.propose(*leader, add_image("one", 1));
    EXPECT_EQ(again ? again->index : LogIndex(), added->index);
  });
}

TEST_F(ReplicaClusterTest, EveryNodeTakesCommandsAndShowsWhatItAnswered) {
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    CO_ASSERT(co_await c.wait_for_leader() != nullptr);
    for (const auto& node : c.nodes()) {
      const std::string name = "by-" + std::to_string(node->id.value);
      const auto answer = co_await c.propose(*node, add_image(name));
      CO_ASSERT(answer, << answer.error().message());
      EXPECT_TRUE(c.has(*node, name));
      EXPECT_EQ(node->replica->state().find_image(name)->id.value, answer->object_id);
      // A refusal travels as well, and says what the leader's would.
      const auto refused = co_await c.propose(*node, remove_image("none"));
      CO_ASSERT(!refused);
      EXPECT_EQ(refused.error().reason(), "image_not_found");
      const auto invalid = co_await c.propose(*node, {});
      EXPECT_EQ(invalid.error().reason(), "command_invalid");
    }
    EXPECT_TRUE(co_await c.settled());
  });
}

TEST_F(ReplicaClusterTest, ABatchAnswersEachItemRightlyOnLeaderAndFollower) {
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    int round = 0;
    for (TestNode* node : {leader, c.follower()}) {
      ++round;
      std::vector<Result<cluster::Outcome>> answers(60, fail(Code::kInternal, "none"));
      env::Scope scope(c.env().executor, nullptr);
      for (std::size_t i = 0; i < answers.size(); ++i) {
        const std::string name = std::to_string(round) + "-" + std::to_string(i);
        v1::Command command = i % 3 == 0   ? add_image(name)
                              : i % 3 == 1 ? remove_image("none")
                                           : v1::Command();
        scope.spawn([](TestCluster& cl, TestNode& at, v1::Command cmd,
                       Result<cluster::Outcome>& into) -> env::Task<void> {
          auto answer = co_await cl.propose(at, std::move(cmd));
          into = std::move(answer);
        }(c, *node, std::move(command), answers[i]));
      }
      co_await scope.join();
      for (std::size_t i = 0; i < answers.size(); ++i) {
        const std::string reason = answers[i] ? "" : std::string(answers[i].error().reason());
        EXPECT_EQ(reason, i % 3 == 0   ? ""
                          : i % 3 == 1 ? "image_not_found"
                                       : "command_invalid")
            << i;
      }
    }
    EXPECT_TRUE(co_await c.settled());
  });
}

TEST_F(ReplicaClusterTest, ReadersShareRoundsAndSeeWhatWasAcknowledged) {
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    TestNode* follower = c.follower();
    for (TestNode* node : {leader, follower}) {
      const std::string name = "seen-by-" + std::to_string(node->id.value);
      CO_ASSERT(co_await c.propose(*leader, add_image(name)));
      const std::uint64_t before = node->replica->status().read_rounds;
      const LogIndex last = leader->replica->status().last;
      int good = 0;
      env::Scope scope(c.env().executor, nullptr);
      for (int i = 0; i < 100; ++i) {
        scope.spawn([](TestNode& at, std::string what, int& count) -> env::Task<void> {
          const auto read = co_await at.replica->read_barrier();
          EXPECT_TRUE(read) << read.error().message();
          if (read && TestCluster::has(at, what)) ++count;
        }(*node, name, good));
      }
      co_await scope.join();
      EXPECT_EQ(good, 100);
      EXPECT_LE(node->replica->status().read_rounds, before + 2);
      EXPECT_EQ(leader->replica->status().last, last);  // no log write
    }
  });
}

TEST_F(ReplicaClusterTest, AMinorityRefusesAndSaysSoInTime) {
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    TestNode* old = co_await c.wait_for_leader();
    CO_ASSERT(old != nullptr);
    CO_ASSERT(co_await c.propose(*old, add_image("before")));
    c.isolate(*old);
    const Duration limit = c.election_timeout() + 2 * c.config().replica.tick;
    for (int round = 0; round < 3; ++round) {
      const Instant begun = c.now();
      const auto written = co_await c.propose(*old, add_image("lost", 77));
      EXPECT_LE(c.now() - begun, limit) << round;
      CO_ASSERT(!written, << "a minority wrote");
      EXPECT_TRUE(written.error().code() == Code::kUnavailable ||
                  written.error().code() == Code::kDeadlineExceeded)
          << written.error().message();
      const Instant read_begun = c.now();
      const auto read = co_await old->replica->read_barrier();
      EXPECT_LE(c.now() - read_begun, limit) << round;
      CO_ASSERT(!read, << "a minority read");
      EXPECT_TRUE(read.error().reason() == "no_quorum" || read.error().reason() == "no_leader");
    }
    EXPECT_FALSE(old->leads());
    // The others went on, and it learns what they did; what it could not write may not appear
    // twice.
    TestNode* fresh = co_await c.wait_for_leader(old);
    CO_ASSERT(fresh != nullptr);
    CO_ASSERT(co_await c.propose(*fresh, add_image("after")));
    EXPECT_FALSE(c.has(*old, "after"));
    c.heal(*old);
    EXPECT_TRUE(co_await c.settled());
    EXPECT_TRUE(c.has(*old, "after"));
    EXPECT_FALSE(c.has(*old, "lost"));
  });
}

TEST_F(ReplicaClusterTest, WhatALeaderAcknowledgedSurvivesIt) {
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    for (int round = 0; round < 12; ++round) {
      TestNode* leader = co_await c.wait_for_leader();
      CO_ASSERT(leader != nullptr);
      const std::string name = "round-" + std::to_string(round);
      const auto answer = co_await c.propose(*leader, add_image(name));
      if (round % 2 == 0) {
        c.crash(*leader);
      } else {
        c.lose_power(*leader);
      }
      CO_ASSERT(answer, << answer.error().message());
      TestNode* next = co_await c.wait_for_leader();
      CO_ASSERT(next != nullptr);
      CO_ASSERT(co_await next->replica->read_barrier());
      EXPECT_TRUE(c.has(*next, name)) << name;
      c.start(*leader);
      EXPECT_TRUE(co_await c.until([&] { return leader->replica != nullptr; }));
    }
    EXPECT_TRUE(co_await c.settled());
  });
}

TEST_F(ReplicaClusterTest, AFollowerThatMissedTooMuchGetsASnapshot) {
  config.replica.snapshot_entries = 40;
  config.replica.trailing_entries = 10;
  config.replica.log.segment_bytes = 2u << 20;
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    CO_ASSERT(co_await c.wait_for_leader() != nullptr);
    TestNode* slow = c.follower();
    c.lose_power(*slow);
    for (int i = 0; i < 20; ++i) {
      // Large ones, so that segments are dropped.
      v1::Command large = add_image("large");
      large.mutable_add_image()->set_cmdline(std::string(500'000, 'x'));
      TestNode* leader = co_await c.wait_for_leader();
      CO_ASSERT(leader != nullptr);
      const auto refused = co_await c.propose(*leader, large);
      EXPECT_EQ(refused.error().reason(), "image_invalid");
    }
    for (int i = 0; i < 200; ++i)
      CO_ASSERT(co_await c.add("image-" + std::to_string(i)));
    c.start(*slow);
    EXPECT_TRUE(co_await c.settled());
    EXPECT_TRUE(c.has(*slow, "image-199"));
    EXPECT_EQ(slow->replica->changes(1).error().reason(), "revision_compacted");
    EXPECT_GT(slow->replica->status().snapshot, LogIndex(1));
    // It goes on like any other, also after a restart.
    CO_ASSERT(co_await c.add("more"));
    EXPECT_TRUE(co_await c.settled());
    c.lose_power(*slow);
    c.start(*slow);
    EXPECT_TRUE(co_await c.until([&] { return slow->replica != nullptr; }));
    EXPECT_TRUE(co_await c.settled());
    EXPECT_TRUE(c.has(*slow, "more"));
  });
  const auto& lines = world.log_lines();
  EXPECT_TRUE(std::ranges::any_of(
      lines, [](const std::string& line) { return line.contains("goes on behind the snapshot"); }));
}

TEST_F(ReplicaClusterTest, ADivergentLeaderTakesTheOthersHistory) {
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    TestNode* old = co_await c.wait_for_leader();
    CO_ASSERT(old != nullptr);
    c.isolate(*old);
    std::vector<Result<cluster::Outcome>> answers(30, cluster::Outcome{});
    env::Scope scope(c.env().executor, nullptr);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      scope.spawn([](TestCluster& cl, TestNode& at, std::string name,
                     Result<cluster::Outcome>& into) -> env::Task<void> {
        auto answer = co_await cl.propose(at, add_image(name));
        into = std::move(answer);
      }(c, *old, "own-" + std::to_string(i), answers[i]));
    }
    TestNode* fresh = co_await c.wait_for_leader(old);
    CO_ASSERT(fresh != nullptr);
    for (int i = 0; i < 10; ++i)
      CO_ASSERT(co_await c.propose(*fresh, add_image("theirs-" + std::to_string(i))));
    EXPECT_GT(old->replica->status().last, LogIndex(30));
    c.heal(*old);
    co_await scope.join();
    for (const auto& answer : answers)
      EXPECT_FALSE(answer);
    EXPECT_TRUE(co_await c.settled());
    EXPECT_TRUE(c.has(*old, "theirs-9"));
    EXPECT_FALSE(c.has(*old, "own-0"));
  });
}

TEST_F(ReplicaClusterTest, RestartsOfEachInTurnAndOfAllAtOnceLoseNothing) {
  config.nodes = 5;
  config.replica.snapshot_entries = 25;
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    int count = 0;
    const auto add_some = [&]() -> env::Task<bool> {
      for (int i = 0; i < 8; ++i) {
        if (!co_await c.add("image-" + std::to_string(count++))) co_return false;
      }
      co_return true;
    };
    CO_ASSERT(co_await add_some());
    for (const auto& node : c.nodes()) {
      co_await c.stop(*node);
      CO_ASSERT(co_await add_some());
      c.start(*node);
      EXPECT_TRUE(co_await c.until([&] { return node->replica != nullptr; }));
    }
    EXPECT_TRUE(co_await c.settled());
    for (int round = 0; round < 3; ++round) {
      for (const auto& node : c.nodes())
        c.lose_power(*node);
      for (const auto& node : c.nodes())
        c.start(*node);
      CO_ASSERT(co_await add_some());
    }
    EXPECT_TRUE(co_await c.settled());
    for (const auto& node : c.nodes())
      EXPECT_EQ(node->replica->state().images().size(), static_cast<std::size_t>(count));
  });
}

// Members.

TEST_F(ReplicaClusterTest, MembersJoinArePromotedAndLeaveFollowersAndLeadersAlike) {
  config.nodes = 1;
  config.spares = 3;
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    CO_ASSERT(co_await c.wait_for_leader() != nullptr);
    for (int i = 0; i < 30; ++i)
      CO_ASSERT(co_await c.add("image-" + std::to_string(i)));
    const auto change = [&](TestNode& at, MembershipChange::Kind kind,
                            TestNode& node) -> env::Task<std::string> {
      const auto answer =
          co_await at.replica->change_membership({.kind = kind, .node = node.id, .command = {}});
      co_return answer ? "" : std::string(answer.error().reason());
    };
    using Kind = MembershipChange::Kind;
    for (std::size_t number : {2u, 3u, 4u}) {
      TestNode& node = c.node(number);
      c.start(node);
      EXPECT_TRUE(co_await c.until([&] { return node.replica != nullptr; }));
      TestNode& asked = c.node(number - 1);  // a follower too
      EXPECT_EQ(co_await change(asked, Kind::kPromote, node), "member_unknown");
      EXPECT_EQ(co_await change(asked, Kind::kAddLearner, node), "");
      EXPECT_EQ(co_await change(asked, Kind::kAddLearner, node), "member_exists");
      EXPECT_TRUE(co_await c.settled());
      EXPECT_TRUE(c.has(node, "image-29"));
      EXPECT_TRUE(co_await c.until([&] {  // what it has, the leader has heard
        const TestNode* leader = c.leader();
        return leader != nullptr &&
               std::ranges::any_of(leader->replica->members(), [&](const MemberProgress& member) {
                 return member.node == node.id && member.match;
               });
      }));
      EXPECT_EQ(co_await change(asked, Kind::kPromote, node), "");
      EXPECT_TRUE(co_await c.settled());
      EXPECT_EQ(node.replica->state().membership(node.id), cluster::Membership::kVoter);
    }
    // A follower leaves.
    TestNode* follower = c.follower();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    EXPECT_EQ(co_await change(*leader, Kind::kRemove, *follower), "");
    EXPECT_EQ(leader->replica->state().membership(follower->id), cluster::Membership::kNone);
    CO_ASSERT(co_await c.add("three-voters"));
    // The leader leaves, asked on itself: another one leads at once.
    EXPECT_EQ(co_await change(*leader, Kind::kRemove, *leader), "");
    EXPECT_TRUE(co_await c.until([&] { return leader->failure == "removed"; })) << leader->failure;
    TestNode* next = co_await c.wait_for_leader(leader);
    CO_ASSERT(next != nullptr);
    EXPECT_EQ(next->replica->status().configuration.voters.size(), 2u);
    CO_ASSERT(co_await c.propose(*next, add_image("two-voters")));
    EXPECT_EQ(next->replica->state().configuration(), next->replica->status().configuration);
  });
}

TEST_F(ReplicaClusterTest, TheLastVoterStays) {
  config.nodes = 1;
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    CO_ASSERT(co_await c.wait_for_leader() != nullptr);
    const auto answer = co_await c.node(1).replica->change_membership(
        {.kind = MembershipChange::Kind::kRemove, .node = NodeId(1), .command = {}});
    CO_ASSERT(!answer);
    EXPECT_EQ(answer.error().reason(), "last_voter");
  });
}

TEST_F(ReplicaClusterTest, ALearnerThatIsFarBehindIsNotPromoted) {
  config.nodes = 1;
  config.spares = 1;
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    CO_ASSERT(co_await c.wait_for_leader() != nullptr);
    Replica& first = *c.node(1).replica;
    CO_ASSERT(co_await first.change_membership(
        {.kind = MembershipChange::Kind::kAddLearner, .node = NodeId(2), .command = {}}));
    env::Scope scope(c.env().executor, nullptr);
    for (int i = 0; i < 1200; ++i) {
      scope.spawn([](TestCluster& cl, int number) -> env::Task<void> {
        EXPECT_TRUE(co_await cl.propose(cl.node(1), add_image("image-" + std::to_string(number))));
      }(c, i));
    }
    co_await scope.join();
    const auto refused = co_await first.change_membership(
        {.kind = MembershipChange::Kind::kPromote, .node = NodeId(2), .command = {}});
    CO_ASSERT(!refused);
    EXPECT_EQ(refused.error().reason(), "not_caught_up");
    c.start(c.node(2));
    EXPECT_TRUE(co_await c.until([&] {
      return std::ranges::any_of(first.members(), [&](const MemberProgress& member) {
        return member.learner && member.active && member.match == first.status().last;
      });
    }));
    const auto promoted = co_await first.change_membership(
        {.kind = MembershipChange::Kind::kPromote, .node = NodeId(2), .command = {}});
    EXPECT_TRUE(promoted) << promoted.error().message();
  });
}

TEST_F(ReplicaClusterTest, ACommandTravelsWithAChangeOfMembers) {
  config.spares = 1;
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    c.start(c.node(4));
    EXPECT_TRUE(co_await c.until([&] { return c.node(4).replica != nullptr; }));
    for (TestNode* node : {c.follower(), leader}) {
      const bool adds = node == leader;
      const std::string name = adds ? "by-leader" : "by-follower";
      const auto answer = co_await node->replica->change_membership(
          {.kind = adds ? MembershipChange::Kind::kRemove : MembershipChange::Kind::kAddLearner,
           .node = NodeId(4),
           .command = add_image(name).SerializeAsString()});
      CO_ASSERT(answer, << answer.error().message());
      EXPECT_TRUE(c.has(*node, name));
    }
    EXPECT_EQ(leader->replica->state().membership(NodeId(4)), cluster::Membership::kNone);
  });
}

// Takes a node that is down out of the cluster.
env::Task<void> take_out(TestCluster& c, TestNode& leader, const TestNode& gone) {
  v1::Command begin;
  begin.mutable_remove_node()->set_node_id(gone.id.value);
  CO_ASSERT(co_await c.propose(leader, begin));
  v1::Command drop;
  drop.mutable_drop_node()->set_node_id(gone.id.value);
  const auto removed =
      co_await leader.replica->change_membership({.kind = MembershipChange::Kind::kRemove,
                                                  .node = gone.id,
                                                  .command = drop.SerializeAsString()});
  CO_ASSERT(removed, << removed.error().message());
}

// A node that enters is told of members, and one of them may be removed before it hears the rest.
// Whom it has not heard of yet may have joined since.
TEST_F(ReplicaClusterTest, WhoWasGoneBeforeTheFirstStateCameIsForgotten) {
  config.spares = 1;
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    TestNode* gone = c.follower();
    c.crash(*gone);
    co_await take_out(c, *leader, *gone);
    TestNode& enters = c.node(4);
    c.start(enters);
    EXPECT_TRUE(co_await c.until([&] { return enters.replica != nullptr; }));
    enters.peers->set_peer(gone->id, env::Endpoint::tcp("10.0.0.99", TestCluster::kPort));
    enters.peers->set_peer(NodeId(99), env::Endpoint::tcp("10.0.0.99", TestCluster::kPort));
    CO_ASSERT(co_await leader->replica->change_membership(
        {.kind = MembershipChange::Kind::kAddLearner, .node = enters.id, .command = {}}));
    EXPECT_TRUE(co_await c.settled());
    std::vector<NodeId> known;
    for (const peer::PeerStatus& peer : enters.peers->status())
      known.push_back(peer.node);
    std::vector<NodeId> expected{NodeId(1), NodeId(2), NodeId(3), NodeId(99)};
    std::erase(expected, gone->id);
    EXPECT_EQ(known, expected);
  });
}

TEST_F(ReplicaClusterTest, ARemovedNodeThatMissedItIsToldByTheOthers) {
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    TestNode* gone = c.follower();
    c.crash(*gone);
    co_await take_out(c, *leader, *gone);
    const Term term = leader->replica->status().term;
    c.start(*gone);
    EXPECT_TRUE(co_await c.until([&] { return gone->failure == "removed"; })) << gone->failure;
    EXPECT_EQ(leader->replica->status().term, term);  // and disturbed nobody
    CO_ASSERT(co_await c.propose(*leader, add_image("after")));
  });
}

// The one that is left knows that it is alone as soon as anybody knows that it is.
TEST_F(ReplicaClusterTest, OneOfTwoThatRemovedTheOtherLeadsAfterALossOfPower) {
  config.nodes = 2;
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    TestNode* gone = c.follower();
    CO_ASSERT(gone != nullptr);
    const auto removed = co_await leader->replica->change_membership(
        {.kind = MembershipChange::Kind::kRemove, .node = gone->id, .command = {}});
    CO_ASSERT(removed, << removed.error().message());
    c.lose_power(*leader);
    c.crash(*gone);
    c.start(*leader);
    EXPECT_TRUE(co_await c.until([&] { return leader->leads(); })) << "it waits for who is gone";
  });
}

TEST_F(ReplicaClusterTest, LeadershipGoesWhereItIsSent) {
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    for (const auto& node : c.nodes()) {
      // Asked anywhere.
      TestNode& asked = c.node(node->id.value % 3 + 1);
      const auto sent = co_await asked.replica->transfer_leader(node->id);
      EXPECT_TRUE(sent) << sent.error().message();
      EXPECT_TRUE(co_await c.until([&] { return node->leads(); }, 1s));
    }
    EXPECT_EQ((co_await c.node(1).replica->transfer_leader(NodeId(9))).error().reason(),
              "not_a_voter");
    TestNode* now = c.leader();
    EXPECT_TRUE(co_await now->replica->transfer_leader(NodeId()));
    EXPECT_FALSE(now->leads());
  });
}

TEST_F(ReplicaClusterTest, ALeaderThatStopsHandsOverFirst) {
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    CO_ASSERT(co_await c.propose(*leader, add_image("one")));
    co_await c.stop(*leader);
    // At once, not after an election timeout.
    EXPECT_NE(c.leader(), nullptr);
    EXPECT_NE(c.leader(), leader);
  });
}

// Disks.

TEST_F(ReplicaClusterTest, ALogThatFailsTakesItsNodeOutAndTheOthersGoOn) {
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    leader->machine->disk_faults().fail_next_sync_below = TestCluster::kDirectory;
    const auto answer = co_await c.propose(*leader, add_image("one", 5));
    EXPECT_TRUE(answer || answer.error().reason() == "log_failed");
    EXPECT_TRUE(co_await c.until([&] { return leader->failure == "log_failed"; }));
    TestNode* next = co_await c.wait_for_leader(leader);
    CO_ASSERT(next != nullptr);
    const auto again = co_await c.propose(*next, add_image("one", 5));
    EXPECT_TRUE(again);
    if (answer && again) EXPECT_EQ(again->index, answer->index);
  });
}

TEST_F(ReplicaClusterTest, AFullDiskOnTheLeaderStopsNobodyElse) {
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    leader->machine->set_disk_capacity(Bytes(c.config().replica.log.segment_bytes));
    v1::Command large = add_image("large");
    large.mutable_add_image()->set_cmdline(std::string(900'000, 'x'));
    Result<cluster::Outcome> refused = cluster::Outcome{};
    for (int i = 0; i < 20 && (refused || refused.error().reason() != "disk_full"); ++i) {
      refused = co_await c.propose(*leader, large);  // a quorum has it without the leader's disk
      co_await c.pause(20ms);
    }
    EXPECT_EQ(refused.error().reason(), "disk_full");
    EXPECT_TRUE(co_await leader->replica->transfer_leader(NodeId()));
    EXPECT_TRUE(co_await c.propose(*leader, add_image("small")));
    leader->machine->set_disk_capacity(gib(1));
    EXPECT_TRUE(co_await c.settled());
  });
}

TEST_F(ReplicaClusterTest, AHundredStopsAndStarts) {
  config.replica.snapshot_entries = 30;
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    for (std::size_t round = 0; round < 100; ++round) {
      TestNode& node = c.node(round % 3 + 1);
      co_await c.stop(node);
      EXPECT_EQ(node.replica, nullptr);
      CO_ASSERT(co_await c.add("image-" + std::to_string(round)), << round);
      c.start(node);
      EXPECT_TRUE(co_await c.until([&] { return node.replica != nullptr; }));
    }
    EXPECT_TRUE(co_await c.settled());
    EXPECT_EQ(c.node(1).replica->state().images().size(), 100u);
  });
}

TEST(ReplicaTrace, TheSameSeedGivesTheSameTrace) {
  const auto trace = [](std::uint64_t seed) {
    sim::World world(seed);
    TestCluster cluster(world, {.nodes = 3, .replica = {.snapshot_entries = 20}});
    EXPECT_TRUE(cluster.run([](TestCluster& c) -> env::Task<void> {
      co_await c.start_all();
      for (int i = 0; i < 30; ++i) {
        CO_ASSERT(co_await c.add("image-" + std::to_string(i)));
        if (i % 10 == 5) {
          TestNode* leader = co_await c.wait_for_leader();
          CO_ASSERT(leader != nullptr);
          c.lose_power(*leader);
          c.start(*leader);
        }
      }
      EXPECT_TRUE(co_await c.settled());
    }));
    return world.trace_hash();
  };
  EXPECT_EQ(trace(5), trace(5));
  EXPECT_NE(trace(5), trace(6));
}

// Rare events.

TEST_F(ReplicaClusterTest, ASnapshotMayBeTakenAtAnyTime) {
  run([](TestCluster& c) -> env::Task<void> {
    const sim::OnlyRare rare(c.world(), env::RareSite::kSnapshotTakenEarly);
    co_await c.start_all();
    for (int i = 0; i < 5; ++i)
      CO_ASSERT(co_await c.add("image-" + std::to_string(i)));
    EXPECT_TRUE(co_await c.settled());
    EXPECT_GE(rare.taken(), 5u);
    EXPECT_TRUE(co_await c.until([&] {
      return std::ranges::all_of(c.nodes(), [](const auto& node) {
        return node->replica->status().snapshot > LogIndex(3);
      });
    }));
    TestNode* restarted = c.follower();
    c.lose_power(*restarted);
    c.start(*restarted);
    EXPECT_TRUE(co_await c.settled());
  });
}

TEST_F(ReplicaClusterTest, AFullQueueIsSaidOnLeaderAndFollower) {
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    {
      const sim::OnlyRare rare(c.world(), env::RareSite::kProposalQueueFull);
      for (TestNode* node : {leader, c.follower()}) {
        const auto answer = co_await c.propose(*node, add_image("one", 1));
        CO_ASSERT(!answer);
        EXPECT_EQ(answer.error().code(), Code::kResourceExhausted);
        EXPECT_EQ(answer.error().reason(), "too_many_proposals");
      }
      EXPECT_EQ(rare.taken(), 2u);
    }
    EXPECT_FALSE(c.has(*leader, "one"));
    EXPECT_TRUE(co_await c.propose(*leader, add_image("one", 1)));
    EXPECT_TRUE(co_await c.settled());
  });
}

TEST_F(ReplicaClusterTest, ALostAnswerOfTheLeaderIsAskedForAgain) {
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    TestNode* follower = c.follower();
    {
      const sim::OnlyRare rare(c.world(), env::RareSite::kForwardAnswerLost);
      const auto answer = co_await c.propose(*follower, add_image("one", 1));
      CO_ASSERT(!answer);
      EXPECT_EQ(answer.error().code(), Code::kUnavailable);
      EXPECT_EQ(answer.error().reason(), "leader_unreachable");
      EXPECT_EQ(rare.taken(), 1u);
    }
    EXPECT_TRUE(co_await c.until([&] { return c.has(*leader, "one"); }));
    const auto again = co_await c.propose(*follower, add_image("one", 1));
    CO_ASSERT(again, << again.error().message());
    EXPECT_EQ(leader->replica->state().find_image("one")->id.value, again->object_id);
  });
}

TEST_F(ReplicaClusterTest, AReadAsksAgainWhenItsRoundIsLost) {
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    for (TestNode* node : {leader, c.follower()}) {
      const sim::OnlyRare rare(c.world(), env::RareSite::kReadRoundLate, 50);
      while (rare.taken() < 3) {
        const auto read = co_await node->replica->read_barrier();
        CO_ASSERT(read || read.error().reason() == "no_quorum", << read.error().message());
      }
    }
    const sim::OnlyRare rare(c.world(), env::RareSite::kReadRoundLate);
    const auto read = co_await leader->replica->read_barrier();
    CO_ASSERT(!read);
    EXPECT_EQ(read.error().reason(), "no_quorum");
    EXPECT_GE(rare.taken(), 5u);
  });
}

TEST_F(ReplicaClusterTest, ChangesMayBeForgottenAtAnyTime) {
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    const std::uint64_t revision = leader->replica->state().revision();
    const sim::OnlyRare rare(c.world(), env::RareSite::kChangesCompacted);
    const auto changes = leader->replica->changes(revision);
    CO_ASSERT(!changes);
    EXPECT_EQ(changes.error().reason(), "revision_compacted");
    EXPECT_EQ(rare.taken(), 1u);
  });
}

TEST_F(ReplicaClusterTest, ASnapshotThatIsRefusedOrCutIsSentAgain) {
  config.replica.snapshot_entries = 10;
  config.replica.trailing_entries = 2;
  config.replica.log.segment_bytes = 2u << 20;
  run([](TestCluster& c) -> env::Task<void> {
    co_await c.start_all();
    for (const auto site : {env::RareSite::kSnapshotRefused, env::RareSite::kSnapshotTransferCut}) {
      CO_ASSERT(co_await c.wait_for_leader() != nullptr);
      TestNode* slow = c.follower();
      c.lose_power(*slow);
      // Segments roll, so that entries are gone.
      const std::string name = std::to_string(static_cast<int>(site));
      for (int i = 0; i < 40; ++i) {
        const sim::OnlyRare rolls(c.world(), env::RareSite::kLogSegmentRollsEarly);
        CO_ASSERT(co_await c.add(name + "-" + std::to_string(i)));
      }
      {
        const sim::OnlyRare rare(c.world(), site);
        c.start(*slow);
        EXPECT_TRUE(co_await c.until([&] { return rare.taken() >= 3; }));
        EXPECT_FALSE(c.has(*slow, name + "-39"));
      }
      EXPECT_TRUE(co_await c.settled());
      EXPECT_TRUE(c.has(*slow, name + "-39"));
    }
  });
}

}  // namespace
}  // namespace blixard::replica
