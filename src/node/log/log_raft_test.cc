// What a driver of consensus asks of the log beyond keeping entries: appends it need not wait for,
// terms and recent entries at once, snapshots in pieces, and a vote that cannot vanish.

#include <algorithm>
#include <array>

#include "base/limits.h"
#include "core/wire/checksum.h"
#include "env/scope.h"
#include "env/test_coroutine.h"
#include "node/log/format.h"
#include "node/log/log.h"
#include "node/log/segment.h"
#include "sim/world.h"

namespace blixard::log {
namespace {

constexpr const char* kDirectory = "/var/lib/blixard/log";
const std::string kVotePath = env::join_path(kDirectory, "vote");

std::vector<Entry> entries(std::uint64_t first, std::uint64_t last, std::uint64_t term = 1,
                           std::size_t bytes = 20) {
  std::vector<Entry> out;
  for (std::uint64_t i = first; i <= last; ++i)
    out.push_back({.term = Term(term),
                   .index = LogIndex(i),
                   .payload = Payload(std::to_string(i) + std::string(bytes, '.'))});
  return out;
}

HardState vote(std::uint64_t term, std::uint64_t node, std::uint64_t commit = 0) {
  return {.term = Term(term), .vote = NodeId(node), .commit = LogIndex(commit)};
}

std::string segment_path(std::uint64_t sequence) {
  return env::join_path(kDirectory, segment_name(sequence));
}

class LogRaftTest : public testing::Test {
 protected:
  sim::World world{11};
  sim::Machine& machine = world.add_machine("a");
  Options options{.segment_bytes = 4096, .entry_bytes_max = 1024};

  using OpenResult = Result<std::unique_ptr<Log>>;
  env::Task<OpenResult> open() { return Log::open(machine.env(), kDirectory, options); }
  void run(env::Task<void> task) { ASSERT_TRUE(world.run(std::move(task))); }

  env::Task<void> append_all(std::vector<HardState> states) {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    for (const HardState& state : states)
      EXPECT_TRUE(co_await (*log)->append({}, state));
    co_await (*log)->close();
  }

  env::Task<void> append_answered(Log& log, std::vector<Entry> list, int number,
                                  std::vector<int>& order) {
    const auto appended = co_await log.append(std::move(list), std::nullopt);
    EXPECT_TRUE(appended) << appended.error().message();
    order.push_back(number);
  }

  env::Task<void> expect_refused(const char* reason, const char* word) {
    auto log = co_await open();
    if (log) co_await (*log)->close();
    CO_ASSERT(!log, << "opened");
    EXPECT_EQ(log.error().code(), Code::kDataLoss);
    EXPECT_EQ(log.error().reason(), reason);
    EXPECT_THAT(std::string(log.error().detail()), testing::HasSubstr(word));
    EXPECT_THAT(std::string(log.error().detail()), testing::HasSubstr("join again"));
  }
  env::Task<void> expect_opens(HardState state) {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    EXPECT_EQ((*log)->recovered().hard_state, state);
    co_await (*log)->close();
  }

  env::Task<void> write_file(std::string path, std::string bytes) {
    EXPECT_TRUE(co_await machine.env().disk.replace_file(std::move(path), std::move(bytes)));
  }
  env::Task<void> write_at(std::string path, std::uint64_t offset, std::string bytes) {
    auto file = co_await machine.env().disk.open(path, env::OpenMode::kReadWrite);
    CO_ASSERT(file);
    const std::array<std::string_view, 1> parts{bytes};
    EXPECT_TRUE(co_await (*file)->write_at(offset, parts));
  }
  env::Task<void> remove(std::string path) {
    EXPECT_TRUE(co_await machine.env().disk.remove(std::move(path)));
  }
  env::Task<std::vector<std::string>> names() {
    const auto files = co_await machine.env().disk.list(kDirectory);
    std::vector<std::string> out;
    for (const auto& file : *files)
      out.push_back(file.name);
    co_return out;
  }

