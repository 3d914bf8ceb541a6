#include "node/log/log.h"

#include <algorithm>
#include <array>

#include "env/scope.h"
#include "env/test_coroutine.h"
#include "node/log/format.h"
#include "node/log/segment.h"
#include "sim/test_rare.h"
#include "sim/world.h"

namespace blixard::log {
namespace {

constexpr const char* kDirectory = "/var/lib/blixard/log";

Entry entry(std::uint64_t index, std::string payload, std::uint64_t term = 1) {
  return {.term = Term(term), .index = LogIndex(index), .payload = Payload(std::move(payload))};
}

std::vector<Entry> entries(std::uint64_t first, std::uint64_t last, std::size_t bytes = 20) {
  std::vector<Entry> out;
  for (std::uint64_t i = first; i <= last; ++i)
    out.push_back(entry(i, "entry " + std::to_string(i) + std::string(bytes, '.')));
  return out;
}

std::string segment_path(std::uint64_t sequence) {
  return env::join_path(kDirectory, segment_name(sequence));
}

Options small_segments() { return {.segment_bytes = 4096, .entry_bytes_max = 1024}; }

class LogTest : public testing::Test {
 protected:
  sim::World world{7};
  sim::Machine& machine = world.add_machine("a");
  Options options = small_segments();

  using OpenResult = Result<std::unique_ptr<Log>>;
  env::Task<OpenResult> open() { return Log::open(machine.env(), kDirectory, options); }

  void run(env::Task<void> task) { ASSERT_TRUE(world.run(std::move(task))); }

  // Opens, appends what is given as one request each, closes.
  env::Task<void> fill(std::vector<std::vector<Entry>> requests) {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    for (auto& request : requests) {
      const auto appended = co_await (*log)->append(std::move(request), std::nullopt);
      EXPECT_TRUE(appended) << appended.error().message();
    }
    co_await (*log)->close();
  }

  env::Task<void> overwrite_file(std::string path, std::uint64_t offset, std::string bytes) {
    auto file = co_await machine.env().disk.open(path, env::OpenMode::kReadWrite);
    CO_ASSERT(file);
    const std::array<std::string_view, 1> parts{bytes};
    EXPECT_TRUE(co_await (*file)->write_at(offset, parts));
    EXPECT_TRUE(co_await (*file)->sync());
  }

  env::Task<void> expect_refused(Code code, const char* reason, std::vector<std::string> words) {
    auto log = co_await open();
    CO_ASSERT(!log, << "opened");
    EXPECT_EQ(log.error().code(), code);
    EXPECT_EQ(log.error().reason(), reason);
    for (const std::string& word : words)
      EXPECT_THAT(std::string(log.error().detail()), testing::HasSubstr(word));
  }

  env::Task<std::string> payloads(Log& log) {
    std::string out;
    if (log.first() > log.last()) co_return out;
    for (LogIndex at = log.first(); at <= log.last();) {
      auto read = co_await log.read(at, log.last(), 300);
      if (!read) co_return out + "error " + read.error().message();
      for (const Entry& found : *read) {
        EXPECT_EQ(found.index, at);
        out += std::to_string(found.term.value) + ":" +
               std::string(found.payload.view().substr(0, 8)) + " ";
        at = at.next();
      }
    }
    co_return out;
  }

  env::Task<void> append_one(Log& log, Entry one, std::vector<std::uint64_t>& order) {
    const std::uint64_t index = one.index.value;
    std::vector<Entry> request;
    request.push_back(std::move(one));
    const auto appended = co_await log.append(std::move(request), std::nullopt);
    EXPECT_TRUE(appended) << appended.error().message();
    if (appended) order.push_back(index);
  }

  env::Task<void> install(env::Env env, SnapshotMeta meta) {
    auto log = co_await Log::open(env, kDirectory, options);
    if (!log) co_return;  // the power went
    ignore(co_await (*log)->save_snapshot(meta, "theirs", meta.index.next()),
           "the power may go at any time");
    co_await (*log)->close();
  }

  // The header, as a later version of this program would have written it.
  static std::string with_version(std::string header, char version) {
    header[8] = version;
    const std::string_view checked = std::string_view(header).substr(0, header.size() - 8);
    std::uint64_t sum = header_checksum(checked);
    for (std::size_t i = 0; i < 8; ++i, sum >>= 8)
      header[header.size() - 8 + i] = static_cast<char>(sum & 0xff);
    return header;
  }

