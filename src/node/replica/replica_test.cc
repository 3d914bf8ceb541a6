#include "node/replica/replica.h"

#include <algorithm>

#include "base/limits.h"
#include "env/scope.h"
#include "env/test_coroutine.h"
#include "node/log/log.h"
#include "node/replica/test_alone.h"
#include "sim/world.h"

namespace blixard::replica {
namespace {

constexpr const char* kDirectory = "/var/lib/blixard/log";

class ReplicaTest : public testing::Test {
 protected:
  sim::World world{3};
  sim::Machine& machine = world.add_machine("a");
  NodeId self{5};
  std::string directory = kDirectory;
  NoPeers peers;
  Options options{.log = {.segment_bytes = std::uint64_t{2} << 20}};

  env::Task<Result<std::unique_ptr<Replica>>> open() {
    return open_alone(machine.env(), directory, self, options, peers);
  }
  void run(env::Task<void> task) { ASSERT_TRUE(world.run(std::move(task))); }

  env::Task<void> propose(Replica& replica, v1::Command command,
                          std::vector<Result<cluster::Outcome>>& answers) {
    auto answer = co_await replica.propose(std::move(command));
    answers.push_back(std::move(answer));
  }

  env::Task<void> propose_one(env::Env env, std::vector<Result<cluster::Outcome>>& answers) {
    auto replica = co_await open_alone(env, kDirectory, self, options, peers);
    if (!replica) co_return;  // the power went
    co_await propose(**replica, add_image("one"), answers);
    co_await (*replica)->stop();
  }

  env::Task<void> wait_failed(Replica& replica, std::string& reason) {
    const auto failed = co_await replica.failed();
    reason = failed ? "" : failed.error().reason();
  }