  // Receives one and leaves it ready to be installed.
  env::Task<std::unique_ptr<SnapshotWriter>> receive(Log& log, SnapshotMeta meta,
                                                     std::string content) {
    auto writer = co_await log.begin_snapshot(meta, content.size());
    EXPECT_TRUE(writer) << writer.error().message();
    if (!writer) co_return nullptr;
    for (std::size_t at = 0; at < content.size(); at += 1000)
      EXPECT_TRUE(co_await (*writer)->write(Payload(content.substr(at, 1000))));
    EXPECT_TRUE(co_await (*writer)->finish(std::nullopt));
    co_return std::move(*writer);
  }
};

TEST_F(LogRaftTest, AnAppendTakesEffectAtTheCall) {
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    auto first = (*log)->append(entries(1, 2), vote(1, 1));
    auto second = (*log)->append(entries(3, 5), std::nullopt);
    auto gap = (*log)->append(entries(7, 7), std::nullopt);
    auto third = (*log)->append(entries(4, 4, 2), vote(2, 1));
    EXPECT_EQ((*log)->last(), LogIndex());
    EXPECT_TRUE(co_await std::move(third));
    EXPECT_EQ((*log)->last(), LogIndex(4));
    EXPECT_TRUE(co_await std::move(first));
    EXPECT_TRUE(co_await std::move(second));
    EXPECT_EQ((co_await std::move(gap)).error().reason(), "log_gap");
    // One that nobody waits for.
    {
      const auto dropped = (*log)->append(entries(5, 5, 2), std::nullopt);
    }
    EXPECT_TRUE(co_await (*log)->append(entries(6, 6, 2), std::nullopt));
    EXPECT_EQ((*log)->term(LogIndex(3)), Term(1));
    EXPECT_EQ((*log)->term(LogIndex(5)), Term(2));
    co_await (*log)->close();
  }());
  run(expect_opens(vote(2, 1)));
}

TEST_F(LogRaftTest, AppendsAreAnsweredInCallOrder) {
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    std::vector<int> order;
    env::Scope scope(machine.env().executor, co_await env::this_cancellation());
    for (int i = 0; i < 200; ++i) {
      const std::uint64_t at = static_cast<std::uint64_t>(i) + 1;
      scope.spawn(append_answered(**log, entries(at, at), i, order));
      if (i % 7 == 0) EXPECT_TRUE(co_await machine.env().clock.sleep(150us));
    }
    co_await scope.join();
    EXPECT_EQ(order.size(), 200u);
    EXPECT_TRUE(std::ranges::is_sorted(order));
    co_await (*log)->close();
  }());
}

TEST_F(LogRaftTest, KnowsTermsAndRecentEntriesAtOnce) {
  options.cache_bytes = 1000;
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    std::vector<Entry> out;
    EXPECT_EQ((*log)->term(LogIndex(0)), Term(0));
    EXPECT_FALSE((*log)->term(LogIndex(1)));
    EXPECT_TRUE(co_await (*log)->append(entries(1, 30, 1), std::nullopt));
    EXPECT_TRUE(co_await (*log)->append(entries(21, 40, 3), std::nullopt));
    EXPECT_EQ((*log)->term(LogIndex(20)), Term(1));
    EXPECT_EQ((*log)->term(LogIndex(21)), Term(3));
    EXPECT_FALSE((*log)->term(LogIndex(41)));
    EXPECT_FALSE((*log)->cached(LogIndex(1), LogIndex(40), 1 << 20, out));
    EXPECT_TRUE(out.empty());
    EXPECT_TRUE((*log)->cached(LogIndex(39), LogIndex(40), 1 << 20, out));
    EXPECT_EQ(out, entries(39, 40, 3));
    out.clear();
    EXPECT_TRUE((*log)->cached(LogIndex(36), LogIndex(40), 1, out));
    EXPECT_EQ(out, entries(36, 36, 3));
    out.clear();
    const std::size_t two = 2 * raft::entry_bytes(entries(36, 36)[0]);
    EXPECT_TRUE((*log)->cached(LogIndex(36), LogIndex(40), two, out));
    EXPECT_EQ(out, entries(36, 37, 3));
    co_await (*log)->close();
  }());
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    std::vector<Entry> out;
    EXPECT_FALSE((*log)->cached(LogIndex(40), LogIndex(40), 100, out));
    EXPECT_EQ((*log)->term(LogIndex(20)), Term(1));
    EXPECT_EQ((*log)->term(LogIndex(40)), Term(3));
    const auto read = co_await (*log)->read(LogIndex(1), LogIndex(99), 1 << 20);
    CO_ASSERT(read);
    EXPECT_EQ(std::vector(read->begin() + 20, read->end()), entries(21, 40, 3));
    co_await (*log)->close();
  }());
}