  [[nodiscard]] std::uint64_t batches_on_disk(const std::string& path, const Uuid& id) const {
    const std::string content = machine.durable_content(path).value_or("");
    std::uint64_t count = 0;
    std::size_t at = kSegmentHeaderBytes;
    while (at < content.size()) {
      const auto batch = decode_batch(std::string_view(content).substr(at), id);
      if (!batch) break;
      ++count;
      at += batch->bytes();
    }
    return count;
  }
};

TEST_F(LogTest, KeepsEntriesAndHardStateOverReopening) {
  const HardState state{.term = Term(3), .vote = NodeId(2), .commit = LogIndex(1)};
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    EXPECT_EQ((*log)->last(), LogIndex());
    EXPECT_EQ((*log)->first(), LogIndex(1));
    EXPECT_FALSE((*log)->recovered().log_id.is_nil());
    EXPECT_TRUE(co_await (*log)->append(entries(1, 3), state));
    EXPECT_TRUE(co_await (*log)->append({entry(4, "")}, std::nullopt));
    EXPECT_TRUE(co_await (*log)->append({}, std::nullopt));
    EXPECT_EQ((*log)->last(), LogIndex(4));
    co_await (*log)->close();
    const auto late = co_await (*log)->append({entry(5, "late")}, std::nullopt);
    EXPECT_EQ(late.error().reason(), "log_closed");
  }());
  machine.lose_power();
  machine.restart();
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    const Recovered& found = (*log)->recovered();
    EXPECT_EQ(found.first, LogIndex(1));
    EXPECT_EQ(found.last, LogIndex(4));
    EXPECT_EQ(found.hard_state, state);
    EXPECT_EQ(found.torn_bytes_cut, 0u);
    auto read = co_await (*log)->read(LogIndex(2), LogIndex(9), 1 << 20);
    CO_ASSERT(read, << read.error().message());
    CO_ASSERT(read->size() == 3u);
    EXPECT_EQ((*read)[0].payload, entries(2, 2)[0].payload);
    EXPECT_EQ((*read)[0].kind, raft::EntryKind::kNormal);
    EXPECT_EQ((*read)[2].payload.view(), "");
    co_await (*log)->close();
  }());
}

TEST_F(LogTest, RefusesWhatDoesNotContinueTheLog) {
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    const auto reason = [&](std::vector<Entry> list) -> env::Task<std::string> {
      const auto appended = co_await (*log)->append(std::move(list), std::nullopt);
      co_return std::string(appended ? "" : appended.error().reason());
    };
    EXPECT_EQ(co_await reason(entries(1, 3)), "");
    EXPECT_EQ(co_await reason({entry(5, "x")}), "log_gap");
    EXPECT_EQ(co_await reason({entry(4, "x"), entry(6, "x")}), "log_gap");
    EXPECT_EQ(co_await reason({entry(0, "x")}), "log_gap");
    EXPECT_EQ(co_await reason({entry(4, std::string(1025, 'x'))}), "entry_too_large");
    EXPECT_EQ(co_await reason({entry(4, std::string(1024, 'x'))}), "");
    auto beyond = co_await (*log)->read(LogIndex(5), LogIndex(5), 100);
    EXPECT_EQ(beyond.error().reason(), "beyond_last");
    auto second = co_await open();
    EXPECT_EQ(second.error().reason(), "directory_in_use");
    co_await (*log)->close();
  }());
  options.entry_bytes_max = 4096;
  run(expect_refused(Code::kInvalidArgument, "segment_too_small", {"4096"}));
}

TEST_F(LogTest, AppendsThatArriveTogetherShareOneSync) {
  options.segment_bytes = 64 << 10;
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    std::vector<std::uint64_t> order;
    env::Scope scope(machine.env().executor, co_await env::this_cancellation());
    for (std::uint64_t i = 1; i <= 100; ++i)
      scope.spawn(append_one(**log, entry(i, "x"), order));
    co_await scope.join();
    EXPECT_EQ(order.size(), 100u);
    EXPECT_TRUE(std::ranges::is_sorted(order));
    // The first turn's appends are one batch; at most the very first goes alone.
    const Uuid id = (*log)->recovered().log_id;
    EXPECT_LE(batches_on_disk(segment_path(1), id), 2u);

    // Those that come while a sync is in flight wait for it and then share the next one.
    for (std::uint64_t i = 101; i <= 200; ++i) {
      scope.spawn(append_one(**log, entry(i, "x"), order));
      EXPECT_TRUE(co_await machine.env().clock.sleep(10us));
    }
    co_await scope.join();
    EXPECT_EQ((*log)->last(), LogIndex(200));
    EXPECT_LE(batches_on_disk(segment_path(1), id), 20u);  // 1 ms in all, 0.2 ms at least each
    co_await (*log)->close();
  }());
}

