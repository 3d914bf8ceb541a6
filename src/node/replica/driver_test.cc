// The order in which the driver hands appends to the log, with a log that refuses and waits as it
// is told, and the core of one of three voters: the test is the other two.

#include "node/replica/driver.h"

#include <algorithm>
#include <functional>

#include "base/limits.h"
#include "core/raft/conf_change.h"
#include "env/test_coroutine.h"
#include "node/replica/test_alone.h"
#include "sim/world.h"

namespace blixard::replica {
namespace {

// Writes in the order of appends, all of which must make sense at their place. While `holds` it
// keeps them waiting; `refusals_at_call` says how many of the next ones are refused at once.
class ScriptedLog final : public log::Log {
 public:
  explicit ScriptedLog(env::Executor& executor) : executor_(executor) {}

  bool holds = false;
  std::size_t refuses_at_call = 0;
  LogIndex compacted;
  bool forgets = false;  // everything has to be read
  std::size_t reads_failing = 0;

  [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }
  [[nodiscard]] const raft::HardState& hard_state() const { return hard_state_; }
  [[nodiscard]] std::size_t appends() const { return appends_; }
  [[nodiscard]] std::size_t reads() const { return reads_; }
  void write_all() {
    for (const auto& append : std::exchange(waiting_, {})) {
      write(*append);
      append->done.complete({});
    }
  }
  // As when the disk becomes full behind the first batch of a large append.
  void write_some_and_refuse(std::size_t entries) {
    Append part(executor_);
    part.entries = waiting_.front()->entries;
    part.entries.resize(entries);
    write(part);
    refuse_waiting();
  }
  // Everything is behind a snapshot.
  void reset(LogIndex index) {
    entries_.assign(index.value, {});
    compacted = index;
  }
  // As when the disk is full: what waits behind is refused with it.
  void refuse_waiting() {
    ++refusals_;
    for (const auto& append : std::exchange(waiting_, {}))
      append->done.complete(full());
  }

  env::Task<Result<void>> append(std::vector<raft::Entry> entries,
                                 std::optional<raft::HardState> hard_state) override {
    ++appends_;
    if (!entries.empty()) EXPECT_GT(entries.front().index, compacted);
    if (refuses_at_call > 0) {
      --refuses_at_call;
      ++refusals_;
      return answer(full());
    }
    auto append = std::make_shared<Append>(executor_);
    append->entries = std::move(entries);
    append->hard_state = hard_state;
    waiting_.push_back(append);
    if (!holds) write_all();
    return wait_for(std::move(append));
  }
  [[nodiscard]] std::uint64_t refusals() const override { return refusals_; }
  [[nodiscard]] std::optional<Term> term(LogIndex index) const override {
    if (!index) return Term();
    if (index <= compacted || index > last()) return std::nullopt;
    return entries_[index.value - 1].term;
  }
  bool cached(LogIndex from, LogIndex to, std::size_t bytes_max,
              std::vector<raft::Entry>& out) const override {
    if (forgets) return false;
    std::size_t bytes = 0;
    for (LogIndex at = from; at <= to && bytes < bytes_max; at = at.next()) {
      out.push_back(entries_[at.value - 1]);
      bytes += out.back().payload.size();
    }
    return true;
  }
  [[nodiscard]] LogIndex first() const override { return compacted.next(); }
  [[nodiscard]] LogIndex last() const override { return LogIndex(entries_.size()); }
  [[nodiscard]] std::optional<log::SnapshotMeta> snapshot() const override { return std::nullopt; }
  [[nodiscard]] bool failed() const override { return false; }
  [[nodiscard]] const log::Recovered& recovered() const override { return recovered_; }
  env::Task<void> close() override { co_return; }

  env::Task<Result<std::vector<raft::Entry>>> read(LogIndex from, LogIndex to,
                                                   std::size_t /*bytes_max*/) override {
    ++reads_;
    if (reads_failing > 0) {
      --reads_failing;
      co_return fail(Code::kUnavailable, "io_error");
    }
    co_return std::vector<raft::Entry>(entries_.begin() + std::ptrdiff_t(from.value) - 1,
                                       entries_.begin() + std::ptrdiff_t(to.value));
  }