// What no start could go on from.
TEST_F(LogRaftTest, ACommitBeyondTheLogIsRefused) {
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    const auto beyond = [&](std::vector<Entry> list, std::uint64_t commit) -> env::Task<bool> {
      const auto appended = co_await (*log)->append(std::move(list), vote(1, 1, commit));
      EXPECT_TRUE(appended || appended.error().reason() == "commit_beyond_log");
      EXPECT_TRUE(appended || appended.error().code() == Code::kFailedPrecondition);
      co_return !appended;
    };
    EXPECT_TRUE(co_await beyond({}, 1));
    EXPECT_TRUE(co_await beyond(entries(1, 3), 4));
    EXPECT_FALSE(co_await beyond(entries(1, 3), 3));
    EXPECT_TRUE(co_await beyond({}, 4));
    // What is queued counts.
    auto queued = (*log)->append(entries(4, 5), std::nullopt);
    auto commit = (*log)->append({}, vote(1, 1, 5));
    // Not what is overwritten.
    auto short_again = (*log)->append(entries(4, 4, 2), std::nullopt);
    EXPECT_TRUE(co_await beyond({}, 5));
    EXPECT_TRUE(co_await std::move(queued));
    EXPECT_TRUE(co_await std::move(commit));
    EXPECT_TRUE(co_await std::move(short_again));
    // And what a snapshot covers.
    auto writer = co_await receive(**log, {LogIndex(9), Term(2)}, "nine");
    CO_ASSERT(writer);
    auto installed = writer->install();
    auto covered = (*log)->append({}, vote(2, 1, 9));
    EXPECT_TRUE(co_await beyond({}, 10));
    EXPECT_TRUE(co_await std::move(installed));
    EXPECT_TRUE(co_await std::move(covered));
    co_await (*log)->close();
  }());
  run(expect_opens(vote(2, 1, 9)));
}

TEST_F(LogRaftTest, RefusalsAreCountedBeforeTheyAreAnswered) {
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    EXPECT_TRUE(co_await (*log)->append(entries(1, 1, 1, 1000), std::nullopt));
    EXPECT_EQ((*log)->refusals(), 0u);
    auto gap = (*log)->append(entries(9, 9), std::nullopt);
    EXPECT_EQ((*log)->refusals(), 1u);  // at the call
    EXPECT_FALSE(co_await std::move(gap));

    machine.set_disk_capacity(Bytes(4096));
    auto first = (*log)->append(entries(2, 4, 1, 900), std::nullopt);
    auto second = (*log)->append({}, vote(3, 1));
    std::vector<Result<void>> answers;
    env::Scope scope(machine.env().executor, co_await env::this_cancellation());
    scope.spawn(
        [](env::Task<Result<void>> task, std::vector<Result<void>>& out) -> env::Task<void> {
          out.push_back(co_await std::move(task));
        }(std::move(first), answers));
    while ((*log)->refusals() == 1 && answers.empty())
      EXPECT_TRUE(co_await machine.env().clock.sleep(1us));
    EXPECT_EQ((*log)->refusals(), 2u);
    co_await scope.join();
    EXPECT_EQ(answers.front().error().code(), Code::kResourceExhausted);
    EXPECT_FALSE(co_await std::move(second));
    co_await (*log)->close();
  }());
}

// One turn of consensus may bring more than a segment holds.
TEST_F(LogRaftTest, AnAppendLargerThanASegmentIsWrittenAsSeveralBatches) {
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    EXPECT_TRUE(co_await (*log)->append(entries(1, 5, 1, 900), vote(1, 1, 2)));
    auto large = (*log)->append(entries(4, 40, 3, 900), vote(3, 2, 30));
    auto behind = (*log)->append(entries(41, 41, 3), vote(3, 2, 40));
    EXPECT_TRUE(co_await std::move(behind));
    EXPECT_TRUE(co_await std::move(large));
    EXPECT_EQ((*log)->last(), LogIndex(41));
    EXPECT_EQ((*log)->term(LogIndex(3)), Term(1));
    EXPECT_EQ((*log)->term(LogIndex(4)), Term(3));
    EXPECT_EQ((*log)->refusals(), 0u);
    co_await (*log)->close();
  }());
  machine.lose_power();
  machine.restart();
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    EXPECT_EQ((*log)->recovered().hard_state, vote(3, 2, 40));
    const auto read = co_await (*log)->read(LogIndex(4), LogIndex(41), 1 << 20);
    CO_ASSERT(read);
    EXPECT_EQ(std::vector(read->begin(), read->end() - 1), entries(4, 40, 3, 900));
    co_await (*log)->close();
  }());
}