TEST_F(LogTest, AnswersAppendsThatAreCancelledOnlyWhenTheyAreDurable) {
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    std::vector<std::uint64_t> order;
    env::Scope scope(machine.env().executor, co_await env::this_cancellation());
    scope.spawn(append_one(**log, entry(1, "x"), order));
    EXPECT_TRUE(co_await machine.env().clock.sleep(1us));
    scope.cancel();
    co_await scope.join();
    EXPECT_EQ(order.size(), 1u);
    EXPECT_EQ(batches_on_disk(segment_path(1), (*log)->recovered().log_id), 1u);
    co_await (*log)->close();
  }());
}

TEST_F(LogTest, GoesOnInTheNextSegmentAndReadsAcrossThem) {
  options.cache_bytes = 0;
  const HardState state{.term = Term(2), .vote = NodeId(1)};
  std::string written;
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    EXPECT_TRUE(co_await (*log)->append({}, state));
    for (std::uint64_t i = 1; i <= 40; ++i)
      EXPECT_TRUE(co_await (*log)->append({entry(i, std::to_string(i) + std::string(300, '.'))},
                                          std::nullopt));
    written = co_await payloads(**log);
    co_await (*log)->close();
  }());
  EXPECT_TRUE(machine.content(segment_path(4)));
  EXPECT_EQ(machine.content(segment_path(2))->size(), 4096u);
  machine.lose_power();
  machine.restart();
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    EXPECT_EQ((*log)->recovered().hard_state, state);
    EXPECT_EQ((*log)->last(), LogIndex(40));
    EXPECT_EQ(co_await payloads(**log), written);
    co_await (*log)->close();
  }());
}

TEST_F(LogTest, LaterEntriesOverwriteTheTail) {
  std::string written;
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    EXPECT_TRUE(co_await (*log)->append(entries(1, 30), std::nullopt));
    EXPECT_TRUE(co_await (*log)->append(entries(31, 60), std::nullopt));
    EXPECT_TRUE(co_await (*log)->append({entry(20, "new 20", 2)}, std::nullopt));
    EXPECT_EQ((*log)->last(), LogIndex(20));
    EXPECT_TRUE(co_await (*log)->append({entry(21, "new 21", 2)}, std::nullopt));
    written = co_await payloads(**log);
    EXPECT_THAT(written, testing::EndsWith("1:entry 19 2:new 20 2:new 21 "));
    co_await (*log)->close();
  }());
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    EXPECT_EQ((*log)->last(), LogIndex(21));
    EXPECT_EQ(co_await payloads(**log), written);
    co_await (*log)->close();
  }());
}

// The part of a refused write that is there already would be damage behind the next batch.
TEST_F(LogTest, WhatARefusedWriteLeftIsCleared) {
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    EXPECT_TRUE(co_await (*log)->append(entries(1, 1), std::nullopt));
    std::size_t left = 0;
    while (left < 600) {
      machine.disk_faults().refuse_next_write_below = segment_path(1);
      const auto refused = co_await (*log)->append(
          {entry(2, std::string(600, 'x')), entry(3, std::string(600, 'x'))}, std::nullopt);
      CO_ASSERT(!refused);
      EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
      left = static_cast<std::size_t>(std::ranges::count(*machine.content(segment_path(1)), 'x'));
    }
    EXPECT_TRUE(co_await (*log)->append(entries(2, 2), std::nullopt));
    co_await (*log)->close();
    log->reset();
    auto again = co_await open();
    CO_ASSERT(again, << again.error().message());
    EXPECT_EQ((*again)->last(), LogIndex(2));
    EXPECT_EQ((*again)->recovered().torn_bytes_cut, 0u);
    co_await (*again)->close();
  }());
}

// Damage.