  // Nothing here asks for these.
  env::Task<Result<void>> save_snapshot(log::SnapshotMeta /*meta*/, std::string /*content*/,
                                        LogIndex /*keep_from*/) override {
    co_return fail(Code::kUnimplemented, "no_snapshot");
  }
  env::Task<Result<std::string>> load_snapshot() override {
    co_return fail(Code::kNotFound, "no_snapshot");
  }
  env::Task<Result<std::unique_ptr<log::SnapshotReader>>> open_snapshot() override {
    co_return fail(Code::kNotFound, "no_snapshot");
  }
  env::Task<Result<std::unique_ptr<log::SnapshotWriter>>> begin_snapshot(
      log::SnapshotMeta /*meta*/, std::uint64_t /*bytes*/) override {
    co_return fail(Code::kUnimplemented, "no_snapshot");
  }

 private:
  struct Append {
    explicit Append(env::Executor& executor) : done(executor) {}
    std::vector<raft::Entry> entries;
    std::optional<raft::HardState> hard_state;
    env::Parked<Result<void>> done;
  };

  static Result<void> full() { return fail(Code::kResourceExhausted, "disk_full"); }
  static env::Task<Result<void>> answer(Result<void> result) { co_return result; }
  static env::Task<Result<void>> wait_for(std::shared_ptr<Append> append) {
    co_return co_await append->done;
  }

  // After a crash right behind it, a start has to find what consensus once was.
  void write(const Append& append) {
    for (const raft::Entry& entry : append.entries) {
      ASSERT_LE(entry.index, last().next()) << "a gap";
      entries_.resize(entry.index.value - 1);
      entries_.push_back(entry);
    }
    if (!append.hard_state) return;
    EXPECT_GE(append.hard_state->term, hard_state_.term) << "an older term behind a newer one";
    EXPECT_GE(append.hard_state->commit, hard_state_.commit);
    EXPECT_LE(append.hard_state->commit, last()) << "a commit beyond the log";
    hard_state_ = *append.hard_state;
  }

  env::Executor& executor_;
  std::vector<std::shared_ptr<Append>> waiting_;
  std::vector<raft::Entry> entries_;
  raft::HardState hard_state_;
  log::Recovered recovered_;
  std::uint64_t refusals_ = 0;
  std::size_t appends_ = 0;
  std::size_t reads_ = 0;
};

class Recorder final : public NoPeers {
 public:
  void send(std::vector<raft::Message> messages) override {
    for (raft::Message& message : messages)
      sent.push_back(std::move(message));
  }
  [[nodiscard]] std::ptrdiff_t appends(bool with_entries) const {
    return std::ranges::count_if(sent, [&](const raft::Message& message) {
      return message.type == raft::MessageType::kAppend && message.entries.empty() != with_entries;
    });
  }

  std::vector<raft::Message> sent;
};

class DriverTest : public testing::Test, public Driver::Owner {
 protected:
  static constexpr Duration kTick = 10ms;

  sim::World world{5};
  sim::Machine& machine = world.add_machine("a");
  Recorder peers;
  std::unique_ptr<ScriptedLog> log;
  std::unique_ptr<Driver> driver;
  LogIndex applied;
  std::string ended;
  std::function<void()> when_committed;  // once

  void feed(raft::Core& /*core*/) override {}
  void on_committed(const std::vector<raft::Entry>& entries) override {
    applied = entries.back().index;
    driver->core().applied(applied);
    if (when_committed) std::exchange(when_committed, {})();
  }
  void on_read(const raft::ReadState& /*read*/) override {}
  void on_role(const raft::SoftState& /*state*/) override {}
  void on_tick() override {}
  void send_snapshot(raft::Message /*message*/) override {}
  void snapshot_decided(bool /*installs*/) override {}
  env::Task<Result<void>> install(const raft::SnapshotMeta& meta) override {
    log->reset(meta.index);
    driver->view().set_snapshot(meta);
    co_return Result<void>();
  }
  void on_log_failed(const Error& error) override {
    ended = error.message();
    driver->halt();
  }