// A power loss in the middle leaves first entries, none before its term, and no commit behind them.
TEST_F(LogRaftTest, WhatIsLeftOfALargeAppendIsALogToGoOnFrom) {
  bool in_the_middle = false;
  for (int step = 1; step < 40; ++step) {
    SCOPED_TRACE(step);
    sim::World other(static_cast<std::uint64_t>(step));
    sim::Machine& host = other.add_machine("a");
    host.start([](env::Env env, Options wanted) -> env::Task<void> {
      auto log = co_await Log::open(env, kDirectory, wanted);
      if (!log) co_return;
      ignore(co_await (*log)->append(entries(1, 3), vote(1, 1, 1)), "the power may go");
      ignore(co_await (*log)->append(entries(2, 40, 3, 900), vote(3, 2, 30)), "so here");
    }(host.env(), options));
    const Duration until = 500us * step;
    ASSERT_TRUE(other.run([](env::Env env, Duration wait) -> env::Task<void> {
      ignore(co_await env.clock.sleep(wait), "until the power goes");
    }(host.env(), until)));
    host.lose_power();
    host.restart();
    ASSERT_TRUE(other.run([&]() -> env::Task<void> {
      auto log = co_await Log::open(host.env(), kDirectory, options);
      CO_ASSERT(log, << log.error().message());
      const HardState state = (*log)->recovered().hard_state;
      const LogIndex last = (*log)->last();
      EXPECT_LE(state.commit, last);
      EXPECT_LE((*log)->term(last), state.term);
      if (state.term == Term(3)) EXPECT_EQ(state.commit, std::min(last, LogIndex(30)));
      in_the_middle = in_the_middle || (last > LogIndex(3) && last < LogIndex(40));
      co_await (*log)->close();
    }()));
  }
  EXPECT_TRUE(in_the_middle);
}

TEST_F(LogRaftTest, ALargeAppendThatMetAFullDiskIsAppendedOnceMore) {
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    machine.set_disk_capacity(Bytes(5 * 4096));
    const auto refused = co_await (*log)->append(entries(1, 40, 2, 900), vote(2, 2, 20));
    EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
    EXPECT_GT((*log)->last(), LogIndex(1));
    EXPECT_LT((*log)->last(), LogIndex(40));
    machine.set_disk_capacity(gib(1));
    EXPECT_TRUE(co_await (*log)->append(entries(1, 40, 2, 900), vote(2, 2, 20)));
    EXPECT_EQ((*log)->last(), LogIndex(40));
    co_await (*log)->close();
  }());
  run(expect_opens(vote(2, 2, 20)));
}

// Snapshots.

TEST_F(LogRaftTest, KeepsTheEntriesBehindASnapshotThatAreWanted) {
  LogIndex first;
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    for (std::uint64_t i = 1; i <= 60; ++i)
      EXPECT_TRUE(co_await (*log)->append(entries(i, i, 1 + i / 7, 300), std::nullopt));
    EXPECT_TRUE(co_await (*log)->save_snapshot({LogIndex(50), Term(8)}, "at 50", LogIndex(25)));
    first = (*log)->first();
    EXPECT_GT(first, LogIndex(1));
    EXPECT_LE(first, LogIndex(25));
    EXPECT_EQ((*log)->term(LogIndex(first.value - 1)), Term(1 + (first.value - 1) / 7));
    EXPECT_FALSE((*log)->term(LogIndex(first.value - 2)));
    const auto read = co_await (*log)->read(LogIndex(25), LogIndex(25), 1);
    CO_ASSERT(read, << read.error().message());
    EXPECT_EQ(read->front(), entries(25, 25, 4, 300)[0]);
    const auto covered = co_await (*log)->append(entries(50, 50, 9), std::nullopt);
    EXPECT_EQ(covered.error().reason(), "compacted");
    co_await (*log)->close();
  }());
  machine.lose_power();
  machine.restart();
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    // The entry whose predecessor's term went with its segment became that predecessor.
    EXPECT_EQ((*log)->first(), first.next());
    EXPECT_EQ((*log)->term(first), Term(1 + first.value / 7));
    EXPECT_EQ((*log)->last(), LogIndex(60));
    EXPECT_TRUE(co_await (*log)->save_snapshot({LogIndex(60), Term(9)}, "at 60", LogIndex(61)));
    EXPECT_GT((*log)->first(), LogIndex(50));
    co_await (*log)->close();
  }());
}