TEST_F(LogTest, CutsATornTailAndGoesOnBehindIt) {
  std::uint64_t end = 0;
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    EXPECT_TRUE(co_await (*log)->append({entry(1, "one")}, std::nullopt));
    EXPECT_TRUE(co_await (*log)->append(
        {entry(2, std::string(600, 'x')), entry(3, std::string(600, 'y'))}, std::nullopt));
    co_await (*log)->close();
  }());
  const std::string content = *machine.content(segment_path(1));
  end = content.find_last_not_of('\0') + 1;
  const std::size_t sector = end - 512 - end % 512;
  run(overwrite_file(segment_path(1), sector, std::string(512, '\0')));
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    EXPECT_EQ((*log)->last(), LogIndex(1));
    EXPECT_GT((*log)->recovered().torn_bytes_cut, 1200u);
    co_await (*log)->close();
  }());
  const std::string cut = *machine.durable_content(segment_path(1));
  EXPECT_LT(cut.find_last_not_of('\0'), end - 1200);
  run(fill({entries(2, 2)}));
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    EXPECT_EQ((*log)->last(), LogIndex(2));
    EXPECT_EQ((*log)->recovered().torn_bytes_cut, 0u);
    co_await (*log)->close();
  }());
}

// A write that was interrupted leaves sectors of zeros.
TEST_F(LogTest, RefusesDamageInTheLastBatchThatNoTornWriteLeaves) {
  run(fill({entries(1, 1), {entry(2, std::string(600, 'x')), entry(3, std::string(600, 'y'))}}));
  const std::string content = *machine.content(segment_path(1));
  const std::size_t begin = content.rfind("BLXBATCH");
  const std::size_t end = content.find_last_not_of('\0') + 1;
  ASSERT_GT(end, begin + 1024);
  for (std::size_t at = begin; at < end; ++at) {
    SCOPED_TRACE(at);
    // Of the length: it would reach into the zeros behind, as one that is torn does.
    if (at == begin + 9) continue;
    machine.corrupt(segment_path(1), at);
    run(expect_refused(Code::kDataLoss, "log_corrupt",
                       {segment_path(1), "offset " + std::to_string(begin), "not torn"}));
    machine.corrupt(segment_path(1), at);
  }
  run(overwrite_file(segment_path(1), end + 2000, "x"));
  machine.corrupt(segment_path(1), end - 1);
  run(expect_refused(Code::kDataLoss, "log_corrupt", {"not torn"}));
}

// Every byte of everything that lies before the last batch.
TEST_F(LogTest, RefusesDamageInTheMiddleWithFileAndOffset) {
  run(fill({entries(1, 1), entries(2, 2), entries(3, 3)}));
  const std::string content = *machine.content(segment_path(1));
  std::size_t last = kSegmentHeaderBytes;
  while (const auto next = content.find("BLXBATCH", last + 1)) {
    if (next == std::string::npos) break;
    last = next;
  }
  ASSERT_GT(last, kSegmentHeaderBytes);
  for (std::size_t at = 0; at < last; ++at) {
    SCOPED_TRACE(at);
    machine.corrupt(segment_path(1), at);
    run([&]() -> env::Task<void> {
      auto log = co_await open();
      CO_ASSERT(!log, << "opened");
      EXPECT_EQ(log.error().code(), Code::kDataLoss) << log.error().message();
      EXPECT_EQ(log.error().reason(), "log_corrupt");
      const std::string detail(log.error().detail());
      const std::size_t batch = at < kSegmentHeaderBytes ? 0 : content.rfind("BLXBATCH", at);
      EXPECT_THAT(detail,
                  testing::HasSubstr(segment_path(1) + ", offset " + std::to_string(batch) + ":"));
      EXPECT_THAT(detail, testing::HasSubstr("restore"));
    }());
    machine.corrupt(segment_path(1), at);  // back
    ASSERT_EQ(*machine.content(segment_path(1)), content);
  }
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    EXPECT_EQ((*log)->last(), LogIndex(3));
    co_await (*log)->close();
  }());
}

TEST_F(LogTest, RefusesDamageAtTheEndOfAnEarlierSegment) {
  run(fill({entries(1, 10), entries(11, 60), entries(61, 110), entries(111, 160)}));
  ASSERT_TRUE(machine.content(segment_path(2)));
  const std::string content = *machine.content(segment_path(1));
  machine.corrupt(segment_path(1), content.find_last_not_of('\0'));
  run(expect_refused(Code::kDataLoss, "log_corrupt", {segment_path(1), "next segment"}));
}