  // Runs with a driver of voter 1 of three, that will not campaign.
  void run(std::function<env::Task<void>()> test) {
    const auto whole = [&]() -> env::Task<void> {
      log = std::make_unique<ScriptedLog>(machine.env().executor);
      driver = std::make_unique<Driver>(machine.env(), kTick, *log, peers, *this);
      raft::Initial initial;
      initial.configuration.voters = {NodeId(1), NodeId(2), NodeId(3)};
      CO_ASSERT(driver->start({.id = NodeId(1), .election_ticks = 10'000}, initial));
      co_await turn();
      co_await test();
      log->holds = false;
      log->refuses_at_call = 0;
      log->write_all();
      EXPECT_TRUE(co_await until([&] { return settled(); }));
      EXPECT_EQ(ended, "");
      co_await driver->stop();
      EXPECT_EQ(log->hard_state().term, driver->core().term());
      driver.reset();
    };
    ASSERT_TRUE(world.run(whole()));
  }

  // The log has what the core has.
  [[nodiscard]] bool settled() const {
    const raft::HardState state = driver->core().status().hard_state;
    return log->last() == driver->core().last_index() && log->hard_state().term == state.term &&
           log->hard_state().vote == state.vote && log->waiting() == 0;
  }

  // Lets the driver answer what it was given; less than a tick.
  env::Task<void> turn() { EXPECT_TRUE(co_await machine.env().clock.sleep(10us)); }
  env::Task<bool> until(std::function<bool()> condition) {
    for (int i = 0; i < 10'000 && !condition(); ++i)
      co_await turn();
    co_return condition();
  }

  static raft::Message from(std::uint64_t node, std::uint64_t term, raft::MessageType type) {
    return {.type = type, .from = NodeId(node), .to = NodeId(1), .term = Term(term)};
  }
  struct Place {
    std::uint64_t index;
    std::uint64_t term;
  };
  // Entries of the leader's own term behind `previous`.
  static raft::Message append(std::uint64_t node, std::uint64_t term, Place previous,
                              std::uint64_t count, std::uint64_t commit = 0) {
    raft::Message message = from(node, term, raft::MessageType::kAppend);
    message.index = LogIndex(previous.index);
    message.log_term = Term(previous.term);
    message.commit = LogIndex(commit);
    for (std::uint64_t i = 1; i <= count; ++i) {
      message.entries.push_back({.term = Term(term),
                                 .index = LogIndex(previous.index + i),
                                 .payload = Payload(std::string("x"))});
    }
    return message;
  }
  static raft::Message heartbeat(std::uint64_t node, std::uint64_t term, std::uint64_t commit) {
    raft::Message message = from(node, term, raft::MessageType::kHeartbeat);
    message.commit = LogIndex(commit);
    return message;
  }
  // One that is answered although there is a leader.
  static raft::Message vote(std::uint64_t node, std::uint64_t term, Place last) {
    raft::Message message = from(node, term, raft::MessageType::kVote);
    message.index = LogIndex(last.index);
    message.log_term = Term(last.term);
    message.transfer = true;
    return message;
  }
  env::Task<void> step(raft::Message message) {
    driver->step(std::move(message));
    co_await turn();
  }
  void propose(std::size_t count = 1, std::size_t bytes = 1) {
    std::vector<raft::Entry> entries(count);
    for (raft::Entry& entry : entries)
      entry.payload = Payload(std::string(bytes, 'x'));
    ASSERT_TRUE(driver->core().propose(std::move(entries)));
    driver->wake();
  }
  env::Task<void> acknowledge(std::uint64_t node, std::uint64_t index) {
    raft::Message message = from(node, 1, raft::MessageType::kAppendResponse);
    message.index = LogIndex(index);
    co_await step(message);
  }
  // With its first entry committed, of which the others know, and nothing else sent so far.
  env::Task<void> lead() {
    CO_ASSERT(driver->core().campaign());
    driver->wake();
    co_await turn();
    co_await step(from(2, 1, raft::MessageType::kPreVoteResponse));
    co_await step(from(2, 1, raft::MessageType::kVoteResponse));
    CO_ASSERT(driver->core().is_leader());
    co_await acknowledge(2, 1);
    co_await acknowledge(3, 1);
    EXPECT_EQ(applied, LogIndex(1));
    peers.sent.clear();
  }
  env::Task<void> keep_awake(int& turns) {
    for (; turns < 100 && peers.appends(false) == 0; ++turns) {
      driver->wake();
      co_await env::Turn{machine.env().executor};
    }
  }
  env::Task<void> wait_durable(LogIndex index, Term term, bool& done) {
    const auto durable = co_await driver->durable(index, term);
    done = durable.has_value();
  }
};

// The log gives no error for it: without the rule, a start would find the older term.
TEST_F(DriverTest, ACommitIndexThatWaitsIsNotWrittenBehindANewerTerm) {
  run([&]() -> env::Task<void> {
    log->refuses_at_call = 1;
    co_await step(append(2, 1, {0, 0}, 2));
    EXPECT_TRUE(driver->disk_full());
    co_await step(heartbeat(2, 1, 1));
    EXPECT_EQ(applied, LogIndex(1));
    co_await step(append(3, 2, {2, 1}, 1, 1));
    co_await step(append(3, 2, {3, 2}, 1, 1));
    EXPECT_EQ(log->hard_state(), raft::HardState());
    EXPECT_TRUE(co_await until([&] { return log->last() == LogIndex(4); }));
    EXPECT_EQ(log->hard_state().term, Term(2));
  });
}

TEST_F(DriverTest, ACommitIndexGoesWithTheNextAppend) {
  run([&]() -> env::Task<void> {
    co_await step(append(2, 1, {0, 0}, 2));
    co_await step(heartbeat(2, 1, 2));
    EXPECT_EQ(applied, LogIndex(2));
    EXPECT_EQ(log->hard_state().commit, LogIndex());
    EXPECT_EQ(log->appends(), 1u);
    co_await step(append(2, 1, {2, 1}, 1, 2));
    EXPECT_EQ(log->hard_state().commit, LogIndex(2));
    EXPECT_EQ(log->appends(), 2u);
  });
}

TEST_F(DriverTest, NoCommitIsHandedOverBehindEntriesThatWereRefused) {
  run([&]() -> env::Task<void> {
    log->holds = true;
    co_await step(append(2, 1, {0, 0}, 1));
    log->refuses_at_call = 1;
    co_await step(append(2, 1, {1, 1}, 2));
    co_await step(heartbeat(2, 1, 3));
    EXPECT_EQ(log->waiting(), 1u);
    log->holds = false;
    log->write_all();
    co_await turn();
    EXPECT_TRUE(driver->disk_full());
    EXPECT_EQ(log->last(), LogIndex(1));
    EXPECT_TRUE(co_await until([&] { return log->hard_state().commit == LogIndex(3); }));
    EXPECT_EQ(log->last(), LogIndex(3));
  });
}

TEST_F(DriverTest, NoVoteIsHandedOverBehindATermThatWasRefused) {
  run([&]() -> env::Task<void> {
    log->holds = true;
    co_await step(append(2, 1, {0, 0}, 1));
    log->refuses_at_call = 1;
    co_await step(append(3, 2, {1, 1}, 1));
    co_await step(vote(2, 3, {2, 2}));
    EXPECT_EQ(log->waiting(), 1u);
    log->holds = false;
    log->write_all();
    EXPECT_TRUE(co_await until([&] { return log->hard_state().term == Term(3); }));
    EXPECT_EQ(log->hard_state().vote, NodeId(2));
    EXPECT_EQ(log->last(), LogIndex(2));
  });
}

// Between the log's refusal and the moment when whoever waits for the answer goes on.
TEST_F(DriverTest, NothingIsHandedOverBehindARefusalThatIsOnItsWay) {
  run([&]() -> env::Task<void> {
    log->holds = true;
    co_await step(append(2, 1, {0, 0}, 1));
    EXPECT_EQ(log->waiting(), 1u);
    log->holds = false;
    driver->step(vote(3, 2, {1, 1}));  // the pump is the first to go on
    log->refuse_waiting();
    co_await turn();
    EXPECT_TRUE(driver->disk_full());
    EXPECT_EQ(log->hard_state(), raft::HardState());
    EXPECT_TRUE(co_await until([&] { return log->hard_state().term == Term(2); }));
    EXPECT_FALSE(driver->disk_full());
  });
}

TEST_F(DriverTest, WhatWasRefusedIsTriedWithTheNextTicks) {
  run([&]() -> env::Task<void> {
    log->refuses_at_call = 3;
    co_await step(append(2, 1, {0, 0}, 1));
    co_await step(append(2, 1, {1, 1}, 1));
    EXPECT_TRUE(driver->disk_full());
    EXPECT_EQ(log->appends(), 1u);
    EXPECT_TRUE(co_await machine.env().clock.sleep(2 * kTick));
    EXPECT_EQ(log->appends(), 3u);
    EXPECT_TRUE(co_await machine.env().clock.sleep(kTick));
    EXPECT_FALSE(driver->disk_full());
    EXPECT_EQ(log->last(), LogIndex(2));
    EXPECT_EQ(log->appends(), 5u);
  });
}

TEST_F(DriverTest, ADiskThatCannotBeReadIsAskedOnceATick) {
  run([&]() -> env::Task<void> {
    log->forgets = true;
    log->reads_failing = 4;
    co_await step(append(2, 1, {0, 0}, 2));
    co_await step(heartbeat(2, 1, 2));
    for (std::size_t asked = 1; asked <= 4; ++asked) {
      EXPECT_EQ(log->reads(), asked);
      EXPECT_EQ(applied, LogIndex());
      EXPECT_TRUE(co_await machine.env().clock.sleep(kTick));
    }
    EXPECT_EQ(log->reads(), 5u);
    EXPECT_EQ(applied, LogIndex(2));
  });
}

// Durable.

TEST_F(DriverTest, AnEntryThatIsOnItsWayOverAnotherIsNotDurable) {
  run([&]() -> env::Task<void> {
    co_await step(append(2, 1, {0, 0}, 3));
    EXPECT_EQ(log->last(), LogIndex(3));
    log->holds = true;
    co_await step(append(3, 2, {1, 1}, 1, 2));  // and a quorum has it
    EXPECT_EQ(applied, LogIndex(2));
    env::Scope scope(machine.env().executor, co_await env::this_cancellation());
    bool first = false;
    bool second = false;
    scope.spawn(wait_durable(LogIndex(1), Term(1), first));
    scope.spawn(wait_durable(LogIndex(2), Term(2), second));
    co_await turn();
    EXPECT_TRUE(first);
    EXPECT_FALSE(second);
    EXPECT_EQ(log->last(), LogIndex(3));
    log->holds = false;
    log->write_all();
    co_await scope.join();
    EXPECT_TRUE(second);
    EXPECT_EQ(log->last(), LogIndex(2));
  });
}

TEST_F(DriverTest, WhatASnapshotCoversIsDurable) {
  run([&]() -> env::Task<void> {
    co_await step(append(2, 1, {0, 0}, 4, 4));
    log->compacted = LogIndex(3);
    bool done = false;
    co_await wait_durable(LogIndex(3), Term(1), done);
    EXPECT_TRUE(done);
    done = false;
    co_await wait_durable(LogIndex(1), Term(1), done);
    EXPECT_TRUE(done);
  });
}

// What came together is one append, whatever a segment holds.
TEST_F(DriverTest, CommitsTravelWithTheEntriesThatFollowAtOnce) {
  run([&]() -> env::Task<void> {
    co_await lead();
    propose();
    co_await turn();
    EXPECT_EQ(peers.appends(true), 2);
    when_committed = [&] { propose(); };
    co_await acknowledge(2, 2);
    EXPECT_EQ(applied, LogIndex(2));
    EXPECT_EQ(peers.appends(true), 4);
    EXPECT_EQ(peers.appends(false), 0);
    EXPECT_EQ(peers.sent.back().commit, LogIndex(2));
  });
}

TEST_F(DriverTest, ACommitThatNothingFollowsIsTold) {
  run([&]() -> env::Task<void> {
    co_await lead();
    propose();
    co_await turn();
    co_await acknowledge(2, 2);
    EXPECT_EQ(peers.appends(false), 2);
    EXPECT_EQ(peers.sent.back().commit, LogIndex(2));
  });
}

TEST_F(DriverTest, ADriverThatNeverSleepsTellsOfCommitsToo) {
  run([&]() -> env::Task<void> {
    co_await lead();
    propose();
    co_await turn();
    env::Scope scope(machine.env().executor, nullptr);
    int turns = 0;
    when_committed = [&] { scope.spawn(keep_awake(turns)); };
    co_await acknowledge(2, 2);
    co_await scope.join();
    EXPECT_EQ(peers.appends(false), 2);
    EXPECT_LT(turns, 100);
  });
}

// More is committed than is handed out at once, and a change of members might be in the rest.
TEST_F(DriverTest, OthersHearOfNoCommitThatMayHoldAChangeBeforeItIsDurable) {
  run([&]() -> env::Task<void> {
    co_await lead();
    propose(6, std::size_t{1} << 20);
    co_await turn();
    peers.sent.clear();
    log->holds = true;
    co_await acknowledge(2, 7);
    EXPECT_EQ(driver->core().commit(), LogIndex(7));
    for (const raft::Message& message : peers.sent)
      EXPECT_LE(message.commit, LogIndex(1));
    log->holds = false;
    log->write_all();
    EXPECT_TRUE(co_await until([&] { return applied == LogIndex(7); }));
    EXPECT_EQ(peers.sent.back().commit, LogIndex(7));
  });
}

// The members of the snapshot are later ones.
TEST_F(DriverTest, AChangeIsNotAppliedBehindASnapshotThatCoversIt) {
  run([&]() -> env::Task<void> {
    co_await step(append(2, 1, {0, 0}, 1, 1));
    EXPECT_EQ(applied, LogIndex(1));
    raft::Message change = append(2, 1, {1, 1}, 1);
    change.entries.front().kind = raft::EntryKind::kConfiguration;
    change.entries.front().payload = Payload(
        raft::encode_conf_change({.changes = {{raft::ConfChangeType::kAddLearner, NodeId(4)}}}));
    co_await step(change);
    log->holds = true;
    co_await step(heartbeat(2, 1, 2));
    EXPECT_EQ(applied, LogIndex(1));
    raft::Message snapshot = from(2, 1, raft::MessageType::kSnapshot);
    snapshot.snapshot = {.index = LogIndex(50), .term = Term(1), .configuration = {}};
    snapshot.snapshot->configuration.voters = {NodeId(1), NodeId(2), NodeId(3), NodeId(4)};
    co_await step(snapshot);
    EXPECT_TRUE(driver->core().installs_snapshot());
    log->holds = false;
    log->write_all();
    EXPECT_TRUE(co_await until([&] { return !driver->core().installs_snapshot(); }));
    EXPECT_EQ(applied, LogIndex(1));
    EXPECT_EQ(driver->core().status().configuration.voters.size(), 4u);
  });
}

TEST_F(DriverTest, APartThatWasWrittenIsNotHandedOverAgain) {
  run([&]() -> env::Task<void> {
    log->holds = true;
    co_await step(append(2, 1, {0, 0}, 3));
    log->write_some_and_refuse(2);
    log->compacted = LogIndex(2);
    log->holds = false;
    EXPECT_TRUE(co_await until([&] { return log->last() == LogIndex(3); }));
  });
}

TEST(DriverOnDisk, CommandsThatFillMoreThanASegmentAreTakenTogether) {
  sim::World world(6);
  sim::Machine& machine = world.add_machine("a");
  NoPeers peers;
  const Options options{.log = {.segment_bytes = std::uint64_t{2} << 20}};
  ASSERT_TRUE(world.run([](env::Env env, Options opts, NoPeers& none) -> env::Task<void> {
    auto replica = co_await open_alone(env, "/log", NodeId(1), opts, none);
    CO_ASSERT(replica, << replica.error().message());
    v1::Command large = add_image("large");
    large.mutable_add_image()->set_cmdline(std::string(900'000, 'x'));  // refused when applied
    std::size_t answered = 0;
    env::Scope scope(env.executor, co_await env::this_cancellation());
    const auto propose = [&](v1::Command command) -> env::Task<void> {
      const auto answer = co_await (*replica)->propose(std::move(command));
      EXPECT_EQ(answer.error().reason(), "image_invalid");
      ++answered;
    };
    for (int i = 0; i < 12; ++i)
      scope.spawn(propose(large));
    co_await scope.join();
    EXPECT_EQ(answered, 12u);
    EXPECT_TRUE(co_await (*replica)->propose(add_image("small")));
    co_await (*replica)->stop();
  }(machine.env(), options, peers)));
}

}  // namespace
}  // namespace blixard::replica