  // Writes entries straight into the log.
  env::Task<void> write_log(std::vector<log::Entry> entries) {
    const auto made = co_await bootstrap(machine.env(), directory, lone_state(self), options);
    EXPECT_TRUE(made || made.error().reason() == "log_not_empty");
    auto log = co_await log::Log::open(machine.env(), directory, options.log);
    CO_ASSERT(log);
    EXPECT_TRUE(co_await (*log)->append(std::move(entries), std::nullopt));
    co_await (*log)->close();
  }
  env::Task<void> expect_refused(const char* reason, std::string word) {
    auto replica = co_await open();
    CO_ASSERT(!replica, << "opened");
    EXPECT_EQ(replica.error().reason(), reason);
    EXPECT_THAT(std::string(replica.error().detail()), testing::HasSubstr(word));
  }
  static log::Entry entry(std::uint64_t index, std::string payload,
                          raft::EntryKind kind = raft::EntryKind::kNormal) {
    return {.term = Term(1),
            .index = LogIndex(index),
            .kind = kind,
            .payload = Payload(std::move(payload))};
  }
};

TEST_F(ReplicaTest, LeadsAtOnceAndKeepsWhatItAcknowledged) {
  std::string hash;
  run([&]() -> env::Task<void> {
    auto replica = co_await open();
    CO_ASSERT(replica, << replica.error().message());
    EXPECT_TRUE((*replica)->is_leader());
    EXPECT_EQ((*replica)->status().leader, self);
    EXPECT_EQ((*replica)->status().term, Term(2));
    const WallTime now = machine.env().clock.wall();
    const auto added = co_await (*replica)->propose(add_image("one", 1));
    CO_ASSERT(added, << added.error().message());
    // Behind the snapshot it began with and the entry that began its term.
    EXPECT_EQ(added->index, LogIndex(3));
    // Stamped: the model keeps the time.
    EXPECT_EQ((*replica)->state().find_image("one")->added, now);
    const auto again = co_await (*replica)->propose(add_image("one", 1));
    CO_ASSERT(again);
    EXPECT_EQ(again->index, LogIndex(3));
    const auto other = co_await (*replica)->propose(remove_image("two"));
    CO_ASSERT(!other);
    EXPECT_EQ(other.error().reason(), "image_not_found");
    const auto read = co_await (*replica)->read_barrier();
    EXPECT_TRUE(read) << read.error().message();
    EXPECT_EQ((*replica)->status().applied, LogIndex(5));
    hash = (*replica)->state().hash();
    co_await (*replica)->stop();
    EXPECT_EQ((co_await (*replica)->propose(add_image("two"))).error().reason(), "stopped");
    EXPECT_EQ((co_await (*replica)->read_barrier()).error().reason(), "stopped");
  }());
  machine.lose_power();
  machine.restart();
  run([&]() -> env::Task<void> {
    auto replica = co_await open();
    CO_ASSERT(replica, << replica.error().message());
    EXPECT_EQ((*replica)->state().hash(), hash);
    const auto again = co_await (*replica)->propose(add_image("one", 1));
    EXPECT_EQ(again ? again->index : LogIndex(), LogIndex(3));
    co_await (*replica)->stop();
  }());
}

TEST_F(ReplicaTest, ProposalsThatArriveTogetherShareOneSyncAndAreAnsweredEachOnItsOwn) {
  run([&]() -> env::Task<void> {
    auto replica = co_await open();
    CO_ASSERT(replica);
    std::vector<Result<cluster::Outcome>> answers;
    env::Scope scope(machine.env().executor, co_await env::this_cancellation());
    const Instant begin = machine.env().clock.monotonic();
    for (int i = 0; i < 200; ++i) {
      const std::string name = "image-" + std::to_string(i);
      scope.spawn(propose(**replica, i % 2 == 0 ? add_image(name) : remove_image(name), answers));
    }
    co_await scope.join();
    // Two batches at most, 2.2 ms at most each; one by one it would be 40 ms at least.
    EXPECT_LT(machine.env().clock.monotonic() - begin, 5ms);
    CO_ASSERT(answers.size() == 200u);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      if (i % 2 == 0) {
        CO_ASSERT(answers[i], << i);
        EXPECT_EQ(answers[i]->index, LogIndex(i + 3));
      } else {
        CO_ASSERT(!answers[i], << i);
        EXPECT_EQ(answers[i].error().code(), Code::kNotFound) << i;
      }
    }
    co_await (*replica)->stop();
  }());
}

TEST_F(ReplicaTest, AnswersOnlyWhatIsOnDisk) {
  // Power is lost at each step of the way, until the answer comes before it.
  bool answered = false;
  for (int step = 0; step < 200 && !answered; ++step) {
    std::vector<Result<cluster::Outcome>> answers;
    sim::World other(static_cast<std::uint64_t>(step));
    sim::Machine& host = other.add_machine("b");
    host.start(propose_one(host.env(), answers));
    ASSERT_TRUE(other.run([&]() -> env::Task<void> {
      EXPECT_TRUE(co_await host.env().clock.sleep(step * 100us));
    }()));
    answered = !answers.empty() && answers[0].has_value();
    host.lose_power();
    host.restart();
    ASSERT_TRUE(other.run([&]() -> env::Task<void> {
      auto replica = co_await open_alone(host.env(), kDirectory, self, options, peers);
      CO_ASSERT(replica, << replica.error().message());
      if (answered) EXPECT_NE((*replica)->state().find_image("one"), nullptr);
      co_await (*replica)->stop();
    }()));
  }
  EXPECT_TRUE(answered);
}

TEST_F(ReplicaTest, RefusesWhatItCannotTake) {
  run([&]() -> env::Task<void> {
    auto replica = co_await open();
    CO_ASSERT(replica);
    const auto none = co_await (*replica)->propose({});
    EXPECT_EQ(none.error().reason(), "command_invalid");
    EXPECT_EQ(none.error().code(), Code::kInvalidArgument);
    const auto large =
        co_await (*replica)->propose(add_image(std::string(limits::kCommandBytes, 'x')));
    EXPECT_EQ(large.error().reason(), "command_too_large");

    std::vector<Result<cluster::Outcome>> answers;
    env::Scope scope(machine.env().executor, co_await env::this_cancellation());
    for (std::size_t i = 0; i < limits::kProposalsInFlight + 10; ++i)
      scope.spawn(propose(**replica, add_image("image"), answers));
    co_await scope.join();
    const auto refused = std::ranges::count_if(answers, [](const auto& answer) {
      return !answer && answer.error().reason() == "too_many_proposals";
    });
    EXPECT_EQ(refused, 10);
    EXPECT_EQ((*replica)->status().applied, LogIndex(2 + limits::kProposalsInFlight));
    co_await (*replica)->stop();
  }());
}

TEST_F(ReplicaTest, AFailedLogEndsIt) {
  run([&]() -> env::Task<void> {
    auto replica = co_await open();
    CO_ASSERT(replica);
    EXPECT_TRUE(co_await (*replica)->propose(add_image("one")));
    std::string reason;
    env::Scope scope(machine.env().executor, co_await env::this_cancellation());
    scope.spawn(wait_failed(**replica, reason));
    EXPECT_TRUE(co_await machine.env().clock.sleep(1ms));
    EXPECT_EQ(reason, "");
    machine.disk_faults().fail_next_sync_below = kDirectory;
    std::vector<Result<cluster::Outcome>> answers;
    scope.spawn(propose(**replica, add_image("two"), answers));
    scope.spawn(propose(**replica, add_image("three"), answers));
    co_await scope.join();
    EXPECT_EQ(reason, "log_failed");
    CO_ASSERT(answers.size() == 2u);
    for (const auto& answer : answers) {
      CO_ASSERT(!answer);
      EXPECT_EQ(answer.error().code(), Code::kUnavailable);  // it may have happened
      EXPECT_EQ(answer.error().reason(), "log_failed");
    }
    EXPECT_EQ((*replica)->state().find_image("two"), nullptr);
    EXPECT_TRUE((*replica)->status().failed);
    EXPECT_FALSE((*replica)->is_leader());
    EXPECT_EQ((co_await (*replica)->propose(add_image("four"))).error().reason(), "log_failed");
    EXPECT_EQ((co_await (*replica)->read_barrier()).error().reason(), "log_failed");
    co_await (*replica)->stop();
  }());
}

TEST_F(ReplicaTest, AFullDiskRefusesCommandsAndPasses) {
  run([&]() -> env::Task<void> {
    auto replica = co_await open();
    CO_ASSERT(replica);
    machine.set_disk_capacity(Bytes(options.log.segment_bytes));
    v1::Command large = add_image("large");
    large.mutable_add_image()->set_cmdline(std::string(900'000, 'x'));  // refused, but logged
    std::vector<Result<cluster::Outcome>> answers;
    env::Scope scope(machine.env().executor, co_await env::this_cancellation());
    Result<cluster::Outcome> refused = cluster::Outcome{};
    for (int i = 0; i < 10 && (refused || refused.error().reason() != "disk_full"); ++i) {
      // One that is in the log's queue waits there; those that come behind it are told.
      scope.spawn(propose(**replica, large, answers));
      EXPECT_TRUE(co_await machine.env().clock.sleep(50ms));
      refused = answers.empty() ? Result<cluster::Outcome>(cluster::Outcome{}) : answers.back();
    }
    EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
    EXPECT_EQ(refused.error().reason(), "disk_full");
    const std::size_t waiting = scope.running();
    EXPECT_EQ(waiting, 1u);
    EXPECT_FALSE((*replica)->status().failed);
    machine.set_disk_capacity(gib(1));
    co_await scope.join();
    EXPECT_EQ(answers.back().error().reason(), "image_invalid");  // apply's answer: it was written
    EXPECT_TRUE(co_await (*replica)->propose(add_image("small")));
    EXPECT_FALSE((*replica)->status().failed);
    co_await (*replica)->stop();
  }());
}

TEST_F(ReplicaTest, TakesSnapshotsAndStartsFromThem) {
  options.snapshot_entries = 20;
  std::string hash;
  run([&]() -> env::Task<void> {
    auto replica = co_await open();
    CO_ASSERT(replica);
    for (int i = 0; i < 70; ++i)
      EXPECT_TRUE(co_await (*replica)->propose(add_image("image-" + std::to_string(i))));
    hash = (*replica)->state().hash();
    co_await (*replica)->stop();
    EXPECT_EQ((*replica)->status().snapshot, LogIndex(61));
  }());
  machine.lose_power();
  machine.restart();
  run([&]() -> env::Task<void> {
    auto replica = co_await open();
    CO_ASSERT(replica, << replica.error().message());
    EXPECT_EQ((*replica)->state().hash(), hash);
    EXPECT_EQ((*replica)->status().applied, LogIndex(73));
    // Watchers may go on where the snapshot was, not before.
    EXPECT_EQ((*replica)->changes(59)->size(), 11u);
    EXPECT_EQ((*replica)->changes(58).error().reason(), "revision_compacted");
    co_await (*replica)->stop();
  }());
}

TEST_F(ReplicaTest, RemembersTheLatestChanges) {
  run([&]() -> env::Task<void> {
    auto replica = co_await open();
    CO_ASSERT(replica);
    std::vector<Result<cluster::Outcome>> answers;
    env::Scope scope(machine.env().executor, co_await env::this_cancellation());
    const std::size_t count = limits::kEventBacklog + 5;
    for (std::size_t i = 0; i < count; ++i)
      scope.spawn(propose(**replica, add_image("image-" + std::to_string(i)), answers));
    EXPECT_TRUE(co_await (*replica)->applied().wait());
    co_await scope.join();
    const auto latest = (*replica)->changes(count - 2);
    CO_ASSERT(latest && latest->size() == 2u);
    EXPECT_EQ(latest->back().revision, count);
    EXPECT_EQ(latest->back().name, "image-" + std::to_string(count - 1));
    EXPECT_EQ((*replica)->changes(5)->size(), limits::kEventBacklog);
    EXPECT_EQ((*replica)->changes(count)->size(), 0u);
    EXPECT_EQ((*replica)->changes(4).error().reason(), "revision_compacted");
    EXPECT_EQ((*replica)->changes(count + 1).error().reason(), "revision_compacted");
    co_await (*replica)->stop();
  }());
}

TEST_F(ReplicaTest, NamesTheEntryThatItCannotApply) {
  v1::Command sound = add_image("one");
  sound.set_version(1);
  run(write_log({entry(2, sound.SerializeAsString()), entry(3, ""), entry(4, "\xff\xff")}));
  run(expect_refused("command_invalid", "entry 4"));
  EXPECT_TRUE(peers.stopped()) << "they still know a replica that is gone";
  directory = "/too-new";
  sound.set_version(99);
  run(write_log({entry(2, sound.SerializeAsString())}));
  run(expect_refused("model_too_new", "entry 2"));
  directory = "/unknown";
  run(write_log({entry(2, "", static_cast<raft::EntryKind>(77))}));
  run(expect_refused("model_too_new", "kind 77"));
}

TEST_F(ReplicaTest, NamesASnapshotThatItCannotRead) {
  run([&]() -> env::Task<void> {
    auto log = co_await log::Log::open(machine.env(), kDirectory, options.log);
    CO_ASSERT(log);
    EXPECT_TRUE(co_await (*log)->save_snapshot({LogIndex(1), Term(1)}, "no state", LogIndex(2)));
    co_await (*log)->close();
  }());
  run(expect_refused("snapshot_invalid", ""));
}

}  // namespace
}  // namespace blixard::replica