TEST_F(LogTest, RefusesAMissingSegment) {
  run(fill({entries(1, 50), entries(51, 100), entries(101, 150), entries(151, 160)}));
  ASSERT_TRUE(machine.content(segment_path(3)));
  run([&]() -> env::Task<void> {
    EXPECT_TRUE(co_await machine.env().disk.remove(segment_path(2)));
  }());
  run(expect_refused(Code::kDataLoss, "log_corrupt", {segment_path(2), "missing"}));
  run([&]() -> env::Task<void> {
    EXPECT_TRUE(co_await machine.env().disk.remove(segment_path(1)));
  }());
  run(expect_refused(Code::kDataLoss, "log_corrupt", {segment_path(3), "no snapshot"}));
}

TEST_F(LogTest, RefusesASegmentOfAnotherLog) {
  run(fill({entries(1, 3)}));
  const std::string other = *machine.content(segment_path(1));
  run([&]() -> env::Task<void> {
    EXPECT_TRUE(co_await machine.env().disk.remove(segment_path(1)));
  }());
  run(fill({entries(1, 50), entries(51, 100)}));
  ASSERT_TRUE(machine.content(segment_path(2)));
  run(overwrite_file(segment_path(2), 0, other));
  run(expect_refused(Code::kDataLoss, "log_corrupt", {segment_path(2), "another"}));
}

TEST_F(LogTest, RefusesAFileThatLostItsEnd) {
  run(fill({entries(1, 3)}));
  run([&]() -> env::Task<void> {
    auto file = co_await machine.env().disk.open(segment_path(1), env::OpenMode::kReadWrite);
    CO_ASSERT(file);
    EXPECT_TRUE(co_await (*file)->resize(200));
  }());
  run(expect_refused(Code::kDataLoss, "log_corrupt", {segment_path(1), "size"}));
}

TEST_F(LogTest, RefusesAFormatOfANewerProgram) {
  run(fill({entries(1, 3)}));
  std::string header = machine.content(segment_path(1))->substr(0, kSegmentHeaderBytes);
  run(overwrite_file(segment_path(1), 0, with_version(header, 2)));
  run(expect_refused(Code::kFailedPrecondition, "log_too_new",
                     {segment_path(1), "format 2", "newer program"}));
}

TEST_F(LogTest, SeesBitRotWhenItReads) {
  options.cache_bytes = 0;
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    EXPECT_TRUE(co_await (*log)->append(entries(1, 3), std::nullopt));
    machine.corrupt(segment_path(1), machine.content(segment_path(1))->find("entry 2"));
    auto read = co_await (*log)->read(LogIndex(1), LogIndex(3), 1000);
    CO_ASSERT(!read);
    EXPECT_EQ(read.error().reason(), "entry_damaged");
    EXPECT_THAT(std::string(read.error().detail()), testing::HasSubstr("entry 2"));
    EXPECT_TRUE(co_await (*log)->read(LogIndex(1), LogIndex(1), 1000));
    co_await (*log)->close();
  }());
}

// A disk that fails or is full.

TEST_F(LogTest, AFailedSyncIsFatal) {
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    EXPECT_TRUE(co_await (*log)->append(entries(1, 1), std::nullopt));
    machine.disk_faults().fail_next_sync_below = kDirectory;
    for (int i = 0; i < 3; ++i) {
      const auto failed = co_await (*log)->append({entry(2, "lost")}, std::nullopt);
      CO_ASSERT(!failed);
      EXPECT_EQ(failed.error().code(), Code::kDataLoss);
      EXPECT_EQ(failed.error().reason(), "log_failed");
      EXPECT_TRUE((*log)->failed());
    }
    EXPECT_EQ((*log)->last(), LogIndex(1));
    const auto snapshot =
        co_await (*log)->save_snapshot({LogIndex(1), Term(1)}, "state", LogIndex(2));
    EXPECT_EQ(snapshot.error().reason(), "log_failed");
    co_await (*log)->close();
  }());
}

