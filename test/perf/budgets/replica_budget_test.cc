// Budgets of the replicated log: proposals and reads, on simulated disks and connections.

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/cluster/scenario.h"
#include "env/test_coroutine.h"
#include "node/replica/proposals.h"
#include "node/replica/test_alone.h"
#include "node/replica/test_cluster.h"
#include "sim/world.h"
#include "test/perf/budgets/ledger.h"

namespace blixard::budgets {
namespace {

using env::Task;
using replica::Replica;

constexpr std::uint64_t kRuns = 500;

// Of a VM that is there, so that the state stays as large as it is.
v1::Command toggle(std::uint64_t number) {
  v1::Command command;
  command.set_request_id(replica::bytes_of(Uuid::from_random(number, 1)));
  command.mutable_set_desired()->set_name("web");
  command.mutable_set_desired()->set_desired(number % 2 == 0 ? v1::VM_DESIRED_RUNNING
                                                             : v1::VM_DESIRED_STOPPED);
  return command;
}

Task<void> make_vm(Replica& replica) {
  EXPECT_TRUE(co_await replica.propose(replica::add_image("alpine")));
  EXPECT_TRUE(co_await replica.propose(cluster::Scenario::create_command("web", 1, 128)));
}

Task<void> propose_many(Replica& replica, std::uint64_t from, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto done = co_await replica.propose(toggle(from + i));
    CO_ASSERT(done, << done.error().message());
  }
}

Task<void> read_many(Replica& replica, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i)
    CO_ASSERT(co_await replica.read_barrier());
}

// `work(from, count)` once to warm up and once counted.
template <class Work>
Task<void> charge(const char* name, Work work) {
  co_await work(1, kRuns);
  const Meter meter;
  co_await work(1 + kRuns, kRuns);
  EXPECT_TRUE(within_budget(name, kRuns, meter.spent()));
}

TEST(ReplicaBudget, OneVoter) {
  sim::World world(3);
  sim::Machine& machine = world.add_machine("a");
  // It outlives the run. NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines)
  ASSERT_TRUE(world.run([&]() -> Task<void> {
    replica::NoPeers peers;
    auto opened = co_await replica::open_alone(machine.env(), "/log", NodeId(5), {}, peers);
    CO_ASSERT(opened);
    Replica& replica = **opened;
    co_await make_vm(replica);
    const auto proposals = [&](std::uint64_t from, std::uint64_t count) {
      return propose_many(replica, from, count);
    };
    co_await charge("proposal.one_voter", proposals);
    const auto reads = [&](std::uint64_t, std::uint64_t count) {
      return read_many(replica, count);
    };
    co_await charge("read.one_voter", reads);
    co_await replica.stop();
  }()));
}