TEST_F(LogRaftTest, ASnapshotIsInstalledInTheOrderOfAppends) {
  const std::string content(5000, 's');
  const SnapshotMeta meta{LogIndex(100), Term(4)};
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    EXPECT_TRUE(co_await (*log)->append(entries(1, 5), std::nullopt));
    auto writer = co_await receive(**log, meta, content);
    EXPECT_FALSE((*log)->snapshot());
    auto before = (*log)->append(entries(6, 8), std::nullopt);
    auto installed = writer->install();
    auto behind = (*log)->append(entries(101, 103, 4), vote(5, 2));
    auto old = (*log)->append(entries(9, 9), std::nullopt);
    auto gap = (*log)->append(entries(105, 105, 4), std::nullopt);
    EXPECT_TRUE(co_await std::move(behind));
    EXPECT_TRUE(co_await std::move(installed));
    EXPECT_TRUE(co_await std::move(before));
    EXPECT_EQ((co_await std::move(old)).error().reason(), "compacted");
    EXPECT_EQ((co_await std::move(gap)).error().reason(), "log_gap");
    EXPECT_EQ((*log)->snapshot(), meta);
    EXPECT_EQ((*log)->first(), LogIndex(101));
    EXPECT_EQ((*log)->term(LogIndex(100)), Term(4));
    EXPECT_EQ((*log)->last(), LogIndex(103));
    co_await (*log)->close();
  }());
  machine.lose_power();
  machine.restart();
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    EXPECT_EQ((*log)->snapshot(), meta);
    EXPECT_EQ((*log)->first(), LogIndex(101));
    EXPECT_EQ((*log)->last(), LogIndex(103));
    EXPECT_EQ((co_await (*log)->load_snapshot()).value_or(""), content);
    co_await (*log)->close();
  }());
}

TEST_F(LogRaftTest, ASnapshotOfWhatTheLogHoldsLeavesItsEntries) {
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    auto writer = co_await receive(**log, {LogIndex(5), Term(1)}, "the same");
    // Its entry is only queued when it is installed.
    auto appended = (*log)->append(entries(1, 9), std::nullopt);
    EXPECT_TRUE(co_await writer->install());
    EXPECT_TRUE(co_await std::move(appended));
    EXPECT_EQ((*log)->last(), LogIndex(9));
    EXPECT_EQ((*log)->snapshot()->index, LogIndex(5));
    co_await (*log)->close();
  }());
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    EXPECT_EQ((*log)->last(), LogIndex(9));
    co_await (*log)->close();
  }());
}

TEST_F(LogRaftTest, ASnapshotThatIsNotWholeIsNotInstalled) {
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    const SnapshotMeta meta{LogIndex(7), Term(2)};
    auto writer = co_await (*log)->begin_snapshot(meta, 10);
    CO_ASSERT(writer);
    EXPECT_TRUE(co_await (*writer)->write(Payload("12345")));
    EXPECT_EQ((co_await (*writer)->finish(std::nullopt)).error().reason(), "snapshot_damaged");
    EXPECT_EQ((co_await (*writer)->write(Payload("123456"))).error().reason(),
              "snapshot_too_large");
    EXPECT_TRUE(co_await (*writer)->write(Payload("67890")));
    EXPECT_EQ((co_await (*writer)->finish(1)).error().reason(), "snapshot_damaged");
    wire::RunningChecksum checksum;
    checksum.add("1234567890");
    EXPECT_TRUE(co_await (*writer)->finish(checksum.value()));

    std::vector<std::unique_ptr<SnapshotWriter>> others;
    while (others.size() + 1 < limits::kSnapshotsIncoming)
      others.push_back(*co_await (*log)->begin_snapshot(meta, 1));
    EXPECT_EQ((co_await (*log)->begin_snapshot(meta, 1)).error().reason(), "snapshot_in_progress");
    others.clear();
    EXPECT_EQ((co_await (*log)->begin_snapshot(meta, limits::kSnapshotBytes + 1)).error().reason(),
              "snapshot_too_large");

    auto same = co_await receive(**log, meta, "another one");
    EXPECT_TRUE(co_await (*writer)->install());
    EXPECT_EQ((co_await same->install()).error().reason(), "snapshot_stale");
    EXPECT_EQ((co_await (*log)->begin_snapshot(meta, 1)).error().reason(), "snapshot_stale");
    writer->reset();
    same.reset();
    co_await (*log)->close();
    for (const std::string& name : co_await names())
      EXPECT_FALSE(name.ends_with(kUnfinished)) << name;
  }());
}