// Behind a failed sync the kernel shows data that is not on the disk, and a later sync succeeds.
TEST_F(LogTest, WhatAFailedSyncLeftIsWrittenAgainBeforeItCounts) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    sim::World other(seed);
    sim::Machine& host = other.add_machine("b");
    LogIndex seen;
    ASSERT_TRUE(other.run([&]() -> env::Task<void> {
      auto log = co_await Log::open(host.env(), kDirectory, options);
      CO_ASSERT(log);
      EXPECT_TRUE(co_await (*log)->append(entries(1, 1), std::nullopt));
      host.disk_faults().fail_next_sync_below = kDirectory;
      EXPECT_FALSE(co_await (*log)->append({entry(2, std::string(900, 'x'))}, std::nullopt));
      co_await (*log)->close();
    }()));
    host.crash_daemon();
    host.restart();
    ASSERT_TRUE(other.run([&]() -> env::Task<void> {
      auto log = co_await Log::open(host.env(), kDirectory, options);
      CO_ASSERT(log, << log.error().message());
      seen = (*log)->last();
      co_await (*log)->close();
    }()));
    host.lose_power();
    host.restart();
    ASSERT_TRUE(other.run([&]() -> env::Task<void> {
      auto log = co_await Log::open(host.env(), kDirectory, options);
      CO_ASSERT(log, << log.error().message());
      EXPECT_EQ((*log)->last(), seen);
      co_await (*log)->close();
    }()));
  }
}

TEST_F(LogTest, AFullDiskRefusesCleanlyAndPasses) {
  observe::Metrics metrics;
  options.instruments = Instruments(metrics);
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    machine.set_disk_capacity(Bytes(8192));
    std::uint64_t next = 1;
    Result<void> appended;
    while (appended && next < 100) {
      appended = co_await (*log)->append({entry(next, std::string(500, 'x'))}, std::nullopt);
      next += appended ? 1 : 0;
    }
    CO_ASSERT(!appended);
    EXPECT_EQ(appended.error().code(), Code::kResourceExhausted) << appended.error().message();
    EXPECT_FALSE((*log)->failed());
    EXPECT_EQ((*log)->last(), LogIndex(next - 1));
    EXPECT_FALSE(machine.content(segment_path(3) + ".new"));
    // The disk is met where a segment begins, not in the one that is there.
    EXPECT_EQ(options.instruments.writes[WriteOutcome::kRefused].value(), 1);
    EXPECT_EQ(options.instruments.writes[WriteOutcome::kDurable].value(), next - 1);

    // Those that waited behind the refused one would leave a gap.
    std::vector<std::uint64_t> order;
    const auto pair = [&](Entry one) -> env::Task<void> {
      std::vector<Entry> request;
      request.push_back(std::move(one));
      const auto refused = co_await (*log)->append(std::move(request), std::nullopt);
      EXPECT_FALSE(refused);
    };
    env::Scope scope(machine.env().executor, co_await env::this_cancellation());
    scope.spawn(pair(entry(next, std::string(500, 'x'))));
    scope.spawn(pair(entry(next + 1, std::string(500, 'x'))));
    co_await scope.join();

    machine.set_disk_capacity(gib(1));
    EXPECT_TRUE(co_await (*log)->append({entry(next, std::string(500, 'y'))}, std::nullopt));
    EXPECT_EQ((*log)->last(), LogIndex(next));
    co_await (*log)->close();
    log->reset();
    auto again = co_await open();
    CO_ASSERT(again, << again.error().message());
    EXPECT_EQ((*again)->last(), LogIndex(next));
    co_await (*again)->close();
  }());
}

// Snapshots.