// What all three nodes and their connections take together.
TEST(ReplicaBudget, ThreeVoters) {
  sim::World world(3);
  replica::TestCluster cluster(world, {.nodes = 3});
  ASSERT_TRUE(cluster.run([](replica::TestCluster& c) -> Task<void> {
    co_await c.start_all();
    replica::TestNode* leader = co_await c.wait_for_leader();
    CO_ASSERT(leader != nullptr);
    co_await make_vm(*leader->replica);
    Replica& leading = *leader->replica;
    Replica& following = *c.follower()->replica;
    const auto proposals = [&](std::uint64_t from, std::uint64_t count) {
      return propose_many(leading, from, count);
    };
    co_await charge("proposal.three_voters", proposals);
    const auto forwarded = [&](std::uint64_t from, std::uint64_t count) {
      return propose_many(following, 100'000 + from, count);
    };
    co_await charge("proposal.three_voters.forwarded", forwarded);
    const auto reads = [&](std::uint64_t, std::uint64_t count) {
      return read_many(leading, count);
    };
    co_await charge("read.three_voters", reads);
    const auto asked = [&](std::uint64_t, std::uint64_t count) {
      return read_many(following, count);
    };
    co_await charge("read.three_voters.at_a_follower", asked);
  }));
}

// One side alone: the others are played, and what they take does not count.

constexpr NodeId kSelf{1};
constexpr NodeId kOther{2};

Task<Result<std::unique_ptr<Replica>>> open_first_of_three(env::Env env, peer::Peers& peers) {
  const cluster::State state =
      cluster::Scenario::first_state({"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"}, 3);
  BLX_CO_TRY(co_await replica::bootstrap(env, "/log", state, {}));
  co_return co_await replica::open_replica(env, "/log", kSelf, {}, peers, nullptr);
}

// Two who agree to everything.
class Followers final : public replica::NoPeers {
 public:
  explicit Followers(env::Executor& executor) : executor_(executor), scope_(executor, nullptr) {}

  void set_handler(peer::Handler* handler) override { handler_ = handler; }
  void send(std::vector<raft::Message> messages) override {
    const observe::AllocationTag tag(observe::Subsystem::kSimulator);
    for (const raft::Message& message : messages) {
      if (auto answer = answer_to(message)) answers_.push_back(*std::move(answer));
    }
    if (!std::exchange(answers_itself_, true)) scope_.spawn(answer());
  }
  Task<void> stop() override {
    co_await scope_.join();
    co_await NoPeers::stop();
  }

 private:
  static std::optional<raft::Message> answer_to(const raft::Message& asked) {
    raft::Message answer{.from = asked.to, .to = asked.from, .term = asked.term};
    switch (asked.type) {
      case raft::MessageType::kPreVote:
        answer.type = raft::MessageType::kPreVoteResponse;
        return answer;
      case raft::MessageType::kVote:
        answer.type = raft::MessageType::kVoteResponse;
        return answer;
      case raft::MessageType::kAppend:
        answer.type = raft::MessageType::kAppendResponse;
        answer.index = LogIndex(asked.index.value + asked.entries.size());
        return answer;
      case raft::MessageType::kHeartbeat:
        answer.type = raft::MessageType::kHeartbeatResponse;
        answer.read = asked.read;
        return answer;
      default:
        return std::nullopt;
    }
  }
  Task<void> answer() {
    co_await env::Turn{executor_};
    for (; !answers_.empty(); answers_.pop_front()) {
      const NodeId from = answers_.front().from;
      handler_->on_message({.node = from, .server = true}, std::move(answers_.front()));
    }
    answers_itself_ = false;
  }

  env::Executor& executor_;
  peer::Handler* handler_ = nullptr;
  std::deque<raft::Message> answers_;
  bool answers_itself_ = false;
  env::Scope scope_;
};

TEST(ReplicaBudget, ALeaderOfThree) {
  sim::World world(3);
  sim::Machine& machine = world.add_machine("a");
  // It outlives the run. NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines)
  ASSERT_TRUE(world.run([&]() -> Task<void> {
    Followers peers(machine.env().executor);
    auto opened = co_await open_first_of_three(machine.env(), peers);
    CO_ASSERT(opened, << opened.error().message());
    Replica& replica = **opened;
    while (!replica.is_leader())
      CO_ASSERT(co_await replica.applied().wait());
    co_await make_vm(replica);
    const auto proposals = [&](std::uint64_t from, std::uint64_t count) {
      return propose_many(replica, from, count);
    };
    co_await charge("proposal.three_voters.leader", proposals);
    co_await replica.stop();
    co_await peers.stop();
  }()));
}

// One that sends each command alone, when the one before it was taken.
class Leader final : public replica::NoPeers {
 public:
  explicit Leader(env::Executor& executor) : took_(executor) {}

  void set_handler(peer::Handler* handler) override { handler_ = handler; }
  void send(std::vector<raft::Message> messages) override {
    for (const raft::Message& message : messages) {
      if (message.type != raft::MessageType::kAppendResponse || message.reject) continue;
      taken_ = std::max(taken_, message.index);
    }
    took_.notify_all();
  }

  Task<void> append(v1::Command command) {
    const observe::AllocationTag tag(observe::Subsystem::kSimulator);
    constexpr Term kTerm(2);
    command.set_version(cluster::kModelVersion);
    command.set_time_unix_ms(1);
    const LogIndex previous = std::exchange(last_, last_.next());
    raft::Message message{.type = raft::MessageType::kAppend,
                          .from = kOther,
                          .to = kSelf,
                          .term = kTerm,
                          .log_term = previous == LogIndex(1) ? Term(1) : kTerm,
                          .index = previous,
                          .commit = previous};
    message.entries.push_back(
        {.term = kTerm, .index = last_, .payload = Payload(command.SerializeAsString())});
    handler_->on_message({.node = kOther, .server = true}, std::move(message));
    while (taken_ < last_)
      CO_ASSERT(co_await took_.wait());
  }
  Task<void> append_many(std::uint64_t from, std::uint64_t count) {
    const observe::AllocationTag tag(observe::Subsystem::kSimulator);
    for (std::uint64_t i = 0; i < count; ++i)
      co_await append(toggle(from + i));
  }

 private:
  peer::Handler* handler_ = nullptr;
  LogIndex last_{1};  // of the snapshot it began with
  LogIndex taken_;
  env::Signal took_;
};

TEST(ReplicaBudget, AFollowerOfThree) {
  sim::World world(3);
  sim::Machine& machine = world.add_machine("a");
  // It outlives the run. NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines)
  ASSERT_TRUE(world.run([&]() -> Task<void> {
    Leader peers(machine.env().executor);
    auto opened = co_await open_first_of_three(machine.env(), peers);
    CO_ASSERT(opened, << opened.error().message());
    Replica& replica = **opened;
    co_await peers.append(replica::add_image("alpine"));
    co_await peers.append(cluster::Scenario::create_command("web", 1, 128));
    const auto appends = [&](std::uint64_t from, std::uint64_t count) {
      return peers.append_many(from, count);
    };
    co_await charge("proposal.three_voters.follower", appends);
    EXPECT_EQ(replica.status().applied, LogIndex(2 + 2 * kRuns));  // the last is not told yet
    EXPECT_NE(replica.state().find_vm("web"), nullptr);
    co_await replica.stop();
  }()));
}

// However many wait, keeping and finding one takes nothing.
TEST(ReplicaBudget, WaitingProposals) {
  class Nowhere final : public env::Executor {
   public:
    void post(std::coroutine_handle<>) override {}
  };
  constexpr std::uint64_t kWaiting = 4096;
  Nowhere nowhere;
  std::deque<replica::Proposal> waiting;
  for (std::uint64_t i = 1; i <= kWaiting; ++i) {
    waiting.emplace_back(nowhere);
    waiting.back().position = {Term(1), LogIndex(i)};
  }
  replica::Proposals proposals;
  const Meter meter;
  for (replica::Proposal& proposal : waiting)
    proposals.track(proposal);
  for (replica::Proposal& proposal : waiting)
    ASSERT_EQ(proposals.take(proposal.position), &proposal);
  EXPECT_TRUE(proposals.empty());
  EXPECT_TRUE(within_budget("proposals.track_and_take", kWaiting, meter.spent()));
}

}  // namespace
}  // namespace blixard::budgets