TEST_F(LogRaftTest, ASnapshotIsReadInPiecesWhileANewerOneReplacesIt) {
  std::string content(limits::kSnapshotChunkBytes * 2 + 5, ' ');
  for (std::size_t i = 0; i < content.size(); ++i)
    content[i] = static_cast<char>(i * 31 + i / 997);
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    EXPECT_EQ((co_await (*log)->open_snapshot()).error().reason(), "no_snapshot");
    EXPECT_TRUE(co_await (*log)->append(entries(1, 9), std::nullopt));
    EXPECT_TRUE(co_await (*log)->save_snapshot({LogIndex(3), Term(1)}, content, LogIndex(4)));
    auto reader = co_await (*log)->open_snapshot();
    CO_ASSERT(reader);
    EXPECT_EQ((*reader)->meta(), (SnapshotMeta{LogIndex(3), Term(1)}));
    EXPECT_EQ((*reader)->bytes(), content.size());
    std::string read;
    for (int pieces = 0;; ++pieces) {
      const auto piece = co_await (*reader)->read();
      CO_ASSERT(piece, << piece.error().message());
      EXPECT_LE(piece->size(), limits::kSnapshotChunkBytes);
      read += piece->view();
      if (piece->empty()) break;
      if (pieces == 0) {
        EXPECT_TRUE(co_await (*log)->save_snapshot({LogIndex(6), Term(1)}, "new", LogIndex(7)));
      }
    }
    EXPECT_EQ(read, content);
    EXPECT_EQ((*reader)->checksum(), wire::checksum(content, 0));

    auto newer = co_await (*log)->open_snapshot();
    CO_ASSERT(newer);
    machine.corrupt(env::join_path(kDirectory, snapshot_name(LogIndex(6))),
                    kSnapshotHeaderBytes + 1);
    EXPECT_EQ((co_await (*newer)->read()).error().reason(), "snapshot_damaged");
    co_await (*log)->close();
  }());
}

// The vote.

TEST_F(LogRaftTest, AVoteThatIsLostWithTheLastBatchIsMissed) {
  run(append_all({vote(3, 1), vote(4, 2)}));
  const std::string content = *machine.content(segment_path(1));
  const std::size_t begin = content.rfind("BLXBATCH");
  const std::size_t end = content.find_last_not_of('\0') + 1;
  run(write_at(segment_path(1), begin, std::string(end - begin, '\0')));
  run(expect_refused("log_corrupt", "term 4, vote 2 was durable in batch 2"));
  run(expect_refused("log_corrupt", "its end was lost"));  // also the next time
  run(write_at(segment_path(1), begin, content.substr(begin, end - begin)));
  run(expect_opens(vote(4, 2)));
}

TEST_F(LogRaftTest, ADamagedVoteFileIsRefused) {
  run(append_all({vote(3, 1), vote(4, 2)}));
  ASSERT_TRUE(machine.content(kVotePath));
  const std::string sound = *machine.content(kVotePath);
  for (std::size_t at = 0; at < sound.size(); ++at) {
    SCOPED_TRACE(at);
    machine.corrupt(kVotePath, at);
    run(expect_refused("vote_damaged", "damaged"));
    machine.corrupt(kVotePath, at);
  }
  run(remove(kVotePath));
  run(expect_refused("vote_damaged", "missing"));
  run(write_file(kVotePath, "x"));
  run(expect_refused("vote_damaged", "damaged"));
  Vote other = *decode_vote(sound);
  other.log_id = Uuid::from_random(7, 8);
  run(write_file(kVotePath, encode_vote(other)));
  run(expect_refused("vote_damaged", "another log"));
  run(write_file(kVotePath, sound));
  run(expect_opens(vote(4, 2)));
  // Without a log, it tells that there was one.
  run(remove(segment_path(1)));
  run(expect_refused("log_corrupt", "no segment"));
}