TEST_F(LogTest, ASnapshotDropsTheSegmentsBehindIt) {
  const HardState state{.term = Term(4), .vote = NodeId(3), .commit = LogIndex(2)};
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    EXPECT_EQ((co_await (*log)->load_snapshot()).error().code(), Code::kNotFound);
    EXPECT_TRUE(co_await (*log)->append(entries(1, 2, 300), state));
    for (std::uint64_t i = 3; i <= 60; ++i)
      EXPECT_TRUE(co_await (*log)->append(entries(i, i, 300), std::nullopt));
    EXPECT_TRUE(co_await (*log)->save_snapshot({LogIndex(20), Term(1)}, "at 20", LogIndex(21)));
    EXPECT_TRUE(co_await (*log)->save_snapshot({LogIndex(40), Term(1)}, "at 40", LogIndex(41)));
    const auto stale =
        co_await (*log)->save_snapshot({LogIndex(40), Term(1)}, "again", LogIndex(41));
    EXPECT_EQ(stale.error().reason(), "snapshot_stale");
    EXPECT_GT((*log)->first(), LogIndex(20));
    EXPECT_LE((*log)->first(), LogIndex(41));
    auto compacted = co_await (*log)->read(LogIndex(20), LogIndex(20), 100);
    EXPECT_EQ(compacted.error().reason(), "compacted");
    auto covered = co_await (*log)->append({entry(40, "x", 2)}, std::nullopt);
    EXPECT_EQ(covered.error().reason(), "compacted");
    co_await (*log)->close();
  }());
  EXPECT_FALSE(machine.content(segment_path(1)));
  EXPECT_FALSE(machine.content(env::join_path(kDirectory, snapshot_name(LogIndex(20)))));
  machine.lose_power();
  machine.restart();
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    CO_ASSERT((*log)->recovered().snapshot.has_value());
    EXPECT_EQ((*log)->recovered().snapshot->index, LogIndex(40));
    EXPECT_EQ((*log)->recovered().hard_state, state);  // its record went with the first segment
    EXPECT_EQ((*log)->last(), LogIndex(60));
    EXPECT_EQ((co_await (*log)->load_snapshot()).value_or("none"), "at 40");
    EXPECT_TRUE(co_await (*log)->save_snapshot({LogIndex(60), Term(1)}, "at 60", LogIndex(61)));
    EXPECT_TRUE(co_await (*log)->append(entries(61, 61), std::nullopt));
    co_await (*log)->close();
  }());
}

// Left behind without those that follow it, it would be a log with a hole.
TEST_F(LogTest, ASegmentThatCannotBeRemovedIsRemovedByTheNextSnapshot) {
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    for (std::uint64_t i = 1; i <= 60; ++i)
      EXPECT_TRUE(co_await (*log)->append(entries(i, i, 300), std::nullopt));
    machine.disk_faults().io_error_below = segment_path(1);
    EXPECT_TRUE(co_await (*log)->save_snapshot({LogIndex(20), Term(1)}, "at 20", LogIndex(21)));
    EXPECT_TRUE(co_await machine.env().clock.sleep(1s));
    EXPECT_TRUE(machine.content(segment_path(1)));
    EXPECT_TRUE(machine.content(segment_path(2)));
    machine.disk_faults().io_error_below.clear();
    EXPECT_TRUE(co_await (*log)->save_snapshot({LogIndex(40), Term(1)}, "at 40", LogIndex(41)));
    EXPECT_TRUE(co_await machine.env().clock.sleep(1s));
    EXPECT_FALSE(machine.content(segment_path(1)));
    EXPECT_FALSE(machine.content(segment_path(2)));
    co_await (*log)->close();
  }());
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    EXPECT_EQ((*log)->last(), LogIndex(60));
    co_await (*log)->close();
  }());
}

TEST_F(LogTest, ASnapshotFromElsewhereTakesThePlaceOfTheLog) {
  // Ahead of the log, and one whose entry is another than the log's.
  for (const std::uint64_t index : {500u, 30u}) {
    SCOPED_TRACE(index);
    options.segment_bytes += 8;
    const std::string directory = "/log" + std::to_string(index);
    run([&]() -> env::Task<void> {
      auto log = co_await Log::open(machine.env(), directory, options);
      CO_ASSERT(log);
      EXPECT_TRUE(co_await (*log)->append(entries(1, 40), std::nullopt));
      EXPECT_TRUE(co_await (*log)->save_snapshot({LogIndex(index), Term(7)}, "theirs",
                                                 LogIndex(index + 1)));
      EXPECT_EQ((*log)->last(), LogIndex(index));
      EXPECT_EQ((*log)->first(), LogIndex(index + 1));
      EXPECT_TRUE(co_await (*log)->append({entry(index + 1, "next", 7)}, std::nullopt));
      co_await (*log)->close();
    }());
    run([&]() -> env::Task<void> {
      auto log = co_await Log::open(machine.env(), directory, options);
      CO_ASSERT(log, << log.error().message());
      EXPECT_EQ((*log)->last(), LogIndex(index + 1));
      EXPECT_EQ(co_await payloads(**log), "7:next ");
      co_await (*log)->close();
    }());
  }
}

