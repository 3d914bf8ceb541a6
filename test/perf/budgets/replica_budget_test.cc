// Budgets of the replicated log: proposals and reads, on simulated disks and connections.

#include <deque>
#include <string>

#include <gtest/gtest.h>

#include "core/cluster/scenario.h"
#include "env/test_coroutine.h"
#include "node/replica/proposals.h"
#include "node/replica/test_alone.h"
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