TEST_F(LogRaftTest, AVoteFileMayBeBehindByTheLastBatchOnly) {
  run(append_all({vote(3, 1)}));
  ASSERT_TRUE(machine.content(kVotePath));
  const std::string first = *machine.content(kVotePath);
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    EXPECT_TRUE(co_await (*log)->append(entries(1, 9), vote(3, 1, 7)));
    co_await (*log)->close();
  }());
  run(append_all({vote(4, 2, 7)}));
  const std::string second = *machine.content(kVotePath);
  EXPECT_NE(first, second);

  // As a crash between the two leaves it; and then it is up to date before anything else.
  run(write_file(kVotePath, first));
  run(expect_opens(vote(4, 2, 7)));
  EXPECT_EQ(*machine.durable_content(kVotePath), second);

  // No crash leaves it behind a batch that came after the change.
  run(append_all({vote(4, 2, 9)}));
  EXPECT_EQ(*machine.content(kVotePath), second);  // the commit index alone does not count
  run(write_file(kVotePath, first));
  run(expect_refused("vote_damaged", "older"));
  run(remove(kVotePath));
  run(expect_refused("vote_damaged", "missing"));
  Vote ahead = *decode_vote(second);
  ahead.term = Term(5);
  run(write_file(kVotePath, encode_vote(ahead)));
  run(expect_refused("log_corrupt", "term 5"));
  ahead.term = Term(4);
  ahead.batch = 5;
  run(write_file(kVotePath, encode_vote(ahead)));
  run(expect_refused("log_corrupt", "batch 5"));
  run(write_file(kVotePath, second));
  run(expect_opens(vote(4, 2, 9)));
}

// The disk.

TEST_F(LogRaftTest, AVoteOnAFullDiskIsRefusedAndTheLogGoesOn) {
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    EXPECT_TRUE(co_await (*log)->append(entries(1, 1), std::nullopt));
    machine.set_disk_capacity(Bytes(4096));
    const auto refused = co_await (*log)->append({}, vote(1, 1));
    EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
    EXPECT_FALSE((*log)->failed());
    EXPECT_TRUE(co_await (*log)->append(entries(2, 2), std::nullopt));
    machine.set_disk_capacity(gib(1));
    EXPECT_TRUE(co_await (*log)->append({}, vote(2, 1)));
    co_await (*log)->close();
  }());
  run(expect_opens(vote(2, 1)));
}

TEST_F(LogRaftTest, ASegmentIsPreparedBeforeItIsNeeded) {
  const std::string spare = env::join_path(kDirectory, "spare.new");
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    EXPECT_TRUE(co_await (*log)->append(entries(1, 1), std::nullopt));
    EXPECT_TRUE(co_await machine.env().clock.sleep(1s));
    EXPECT_FALSE(machine.content(spare));
    EXPECT_TRUE(co_await (*log)->append(entries(2, 2, 1, 1000), std::nullopt));
    EXPECT_TRUE(co_await machine.env().clock.sleep(1s));
    EXPECT_EQ(machine.durable_content(spare).value_or("").size(), 0u);  // its name is not synced
    EXPECT_EQ(machine.content(spare), std::string(4096, '\0'));
    for (std::uint64_t i = 3; i <= 5; ++i)
      EXPECT_TRUE(co_await (*log)->append(entries(i, i, 1, 1000), std::nullopt));
    EXPECT_TRUE(machine.durable_content(segment_path(2)));
    co_await (*log)->close();
  }());
  machine.lose_power();
  machine.restart();
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    EXPECT_EQ((*log)->last(), LogIndex(5));
    EXPECT_FALSE(machine.content(spare));
    co_await (*log)->close();
  }());
}

}  // namespace
}  // namespace blixard::log