// Power is lost at every step of it: the log is what it was, or what the snapshot made of it, and
// in both cases entries appended afterwards stay.
TEST_F(LogTest, ASnapshotFromElsewhereIsTakenWholeOrNotAtAll) {
  int before = 0;
  int after = 0;
  for (int step = 0; step < 120; ++step) {
    SCOPED_TRACE(step);
    sim::World other(static_cast<std::uint64_t>(step));
    sim::Machine& host = other.add_machine("b");
    ASSERT_TRUE(other.run([&]() -> env::Task<void> {
      auto log = co_await Log::open(host.env(), kDirectory, options);
      CO_ASSERT(log);
      EXPECT_TRUE(co_await (*log)->append(entries(1, 40), std::nullopt));
      co_await (*log)->close();
    }()));
    host.start(install(host.env(), {LogIndex(30), Term(7)}));
    ASSERT_TRUE(other.run([&]() -> env::Task<void> {
      EXPECT_TRUE(co_await host.env().clock.sleep(step * 100us));
    }()));
    host.lose_power();
    host.restart();
    LogIndex last;
    ASSERT_TRUE(other.run([&]() -> env::Task<void> {
      auto log = co_await Log::open(host.env(), kDirectory, options);
      CO_ASSERT(log, << log.error().message());
      const bool taken = (*log)->snapshot().has_value();
      (taken ? after : before) += 1;
      EXPECT_EQ((*log)->last(), LogIndex(taken ? 30 : 40));
      last = (*log)->last().next();
      EXPECT_TRUE(co_await (*log)->append({entry(last.value, "next", 7)}, std::nullopt));
      co_await (*log)->close();
    }()));
    host.lose_power();
    host.restart();
    ASSERT_TRUE(other.run([&]() -> env::Task<void> {
      auto log = co_await Log::open(host.env(), kDirectory, options);
      CO_ASSERT(log, << log.error().message());
      EXPECT_EQ((*log)->last(), last);
      EXPECT_THAT(co_await payloads(**log), testing::EndsWith("7:next "));
      co_await (*log)->close();
    }()));
  }
  EXPECT_GT(before, 0);
  EXPECT_GT(after, 0);
}

TEST_F(LogTest, ADamagedSnapshotIsRefusedOnlyWhenTheLogBehindItIsGone) {
  const std::string path = env::join_path(kDirectory, snapshot_name(LogIndex(3)));
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log);
    EXPECT_TRUE(co_await (*log)->append(entries(1, 3), std::nullopt));
    EXPECT_TRUE(co_await (*log)->save_snapshot({LogIndex(3), Term(1)}, "the state", LogIndex(4)));
    co_await (*log)->close();
  }());
  machine.corrupt(path, kSnapshotHeaderBytes + 2);
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    EXPECT_FALSE((*log)->recovered().snapshot.has_value());
    EXPECT_EQ((*log)->first(), LogIndex(1));
    EXPECT_TRUE(co_await (*log)->append(entries(4, 30, 100), std::nullopt));
    EXPECT_TRUE(co_await (*log)->append(entries(31, 60, 60), std::nullopt));
    EXPECT_TRUE(co_await (*log)->save_snapshot({LogIndex(60), Term(1)}, "the state", LogIndex(61)));
    EXPECT_GT((*log)->first(), LogIndex(1));
    co_await (*log)->close();
  }());
  EXPECT_FALSE(machine.content(path));
  const std::string newer = env::join_path(kDirectory, snapshot_name(LogIndex(60)));
  machine.corrupt(newer, 20);
  run(expect_refused(Code::kDataLoss, "snapshot_damaged", {newer, "restore"}));
  machine.corrupt(newer, 20);
  std::string header = machine.content(newer)->substr(0, kSnapshotHeaderBytes);
  run(overwrite_file(newer, 0, with_version(header, 9)));
  run(expect_refused(Code::kFailedPrecondition, "log_too_new", {newer, "format 9"}));
}

TEST_F(LogTest, SegmentsMayRollWithEveryBatch) {
  {
    const sim::OnlyRare rare(world, env::RareSite::kLogSegmentRollsEarly);
    run(fill({entries(1, 2), entries(3, 3), entries(4, 9), entries(10, 10)}));
    EXPECT_EQ(rare.taken(), 3u);
  }
  EXPECT_TRUE(machine.content(segment_path(4)));
  run([&]() -> env::Task<void> {
    auto log = co_await open();
    CO_ASSERT(log, << log.error().message());
    EXPECT_EQ((*log)->first(), LogIndex(1));
    EXPECT_EQ((*log)->last(), LogIndex(10));
    EXPECT_THAT(co_await payloads(**log), testing::EndsWith("1:entry 10 "));
    co_await (*log)->close();
  }());
}

}  // namespace
}  // namespace blixard::log
